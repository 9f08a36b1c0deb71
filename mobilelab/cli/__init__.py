"""The command ``mobilelab``."""
