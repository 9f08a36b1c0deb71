"""One file per runtime that can run a converted model.

Each holds one subclass of :class:`~mobilelab.runtimes.base.Model`. A new file in this folder is a
new runtime: nothing else has to know of it.
"""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path

from mobilelab.errors import ModelFileError
from mobilelab.runtimes.base import Model, quiet

__all__ = ["Model", "known", "load", "quiet"]


def known() -> dict[str, type[Model]]:
    """Ending of a file to the runtime that loads it. Imports no runtime."""
    found: dict[str, type[Model]] = {}
    for module in pkgutil.iter_modules(__path__, f"{__name__}."):
        for thing in vars(importlib.import_module(module.name)).values():
            if isinstance(thing, type) and issubclass(thing, Model) and thing is not Model:
                found[thing.suffix] = thing
    return found


def load(path: str | Path, threads: int = 1) -> Model:
    """Load a model file into the runtime that its ending belongs to.

    Raises:
        MissingRuntimeError: if that runtime is not installed.
        ModelFileError: if no runtime is known for the ending, or the file is not intact.
    """
    runtimes = known()
    suffix = Path(path).suffix
    if suffix not in runtimes:
        raise ModelFileError(
            f"No runtime is known for {Path(path).name}; the endings are {', '.join(runtimes)}."
        )
    return runtimes[suffix](path, threads)
