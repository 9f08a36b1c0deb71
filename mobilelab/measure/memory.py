"""Peak memory, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from mobilelab.core.errors import MeasureError
from mobilelab.core.signature import Example

PROCESS = "mobilelab.measure._peak_process"


@dataclass(frozen=True)
class PeakMemory:
    """Peak resident memory of a fresh process that loads a model and runs it.

    In MiB (1 MiB = 1048576 bytes, the unit in which systems count memory).

    >>> PeakMemory(total_mib=262.5, added_mib=9.5).added_mib
    9.5
    """

    total_mib: float
    """Whole process, Python and torch included."""
    added_mib: float
    """Peak above what the process held once torch was imported: the model's own share."""


def peak_memory(path: str | Path, inputs: Any, runs: int = 5) -> PeakMemory:
    """Load a saved model in a process of its own, run it, and read its peak memory.

    Args:
        path: ``.ptl`` (lite interpreter), ``.pt`` (TorchScript) or the course's
            ``.state_dict`` (eager ``TinyMobileNet``).
        inputs: an example (see :meth:`mobilelab.core.signature.Example.of`), or the shape of one
            float input, for example ``(1, 1, 32, 32)``, which is filled with zeros.
        runs: inferences before the peak is read.

    Raises:
        MeasureError: if the process could not load or run the file.
    """
    return peak_by_shape(path, [inputs], runs)[0]


def peak_by_shape(path: str | Path, inputs: Sequence[Any], runs: int = 5) -> list[PeakMemory]:
    """:func:`peak_memory` for several examples or shapes in one process, smallest first.

    The first figure includes loading; what the model keeps counts in all of them.

    Raises:
        MeasureError: if the process could not load or run the file.
    """
    with tempfile.TemporaryDirectory(prefix="mobilelab-") as folder:
        file = Path(folder) / "examples.pt"
        torch.save([(x.args, dict(x.named)) for x in map(_example, inputs)], file)
        command = [sys.executable, "-m", PROCESS, str(path), str(file), str(runs)]
        done = subprocess.run(command, capture_output=True, text=True)
    try:
        answer = json.loads(done.stdout)
    except ValueError:
        last = (done.stderr.strip().splitlines() or ["it printed nothing"])[-1]
        answer = {"error": f"the measuring process ended with code {done.returncode} ({last})"}
    if isinstance(answer, dict):
        raise MeasureError(
            f"Could not measure the peak memory of {Path(path).name}: {answer['error']}"
        )
    return [PeakMemory(**peak) for peak in answer]


def peak_memories(
    paths: Mapping[str, str | Path],
    inputs: Any,
    on_done: Callable[[str], None] = lambda name: None,
) -> dict[str, PeakMemory]:
    """:func:`peak_memory` of several files, two processes at a time.

    Args:
        paths: name to file.
        inputs: an example or a shape, as for :func:`peak_memory`.
        on_done: called with each name when its figure is in, for a progress bar.
    """

    def one(item: tuple[str, str | Path]) -> tuple[str, PeakMemory]:
        result = peak_memory(item[1], inputs)
        on_done(item[0])
        return item[0], result

    with ThreadPoolExecutor(max_workers=2) as pool:
        return dict(pool.map(one, paths.items()))


def _example(inputs: Any) -> Example:
    if isinstance(inputs, (tuple, list, torch.Size)) and all(type(size) is int for size in inputs):
        return Example((torch.zeros(*inputs),))
    return Example.of(inputs).own()
