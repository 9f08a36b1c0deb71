"""How big, how fast, how much memory, how accurate.

Nothing here is printed without being measured in the same call. Times come from
``torch.utils.benchmark`` (one thread unless you say otherwise, warm-up first, one call per
sample); peak memory from a process of its own; sizes from the file system.
Chapter 01 introduces each of these measures.
"""

from __future__ import annotations

import json
import logging
import math
import os
import platform
import subprocess
import sys
import time
import timeit
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from random import Random
from statistics import median, quantiles
from uuid import uuid4

import torch
from torch import Tensor

from mobilelab.datasets import Split
from mobilelab.errors import MeasureError, ShapeError
from mobilelab.parity import compare
from mobilelab.threads import POOL_THREADS as POOL_THREADS  # and makes the pool

# --- the clock ----------------------------------------------------------------------------

#: Environment variable: a test mode in which time passes faster or slower, see :class:`Clock`.
CLOCK = "MOBILELAB_CLOCK"


class Clock:
    """A clock on which every interval appears a given number of times as long as it was.

    Whatever the course compares has to hold on a slower, a faster and a busier host. The
    environment variable :data:`CLOCK` makes this host look like one: ``MOBILELAB_CLOCK=5`` like
    one five times as slow, ``0.2`` five times as fast, and with ``5,0.3`` every interval is
    stretched by another factor from 3.5 to 6.5 (5 times 0.7 to 1.3), as on a busy host. Nothing
    takes any longer; it is only said so.

    Args:
        times: how many times as long an interval appears, above 0.
        jitter: the factor varies by up to this share to either side, 0 (not at all) to below 1.
            The factors are drawn from a fixed seed, so every run draws the same ones.
        base: the clock underneath, in seconds.

    Raises:
        MeasureError: if one of the two numbers is out of its range.
    """

    def __init__(
        self, times: float, jitter: float = 0.0, base: Callable[[], float] = time.perf_counter
    ) -> None:
        if not (0 < times < math.inf and 0 <= jitter < 1):
            raise MeasureError(
                f"A clock cannot show {times:g} times the time with a jitter of {jitter:g}; "
                "the first must be above 0, the second from 0 to below 1."
            )
        self.times, self.jitter, self._base = times, jitter, base
        self._random = Random(0)
        self._before = self._shown = base()

    def __call__(self) -> float:
        """Seconds; an interval is what lies between one call and the next."""
        now = self._base()
        factor = self.times * (1 + self.jitter * self._random.uniform(-1, 1))
        self._shown += factor * (now - self._before)
        self._before = now
        return self._shown

    @classmethod
    def of(cls, text: str, base: Callable[[], float] = time.perf_counter) -> Clock:
        """The clock that a value of :data:`CLOCK` describes, for example ``"5"`` or ``"0.2,0.3"``.

        Raises:
            MeasureError: if the text says something else.
        """
        try:
            times, jitter = map(float, (text if "," in text else f"{text},0").split(","))
        except ValueError:
            raise MeasureError(
                f"{CLOCK} is {text!r}, which is no clock; write how many times as long an interval "
                "should appear, and if you like a jitter after a comma, as in 5,0.3."
            ) from None
        return cls(times, jitter, base)


#: What everything here is timed with, in seconds.
clock: Callable[[], float] = time.perf_counter
if os.environ.get(CLOCK):
    # A cell that times something by itself must see the same clock; torch's Timer takes Python's
    # when it is imported, below.
    clock = time.perf_counter = timeit.default_timer = Clock.of(os.environ[CLOCK])

# torch.utils.benchmark warns about a missing GPU where only the CUDA compiler is installed.
logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
from torch.utils.benchmark import Timer  # noqa: E402

Predict = Callable[[Tensor], Tensor]


# --- size ---------------------------------------------------------------------------------


def file_kb(path: str | Path) -> float:
    """Size of a file in kB (1 kB = 1000 bytes, as app stores and torch's own tables count).

    Raises:
        MeasureError: if there is no such file.
    """
    try:
        return Path(path).stat().st_size / 1000
    except OSError as error:
        raise MeasureError(f"There is no file {path} to weigh; save the model first.") from error


