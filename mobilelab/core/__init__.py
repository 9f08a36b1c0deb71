"""What every room of the house speaks of: errors, trees of tensors, examples, signatures."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__, submodules=["errors", "signature", "terminal", "threads", "trees"]
)
