"""One file per runtime that can run a model file.

Each holds one subclass of :class:`~mobilelab.runtimes.base.Session`, and is registered for the
ending of its files under the entry points ``mobilelab.runtimes`` (here in ``pyproject.toml``).
Nothing else has to know of a runtime, and another package can bring one.
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import entry_points
from pathlib import Path

from mobilelab.core.errors import ModelFileError
from mobilelab.runtimes.base import Session
from mobilelab.runtimes.libraries import quiet

__all__ = ["Session", "kind", "kinds", "known", "load", "on_phones", "quiet"]


def known() -> tuple[str, ...]:
    """Endings of the files that a runtime is registered for. Imports no runtime."""
    return tuple(sorted(f".{entry.name}" for entry in entry_points(group=__name__)))


def kind(path: str | Path) -> type[Session]:
    """The class that loads a file, by its ending, which alone will do, too.

    Raises:
        ModelFileError: if no runtime is known for the ending.
    """
    found = _registered((Path(path).suffix or Path(path).name).removeprefix("."))
    if found is None:
        raise ModelFileError(
            f"No runtime is known for {Path(path).name}; the endings are {', '.join(known())}."
        )
    return found


def kinds() -> tuple[type[Session], ...]:
    """The classes of all runtimes, in the order of :func:`known`. Imports no runtime."""
    return tuple(map(kind, known()))


def on_phones(file: str | Path) -> bool:
    """Whether a phone can load files of this ending; not, if no runtime is known for it."""
    return any(Path(file).suffix == found.suffix and found.on_phones for found in kinds())


@cache
def _registered(ending: str) -> type[Session] | None:
    """Kept, because looking for entry points reads what every installed package says of itself."""
    for entry in entry_points(group=__name__, name=ending):
        return entry.load()
    return None


def load(path: str | Path, threads: int = 1) -> Session:
    """Load a model file into the runtime that its ending belongs to.

    Raises:
        MissingRuntimeError: if that runtime is not installed.
        ModelFileError: if no runtime is known for the ending, or the file is not intact.
    """
    return kind(path)(path, threads)
