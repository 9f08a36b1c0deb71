"""Open a ``.pt`` or ``.ptl`` that was found somewhere, without trusting it.

torch.jit.load runs code that is in the file: methods called ``__setstate__``, in TorchScript. That
language reaches the disk through two operators only, ``aten::save`` and ``aten::from_file``, so
files that name them are not loaded. The pickles in an archive are read by torch's own reader in
C++, which makes tensors, containers and TorchScript's classes and calls nothing else; what they
name is read before, with ``pickletools``, which never runs a pickle.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
import torch.jit.mobile

from mobilelab.core.errors import ModelFileError
from mobilelab.rescue import flatbuffer, hostile
from mobilelab.runtimes.base import content
from mobilelab.runtimes.libraries import first_line, quiet

#: What zipfile raises for archives that are cut off, altered, or something else altogether.
_UNREADABLE = (
    zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, NotImplementedError,
    RuntimeError, ValueError,
)  # fmt: skip


@dataclass
class Archive:
    """An intact archive, before anything in it is loaded."""

    path: Path
    kind: str
    """``TorchScript (.pt)``, ``lite interpreter (.ptl)``, or that as a flatbuffer."""
    records: dict[str, int] = field(default_factory=dict)
    """Record to its size in bytes, unpacked."""
    format_version: str = ""
    """What the record ``version`` holds; for files of torch 1.0, their producer's version."""
    code: dict[str, str] = field(default_factory=dict)
    """TorchScript's text, by record."""
    debug: dict[str, bytes] = field(default_factory=dict)
    """Debug records, which say what source lines the code came from."""
    halves: bool = False
    """Whether loading met packed float16 weights, which QNNPACK refuses."""
    made: bytes | None = None
    """An archive with what is in a flatbuffer; ``None`` for a file that is an archive itself."""
    bytecode: int | None = None
    """Bytecode version, if the lite interpreter can load it."""

    @property
    def lite(self) -> bool:
        """Whether the lite interpreter can load it, and it is an archive."""
        return "bytecode.pkl" in self.records

    @property
    def extra(self) -> tuple[str, ...]:
        """Names of the extra files, as ``labels.txt``."""
        return tuple(
            name.removeprefix("extra/") for name in self.records if name.startswith("extra/")
        )

    def parts(self) -> dict[str, int]:
        """Bytes by part of the archive: weights, code, bytecode, debug records, extra files."""
        sizes: dict[str, int] = {}
        for name, size in self.records.items():
            sizes[_part(name)] = sizes.get(_part(name), 0) + size
        return dict(sorted(sizes.items(), key=lambda item: -item[1]))


def _part(name: str) -> str:
    if name.endswith(".debug_pkl"):
        return "debug"
    if name.startswith(("data/", "constants/", "tensors/")) or "/data/" in name:
        return "weights"
    first = name.split("/")[0]
    return {"code": "code", "extra": "extra files", "bytecode.pkl": "bytecode"}.get(first, "rest")


def examine(path: str | Path) -> Archive:
    """Look at an archive without loading it.

    Raises:
        ModelFileError: missing, truncated, altered, another kind of file, or one that would reach
            for the disk.
    """
    path = Path(path)
    if not path.exists():
        raise ModelFileError(f"There is no file {path}; look at the path.")
    whole = content(path, ".pt")
    if flatbuffer.is_one(whole[:8]):
        hostile.not_in(whole, path, "it")
        hostile.no_calls(whole.decode("latin-1"), path, "it")
        return _from_flatbuffer(path)
    try:
        with zipfile.ZipFile(path) as archive:
            found = _examined(path, archive, len(whole))
        if found.lite:
            found.bytecode = torch.jit.mobile._get_model_bytecode_version(str(path))
        return found
    except _UNREADABLE as error:
        raise ModelFileError(
            f"{path.name} is not a complete model archive (truncated, or another kind of file); "
            "copy or export it again."
        ) from error


def _from_flatbuffer(path: Path) -> Archive:
    made, version = flatbuffer.as_archive(path)
    with zipfile.ZipFile(io.BytesIO(made)) as archive:
        found = _examined(path, archive, len(made))
    found.kind, found.made, found.bytecode = flatbuffer.KIND, made, version
    return found


