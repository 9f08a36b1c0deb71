"""The lite interpreter: load a ``.ptl`` safely, and look inside one (chapter 05).

torch's own loader does not check the archive's checksums: a file with one wrong byte among
its weights loads and answers wrongly. :func:`load` checks first, and says in one sentence
what is wrong with a file that is not a ``.ptl``.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import torch
import torch.jit.mobile
from torch import Tensor
from torch.jit.mobile import LiteScriptModule

from mobilelab.core.errors import MeasureError, ModelFileError, ShapeError
from mobilelab.core.signature import Example
from mobilelab.core.threads import POOL_SIZE, POOL_THREADS
from mobilelab.core.trees import Tree
from mobilelab.runtimes.arguments import Argument, check_inputs
from mobilelab.runtimes.base import Inside, Session
from mobilelab.runtimes.channels import input_channels
from mobilelab.runtimes.elsewhere import InApp, OnPhone
from mobilelab.runtimes.libraries import first_line
from mobilelab.runtimes.storages import forward_arguments, stored_dtypes
from mobilelab.runtimes.torchscript import refused, written

#: What zipfile raises for archives that are cut off, altered, or something else altogether.
_UNREADABLE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    OSError,
    NotImplementedError,  # a compression method that is none
    RuntimeError,  # a flag that says encrypted
    ValueError,  # a name that is not UTF-8
)


def check(path: str | Path) -> Path:
    """Refuse, in one sentence, a file that the lite interpreter cannot run as it was saved.

    Raises:
        ModelFileError: missing, empty, truncated, altered, or not a ``.ptl``.
    """
    path = Path(path)
    if not path.is_file():
        raise ModelFileError(f"There is no file {path}; save one with _save_for_lite_interpreter.")
    if path.stat().st_size == 0:
        raise ModelFileError(f"{path.name} is empty; the disk was full or the save was cut off.")
    if path.read_bytes()[4:8] == b"PTMF":
        raise ModelFileError(
            f"{path.name} is a flatbuffer model (bytecode 9), which has no checksums and which "
            "Android's library 1.13.1 refuses (pytorch#105997); save it without _use_flatbuffer."
        )
    try:
        with zipfile.ZipFile(path) as archive:
            names = {_inner(name) for name in archive.namelist()}
            damaged = archive.testzip()
    except _UNREADABLE as error:
        raise ModelFileError(
            f"{path.name} is not a complete model archive (truncated, or another kind of file); "
            "copy or export it again."
        ) from error
    if damaged is not None:
        raise ModelFileError(
            f"{path.name} is damaged: the checksum of its record {_inner(damaged)} does not match; "
            "copy or export it again."
        )
    if "bytecode.pkl" not in names:
        kind = (
            "a TorchScript file made by .save(); export it with _save_for_lite_interpreter"
            if "constants.pkl" in names
            else "a pickled checkpoint (torch.save); script the model and export it with "
            "_save_for_lite_interpreter"
            if "data.pkl" in names
            else "a zip archive without a model; check the path"
        )
        raise ModelFileError(f"{path.name} holds no bytecode: it is {kind}.")
    return path


def load(path: str | Path, engine: str = "qnnpack") -> LiteScriptModule:
    """Load a ``.ptl`` into the lite interpreter.

    Args:
        path: the file.
        engine: quantized engine that packs int8 weights while loading; phones have
            ``qnnpack``. It stays set afterwards.

    Raises:
        ModelFileError: if the file is not an intact ``.ptl``, or this runtime refuses it.
    """
    path = check(path)
    torch.backends.quantized.engine = engine
    try:
        return torch.jit.mobile._load_for_lite_interpreter(str(path))
    except (RuntimeError, ValueError) as error:
        raise ModelFileError(
            f"The lite interpreter refuses {path.name}: {first_line(error)} (torch "
            f"{torch.__version__})."
        ) from error


def run(module: LiteScriptModule, x: Tensor, expected: tuple[int, ...]) -> Tensor:
    """Run a lite module on input of the shape that it was made for.

    A prepacked convolution does not check its input channels: the wrong shape can give a
    plausible answer instead of an error (chapter 05 shows it).

    Args:
        module: from :func:`load`.
        x: input whose shape, batch aside, must equal ``expected``.
        expected: ``(channels, height, width)``.

    Raises:
        ShapeError: if it does not.
    """
    if tuple(x.shape[1:]) != tuple(expected):
        raise ShapeError(
            f"The model expects inputs of shape (n, {', '.join(map(str, expected))}) but got "
            f"{tuple(x.shape)}; preprocess the image as in training."
        )
    return module(x)


@dataclass(frozen=True)
class LiteFile:
    """What is inside a ``.ptl``."""

    path: Path
    bytecode_version: int
    operators: tuple[str, ...]
    """Operators that a runtime must have to run the file, sorted."""
    contained_types: tuple[str, ...]
    """Custom classes that the file needs beyond tensors and numbers, sorted."""
    dtypes: dict[str, int]
    """Element type of the stored tensors to their number of bytes."""
    records: dict[str, int]
    """Record of the archive to its size in bytes, weights summed up under ``constants/``."""


def inspect(path: str | Path) -> LiteFile:
    """Look into a ``.ptl`` without running it.

    Raises:
        ModelFileError: as :func:`load`.
    """
    module = load(path)
    path = Path(path)
    with zipfile.ZipFile(path) as archive:
        records: dict[str, int] = {}
        for entry in archive.infolist():
            name = _inner(entry.filename)
            group = name.split("/")[0] + "/" if "/" in name else name
            records[group] = records.get(group, 0) + entry.compress_size
        prefix = archive.namelist()[0].split("/")[0]
        dtypes = stored_dtypes(archive, prefix)
    # torch's annotation says that this is an int; it holds names.
    types = cast("set[str]", torch.jit.mobile._get_mobile_model_contained_types(str(path)))
    return LiteFile(
        path=path,
        bytecode_version=torch.jit.mobile._get_model_bytecode_version(str(path)),
        operators=tuple(sorted(torch.jit.mobile._export_operator_list(module))),
        contained_types=tuple(sorted(types)),
        dtypes=dtypes,
        records=dict(sorted(records.items(), key=lambda item: -item[1])),
    )


def arguments(path: Path) -> tuple[Argument, ...] | None:
    """What ``forward`` takes, from the bytecode; ``None`` where that does not tell."""
    with zipfile.ZipFile(path) as archive:
        found = forward_arguments(archive, archive.namelist()[0].split("/")[0])
    return None if found is None else tuple(Argument(*it) for it in found)


class LiteSession(Session):
    """A ``.ptl``, behind the interface that all runtimes of the course share.

    torch sizes the kernels' pool of threads once per process (``mobilelab.core.threads`` makes it
    1, or what ``MOBILELAB_POOL_THREADS`` says), so ``threads`` has to agree with it.
    """

    runtime = "lite interpreter"
    suffix = ".ptl"
    on_phone = OnPhone("lite", "torch 2.1.0")
    in_app = InApp("lite", "org.pytorch:pytorch_android_lite:2.1.0")  # the last (pytorch#154449)

    @classmethod
    def title(cls) -> str:
        """The interpreter of this torch."""
        return f"{cls.runtime} of torch {torch.__version__}"

    @classmethod
    def check(cls, path: Path) -> object:
        """As :func:`check`."""
        return check(path)

    @classmethod
    def save(cls, made: Any, path: Path) -> None:
        """Write a script module with its bytecode (chapter 05)."""
        made._save_for_lite_interpreter(str(path))

    def _load(self) -> None:
        if self.threads != POOL_SIZE:
            raise MeasureError(
                f"The lite interpreter's pool has {POOL_SIZE} threads in this process; start one "
                f"with {POOL_THREADS}={self.threads}."
            )
        self._module = load(self.path)

    @property
    def signature(self) -> None:
        """A ``.ptl`` does not say types or shapes."""

    @property
    def input_channels(self) -> int | None:
        """From the TorchScript in it."""
        return input_channels(self.path)

    @classmethod
    def operator_list(cls, path: Path) -> tuple[str, ...]:
        """What a selective build compiles."""
        return inspect(path).operators

    @cached_property
    def state(self) -> tuple[str, ...]:
        """Names of the tensors in the file that a call changes, from the TorchScript in it."""
        try:
            return written(torch.jit.load(str(self.path)))
        except (RuntimeError, AttributeError):
            return ()

    @cached_property
    def _arguments(self) -> tuple[Argument, ...] | None:
        return arguments(self.path)

    def _call(self, example: Example) -> Tree:
        inputs = list(example.args)
        if self._arguments is not None:
            check_inputs(self.path.name, self._arguments, example)
            # the interpreter takes inputs by their place only, and no input for None
            rest = self._arguments[len(inputs) :]
            inputs += [example.named[it.name] for it in rest if it.name in example.named]
        try:
            return self._module(*inputs)
        except (RuntimeError, TypeError, NotImplementedError) as error:
            raise refused(self, example, error) from error

    def inspect(self) -> Inside:
        """Operators by name, without how often each is used; prepacked ones are XNNPACK's."""
        found = inspect(self.path)
        packed = {op: 1 for op in found.operators if op.startswith("prepacked::")}
        own = {op: 1 for op in found.operators if op not in packed}
        delegates = {"XNNPACK": packed} if packed else {}
        return Inside(self.runtime, str(found.bytecode_version), own, delegates, found.dtypes)


def _inner(name: str) -> str:
    """Record name without the archive's own top folder."""
    return name.split("/", 1)[-1]
