"""The course's running table, and the budget that it is read against."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import cast

from rich import box
from rich.table import Table

from mobilelab.core.errors import MobileLabError
from mobilelab.core.pages import render
from mobilelab.core.quantity import Quantity
from mobilelab.measure.quantities import (
    ACCURACY,
    AGREEMENT,
    LATENCY,
    MEMORY,
    P95,
    SIZE,
    Axis,
    quality,
)
from mobilelab.measure.records import Record
from mobilelab.tasks import Classification


@dataclass(frozen=True)
class Budget:
    """What a model may weigh and take, and how good it must be. Chapter 00 sets it.

    A limit that is left out is no limit. A time in milliseconds holds for one host only; a share of
    the float model's time can be decided on any.

    >>> print(Budget(file_kb=500, accuracy=0.98))
    at most 500 kB, at least 98.0% right
    """

    file_kb: float = math.inf
    """Size of the file in kB (1 kB = 1000 bytes), at most."""
    median_ms: float = math.inf
    """Median time of one inference on this host at one thread in milliseconds, at most."""
    accuracy: float | None = None
    """How good the answers must be, in the unit of the records' metric: for a classification the
    share of test images that must be right, 0 to 1, at least; for an error rate, at most."""
    times_float: float = math.inf
    """Time of one inference over the float model's in PyTorch, taken in turn, at most."""

    p95_times_float: float = math.inf
    """95th percentile of the times over the float model's median, at most."""

    def misses(self, record: Record) -> list[str]:
        """What keeps a record from meeting the budget, in words; empty if it meets it."""
        found = []
        if record.verdict == "DIFFERENT":
            found.append("answers differ from the float model")
        if record.file_kb > self.file_kb:
            found.append(f"{SIZE.text(record.file_kb - self.file_kb)} too large")
        if record.median_ms > self.median_ms:
            over = record.median_ms - self.median_ms
            found.append(f"{LATENCY.text(over)} too slow on this host")
        if self.times_float < math.inf:
            if record.times_float is None:
                found.append("its time was not taken in turn with the float model's")
            elif record.times_float > self.times_float:
                found.append(
                    f"{record.times_float:.2f}x the float model's time, too slow on this host"
                )
        if self.p95_times_float < math.inf:
            if record.float_ms is None:
                found.append("its time was not taken in turn with the float model's")
            elif (share := record.p95_ms / record.float_ms) > self.p95_times_float:
                found.append(
                    f"95th percentile {share:.2f}x the float model's time, too slow on this host"
                )
        return found + self._quality(record)

    def _quality(self, record: Record) -> list[str]:
        metric = record.metric
        if self.accuracy is None:
            return []
        if record.accuracy is None:
            return [f"its {metric.name} was not measured"]
        gap = metric.gap(record.accuracy, self.accuracy)
        return [f"{metric.name} {gap}"] if gap else []

    def limit_ms(self, records: Iterable[Record]) -> float:
        """The limit on the time in milliseconds, for rows that were measured in one run here.

        Args:
            records: the rows; those with a ``times_float`` tell how long the float model took.

        Returns:
            The smaller of both limits; infinity if neither is set, or none can be worked out.
        """
        took = float_ms(records)
        return min(self.median_ms, self.times_float * took if took else math.inf)

    def __str__(self) -> str:
        limits = []
        if self.file_kb < math.inf:
            limits.append(f"at most {SIZE.text(self.file_kb)}")
        if self.median_ms < math.inf:
            limits.append(f"at most {self.median_ms:.1f} ms on this host at one thread")
        if self.times_float < math.inf:
            limits.append(f"at most {self.times_float:g} times the float model's time")
        if self.p95_times_float < math.inf:
            limits.append(
                f"95th percentile at most {self.p95_times_float:g} times the float model's time"
            )
        if self.accuracy:
            limits.append(f"at least {ACCURACY.text(self.accuracy)} right")
        return ", ".join(limits) or "no limits"


def float_ms(records: Iterable[Record]) -> float | None:
    """The float model's median time in ms, which rows of one run were timed beside, if any were.

    >>> float_ms([]) is None  # nothing was timed beside the float model
    True
    """
    times = [r.median_ms / r.times_float for r in records if r.times_float]
    return median(times) if times else None


#: The budget of the course.
COURSE = Budget(file_kb=500, times_float=1.5, accuracy=0.98)


@dataclass(frozen=True)
class _Column:
    """A column: its heading, the one for a terminal with the unit in it, and how a cell reads."""

    heading: str
    narrow: str
    cell: Callable[[Record], str]
    bare: Callable[[Record], str] | None = None
    """The cell without the unit, for the terminal; the same as ``cell`` where left out."""


def _figures(heading: str, narrow: str, axis: Callable[[Record], Axis], sign: str = "") -> _Column:
    def cell(record: Record, bare: bool = False) -> str:
        value = axis(record).value(record)
        if value is None:
            return "-"
        return sign + (axis(record).number(value) if bare else axis(record).text(value))

    return _Column(heading, narrow, cell, partial(cell, bare=True))


