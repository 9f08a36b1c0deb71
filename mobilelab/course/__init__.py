"""What only the course needs: questions, checks, explorers, pictures, and the walk."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__, submodules=["checks", "plots", "questions", "rounding", "tour", "widgets"]
)
