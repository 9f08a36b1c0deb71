"""The instruction counter: a plugin of the emulator, compiled when it is needed."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from mobilelab.phone.errors import NoCounter

PLUGIN = Path(__file__).with_name("count.c")


@dataclass(frozen=True)
class Cost:
    """What one inference costs on an emulated ARM core. Counted, not timed."""

    instructions: int
    """ARM instructions, those of Python around the model left out."""
    mac_instructions: int
    """Instructions among them that multiply and add."""
    multiply_accumulates: int
    """Products that these added up: 4 for an FMLA on four lanes, 1 for a scalar one."""
    spread: float
    """Largest relative distance of a repetition's instructions from their median. Repetitions on
    one phone; int8 counts were seen to differ by 2 % with what had run on the phone before."""
    cpu: str
    inferences: int
    """Inferences over which the figures are an average, in each repetition."""

    def __str__(self) -> str:
        return (
            f"{self.instructions / 1e6:.2f} M ARM instructions, "
            f"{self.multiply_accumulates / 1e6:.2f} M multiply-accumulates "
            f"in {self.mac_instructions / 1e6:.2f} M instructions"
        )


def compiler() -> str:
    """The C compiler of this computer.

    Raises:
        NoCounter: if there is none.
    """
    found = shutil.which(os.environ.get("CC", "cc"))
    if found is None:
        raise NoCounter(
            "There is no C compiler on this computer to build the instruction counter with, so "
            "there is no figure; install one (Debian: apt install gcc)."
        )
    return found


def build_plugin(folder: Path) -> Path:
    """Compile ``count.c`` into ``folder``; takes a fraction of a second.

    Raises:
        NoCounter: if there is no compiler, or it fails.
    """
    target = folder / "count.so"
    done = subprocess.run(
        [compiler(), "-O2", "-shared", "-fPIC", "-nostdlib", "-ffreestanding",
         "-fvisibility=hidden", "-fno-stack-protector", "-o", str(target), str(PLUGIN)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise NoCounter(f"The instruction counter could not be compiled ({last}); no figure.")
    return target
