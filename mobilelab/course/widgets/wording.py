"""The trade-off explorer in words, as HTML."""

from __future__ import annotations

import html
from collections.abc import Sequence

from mobilelab.course.widgets.axis import Axis
from mobilelab.course.widgets.pareto import pareto
from mobilelab.measure import Record
from mobilelab.measure.report import Budget


def in_words(records: Sequence[Record], budget: Budget, x: Axis, y: Axis) -> str:
    """Which records fit, which lie on the front, and why the others do not fit, as HTML."""
    fitting = [r.variant for r in records if not budget.misses(r)]
    front = [r.variant for r in pareto(records, x, y)]
    escape = html.escape
    lines = [
        f"<b>Fits the budget:</b> {escape(', '.join(fitting)) or 'nothing'}.",
        f"<b>Pareto front</b> in {x.label} and {y.label}, of what a phone can load: "
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
        f"median {record.median_ms:.2f} ms, middle half within {record.iqr_ms:.2f} ms, "
        f"p95 {record.p95_ms:.2f} ms with {threads}, input {html.escape(record.layout)}; "
        f"{record.quality}; answers {record.verdict}, relative error "
        f"{record.rel_l2:.1e}; {memory}. Measured on {html.escape(str(record.host))}."
    )
