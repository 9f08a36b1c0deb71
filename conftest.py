"""Loaded by every run of pytest in the project, also for a single notebook."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "tests"))
pytest_plugins = ["nbval_compare", "claims"]
