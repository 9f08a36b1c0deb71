"""What a found file must not do: call something, reach for the disk, unpack to far more."""

from __future__ import annotations

import pickletools
import re
import struct
import zipfile
from pathlib import Path

from mobilelab.core.errors import ModelFileError
from mobilelab.rescue.operators import FORBIDDEN
from mobilelab.runtimes.libraries import first_line

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


def not_too_large(path: Path, archive: zipfile.ZipFile, size: int) -> None:
    """Refuse an archive that unpacks to more than a model of ``size`` bytes."""
    entries = archive.infolist()
    whole = sum(entry.file_size for entry in entries)
    if sum(entry.compress_size for entry in entries) > size or whole > size * _MOST + _AT_LEAST:
        raise ModelFileError(
            f"{path.name} unpacks to {whole} bytes from {size}, as no model does; it was not "
            "unpacked. Get the file from where it was made."
        )


def only_known(path: Path, record: str, data: bytes) -> None:
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


def no_calls(text: str, path: Path, where: str) -> None:
    """Refuse TorchScript's text that calls one of the two operators for files."""
    reached = _WRITES.search(text)
    if reached is not None:
        raise ModelFileError(
            f"{path.name} reads or writes files itself (aten::{reached[1]} in {where}), which no "
            "network needs; it was not loaded."
        )


def not_in(data: bytes, path: Path, where: str) -> None:
    """Refuse bytecode that names one of the two."""
    for name in FORBIDDEN:
        if name.encode() in data:
            raise ModelFileError(
                f"{path.name} reads or writes files itself ({name} in {where}), which no network "
                "needs; it was not loaded."
            )
