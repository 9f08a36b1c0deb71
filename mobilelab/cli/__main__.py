"""``python -m mobilelab.cli`` is the command ``mobilelab``."""

from mobilelab.cli.main import main

main()
