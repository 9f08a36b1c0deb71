"""The quantities that a variant can be placed by: size, latency, memory, how good it is."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from mobilelab.measure import Record
from mobilelab.measure.report import Budget
from mobilelab.tasks import Classification, Metric


@dataclass(frozen=True)
class Axis:
    """One quantity that a variant can be placed by."""

    label: str
    unit: str
    value: Callable[[Record], float | None]
    """The figure of a record, ``None`` where it was not measured."""
    more_is_better: bool = False
    digits: int = 2
    limit: Callable[[Budget, Sequence[Record]], float] = lambda budget, records: math.inf
    """What a budget allows; infinity if it has no such limit."""
    spread: Callable[[Record], float] = lambda record: 0.0
    """Half the width within which two figures of this kind count as equal."""

    def text(self, record: Record) -> str:
        """The record's figure with its unit."""
        value = self.value(record)
        return "not measured" if value is None else f"{value:.{self.digits}f} {self.unit}".rstrip()

    def places(self, record: Record) -> bool:
        """Whether the record has a figure that can be drawn."""
        value = self.value(record)
        return value is not None and math.isfinite(value)

    def known(self, record: Record) -> float:
        """The figure of a record that :meth:`places`."""
        value = self.value(record)
        assert value is not None
        return value


def _p95_limit(budget: Budget, records: Sequence[Record]) -> float:
    floats = [r.float_ms for r in records if r.float_ms]
    return budget.p95_times_float * median(floats) if floats else math.inf


SIZE = Axis("file size", "kB", lambda r: r.file_kb, digits=0, limit=lambda b, _: b.file_kb)
LATENCY = Axis(
    "median latency", "ms", lambda r: r.median_ms,
    limit=lambda b, records: b.limit_ms(records), spread=lambda r: r.iqr_ms / 2,
)  # fmt: skip
P95 = Axis("95th percentile", "ms", lambda r: r.p95_ms, limit=_p95_limit)
MEMORY = Axis("peak memory above torch", "MiB", lambda r: r.peak_added_mib, digits=1)


def quality(metric: Metric) -> Axis:
    """How good the answers are, as an axis; shares in percent."""
    factor = 100 if metric.unit == "%" else 1

    def value(record: Record) -> float | None:
        return None if record.accuracy is None else factor * record.accuracy

    def limit(budget: Budget, records: Sequence[Record]) -> float:
        return math.inf if budget.accuracy is None else factor * budget.accuracy

    return Axis(
        metric.name, metric.unit, value, more_is_better=metric.more_is_better,
        digits=1 if factor == 100 else metric.digits, limit=limit,
    )  # fmt: skip


ACCURACY = quality(Classification.metric)
