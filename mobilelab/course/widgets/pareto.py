"""The Pareto front: the variants that no other beats (chapter 06)."""

from __future__ import annotations

import math
from collections.abc import Sequence

from mobilelab import runtimes
from mobilelab.measure import Record
from mobilelab.measure.quantities import Axis


def pareto(records: Sequence[Record], x: Axis, y: Axis, everything: bool = False) -> list[Record]:
    """The records that no other beats, ordered along ``x`` (chapter 06).

    One record beats another if it costs at most as much in both quantities and less in at least
    one. Two times whose middle halves reach each other count as equal, so noise beats nobody; equal
    records do not beat each other, and both stay.

    Records whose answers are DIFFERENT do not compete: their figures count for nothing. Nor do
    those without one of the two figures, nor, if a phone can load one of them, files that none can
    (unless ``everything`` is set). ``static/pareto.js`` does the same in the page, and a test
    compares.
    """

    def cost(record: Record, axis: Axis) -> float:
        value = axis.value(record) if axis.places(record) else None
        return math.inf if value is None else -value if axis.more_is_better else value

    def less(a: Record, b: Record, axis: Axis) -> bool:
        tie = max(axis.spread(a), axis.spread(b))
        return cost(a, axis) < cost(b, axis) - tie

    def beats(a: Record, b: Record) -> bool:
        return (less(a, b, x) or less(a, b, y)) and not (less(b, a, x) or less(b, a, y))

    able = [
        r for r in records if r.verdict != "DIFFERENT" and math.inf not in (cost(r, x), cost(r, y))
    ]
    if not everything:
        able = [r for r in able if runtimes.on_phones(r.file)] or able
    front = [record for record in able if not any(beats(other, record) for other in able)]
    return sorted(front, key=lambda r: (cost(r, x), cost(r, y)))
