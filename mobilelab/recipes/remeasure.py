"""Measure saved variants again with another number of threads or another input layout.

In a process of its own, because QNNPACK's and XNNPACK's pool of threads is made once per
process and keeps its size (see ``mobilelab.measure``). OpenMP's threads, which compute the
rest, are told to sleep between calls there. As a rule they spin, and at two threads on two
cores a spinning thread holds the very core that the other pool is waiting for.

Run as a module, this file is that process: it prints one JSON object per line.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from mobilelab import measure, runtimes
from mobilelab.core.errors import MeasureError
from mobilelab.datasets import Dataset
from mobilelab.recipes.engine import ENGINE
from mobilelab.recipes.variants import Built

LAYOUTS = ("NCHW", "channels_last")


@dataclass(frozen=True)
class _Job:
    """What the process is told."""

    paths: dict[str, str]
    threads: int
    layout: str
    seconds: float
    images: str
    """File with the images, shape ``(n, channels, h, w)``; the first one is timed."""
    outputs: str
    """Where the scores of all variants go."""


def again(
    built: Sequence[Built],
    reference: torch.Tensor,
    data: Dataset,
    *,
    threads: int = 1,
    layout: str = "NCHW",
    seconds: float = 0.5,
    on_step: Callable[[str], None] = lambda what: None,
) -> list[measure.Record]:
    """Answers, accuracy and latency of variants under other conditions, side by side.

    Args:
        built: from :func:`mobilelab.recipes.variants.build_all`.
        reference: the float model's scores on the test split, shape ``(n, classes)``.
        data: whose test split is used.
        threads: threads for torch and for the pool of the mobile kernels.
        layout: memory format of the input, one of :data:`LAYOUTS`.
        seconds: about how long each variant is timed for.
        on_step: told each variant's name while its answers are computed, then ``"latency"``.

    Returns:
        One record per variant. Peak memory is not measured again and is ``None``.

    Raises:
        MeasureError: if the layout is unknown or the process failed.
    """
    if layout not in LAYOUTS:
        raise MeasureError(f"There is no layout {layout!r}; choose one of {', '.join(LAYOUTS)}.")
    if threads < 1:
        raise MeasureError(f"Threads are counted from 1, not {threads}.")
    with tempfile.TemporaryDirectory(prefix="mobilelab-") as folder:
        images, outputs = Path(folder) / "images.pt", Path(folder) / "outputs.pt"
        torch.save(data.test.images.contiguous(), images)
        paths = {b.variant.name: str(b.path.resolve()) for b in built}
        job = _Job(paths, threads, layout, seconds, str(images), str(outputs))
        timings = _samples(job, on_step)
        scores = torch.load(outputs, weights_only=True)
    # One call of time_in_turn took them, in the other process.
    taken = {
        name: measure.Timing(tuple(samples), threads, run=str(images))
        for name, samples in timings.items()
    }
    return [
        measure.record(
            b.variant.name,
            b.path,
            scores[b.variant.name],
            reference,
            data.test,
            taken[b.variant.name],
            chapter=b.variant.chapter,
            layout=layout,
            float_timing=taken.get("eager"),
        )
        for b in built
    ]


def _samples(job: _Job, on_step: Callable[[str], None]) -> dict[str, list[float]]:
    """Run the job in a process of its own: times in ms by variant; the scores are in its file."""
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", __spec__.name, json.dumps(asdict(job))],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={
            **os.environ,
            measure.POOL_THREADS: str(job.threads),
            "OMP_NUM_THREADS": str(job.threads),
            "OMP_WAIT_POLICY": "PASSIVE",
        },
    )  # fmt: skip
    timings, error = {}, "it ended early"
    with process:
        assert process.stdout is not None and process.stderr is not None  # both are pipes
        for line in process.stdout:
            message = json.loads(line)
            if "step" in message:
                on_step(message["step"])
            timings = message.get("timings", timings)
            error = message.get("error", error)
        complaint = process.stderr.read().strip().splitlines()
    if set(timings) != set(job.paths):
        reason = complaint[-1].removeprefix("mobilelab.core.errors.") if complaint else error
        raise MeasureError(f"The measuring process did not finish: {reason.rstrip('.')}.")
    return timings


def _say(**message: object) -> None:
    print(json.dumps(message), flush=True)


def _child(job: _Job) -> None:
    torch.set_num_threads(job.threads)
    torch.backends.quantized.engine = ENGINE
    images = torch.load(job.images, weights_only=True)
    if job.layout == "channels_last":
        images = images.to(memory_format=torch.channels_last)
    runs, scores = {}, {}
    for name, path in job.paths.items():
        _say(step=name)
        runs[name] = runtimes.load(path, job.threads)
        scores[name] = measure.scores(runs[name], images)
    torch.save(scores, job.outputs)
    _say(step="latency")
    one = images[:1]
    timings = measure.time_in_turn(
        {name: (lambda run=run: run(one)) for name, run in runs.items()},
        threads=job.threads,
        seconds=job.seconds,
    )
    _say(timings={name: timing.samples_ms for name, timing in timings.items()})


if __name__ == "__main__":
    _child(_Job(**json.loads(sys.argv[1])))