# --- latency ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ratio:
    """How many times longer one call takes than another, paired within one run."""

    median: float
    low: float
    high: float
    """``low`` to ``high`` is a 95 % interval of the median (order statistics, no assumption
    about the distribution; Conover, Practical Nonparametric Statistics, 3.2)."""

    def __str__(self) -> str:
        # Two digits, or as many as it takes to see that the interval has a width.
        digits = next((n for n in (2, 3) if f"{self.low:.{n}f}" != f"{self.high:.{n}f}"), 4)
        return f"{self.median:.{digits}f}x ({self.low:.{digits}f} to {self.high:.{digits}f})"


@dataclass(frozen=True)
class Timing:
    """Times of single calls, in milliseconds, in the order in which they were taken."""

    samples_ms: tuple[float, ...]
    threads: int
    run: str = field(default_factory=lambda: uuid4().hex, compare=False, repr=False)
    """Which :func:`time_in_turn` call took the samples; one of its own unless it is given."""

    @property
    def median_ms(self) -> float:
        """Half of the calls were faster than this."""
        return median(self.samples_ms)

    @property
    def iqr_ms(self) -> float:
        """Interquartile range: how wide the middle half of the calls is spread."""
        low, _, high = quantiles(self.samples_ms, n=4, method="inclusive")
        return high - low

    @property
    def p95_ms(self) -> float:
        """95 % of the calls were faster than this."""
        return quantiles(self.samples_ms, n=20, method="inclusive")[-1]

    def ratio(self, other: Timing) -> Ratio:
        """This time over the other's, from samples that were taken in turn.

        Raises:
            MeasureError: if the two do not come from one ``time_in_turn`` call.
        """
        if self.run != other.run:
            raise MeasureError("A ratio needs two timings from the same time_in_turn call.")
        n = len(self.samples_ms)
        ratios = sorted(a / b for a, b in zip(self.samples_ms, other.samples_ms, strict=True))
        reach = 1.96 * math.sqrt(n) / 2
        low = max(0, math.floor(n / 2 - reach))
        high = min(n - 1, math.ceil(n / 2 + reach))
        return Ratio(median(ratios), ratios[low], ratios[high])

    def __str__(self) -> str:
        threads = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        return (
            f"median {self.median_ms:.2f} ms, middle half within {self.iqr_ms:.2f} ms, "
            f"p95 {self.p95_ms:.2f} ms ({len(self.samples_ms)} calls, {threads})"
        )


def time_in_turn(
    calls: Mapping[str, Callable[[], object]],
    *,
    threads: int = 1,
    warmup: int = 10,
    seconds: float = 1.0,
    most: int = 200,
    least: int = 15,
) -> dict[str, Timing]:
    """Time several calls side by side: A B C, A B C, ... so that drift hits all alike.

    Args:
        calls: name to a function without arguments.
        threads: threads that torch may use inside a call. QNNPACK's and XNNPACK's kernels use
            one in any case (see ``mobilelab.threads``).
        warmup: calls of each before anything is counted.
        seconds: about how long each call may be measured for in all.
        most: number of samples at most, ``least`` at least. One sample is one call.

    Returns:
        For every name the same number of samples. Gradients are off while timing.
    """
    timers = {
        name: Timer("call()", timer=clock, globals={"call": call}, num_threads=threads)
        for name, call in calls.items()
    }
    with torch.no_grad():
        slowest = 0.0
        for timer in timers.values():
            timer.timeit(warmup)
            slowest = max(slowest, timer.timeit(3).mean)
        # Timer.timeit(1) makes two unmeasured calls before the one that it measures.
        rounds = max(least, min(most, int(seconds / (3 * slowest))))
        samples: dict[str, list[float]] = {name: [] for name in timers}
        for _ in range(rounds):
            for name, timer in timers.items():
                samples[name].append(timer.timeit(1).mean * 1e3)
    run = uuid4().hex
    return {name: Timing(tuple(values), threads, run) for name, values in samples.items()}


