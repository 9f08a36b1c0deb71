"""The process whose peak memory is measured. ``measure.peak_memory`` starts it; you don't.

Usage: ``python -m mobilelab.measure._peak_process FILE EXAMPLES RUNS``; prints one JSON list, an
object for each example, in their order. EXAMPLES is a file with pairs of positional and named
inputs.

On Linux the peak ("VmHWM") is reset after the imports, so that what is reported as added is
the model's alone (proc(5): writing 5 to ``/proc/self/clear_refs``). Elsewhere the peak of the
whole process life stands in for it, and imports may hide a small model.
"""

from __future__ import annotations

import contextlib
import gc
import json
import sys
from pathlib import Path
from typing import Any

import psutil
import torch

from mobilelab import runtimes

MIB = 2**20


def _resident() -> float:
    return psutil.Process().memory_info().rss / MIB


def _reset_peak() -> None:
    # Not Linux, or not allowed: the peak of the whole process stands in.
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _peak() -> float:
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    except OSError:
        pass
    info = psutil.Process().memory_info()
    if hasattr(info, "peak_wset"):  # Windows
        return info.peak_wset / MIB
    import resource  # macOS reports bytes here

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / MIB


def peaks(path: str, inputs: list[Any], runs: int) -> list[dict[str, float]]:
    """Load a file, run each pair of positional and named inputs, and read the peaks in MiB."""
    torch.set_num_threads(1)
    torch.backends.quantized.engine = "qnnpack"
    runtimes.kind(path).prepare()
    before = _resident()
    found = []
    with torch.no_grad():
        _reset_peak()
        model = runtimes.load(path)
        for args, named in inputs:
            for _ in range(runs):
                model(*args, **named)
            peak = _peak()
            found.append({"total_mib": peak, "added_mib": max(0.0, peak - before)})
            _reset_peak()
    return found


def main(path: str, examples: str, runs: str) -> None:
    """Load and run the model, and print its peak memory in MiB as JSON."""
    print(json.dumps(peaks(path, torch.load(examples, weights_only=True), int(runs))))


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except Exception as error:  # the parent turns it into a MeasureError
        print(json.dumps({"error": str(error).strip().splitlines()[0]}))
        sys.exit(1)
    finally:
        gc.freeze()  # or Python looks for garbage in all of torch before it ends
