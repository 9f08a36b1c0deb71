"""The trade-off explorer in words, as HTML, and as the values that its page takes."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from typing import Any

from mobilelab import runtimes
from mobilelab.course.widgets.pareto import pareto
from mobilelab.measure import Record
from mobilelab.measure.quantities import Axis
from mobilelab.measure.report import Budget, Results

#: What stands for the cell of a record that the course did not build.
OWN = "# Your own model: your own cell builds it."
#: The axes whose limit follows a slider or the start; the page knows how.
_FOLLOWS = {"size": "size", "latency": "latency", "p95": "p95"}


def in_words(
    records: Sequence[Record], budget: Budget, x: Axis, y: Axis, everything: bool = False
) -> str:
    """Which records fit, which lie on the front, and why the others do not fit, as HTML."""
    fitting = [r.variant for r in records if not budget.misses(r)]
    front = [r.variant for r in pareto(records, x, y, everything)]
    escape = html.escape
    of = "of all files" if everything else "of files made for phones"
    lines = [
        f"<b>Fits the budget:</b> {escape(', '.join(fitting)) or 'nothing'}.",
        f"<b>Pareto front</b> in {x.label} and {y.label}, {of}: "
        f"{escape(', '.join(front)) or 'nothing'}.",
    ]
    why = "".join(
        f"<li>{escape(r.variant)} misses the budget: {escape('; '.join(budget.misses(r)))}.</li>"
        for r in records
        if budget.misses(r)
    )
    hidden = [r.variant for r in records if not (x.places(r) and y.places(r))]
    if hidden:
        lines.append(f"Not measured on these axes, so not drawn: {escape(', '.join(hidden))}.")
    return "<br>".join(lines) + (
        f"<ul style='margin:.2em 0;line-height:1.35;columns:2'>{why}</ul>" if why else "<br>"
    )


def describe(record: Record) -> str:
    """One record in a sentence or two, as HTML."""
    return f"{_figures(record)} {_where(record)}"


def _where(record: Record) -> str:
    return f"Measured on {html.escape(str(record.host))}."


def _figures(record: Record) -> str:
    threads = "1 thread" if record.threads == 1 else f"{record.threads} threads"
    memory = (
        "peak memory not measured"
        if record.peak_added_mib is None
        else f"peak memory {record.peak_added_mib:.1f} MiB above torch"
    )
    chapter = f" (chapter {html.escape(record.chapter)})" if record.chapter else ""
    return (
        f"<b>{html.escape(record.variant)}</b>{chapter}: {html.escape(record.file)}, "
        f"{record.file_kb:.0f} kB; "
        f"median {record.median_ms:.2f} ms, middle half spans {record.iqr_ms:.2f} ms, "
        f"p95 {record.p95_ms:.2f} ms with {threads}, input {html.escape(record.layout)}; "
        f"{record.quality}; answers {record.verdict}, relative error "
        f"{record.rel_l2:.1e}; {memory}."
    )


def building(record: Record, cells: Mapping[str, str]) -> str:
    """The cell that builds a record's file, as HTML."""
    return (
        f"<b>The cell that builds {html.escape(record.variant)}</b>"
        f"<pre>{html.escape(cells.get(record.variant, OWN))}</pre>"
    )


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _record(
    record: Record, axes: Mapping[str, Axis], cells: Sequence[str], hosts: list[str]
) -> dict[str, Any]:
    return {
        "name": record.variant,
        "file_kb": record.file_kb,
        "median_ms": record.median_ms,
        "p95_ms": record.p95_ms,
        "float_ms": record.float_ms,
        "times_float": record.times_float,
        "accuracy": _finite(record.accuracy),
        "different": record.verdict == "DIFFERENT",
        "phone": runtimes.on_phones(record.file),
        "text": _figures(record),
        "host": hosts.index(_where(record)),
        "cells": list(cells),
        "axes": {
            name: [
                axis.known(record) if axis.places(record) else None,
                axis.of(record),
                axis.spread(record),
            ]
            for name, axis in axes.items()
        },
    }


def _axis(name: str, axis: Axis, grade: str, budget: Budget, records: Sequence[Record]) -> Any:
    limit = axis.limit(budget, records)
    return {
        "label": axis.label,
        "unit": axis.unit,
        "more": axis.more_is_better,
        "digits": axis.decimals,
        "limit": "quality" if name == grade else _FOLLOWS.get(name, _finite(limit)),
    }


def for_page(
    measured: Mapping[tuple[int, str], Sequence[Record]],
    first: tuple[int, str],
    axes: Mapping[str, Axis],
    budget: Budget,
    cells: Mapping[str, str],
) -> dict[str, Any]:
    """What the page draws from, as JSON values.

    Args:
        measured: records by threads and layout.
        first: those to begin with.
        axes: all quantities by name.
        budget: where the sliders began.
        cells: name of a variant to the code that builds it.
    """
    records = measured[first]
    metric = records[0].metric
    grade = metric.name
    names = {r.variant for r in records}
    everywhere = (_where(r) for rows in measured.values() for r in rows)
    hosts = list(dict.fromkeys(everywhere))  # once each: they are long
    places = {}
    for (threads, layout), rows in measured.items():
        headings, texts = Results(rows).cells()
        each = [_record(r, axes, text, hosts) for r, text in zip(rows, texts, strict=True)]
        places[f"{threads} {layout}"] = {"records": each}
    return {
        "measured": places,
        "hosts": hosts,
        "first": f"{first[0]} {first[1]}",
        "head": [*headings, "budget"],
        "axes": {name: _axis(name, axis, grade, budget, records) for name, axis in axes.items()},
        "budget": {
            "times_float": _finite(budget.times_float),
            "median_ms": _finite(budget.median_ms),
            "limit_ms": _finite(budget.limit_ms(records)),
            "p95_times_float": _finite(budget.p95_times_float),
            "p95_ms": _finite(axes["p95"].limit(budget, records)),
            "accuracy": budget.accuracy,
        },
        "metric": {
            "name": metric.name, "unit": metric.unit, "more": metric.more_is_better,
            "digits": metric.decimals, "percent": metric.unit == "%",
        },
        "code": {name: text for name, text in cells.items() if name in names},
        "own": OWN,
    }  # fmt: skip
