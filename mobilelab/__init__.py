"""MobileLab: the plumbing of a course on putting a PyTorch model on a phone.

The lessons are in ``notebooks/``. This package holds what they share: data, networks,
measuring, comparing, drawing. Modules import downwards only::

    cli > apps, doctor, homework, tour, widgets > grading > remeasure > successors > variants
        > phone > runtimes > plots > training > report > measure > parity > models
        > datasets, progress > questions, rounding, spelled_out > errors

``checks`` (the exercises), ``cells`` and ``engine`` (running notebooks) and ``kernels`` (warm
kernels) stand beside them.
"""

__version__ = "0.1.0"
