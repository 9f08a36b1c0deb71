"""Ready-made Android and iOS projects around a learner's model (chapter 07).

:mod:`~mobilelab.apps.vectors` records what a classifier of images answers in Python, ``detection``
what a detector does, ``tensors`` what any model answers; ``render`` writes a project that compares
itself with that on its first screen, ``labels`` reads names, ``commands`` is the command line.
"""

from mobilelab.core.errors import MobileLabError


class AppError(MobileLabError):
    """A project cannot be written as it was asked for."""
