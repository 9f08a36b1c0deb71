"""What every runtime of the course can do: load, predict, threads, inspect, size."""

from __future__ import annotations

import importlib
import io
import logging
import os
import sys
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import ClassVar

import torch
from torch import Tensor

from mobilelab.errors import MissingRuntimeError, ModelFileError, ShapeError


@dataclass(frozen=True)
class Inside:
    """What a model file holds, in the same words for every runtime."""

    runtime: str
    version: str
    """Version of the file's format."""
    operators: dict[str, int]
    """Operators that the runtime itself runs, name to number of uses, most used first."""
    delegates: dict[str, dict[str, int]]
    """Libraries that parts of the network were handed to, name to the operators in those parts."""
    dtypes: dict[str, int] = field(default_factory=dict)
    """Element type of the weights to their number of bytes, most bytes first."""

    def __str__(self) -> str:
        """A few lines for a reader."""

        def listed(counts: dict[str, int]) -> str:
            return ", ".join(f"{n} {name}" for name, n in counts.items()) or "nothing"

        lines = [f"{self.runtime}, format {self.version}", f"  by itself: {listed(self.operators)}"]
        lines += [f"  {name}: {listed(ops)}" for name, ops in self.delegates.items()]
        if self.dtypes:
            sizes = ", ".join(f"{name} {size / 1000:.0f} kB" for name, size in self.dtypes.items())
            lines.append(f"  weights: {sizes}")
        return "\n".join(lines)


class Model(ABC):
    """A model file, loaded by its runtime and ready to be called.

    Args:
        path: the file.
        threads: threads that the runtime's kernels may use.

    Raises:
        MissingRuntimeError: if the runtime is not installed.
        ModelFileError: if the file is missing, damaged, or another kind of file.
    """

    #: What people call the runtime.
    runtime: ClassVar[str]
    #: Ending of its files.
    suffix: ClassVar[str]

    def __init__(self, path: str | Path, threads: int = 1) -> None:
        self.path = Path(path)
        self.threads = threads
        self._load()

    @classmethod
    @abstractmethod
    def prepare(cls) -> None:
        """Import the runtime, so that it counts neither as loading time nor as the model's memory.

        Raises:
            MissingRuntimeError: if it is not installed.
        """

    @abstractmethod
    def _load(self) -> None:
        """Load ``self.path`` for ``self.threads`` threads."""

    @property
    @abstractmethod
    def input_shape(self) -> tuple[int, ...] | None:
        """Shape of the input that the file was made for; ``None`` where the file does not say."""

    @abstractmethod
    def _run(self, images: Tensor) -> Tensor:
        """Answer one batch of exactly ``input_shape``."""

    @abstractmethod
    def inspect(self) -> Inside:
        """Look into the file without running it."""

    @property
    def file_kb(self) -> float:
        """Size of the file in kB (1 kB = 1000 bytes)."""
        return self.path.stat().st_size / 1000

    def predict(self, images: Tensor) -> Tensor:
        """Scores of images; a file that was made for one image at a time gets them one by one.

        Args:
            images: float32, shape ``(n, channels, h, w)``.

        Returns:
            Shape ``(n, classes)``.

        Raises:
            ShapeError: for another shape or another element type than the file was made for.
        """
        wanted = self.input_shape
        if wanted is None:
            return self._run(images)
        if images.dtype != torch.float32:
            raise ShapeError(
                f"{self.path.name} takes float32 images, not {str(images.dtype).split('.')[-1]}; "
                "convert them with .float()."
            )
        if images.ndim != len(wanted) or tuple(images.shape[1:]) != wanted[1:]:
            raise ShapeError(
                f"{self.path.name} takes images of shape (n, {', '.join(map(str, wanted[1:]))}), "
                f"not {tuple(images.shape)}; preprocess them as in training."
            )
        if len(images) == 0 or len(images) % wanted[0]:
            raise ShapeError(
                f"{self.path.name} takes {wanted[0]} images at a time, and {len(images)} cannot be "
                "divided into such batches."
            )
        return torch.cat([self._run(part) for part in images.split(wanted[0])])

    def __call__(self, images: Tensor) -> Tensor:
        """As :meth:`predict`, which a runtime may have its own way of doing."""
        return self.predict(images)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep what other people's libraries write to the terminal out of a notebook.

    Both runtimes and their exporters log from C++, straight to the process's own output, and warn
    of deprecations inside torch. Exceptions pass unchanged.
    """
    os.environ["LITERT_TORCH_SHOW_PROGRESS"] = "n"
    level = logging.root.manager.disable
    logging.disable(logging.ERROR)
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [os.dup(1), os.dup(2)]
    nothing = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nothing, 1)
        os.dup2(nothing, 2)
        rest = io.StringIO()
        with warnings.catch_warnings(), redirect_stdout(rest), redirect_stderr(rest):
            warnings.simplefilter("ignore")
            yield
    finally:
        for number, copy in zip((1, 2), kept, strict=True):
            os.dup2(copy, number)
            os.close(copy)
        os.close(nothing)
        logging.disable(level)


def content(path: Path, kind: str) -> bytes:
    """The bytes of a model file.

    Raises:
        ModelFileError: if there is no such file, it cannot be read, or it is empty.
    """
    try:
        found = path.read_bytes()
    except OSError as error:
        raise ModelFileError(
            f"Cannot read {path} ({error.strerror}); export a {kind} there first."
        ) from error
    if not found:
        raise ModelFileError(f"{path.name} is empty; the disk was full or the export was cut off.")
    return found


def imported(module: str, runtime: str, extra: str) -> ModuleType:
    """A module of an optional runtime.

    Raises:
        MissingRuntimeError: if it is not installed.
    """
    try:
        with quiet():
            return importlib.import_module(module)
    except ImportError as error:
        raise MissingRuntimeError(
            f"{runtime} is not installed here ({error}); make runtimes in the course's folder "
            f"brings it (without make: pip install -c constraints.txt -e '.[{extra}]')."
        ) from error
