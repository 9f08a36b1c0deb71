"""How fast: single calls, taken in turn, one thread unless you say otherwise."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import median, quantiles
from uuid import uuid4

import torch

from mobilelab.core.errors import MeasureError
from mobilelab.core.signature import Example
from mobilelab.core.trees import Tree
from mobilelab.measure import clocks
from mobilelab.measure.state import stateless

# torch.utils.benchmark warns about a missing GPU where only the CUDA compiler is installed.
logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
from torch.utils.benchmark import Timer  # noqa: E402


@dataclass(frozen=True)
class Ratio:
    """How many times longer one call takes than another, paired within one run.

    >>> print(Ratio(1.52, 1.48, 1.57))
    1.52x (1.48 to 1.57)
    """

    median: float
    low: float
    high: float
    """``low`` to ``high`` is a 95 % interval of the median (order statistics, no assumption
    about the distribution; Conover, Practical Nonparametric Statistics, 3.2)."""

    def __str__(self) -> str:
        # Three figures, or as many as it takes to see that the interval has a width.
        start = 0 if self.low >= 100 else 1 if self.low >= 10 else 2
        tried = range(start, 4)
        digits = next((n for n in tried if f"{self.low:.{n}f}" != f"{self.high:.{n}f}"), 4)
        return f"{self.median:.{digits}f}x ({self.low:.{digits}f} to {self.high:.{digits}f})"


@dataclass(frozen=True)
class Timing:
    """Times of single calls, in milliseconds, in the order in which they were taken.

    >>> print(Timing((2.0, 1.0, 3.0), threads=1))
    median 2.00 ms, middle half spans 1.00 ms, p95 2.90 ms (3 calls, 1 thread)
    """

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
            f"median {self.median_ms:.2f} ms, middle half spans {self.iqr_ms:.2f} ms, "
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
            one in any case (see ``mobilelab.core.threads``).
        warmup: calls of each before anything is counted.
        seconds: about how long each call may be measured for in all.
        most: number of samples at most, ``least`` at least. One sample is one call.

    Returns:
        For every name the same number of samples. Gradients are off while timing.

    >>> x = torch.rand(64, 64)
    >>> found = time_in_turn({"once": lambda: x @ x, "twice": lambda: x @ x @ x}, seconds=0.01)
    >>> len(found["once"].samples_ms) == len(found["twice"].samples_ms)
    True
    """
    timers = {
        name: Timer("call()", timer=clocks.clock, globals={"call": call}, num_threads=threads)
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


def latency(model: Callable[..., object], *inputs: Tree, **options: float) -> Timing:
    """Time of one call ``model(*inputs)``. Options are those of :func:`time_in_turn`.

    The model gets a copy of the inputs, made once and before the clock starts.

    Raises:
        ShapeError: if a Python function does not take such inputs.

    Warns:
        ModelWarning: if the model keeps a state, which the calls have changed.

    >>> latency(torch.relu, torch.rand(8), seconds=0.01).median_ms > 0
    True
    """
    example = Example(inputs)
    example.check(model)
    mine = example.own().args
    with stateless(model):
        return time_in_turn({"call": lambda: model(*mine)}, **options)["call"]  # type: ignore[arg-type]
