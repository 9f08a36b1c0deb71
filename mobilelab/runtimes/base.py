"""What every runtime of the course can do: load, predict, threads, inspect, size."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from mobilelab.core.errors import ModelFileError, ShapeError
from mobilelab.core.signature import Example, Port, Signature, described, dtype_name
from mobilelab.core.trees import Tree, join, leaves, own


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
    parts: dict[str, int] = field(default_factory=dict)
    """Libraries to how many parts of the network each has, where the file tells."""

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


class Session(ABC):
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
    #: Whether a phone can load its files.
    on_phones: ClassVar[bool] = True

    def __init__(self, path: str | Path, threads: int = 1) -> None:
        self.path = Path(path)
        self.threads = threads
        self._load()
        self._mark = _mark(self.path)

    @classmethod
    def prepare(cls) -> None:
        """Import the runtime, so that it counts neither as loading time nor as the model's memory.

        There is nothing to do for what is a part of torch.

        Raises:
            MissingRuntimeError: if it is not installed.
        """
        return

    @abstractmethod
    def _load(self) -> None:
        """Load ``self.path`` for ``self.threads`` threads."""

    @property
    @abstractmethod
    def signature(self) -> Signature | None:
        """Inputs and outputs as the file tells them; ``None`` where it does not."""

    @abstractmethod
    def _call(self, example: Example) -> Tree:
        """One call of the runtime, with inputs of its own.

        Raises:
            ShapeError: if the runtime refuses the inputs.
        """

    @abstractmethod
    def inspect(self) -> Inside:
        """Look into the file without running it."""

    @property
    def state(self) -> tuple[str, ...]:
        """Names of what a call changes, so that it answers otherwise the next time.

        Empty for a runtime whose files do not tell.
        """
        return ()

    def reset(self) -> None:
        """Load the file anew, so that its state is the one that it was saved with.

        Raises:
            ModelFileError: if another file has its name by now.
        """
        if _mark(self.path) != self._mark:
            raise ModelFileError(
                f"{self.path.name} was written anew after it was loaded; load it once more."
            )
        self._load()

    @property
    def file_kb(self) -> float:
        """Size of the file in kB (1 kB = 1000 bytes)."""
        return self.path.stat().st_size / 1000

    def predict(self, *inputs: Tree, **named: Tree) -> Any:
        """The answers to inputs, which have the examples on their first axis.

        A file that was made for one image at a time gets them one by one. The inputs are copied,
        because a model may write into them.

        Args:
            inputs: for a classifier of images float32, shape ``(n, channels, h, w)``.
            named: further inputs, by the names in :attr:`signature`.

        Returns:
            What the file answers with: for a classifier shape ``(n, classes)``; a tuple for a file
            with several outputs and no names for them. Integers are narrowed to the type that the
            file takes, if nothing is lost.

        Raises:
            ShapeError: for another number of inputs, another shape or another element type than
                the file was made for.
        """
        example = Example(inputs, named)
        signature = self.signature
        if signature is None:
            return self._call(example.own())
        ports, found = signature.inputs, self._in_order(signature, example)
        found = [self._as_typed(port, leaf) for port, leaf in zip(ports, found, strict=True)]
        if all(self._takes(port, leaf) for port, leaf in zip(ports, found, strict=True)):
            return self._call(Example(tuple(own(found))))
        size = self._batch(signature, found)
        parts = zip(*(leaf.split(size) for leaf in found), strict=True)
        trees = [self._call(Example(tuple(own(part)))) for part in parts]
        return join(trees, [size] * len(trees))

    def __call__(self, *inputs: Tree, **named: Tree) -> Any:
        """As :meth:`predict`, which a runtime may have its own way of doing."""
        return self.predict(*inputs, **named)

    def _takes(self, port: Port, leaf: Tensor) -> bool:
        """Whether one call takes a tensor as it is."""
        return port.takes(leaf)

    def _in_order(self, signature: Signature, example: Example) -> list[Tensor]:
        """The example's tensors, one for each input of the file."""
        positional = list(leaves(example.args).values())
        names = [port.name for port in signature.inputs]
        named = dict(zip(names, positional, strict=False)) | dict(example.named)
        extra = len(positional) > len(names) or set(named) - set(names)
        if extra or len(named) < len(names):
            many = "1 input" if len(names) == 1 else f"{len(names)} inputs"
            given = described(example.leaves()) or "nothing"
            order = "in this order, or by these names"
            if example.named and all(name.startswith("input ") for name in names):
                order = "by position, in this order: the file has no names for them"
            raise ShapeError(
                f"{self.path.name} takes {many}, {signature.inputs_text}, and got {given}; pass "
                f"them {order}."
            )
        return [leaves(named[name])[""] for name in names]

    def _as_typed(self, port: Port, leaf: Tensor) -> Tensor:
        """A tensor as the element type of an input, if nothing is lost."""
        wanted = port.dtype
        if wanted is None or leaf.dtype == wanted:
            return leaf
        counts = not (leaf.is_floating_point() or leaf.is_complex() or leaf.is_quantized)
        if counts and not (wanted.is_floating_point or wanted.is_complex):
            narrow = leaf.to(wanted)
            if torch.equal(narrow.long(), leaf.long()):
                return narrow
        wanted_name = dtype_name(wanted)
        way = ".float()" if wanted == torch.float32 else f".to(torch.{wanted_name})"
        what = f"for {port.name}" if self._has_many() else "as its input"
        raise ShapeError(
            f"{self.path.name} takes {wanted_name} {what}, not {dtype_name(leaf.dtype)}; convert "
            f"it with {way}."
        )

    def _has_many(self) -> bool:
        return self.signature is not None and len(self.signature.inputs) > 1

    def _batch(self, signature: Signature, found: Sequence[Tensor]) -> int:
        """How many examples one call takes, if the inputs can be split into such calls."""
        ports = signature.inputs
        for port, leaf in zip(ports, found, strict=True):
            one = port.shape[0] if port.shape else None
            if (
                not one
                or leaf.ndim < 2  # its one axis need not be that of the examples
                or not self._takes(port, leaf.new_empty(one, *leaf.shape[1:]))
            ):
                kind = "" if not self._has_many() else f" for {port.name}"
                raise ShapeError(
                    f"{self.path.name} takes the shape {_free_batch(port)}{kind}, not "
                    f"{tuple(leaf.shape)}; prepare the input as in training."
                )
        sizes = {port.shape[0] for port in ports if port.shape and port.shape[0]}
        counts = {len(leaf) for leaf in found}
        (size, *other), (count, *others) = sizes, counts
        if other or others or not count or count % size:
            raise ShapeError(
                f"{self.path.name} takes {signature.inputs_text} at a time, and "
                f"{described({str(i): leaf for i, leaf in enumerate(found)})} cannot be divided "
                "into such batches."
            )
        return size


def _mark(path: Path) -> tuple[int, int]:
    """By what a file is seen to be another one."""
    try:
        found = path.stat()
    except OSError:
        return 0, 0
    return found.st_mtime_ns, found.st_size


def _free_batch(port: Port) -> str:
    sizes = [str(size) for size in (port.shape or ())[1:]]
    return f"({', '.join(['n', *sizes])}{',' if not sizes else ''})"


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
