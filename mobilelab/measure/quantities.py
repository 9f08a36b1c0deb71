"""What a row of the table holds: size, times, memory, errors, and how good the answers are."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass
from statistics import median
from typing import TYPE_CHECKING

from mobilelab.core.quantity import Quantity
from mobilelab.measure.records import Record
from mobilelab.tasks import Classification

if TYPE_CHECKING:
    from mobilelab.measure.report import Budget


@dataclass(frozen=True)
class Axis(Quantity):
    """A quantity that every record has a figure of: a column, or an axis to place records along.

    >>> SIZE.heading, SIZE.text(418.6)
    ('file size (kB)', '419 kB')
    """

    value: Callable[[Record], float | None] = lambda record: None
    """The figure of a record, ``None`` where it was not measured; of a share, 0 to 1."""
    _: KW_ONLY
    more_is_better: bool = False
    digits: int | None = 2
    bound: Callable[[Budget, Sequence[Record]], float] = lambda budget, records: math.inf
    """What a budget allows; infinity if it has no such limit."""
    spread: Callable[[Record], float] = lambda record: 0.0
    """Half the width within which two figures of this kind count as equal."""

    @property
    def label(self) -> str:
        """The name."""
        return self.name

    def of(self, record: Record, missing: str = "not measured") -> str:
        """The record's figure with its unit."""
        value = self.value(record)
        return missing if value is None else self.text(value)

    def places(self, record: Record) -> bool:
        """Whether the record has a figure that can be drawn."""
        value = self.value(record)
        return value is not None and math.isfinite(value)

    def known(self, record: Record) -> float:
        """The figure of a record that :meth:`places`, as it is drawn: a share in percent."""
        value = self.value(record)
        assert value is not None
        return self.factor * value

    def limit(self, budget: Budget, records: Sequence[Record]) -> float:
        """The budget's limit, as it is drawn; infinity without one."""
        return self.factor * self.bound(budget, records)


def _p95_limit(budget: Budget, records: Sequence[Record]) -> float:
    floats = [r.float_ms for r in records if r.float_ms]
    return budget.p95_times_float * median(floats) if floats else math.inf


SIZE = Axis("file size", "kB", lambda r: r.file_kb, digits=0, bound=lambda b, _: b.file_kb)
LATENCY = Axis(
    "median latency", "ms", lambda r: r.median_ms,
    bound=lambda b, records: b.limit_ms(records), spread=lambda r: r.iqr_ms / 2,
)  # fmt: skip
P95 = Axis("95th percentile", "ms", lambda r: r.p95_ms, bound=_p95_limit)
MEMORY = Axis("peak memory above torch", "MiB", lambda r: r.peak_added_mib, digits=1)
AGREEMENT = Axis("agreement", "%", lambda r: r.agreement, more_is_better=True, digits=1)


def quality(metric: Quantity) -> Axis:
    """How good the answers are, as an axis.

    >>> quality(Quantity("PSNR", "dB")).heading
    'PSNR (dB)'
    """

    def bound(budget: Budget, records: Sequence[Record]) -> float:
        return math.inf if budget.accuracy is None else budget.accuracy

    return Axis(
        metric.name, metric.unit, lambda r: r.accuracy, more_is_better=metric.more_is_better,
        digits=metric.digits, bound=bound,
    )  # fmt: skip


ACCURACY = quality(Classification.metric)
