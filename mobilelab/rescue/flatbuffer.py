"""The other form of a lite interpreter's file: a flatbuffer, ``.ff``.

``_save_for_lite_interpreter(…, _use_flatbuffer=True)`` of torch 1.12 and later writes one, with the
TorchScript's text beside the bytecode. It has no checksums, a damaged one can end the process that
reads it, and tensors that were read from one point into memory that is freed with the module (torch
2.12.1). So another process reads it and writes an archive, which is then read as all others are.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import torch

from mobilelab.core.errors import ModelFileError

KIND = "lite interpreter, flatbuffer (.ff)"
#: What the other process runs.
_READS = """
import sys, torch, torch.jit.mobile
torch.backends.quantized.engine = sys.argv[3]
module = torch.jit.jit_module_from_flatbuffer(sys.argv[1])
torch.jit.save(module, sys.argv[2])
print(torch.jit.mobile._get_model_bytecode_version(sys.argv[1]), *module._c._method_names())
"""
#: Seconds after which the other process is taken to hang.
_PATIENCE = 300


def is_one(start: bytes) -> bool:
    """Whether a file that begins so is a flatbuffer model."""
    return start[4:8] == b"PTMF"


def as_archive(path: Path) -> tuple[bytes, int]:
    """The TorchScript in a flatbuffer as an archive, and its bytecode version.

    Raises:
        ModelFileError: if it is damaged, or there is none.
    """
    with tempfile.TemporaryDirectory(prefix="mobilelab-") as folder:
        made = Path(folder) / "made.pt"
        command = [sys.executable, "-W", "ignore", "-c", _READS, str(path), str(made)]
        command.append(torch.backends.quantized.engine)
        try:
            done = subprocess.run(command, capture_output=True, timeout=_PATIENCE, cwd=folder)
        except subprocess.TimeoutExpired:
            done = None
        told = done.stdout.split() if done is not None and done.returncode == 0 else []
        if len(told) > 1:
            return made.read_bytes(), int(told[0])
    if told:
        raise ModelFileError(
            f"{path.name} is a flatbuffer model (.ff) without the TorchScript beside its bytecode, "
            "so nothing can be rebuilt from it; look for the .pt or .ptl it was made from."
        )
    raise ModelFileError(
        f"{path.name} is a flatbuffer model (.ff) that torch {torch.__version__} cannot read, "
        "damaged or cut off; copy it again, or look for the .pt or .ptl it was made from."
    )
