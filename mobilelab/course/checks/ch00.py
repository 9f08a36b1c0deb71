"""Checks for the exercises of chapter 00."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from mobilelab.course.checks import Case, Check, verify
from mobilelab.measure.report import COURSE


def check_weights(float32_kb: float | None, int8_kb: float | None, model: nn.Module) -> Check:
    """00.1: the kB that the parameters of ``model`` take in 32 and in 8 bits."""
    count = sum(p.numel() for p in model.parameters())
    return verify(
        "Exercise 00.1",
        [
            Case(
                "as 32-bit floats",
                lambda: float32_kb,
                round(count * 4 / 1000),
                "32 bits are 4 bytes, and 1 kB is 1000 bytes.",
                tolerance=0.5,
            ),
            Case(
                "as 8-bit integers",
                lambda: int8_kb,
                round(count / 1000),
                "8 bits are 1 byte: a quarter of the float, rounded and not cut off.",
                tolerance=0.5,
            ),
        ],
        given=True,
    )


def check_misses(misses: Callable[[float, float, float], list[str]]) -> Check:
    """00.2: a function that names the missed parts of the course's budget."""
    kb, times, accuracy = COURSE.file_kb, COURSE.times_float, COURSE.accuracy
    assert accuracy is not None
    upper = "Size and latency are upper limits: missed when the value is above."
    return verify(
        "Exercise 00.2",
        [
            Case(
                "all met", lambda: misses(kb - 1, times - 0.001, 1.0), [], "Return an empty list."
            ),
            Case("too large", lambda: misses(kb + 1, times - 0.001, 1.0), ["size"], upper),
            Case("too slow", lambda: misses(kb - 1, times + 0.001, 1.0), ["latency"], upper),
            Case(
                "not accurate enough",
                lambda: misses(kb - 1, times - 0.001, accuracy - 0.01),
                ["accuracy"],
                "Accuracy is a lower limit: missed when the value is below.",
            ),
            Case(
                "exactly on every limit",
                lambda: misses(kb, times, accuracy),
                [],
                "On the limit is within the budget: compare with < and >.",
            ),
            Case(
                "everything missed, in order",
                lambda: misses(kb + 1, times + 0.001, 0.0),
                ["size", "latency", "accuracy"],
                "Collect all that is missed, do not stop at the first.",
            ),
        ],
    )
