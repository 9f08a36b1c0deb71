"""The course's running table, and the budget that it is read against."""

from __future__ import annotations

import csv
import html
import io
import json
import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from statistics import median
from typing import cast

from rich import box
from rich.table import Table

from mobilelab.core.errors import MobileLabError
from mobilelab.measure.records import Record


@dataclass(frozen=True)
class Budget:
    """What a model may weigh and take, and how good it must be. Chapter 00 sets it.

    A limit that is left out is no limit. A time in milliseconds holds for one host only; a share of
    the float model's time can be decided on any.
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
            found.append(f"{record.file_kb - self.file_kb:.0f} kB too large")
        if record.median_ms > self.median_ms:
            found.append(f"{record.median_ms - self.median_ms:.2f} ms too slow on this host")
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
        gap = self.accuracy - record.accuracy
        if gap <= 0 if metric.more_is_better else gap >= 0:
            return []
        by = f"{100 * abs(gap):.1f} points" if metric.unit == "%" else metric.text(abs(gap))
        return [f"{metric.name} {by} too {'low' if metric.more_is_better else 'high'}"]

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
            limits.append(f"at most {self.file_kb:.0f} kB")
        if self.median_ms < math.inf:
            limits.append(f"at most {self.median_ms:.1f} ms on this host at one thread")
        if self.times_float < math.inf:
            limits.append(f"at most {self.times_float:g} times the float model's time")
        if self.p95_times_float < math.inf:
            limits.append(
                f"95th percentile at most {self.p95_times_float:g} times the float model's time"
            )
        if self.accuracy:
            limits.append(f"at least {self.accuracy:.1%} right")
        return ", ".join(limits) or "no limits"


def float_ms(records: Iterable[Record]) -> float | None:
    """The float model's median time in ms, which rows of one run were timed beside, if any were."""
    times = [r.median_ms / r.times_float for r in records if r.times_float]
    return median(times) if times else None


#: The budget of the course.
COURSE = Budget(file_kb=500, times_float=1.5, accuracy=0.98)

_HEADINGS: tuple[str, ...] = (
    "variant",
    "same answers?",
    "rel. error",
    "max diff",
    "agree",
    "size",
    "median",
    "p95",
    "peak memory",
    "accuracy",
)
#: Headings for a terminal, whose cells hold bare numbers.
_NARROW = (
    "variant",
    "same?",
    "rel.\nerror",
    "max\ndiff",
    "agree\n%",
    "size\nkB",
    "median\nms",
    "p95\nms",
    "peak\nMiB",
    "right\n%",
)


def _row(record: Record) -> tuple[str, ...]:
    memory = record.peak_added_mib
    return (
        record.variant,
        record.verdict,
        f"{record.rel_l2:.0e}" if record.rel_l2 else "0",
        f"{record.max_abs:.0e}" if record.max_abs else "0",
        f"{record.agreement:.1%}",
        f"{record.file_kb:.0f} kB",
        f"{record.median_ms:.2f} ms",
        f"{record.p95_ms:.2f} ms",
        "-" if memory is None else f"+{memory:.1f} MiB",
        "-" if record.accuracy is None else record.metric.text(record.accuracy),
    )


class Results:
    """Rows that were measured, shown as a table in a notebook, in a terminal, or as text.

    Args:
        records: the rows.
        budget: adds a last column that says whether a row meets it and, if not, why.
        columns: headings of the columns to show in a notebook or as text; all if left out.

    Raises:
        MobileLabError: if there is no column of that name.
    """

    def __init__(
        self,
        records: Iterable[Record],
        budget: Budget | None = None,
        columns: Collection[str] | None = None,
    ) -> None:
        self.records = list(records)
        self.budget = budget
        known = _HEADINGS + (("budget",) if budget else ())
        self.columns = known if columns is None else tuple(columns)
        unknown = [name for name in self.columns if name not in known]
        if unknown:
            raise MobileLabError(
                f"No column is called {unknown[0]!r}; choose of {', '.join(known)}."
            )

    def cells(self) -> tuple[list[str], list[list[str]]]:
        """The headings, and for each record its cells as text."""
        headings, rows = list(_HEADINGS), [list(_row(record)) for record in self.records]
        if self.budget:
            headings.append("budget")
            for row, record in zip(rows, self.records, strict=True):
                row.append("; ".join(self.budget.misses(record)) or "met")
        shown = [headings.index(name) for name in self.columns]
        return [headings[i] for i in shown], [[row[i] for i in shown] for row in rows]

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
        head = "".join(f"<th style='text-align:left'>{html.escape(h)}</th>" for h in headings)
        body = "".join(
            "<tr>"
            + "".join(f"<td style='text-align:left'>{html.escape(c)}</td>" for c in row)
            + "</tr>"
            for row in rows
        )
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"

    def rich(self, title: str = "") -> Table:
        """The table for a terminal of 80 columns; units stand in the headings."""
        table = Table(title=title, box=box.SIMPLE_HEAD, padding=0, pad_edge=False)
        for i, heading in enumerate(_NARROW):
            table.add_column(heading, justify="left" if i < 2 else "right", no_wrap=True)
        for record in self.records:
            cells = [cell.split(" ")[0].rstrip("%") for cell in _row(record)]
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