def _examined(path: Path, archive: zipfile.ZipFile, size: int) -> Archive:
    hostile.not_too_large(path, archive, size)
    damaged = archive.testzip()
    if damaged is not None:
        raise ModelFileError(
            f"{path.name} is damaged: the checksum of its record {_inner(damaged)} does not "
            "match; copy or export it again."
        )
    found = Archive(path, "TorchScript (.pt)")
    for entry in archive.infolist():
        name = _inner(entry.filename)
        found.records[name] = entry.file_size
        if name.endswith(".debug_pkl"):
            found.debug[name] = archive.read(entry)
        elif name.startswith("code/"):
            found.code[name] = archive.read(entry).decode("utf-8", "replace")
        elif name.endswith(".pkl"):
            hostile.only_known(path, name, archive.read(entry))
        elif name in ("version", ".data/version"):
            found.format_version = archive.read(entry).decode("ascii", "replace").strip()
    _kind(found)
    _not_writing(found)
    return found


def _inner(name: str) -> str:
    return name.split("/", 1)[-1]


def _kind(found: Archive) -> None:
    names = found.records
    if found.lite:
        found.kind = "lite interpreter (.ptl)"
    elif "constants.pkl" not in names and "model.json" not in names:
        kind = (
            "a pickled checkpoint (torch.save), whose network is Python source; "
            "rescue is for TorchScript files"
            if "data.pkl" in names
            else "a zip archive without a model; check the path"
        )
        raise ModelFileError(f"{found.path.name} holds no TorchScript: it is {kind}.")
    elif not found.code:
        raise ModelFileError(f"{found.path.name} holds no code; export it again.")


def _not_writing(found: Archive) -> None:
    for record, text in found.code.items():
        hostile.no_calls(text, found.path, record)
    if found.lite:
        with zipfile.ZipFile(found.path) as data:
            names = [name for name in data.namelist() if _inner(name) == "bytecode.pkl"]
            hostile.not_in(data.read(names[0]), found.path, "its bytecode")


class _Part:
    """A loaded file, one of whose other methods stands as its ``forward``."""

    def __init__(self, module: torch.jit.ScriptModule, method: str) -> None:
        self._module, self.forward = module, getattr(module, method)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)

    def __call__(self, *inputs: Any) -> Any:
        return self.forward(*inputs)

    def eval(self) -> _Part:
        self._module.eval()
        return self


def _packed(archive: Archive) -> torch.jit.ScriptModule:
    """Load with the engine that is set, or this computer's for float16, which QNNPACK refuses."""
    here = torch.backends.quantized.supported_engines
    try:
        return torch.jit.load(_source(archive), map_location="cpu")
    except RuntimeError as error:
        if "QNNPACK only supports INT8" not in str(error) or "fbgemm" not in here:
            raise
    archive.halves = True
    torch.backends.quantized.engine = "fbgemm"
    return torch.jit.load(_source(archive), map_location="cpu")


def _source(archive: Archive) -> Any:
    return str(archive.path) if archive.made is None else io.BytesIO(archive.made)


def load(archive: Archive, method: str = "forward") -> torch.jit.ScriptModule:
    """The TorchScript of an archive that was examined, on the CPU.

    Args:
        archive: from :func:`examine`.
        method: which of its methods stands as its ``forward``.

    Raises:
        ModelFileError: if torch refuses it, or it has no such method.
    """
    if any("ops.torchvision." in text for text in archive.code.values()):
        with quiet():
            import torchvision  # noqa: F401  registers its operators
    try:
        module = _packed(archive)
        for name in module._c._method_names():  # compiles what has not been so far
            _ = module._c._get_method(name).inlined_graph
    except ModelFileError:
        raise
    except Exception as error:  # torch throws anything for what is damaged inside
        raise ModelFileError(
            f"{archive.path.name} is no TorchScript file that torch {torch.__version__} can load "
            f"({first_line(error)}); copy or export it again."
        ) from error
    if not module._c._has_method(method):
        names = ", ".join(sorted(module._c._method_names())) or "none"
        raise ModelFileError(
            f"{archive.path.name} has no method {method}; its methods are {names}. Choose one of "
            "them with --method."
        )
    return module if method == "forward" else cast(torch.jit.ScriptModule, _Part(module, method))
