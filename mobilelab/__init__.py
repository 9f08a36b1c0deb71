"""MobileLab: the plumbing of a course on putting a PyTorch model on a phone.

The lessons are in ``notebooks/``. This package holds what they share: data, networks, measuring,
comparing, drawing. Its rooms import downwards only. What stands above what is written in one
place, the ``layers`` contract in ``pyproject.toml``.

A chapter writes ``from mobilelab import measure, parity``: the names below are found in their rooms
when they are first asked for, so that a room can be put in order without a word in any chapter.
"""

import lazy_loader

__version__ = "0.1.0"

#: What chapters, exercises and people's own notebooks import.
__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=["check", "datasets", "grading", "measure", "models", "runtimes", "tasks"],
    submod_attrs={
        "cli": ["doctor"],
        "core": ["errors"],
        "course": ["checks", "plots", "questions", "rounding", "widgets"],
        "jupyter": ["cells", "progress"],
        "measure": ["parity", "report"],
        "recipes": ["npu", "remeasure", "snippets", "successors", "training", "variants"],
    },
)