def _error(value: float) -> str:
    return f"{value:.0e}" if value else "0"


_COLUMNS = (
    _Column("variant", "variant", lambda r: r.variant),
    _Column("same answers?", "same?", lambda r: r.verdict),
    _Column("rel. error", "rel.\nerror", lambda r: _error(r.rel_l2)),
    _Column("max diff", "max\ndiff", lambda r: _error(r.max_abs)),
    _figures("agree", "agree\n%", lambda r: AGREEMENT),
    _figures("size", "size\nkB", lambda r: SIZE),
    _figures("median", "median\nms", lambda r: LATENCY),
    _figures("p95", "p95\nms", lambda r: P95),
    _figures("peak memory", "peak\nMiB", lambda r: MEMORY, "+"),
    _figures("accuracy", "right\n%", lambda r: quality(r.metric)),
)


class Results:
    """Rows that were measured, shown as a table in a notebook, in a terminal, or as text.

    Args:
        records: the rows.
        budget: adds a last column that says whether a row meets it and, if not, why.
        columns: the columns to show in a notebook or as text; all if left out. ``accuracy`` is
            how good the answers are; its heading is the name of the records' metric.

    Raises:
        MobileLabError: if there is no column of that name.

    >>> Results([], columns=("variant", "size"))
    variant  size
    -------  ----
    """

    def __init__(
        self,
        records: Iterable[Record],
        budget: Budget | None = None,
        columns: Collection[str] | None = None,
    ) -> None:
        self.records = list(records)
        self.budget = budget
        known = tuple(c.heading for c in _COLUMNS) + (("budget",) if budget else ())
        self.columns = known if columns is None else tuple(columns)
        unknown = [name for name in self.columns if name not in known]
        if unknown:
            raise MobileLabError(
                f"No column is called {unknown[0]!r}; choose of {', '.join(known)}."
            )

    def cells(self) -> tuple[list[str], list[list[str]]]:
        """The headings, and for each record its cells as text."""
        headings = [column.heading for column in _COLUMNS]
        rows = [[column.cell(record) for column in _COLUMNS] for record in self.records]
        if self.budget:
            headings.append("budget")
            for row, record in zip(rows, self.records, strict=True):
                row.append("; ".join(self.budget.misses(record)) or "met")
        shown = [headings.index(name) for name in self.columns]
        headings = [self._metric().name if name == "accuracy" else name for name in headings]
        return [headings[i] for i in shown], [[row[i] for i in shown] for row in rows]

    def _metric(self) -> Quantity:
        """What the column ``accuracy`` counts: that of all records, if they have the same one."""
        metrics = dict.fromkeys(r.metric for r in self.records)
        return next(iter(metrics)) if len(metrics) == 1 else Classification.metric

    def __repr__(self) -> str:
        headings, rows = self.cells()
        widths = [max(len(row[i]) for row in [headings, *rows]) for i in range(len(headings))]
        lines = [headings, ["-" * width for width in widths], *rows]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
            for line in lines
        )

    def _repr_html_(self) -> str:
        headings, rows = self.cells()
        return render("mobilelab.measure", "table", headings=headings, rows=rows)

    def rich(self, title: str = "") -> Table:
        """The table for a terminal of 80 columns; units stand in the headings."""
        table = Table(title=title, box=box.SIMPLE_HEAD, padding=0, pad_edge=False)
        metric = self._metric()
        other = "" if metric == Classification.metric else f"{metric.name}\n{metric.unit}".strip()
        for i, column in enumerate(_COLUMNS):
            narrow = other or column.narrow if column.heading == "accuracy" else column.narrow
            table.add_column(narrow, justify="left" if i < 2 else "right", no_wrap=True)
        for record in self.records:
            cells = [(column.bare or column.cell)(record) for column in _COLUMNS]
            table.add_row(*cells, style="bold red" if record.verdict == "DIFFERENT" else None)
        return table

    def verdicts(self) -> list[str]:
        """One line per record: whether it meets the budget and, if not, what keeps it from it."""
        if self.budget is None:
            return []
        missed = {record.variant: self.budget.misses(record) for record in self.records}
        return [
            f"{name}: {'misses it, ' + '; '.join(why) if why else 'meets it'}"
            for name, why in missed.items()
        ]

    def json(self) -> str:
        """All fields of all rows, host and versions included."""
        return json.dumps([record.as_dict() for record in self.records], indent=2)

    def csv(self) -> str:
        """All fields of all rows; those of the host carry the prefix ``host_``."""
        out = io.StringIO()
        rows = []
        for record in self.records:
            row = record.as_dict()
            machine = cast("dict[str, object]", row.pop("host"))
            rows.append({**row, **{f"host_{key}": value for key, value in machine.items()}})
        writer = csv.DictWriter(out, fieldnames=list(rows[0]) if rows else [])
        writer.writeheader()
        writer.writerows(rows)
        return out.getvalue()
