"""Checks for the exercises of chapter 06, choosing within a budget."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mobilelab.course.checks import Case, Check, verify
from mobilelab.measure import Record
from mobilelab.measure.report import Budget

NOTHING = "nothing fits"


@dataclass(frozen=True)
class _Judge:
    """What is right and wrong about the choices, by the learner's own measurements."""

    choices: Mapping[str, str | None]
    table: Sequence[Record]
    budgets: Mapping[str, Budget]
    worth: Mapping[str, Callable[[Record], Any]]
    """Product to what decides among the files that keep its budget; the least is the best."""

    @property
    def by_name(self) -> dict[str, Record]:
        """The rows of the table by variant."""
        return {row.variant: row for row in self.table}

    def chosen(self, product: str) -> Record | str | None:
        name = self.choices.get(product)
        if name is None:
            return None
        if name.strip().lower() == NOTHING:
            return NOTHING
        if name not in self.by_name:
            raise ValueError(f"there is no variant of this name: {name!r}")
        return self.by_name[name]

    def keeps(self, product: str) -> bool | None:
        row = self.chosen(product)
        if row is None:
            return None
        if isinstance(row, str):
            return self.best(product) == NOTHING
        return not self.budgets[product].misses(row)

    def is_lite(self, product: str) -> bool | None:
        row = self.chosen(product)
        if row is None:
            return None
        return self.best(product) == NOTHING if isinstance(row, str) else row.file.endswith(".ptl")

    def best(self, product: str) -> str:
        budget = self.budgets[product]
        able = [r for r in self.table if r.file.endswith(".ptl") and not budget.misses(r)]
        able = [r for r in able if self.worth[product](r) is not None]
        return min(able, key=self.worth[product]).variant if able else NOTHING

    def as_good(self, product: str) -> str | None:
        """The choice; of several that are equally good, any counts as the best."""
        row, name = self.chosen(product), self.best(product)
        if isinstance(row, Record) and name in self.by_name:
            worth = self.worth[product]
            return name if worth(row) == worth(self.by_name[name]) else row.variant
        return row.variant if isinstance(row, Record) else row


def check_choices(
    choices: Mapping[str, str | None],
    table: Sequence[Record],
    budgets: Mapping[str, Budget],
    estimate: Callable[[Record], float | None],
) -> Check:
    """06.1: the best ``.ptl`` within each budget, judged by the learner's own measurements.

    Where no ``.ptl`` keeps a budget (on a busy host, say), the answer is ``"nothing fits"``.
    """
    decides = {
        "game": ("the lowest 95th percentile", lambda row: row.p95_ms),
        "translator": ("the highest accuracy", lambda row: -(row.accuracy or 0)),
        "sensor": ("the smallest energy estimate", estimate),
    }
    worth = {product: figure for product, (_, figure) in decides.items()}
    judge = _Judge(choices, table, budgets, worth)
    cases = []
    for product, (what, _) in decides.items():
        cases += [
            Case(
                f"{product}: keeps its budget",
                lambda product=product: judge.keeps(product),
                True,
                "Section 6 lists who fits. Every limit of a budget counts, and a "
                "row with DIFFERENT answers fits nowhere.",
            ),
            Case(
                f"{product}: is a file for the lite interpreter",
                lambda product=product: judge.is_lite(product),
                True,
                "A .pt needs the full library. Our apps ship the lite one, which loads only .ptl: "
                "look at the record's file.",
            ),
            Case(
                f"{product}: {what} of those",
                lambda product=product: judge.as_good(product),
                judge.best(product),
                f"Among the .ptl files that keep the budget, {what} decides. The best in another "
                "quantity is the answer to another question. If no .ptl fits, say "
                f"{NOTHING!r}.",
            ),
        ]
    return verify("Exercise 06.1", cases, given=True)


def check_front(front: Callable[[list[tuple[float, float]]], list[int]]) -> Check:
    """06.2: the positions of the points that no other point beats."""
    cases = (
        ("one point alone", [(3, 3)], [0], "Nobody is there to beat it."),
        (
            "a staircase: every point is on it",
            [(1, 9), (4, 4), (9, 1)],
            [0, 1, 2],
            "A gain in one quantity that costs in the other is a trade. None of these beats "
            "another.",
        ),
        (
            "beaten in both quantities",
            [(5, 5), (2, 3), (8, 1)],
            [1, 2],
            "(2, 3) is cheaper than (5, 5) in both, so (5, 5) is beaten.",
        ),
        (
            "beaten in one, equal in the other",
            [(2, 7), (2, 3)],
            [1],
            "Equal in one and cheaper in the other is enough to beat.",
        ),
        (
            "equal in one, beaten in the other",
            [(7, 2), (3, 2)],
            [1],
            "Whichever of the two is equal: cheaper in the other is enough to beat.",
        ),
        (
            "twins",
            [(2, 3), (2, 3), (4, 4)],
            [0, 1],
            "Equal points do not beat each other: neither is cheaper in anything.",
        ),
        (
            "the best sum is not the front",
            [(1, 10), (4, 4), (10, 2)],
            [0, 1, 2],
            "Adding a size to a time compares kilobytes with milliseconds. The front needs no "
            "weights: it only asks who is beaten.",
        ),
    )
    return verify(
        "Exercise 06.2",
        [
            Case(name, lambda points=points: _positions(front(list(points))), expected, hint)
            for name, points, expected, hint in cases
        ],
    )


def _positions(answer: Sequence[int] | None) -> list[int] | None:
    return answer if answer is None else [int(i) for i in answer]


def check_energy_range(energy_range: Callable[[int, int, int], tuple[float, float]]) -> Check:
    """06.3: lower and upper estimate of the energy of one answer, in microjoules."""

    def part(i: int, *arguments: int) -> float | None:
        answer = energy_range(*arguments)
        return None if answer is None else float(answer[i])

    def refused(bits: int) -> str:
        try:
            energy_range(1, 1, bits)
        except ValueError:
            return "ValueError"
        return "no error"

    return verify(
        "Exercise 06.3",
        [
            Case(
                "float32, lower: arithmetic only",
                lambda: part(0, 10_000_000, 1_000_000, 32),
                46.0,
                "10 million times (3.7 + 0.9) pJ. A multiply-accumulate is a multiply and an add.",
                tolerance=1e-6,
            ),
            Case(
                "float32, upper: and every number from main memory",
                lambda: part(1, 10_000_000, 1_000_000, 32),
                1346.0,
                "64 bits hold two floats, so a million floats are 500,000 trips of 2600 pJ. The "
                "arithmetic comes on top.",
                tolerance=1e-6,
            ),
            Case(
                "int8, lower",
                lambda: part(0, 10_000_000, 1_000_000, 8),
                3.0,
                "As many operations as before; each costs 0.2 + 0.1 pJ, because the sum has "
                "32 bits.",
                tolerance=1e-6,
            ),
            Case(
                "int8, upper",
                lambda: part(1, 10_000_000, 1_000_000, 8),
                328.0,
                "64 bits hold eight int8 numbers, so there are a quarter of the trips.",
                tolerance=1e-6,
            ),
            Case(
                "16, 4 and 64 bits are refused",
                lambda: [refused(bits) for bits in (16, 4, 64)],
                ["ValueError"] * 3,
                "Horowitz's table has 16-bit floats too, but the exercise does not: raise a "
                "ValueError, do not guess.",
            ),
        ],
    )
