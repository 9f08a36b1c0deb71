"""Checks for the exercises of chapter 12, accelerators."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from mobilelab.course.checks import Case, Check, verify
from mobilelab.runtimes.steps import Step
from mobilelab.runtimes.vela import Report


def check_busy(shares: Mapping[str, float] | None, estimate: Report) -> Check:
    """12.1: the share of the multipliers that each kind of operator keeps busy."""
    cycles: Counter[str] = Counter()
    macs: Counter[str] = Counter()
    for layer in estimate.layers:
        cycles[layer.operator] += layer.cycles
        macs[layer.operator] += layer.macs
    width = int(estimate.accelerator.split("_")[-1])

    cases = [
        Case(
            "which kinds",
            lambda: None if shares is None else set(shares),
            {name for name, n in macs.items() if n},
            "Only the kinds that have products, and all of them.",
        )
    ]
    for name, n in macs.items():
        if n:
            cases.append(
                Case(
                    name,
                    lambda name=name: None if shares is None else float(shares[name]),
                    n / (cycles[name] * width),
                    "Sum the products and the cycles of all its layers first, then divide once: "
                    "products over cycles times multipliers.",
                    tolerance=1e-6,
                )
            )
    return verify("Exercise 12.1", cases, given=True)


#: What exercise 12.2 asks for: crossings, and bytes that go over.
Over = Callable[[Sequence[Step]], tuple[int, int]]


def check_over(over: Over) -> Check:
    """12.2: how often the work changes hands, and with how many bytes."""

    def run(*steps: tuple[str, int, int | None]) -> list[Step]:
        return [Step("op", who, part, size=size) for who, part, size in steps]

    npu, cpu = "Ethos_U55_128", "processor"
    cases = {
        "all in one part": (run((npu, 0, 10), (npu, 0, 20)), (0, 0), "Nothing is left."),
        "in and out": (
            run((cpu, 0, 100), (npu, 1, 40), (npu, 1, 30), (cpu, 2, 120)),
            (2, 130),
            "What goes over is the result of the step before the crossing: 100 in, 30 out.",
        ),
        "twice the same chip": (
            run((cpu, 0, 8), (npu, 1, 16), (npu, 2, 32), (cpu, 3, 64)),
            (3, 56),
            "Two parts of one chip are two parts. Compare `part`, not `who`.",
        ),
        "a size that is not told": (
            run((cpu, 0, 8), (npu, 1, None), (cpu, 2, 4)),
            (2, 8),
            "`None` counts as 0 bytes, and the crossing still counts.",
        ),
        "no steps": ([], (0, 0), "An empty list has no neighbours."),
    }
    return verify(
        "Exercise 12.2",
        [
            Case(name, lambda steps=steps: _pair(over(steps)), wanted, hint)
            for name, (steps, wanted, hint) in cases.items()
        ],
    )


def _pair(found: object) -> object:
    """A list of two numbers is as good as a tuple."""
    return tuple(found) if isinstance(found, list) else found