def latency(model: Callable[..., object], *inputs: Tensor, **options: float) -> Timing:
    """Time of one call ``model(*inputs)``. Options are those of :func:`time_in_turn`."""
    return time_in_turn({"call": lambda: model(*inputs)}, **options)["call"]  # type: ignore[arg-type]


# --- accuracy -----------------------------------------------------------------------------


def scores(model: Predict, images: Tensor, batch: int = 100) -> Tensor:
    """Outputs of a model for many images, without gradients.

    Args:
        model: anything that maps ``(n, channels, h, w)`` to ``(n, classes)``.
        images: shape ``(n, channels, h, w)``.
        batch: images per call.

    Returns:
        float tensor of shape ``(n, classes)``.
    """
    with torch.no_grad():
        return torch.cat([model(part) for part in images.split(batch)])


def accuracy(outputs: Tensor, labels: Tensor) -> float:
    """Share of right predictions, 0 to 1.

    Args:
        outputs: class scores, shape ``(n, classes)``.
        labels: class numbers, shape ``(n,)``.

    Raises:
        ShapeError: if the two do not belong together.
    """
    if outputs.ndim != 2 or labels.ndim != 1 or len(outputs) != len(labels) or not len(labels):
        raise ShapeError(
            "Accuracy needs scores (n, classes) and labels (n,) for the same n > 0, but got "
            f"{tuple(outputs.shape)} and {tuple(labels.shape)}."
        )
    return (outputs.argmax(dim=1) == labels).double().mean().item()


# --- memory -------------------------------------------------------------------------------


@dataclass(frozen=True)
class PeakMemory:
    """Peak resident memory of a fresh process that loads a model and runs it.

    In MiB (1 MiB = 1048576 bytes, the unit in which systems count memory).
    """

    total_mib: float
    """Whole process, Python and torch included."""
    added_mib: float
    """Peak above what the process held once torch was imported: the model's own share."""


def peak_memory(path: str | Path, shape: Sequence[int], runs: int = 5) -> PeakMemory:
    """Load a saved model in a process of its own, run it, and read its peak memory.

    Args:
        path: ``.ptl`` (lite interpreter), ``.pt`` (TorchScript) or the course's
            ``.state_dict`` (eager ``TinyMobileNet``).
        shape: shape of the input, for example ``(1, 1, 32, 32)``.
        runs: inferences before the peak is read.

    Raises:
        MeasureError: if the process could not load or run the file.
    """
    return peak_by_shape(path, [shape], runs)[0]


def peak_by_shape(
    path: str | Path, shapes: Sequence[Sequence[int]], runs: int = 5
) -> list[PeakMemory]:
    """:func:`peak_memory` for several input shapes in one process, smallest first.

    The first figure includes loading; what the model keeps counts in all of them.

    Raises:
        MeasureError: if the process could not load or run the file.
    """
    shapes = [list(shape) for shape in shapes]
    command = [sys.executable, "-m", "mobilelab.peak", str(path), json.dumps(shapes), str(runs)]
    done = subprocess.run(command, capture_output=True, text=True)
    try:
        answer = json.loads(done.stdout)
    except ValueError:
        last = (done.stderr.strip().splitlines() or ["it printed nothing"])[-1]
        answer = {"error": f"the measuring process ended with code {done.returncode} ({last})"}
    if "error" in answer:
        raise MeasureError(
            f"Could not measure the peak memory of {Path(path).name}: {answer['error']}"
        )
    return [PeakMemory(**peak) for peak in answer]


def peak_memories(
    paths: Mapping[str, str | Path],
    shape: tuple[int, ...],
    on_done: Callable[[str], None] = lambda name: None,
) -> dict[str, PeakMemory]:
    """:func:`peak_memory` of several files, two processes at a time.

    Args:
        paths: name to file.
        shape: shape of the input.
        on_done: called with each name when its figure is in, for a progress bar.
    """

    def one(item: tuple[str, str | Path]) -> tuple[str, PeakMemory]:
        result = peak_memory(item[1], shape)
        on_done(item[0])
        return item[0], result

    with ThreadPoolExecutor(max_workers=2) as pool:
        return dict(pool.map(one, paths.items()))


