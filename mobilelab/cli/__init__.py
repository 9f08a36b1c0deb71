"""The command ``mobilelab``."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__, submodules=["doctor", "homework", "main"]
)
