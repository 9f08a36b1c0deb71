"""What ``mobilelab check`` found, in the trade-off explorer: any model's files, size against time.

The explorer shows the files that were timed. A file that answers the examples and is wrong
elsewhere (a frozen branch, a lost state) carries that in its name and counts as different.
"""

from __future__ import annotations

import math
from dataclasses import fields

from mobilelab.check import page as pages
from mobilelab.check.advice import grave, recommended
from mobilelab.check.results import Report, Row
from mobilelab.core.errors import MeasureError
from mobilelab.core.quantity import Quantity
from mobilelab.course.widgets.tradeoff import TradeoffExplorer
from mobilelab.measure import Record
from mobilelab.measure.hosts import Host
from mobilelab.measure.parity import Verdict
from mobilelab.measure.quantities import AGREEMENT
from mobilelab.measure.report import Budget


def records(report: Report) -> list[Record]:
    """One record for each road whose file was timed, in the order of the roads.

    Without targets a record's ``accuracy`` is the share of decisions that the file and the network
    take alike, and its metric says so.
    """
    judged = report.score is not None
    metric = (
        Quantity(
            report.metric, report.metric_unit, more_is_better=report.metric_more_is_better
        ) if judged else AGREEMENT
    )  # fmt: skip
    return [_record(report, row, metric, judged) for row in report.rows if _timed(row)]


def _timed(row: Row) -> bool:
    return row.status == "done" and None not in (row.file_kb, row.median_ms, row.iqr_ms, row.p95_ms)


def _record(report: Report, row: Row, metric: Quantity, judged: bool) -> Record:
    host = {each.name: report.host.get(each.name, "") for each in fields(Host)}
    return Record(
        variant=_name(row),
        chapter="",
        file=row.file,
        file_kb=row.file_kb or 0.0,
        rel_l2=math.inf if row.rel_l2 is None else row.rel_l2,
        max_abs=math.inf if row.max_abs is None else row.max_abs,
        agreement=row.agreement or 0.0,
        verdict=Verdict(row.verdict) if row.usable and not grave(row) else Verdict.DIFFERENT,
        accuracy=row.score if judged else row.agreement,
        median_ms=row.median_ms or 0.0,
        iqr_ms=row.iqr_ms or 0.0,
        p95_ms=row.p95_ms or 0.0,
        threads=1,
        peak_added_mib=row.peak_added_mib,
        peak_total_mib=None,
        host=Host(**host),
        times_float=row.times_eager,
        float_ms=report.eager_ms,
        metric=metric,
    )


def _name(row: Row) -> str:
    """The road, with what is wrong with its file although it answers the examples."""
    faults = grave(row) or (["answers at random"] if row.verdict == "random" else [])
    return f"{row.road} ({', '.join(faults)})" if faults else row.road


def explorer(report: Report, budget: Budget | None = None) -> TradeoffExplorer:
    """The trade-off explorer of a report; the file that the report recommends is selected.

    Args:
        report: of :func:`mobilelab.check.check`.
        budget: where the sliders start; without one, nothing is limited.

    Raises:
        MeasureError: if no file was timed.
    """
    found = records(report)
    if not found:
        raise MeasureError(
            f"No file of {report.model} was timed, so there is nothing to draw; the report's rows "
            "say what became of each road."
        )
    cells = {
        _name(row): f'check(model, examples, names=["{row.road}"], out="out/check")'
        for row in report.rows
    }
    budget = budget or Budget()
    made = TradeoffExplorer(found, budget, cells=cells, folder="out/check")
    best = recommended(report, budget)
    if best is not None and _timed(best):
        made.selected.value = _name(best)
    return made


def page(report: Report, budget: Budget | None = None) -> str:
    """The report as one HTML page with the explorer in it, where at least two files were timed."""
    many = len(records(report)) > 1
    return pages.page(report, explorer(report, budget).static() if many else "")
