"""The errors that MobileLab raises on purpose.

Each carries one sentence that says what was wrong, where, and what to do.
Anything else that surfaces as a traceback is a bug of ours.
"""


class MobileLabError(Exception):
    """Base of every error that MobileLab raises on purpose."""


class DataError(MobileLabError):
    """A data set is missing, damaged, or could not be downloaded."""


class ShapeError(MobileLabError):
    """Two tensors, or a tensor and a model, do not fit each other."""


class StructureError(ShapeError):
    """A tree of tensors holds what is no tensor, or two trees do not have the same leaves."""


class ModelFileError(MobileLabError):
    """A model file cannot be used by the loader that was asked to read it."""


class ExportError(MobileLabError):
    """A network cannot be exported, or its file would answer something else."""


class RescueError(MobileLabError):
    """A model file without its source cannot be rewritten, or would answer something else."""


class MissingRuntimeError(MobileLabError):
    """A runtime that is an optional extra is not installed."""


class MeasureError(MobileLabError):
    """A measurement could not be taken, so there is no figure to report."""


class ProgressError(MobileLabError):
    """The learner's progress file cannot be read or written."""


class WarmKernelError(MobileLabError):
    """A kernel cannot be forked; the message completes "starting a cold one, because ..."."""


class ModelWarning(UserWarning):
    """A model does something that a conversion may change without a word."""
