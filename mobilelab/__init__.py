"""MobileLab: the plumbing of a course on putting a PyTorch model on a phone.

The lessons are in ``notebooks/``. This package holds what they share: data, networks,
measuring, comparing, drawing. Modules import downwards only. What stands above what is written in
one place, the ``layers`` contract in ``pyproject.toml``.
"""

__version__ = "0.1.0"
