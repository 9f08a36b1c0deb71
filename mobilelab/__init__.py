"""MobileLab: the plumbing of a course on putting a PyTorch model on a phone.

The lessons are in ``notebooks/``. This package holds what they share: data, networks,
measuring, comparing, drawing. Modules import downwards only::

    cli > tour, doctor > variants > training, runtimes > report, plots > measure, parity
        > models > datasets > errors
"""

__version__ = "0.1.0"
