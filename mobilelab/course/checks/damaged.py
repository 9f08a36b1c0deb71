"""Files for exercise 05.3: an intact one, and ways in which one is not."""

from __future__ import annotations

import struct
import warnings
import zipfile
from pathlib import Path

import torch
import torch.jit.mobile
from torch import Tensor, nn


class _Double(nn.Module):
    """A small network with some weights, for files to examine."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.arange(1.0, 257.0))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight


def files(folder: Path) -> dict[str, Path]:
    """Two intact, backported to 5, by ``.save()``, three altered, cut off, not a zip."""
    names = ("intact", "old", "saved", "altered", "small", "packed", "cut", "text")
    files = {name: folder / f"{name}.ptl" for name in names}
    files["renamed"] = folder / "release-2.ptl"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        module = torch.jit.script(_Double())
        module._save_for_lite_interpreter(str(files["intact"]))
        module.save(str(files["saved"]))
    torch.jit.mobile._backport_for_mobile(str(files["intact"]), str(files["old"]), 5)
    content = bytearray(files["intact"].read_bytes())
    files["renamed"].write_bytes(content)
    with zipfile.ZipFile(files["intact"]) as archive:
        weights = max((archive.read(name) for name in archive.namelist()), key=len)
        small = next(name for name in archive.namelist() if name.endswith("/version"))
        records = {info.filename: info for info in archive.infolist()}
        packed = next(i for i in records.values() if i.compress_type == zipfile.ZIP_DEFLATED)
    files["cut"].write_bytes(content[: len(content) // 2])
    content[content.find(weights) + 500] ^= 0x10
    files["altered"].write_bytes(content)
    for name, info, bits in (("small", records[small], 0x01), ("packed", packed, 0x06)):
        content = bytearray(files["intact"].read_bytes())
        start = info.header_offset
        name_size, more_size = struct.unpack("<HH", content[start + 26 : start + 30])
        content[start + 30 + name_size + more_size] ^= bits
        files[name].write_bytes(content)
    files["text"].write_text("404: not found\n")
    return files