# --- what holds here only ------------------------------------------------------------------


def on_this_host(text: str) -> None:
    """Print what holds on this host only, behind the words "on this host: ".

    Lines that begin so are for reading. The notebooks' tests never compare them, because another
    host, or the same one when it is busy, says something else.
    """
    print("on this host:", text)


# --- where it was measured ----------------------------------------------------------------


@dataclass(frozen=True)
class Host:
    """The machine and the versions behind a figure. No host name, no user name."""

    cpu: str
    cores: int
    system: str
    python: str
    torch: str
    quantized_engine: str
    measured: str
    """UTC date of the measurement, ISO 8601."""

    def __str__(self) -> str:
        return (
            f"{self.cpu}, {self.cores} cores, {self.system}, Python {self.python}, "
            f"torch {self.torch}, {self.measured}"
        )


def host() -> Host:
    """The machine that this process runs on."""
    return Host(
        cpu=_cpu_model(),
        cores=os.cpu_count() or 1,
        system=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
        torch=torch.__version__,
        quantized_engine=torch.backends.quantized.engine,
        measured=datetime.now(timezone.utc).strftime("%Y-%m-%d"),
    )


def _cpu_model() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


# --- all of it in one record --------------------------------------------------------------


@dataclass(frozen=True)
class Record:
    """One row of the course's table: a variant and everything measured about it."""

    variant: str
    chapter: str
    file: str
    file_kb: float
    rel_l2: float
    max_abs: float
    agreement: float
    verdict: str
    accuracy: float
    median_ms: float
    iqr_ms: float
    p95_ms: float
    threads: int
    peak_added_mib: float | None
    """MiB above bare torch; ``None`` where it was not measured."""
    peak_total_mib: float | None
    host: Host
    layout: str = "NCHW"
    """Memory format of the input that was timed: ``NCHW`` or ``channels_last``."""
    times_float: float | None = None
    """Time over the float model's in the same run (median of the pairs); ``None`` without one."""
    float_ms: float | None = None
    """Median time of the float model in the same run; ``None`` without one."""

    def as_dict(self) -> dict[str, object]:
        """The record as plain JSON values."""
        return asdict(self)


def record(
    variant: str,
    path: str | Path,
    outputs: Tensor,
    reference: Tensor,
    split: Split,
    timing: Timing,
    *,
    chapter: str = "",
    memory: PeakMemory | None = None,
    layout: str = "NCHW",
    float_timing: Timing | None = None,
) -> Record:
    """Put the figures of one variant into one row.

    Args:
        variant: name of the row.
        path: the saved file.
        outputs: the variant's scores on ``split``, shape ``(n, classes)``.
        reference: the float model's scores on ``split``, the same shape.
        split: the images' labels, normally ``data.test``.
        timing: from :func:`latency` or :func:`time_in_turn`.
        chapter: the chapter that builds the variant.
        memory: from :func:`peak_memory`, if it was measured.
        layout: memory format of the input that was timed.
        float_timing: the float model's time from the same :func:`time_in_turn` call; a budget
            that limits the time relative to the float model needs it.

    Raises:
        MeasureError: if the two timings were not taken in turn.
    """
    parity = compare(reference, outputs)
    return Record(
        variant=variant,
        chapter=chapter,
        file=Path(path).name,
        file_kb=file_kb(path),
        rel_l2=parity.rel_l2,
        max_abs=parity.max_abs,
        agreement=parity.agreement,
        verdict=parity.verdict,
        accuracy=accuracy(outputs, split.labels),
        median_ms=timing.median_ms,
        iqr_ms=timing.iqr_ms,
        p95_ms=timing.p95_ms,
        threads=timing.threads,
        peak_added_mib=memory.added_mib if memory else None,
        peak_total_mib=memory.total_mib if memory else None,
        host=host(),
        layout=layout,
        times_float=timing.ratio(float_timing).median if float_timing else None,
        float_ms=float_timing.median_ms if float_timing else None,
    )
