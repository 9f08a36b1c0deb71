"""The clock that everything is timed with, and a test mode in which it runs differently."""

from __future__ import annotations

import math
import os
import time
import timeit
from collections.abc import Callable
from random import Random

from mobilelab.core.errors import MeasureError

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

    >>> seconds = iter([10.0, 11.0, 13.0])
    >>> slow = Clock(5, base=lambda: next(seconds))  # a host five times as slow
    >>> slow(), slow()
    (15.0, 25.0)
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
