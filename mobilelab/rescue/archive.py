"""Open a ``.pt`` or ``.ptl`` that was found somewhere, without trusting it.

torch.jit.load runs code that is in the file: methods called ``__setstate__``, in TorchScript. That
language reaches the disk through two operators only, ``aten::save`` and ``aten::from_file``, so
files that name them are not loaded. The pickles in an archive are read by torch's own reader in
C++, which makes tensors, containers and TorchScript's classes and calls nothing else; what they
name is read before, with ``pickletools``, which never runs a pickle.
"""

from __future__ import annotations

import pickletools
import re
import struct
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch

from mobilelab.core.errors import ModelFileError
from mobilelab.rescue.operators import FORBIDDEN
from mobilelab.runtimes.base import content
from mobilelab.runtimes.libraries import first_line, quiet

#: What zipfile raises for archives that are cut off, altered, or something else altogether.
_UNREADABLE = (
    zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, NotImplementedError,
    RuntimeError, ValueError,
)  # fmt: skip

#: Classes and functions that torch writes into the pickles of an archive.
_KNOWN = re.compile(
    r"__torch__\.|torch\._utils\._rebuild|torch\.jit\._pickle\.|collections\.OrderedDict$"
    r"|torch\.\w*Storage$|torch\.(device|Size|dtype|\w*int\w*|float\w*|bool|qscheme)$"
    r"|torch\.per_\w+$|torch\._tensor\._rebuild|torch\.serialization\._get_layout$"
)
#: The two operators as TorchScript's own text writes them.
_WRITES = re.compile(r"\b(?:torch|ops\.aten)\.(save|from_file)\s*\(")
#: Bytes that records may unpack to, for each byte of the file, and in any case.
_MOST, _AT_LEAST = 50, 64_000_000


@dataclass
class Archive:
    """An intact archive, before anything in it is loaded."""

    path: Path
    kind: str
    """``TorchScript (.pt)`` or ``lite interpreter (.ptl)``."""
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

    @property
    def lite(self) -> bool:
        """Whether the lite interpreter can load it."""
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
    start = content(path, ".pt")[:8]
    if start[4:8] == b"PTMF":
        raise ModelFileError(
            f"{path.name} is a flatbuffer model (.ff), which carries no TorchScript beside its "
            "bytecode; nothing can be rebuilt from it. Look for the .pt or .ptl it was made from."
        )
    try:
        with zipfile.ZipFile(path) as archive:
            return _examined(path, archive)
    except _UNREADABLE as error:
        raise ModelFileError(
            f"{path.name} is not a complete model archive (truncated, or another kind of file); "
            "copy or export it again."
        ) from error


def _examined(path: Path, archive: zipfile.ZipFile) -> Archive:
    _not_too_large(path, archive)
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
            _only_known(path, name, archive.read(entry))
        elif name in ("version", ".data/version"):
            found.format_version = archive.read(entry).decode("ascii", "replace").strip()
    _kind(found)
    _not_writing(found)
    return found


def _inner(name: str) -> str:
    return name.split("/", 1)[-1]


def _not_too_large(path: Path, archive: zipfile.ZipFile) -> None:
    size = path.stat().st_size
    entries = archive.infolist()
    whole = sum(entry.file_size for entry in entries)
    if sum(entry.compress_size for entry in entries) > size or whole > size * _MOST + _AT_LEAST:
        raise ModelFileError(
            f"{path.name} unpacks to {whole} bytes from {size}, as no model does; it was not "
            "unpacked. Get the file from where it was made."
        )


def _only_known(path: Path, record: str, data: bytes) -> None:
    """Refuse a pickle that names what torch never writes."""
    strings: list[str] = []
    try:
        for opcode, argument, _ in pickletools.genops(data):
            name = None
            if opcode.name == "GLOBAL":
                name = str(argument).replace(" ", ".", 1)
            elif opcode.name == "STACK_GLOBAL":
                name = ".".join(strings[-2:])
            elif isinstance(argument, str):
                strings.append(argument)
            if name is not None and not _KNOWN.match(name):
                raise ModelFileError(
                    f"{path.name} wants to call {name} (in its record {record}), which no model "
                    "does; it was not loaded. Get the file from where it was made."
                )
    except (ValueError, IndexError, UnicodeDecodeError, struct.error, OverflowError) as error:
        raise ModelFileError(
            f"{path.name} is damaged: its record {record} is no pickle ({first_line(error)}); copy "
            "or export it again."
        ) from error


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
        reached = _WRITES.search(text)
        if reached is not None:
            raise ModelFileError(
                f"{found.path.name} reads or writes files itself (aten::{reached[1]} in {record}), "
                "which no network needs; it was not loaded."
            )
    if found.lite:
        data = zipfile.ZipFile(found.path)
        with data:
            names = [name for name in data.namelist() if _inner(name) == "bytecode.pkl"]
            bytecode = data.read(names[0])
        for name in FORBIDDEN:
            if name.encode() in bytecode:
                raise ModelFileError(
                    f"{found.path.name} reads or writes files itself ({name} in its bytecode), "
                    "which no network needs; it was not loaded."
                )


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
        return torch.jit.load(str(archive.path), map_location="cpu")
    except RuntimeError as error:
        if "QNNPACK only supports INT8" not in str(error) or "fbgemm" not in here:
            raise
    archive.halves = True
    torch.backends.quantized.engine = "fbgemm"
    return torch.jit.load(str(archive.path), map_location="cpu")


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
