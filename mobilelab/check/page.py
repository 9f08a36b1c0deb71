"""The report as a table for a terminal, and as one HTML page that needs nothing from outside."""

from __future__ import annotations

import msgspec
from markupsafe import Markup
from rich import box
from rich.table import Table

from mobilelab.check.diagnosis import Reason
from mobilelab.check.results import Report, Row
from mobilelab.core.pages import render

HEADINGS = ("road", "answers", "error", "kB", "x eager", "MiB", "score", "why")


def cells(row: Row) -> tuple[str, ...]:
    """One row as text, for the columns of :data:`HEADINGS`."""

    def number(value: float | None, form: str) -> str:
        return "" if value is None else f"{value:{form}}"

    return (
        row.road,
        row.verdict or row.status,
        number(row.rel_l2, ".0e"),
        number(row.file_kb, ".0f"),
        number(row.times_eager, ".2f"),
        number(row.peak_added_mib, ".1f"),
        number(row.score, ".3g"),
        ", ".join(_short(reason) for reason in row.reasons),
    )


def _short(reason: Reason) -> str:
    return reason.cause or reason.says.split(". ")[0][:160]


def _is_number(column: int) -> bool:
    return 1 < column < len(HEADINGS) - 1


def table(report: Report) -> Table:
    """The table for a terminal."""
    found = Table(title=report.model, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for i, heading in enumerate(HEADINGS):
        last = i == len(HEADINGS) - 1
        found.add_column(heading, justify="right" if _is_number(i) else "left",
                         overflow="fold" if last else "ellipsis", no_wrap=not last)  # fmt: skip
    for row in report.rows:
        style = "bold red" if row.verdict == "DIFFERENT" else None if row.usable else "dim"
        found.add_row(*cells(row), style=style)
    return found


def reasons(report: Report) -> list[tuple[str, Reason]]:
    """Every reason once: the network's own, and those of roads with the roads' names."""
    found: dict[tuple[str, str], tuple[list[str], Reason]] = {}
    places = [("the network", r) for r in report.reasons]
    places += [(row.road, _named(reason, row)) for row in report.rows for reason in row.reasons]
    for place, reason in places:
        key = (reason.cause, reason.line if reason.cause else reason.says)
        found.setdefault(key, ([], reason))[0].append(place)
    return [(", ".join(where), reason) for where, reason in found.values()]


def _named(reason: Reason, row: Row) -> Reason:
    """A road that was not walked is no unknown failure: how it ended is its name."""
    named = reason.cause or row.status in ("done", "refused")
    return reason if named else msgspec.structs.replace(reason, cause=row.status)


def words(where: str, reason: Reason) -> list[str]:
    """A reason in a few lines for a terminal."""
    lines = [f"{reason.cause or 'not known'} ({where}): {reason.says}"]
    if reason.line:
        lines.append(f"  at {reason.line}")
    if reason.cause and reason.error:
        lines.append(f"  the error: {reason.error}")
    lines += [f"    {line}" for line in reason.fix.strip().splitlines()]
    if reason.source:
        chapter = f"chapter {reason.chapter}, " if reason.chapter else ""
        lines.append(f"  {chapter}{reason.source}")
    return lines


# --- HTML ---------------------------------------------------------------------------------


def page(report: Report, picture: str = "") -> str:
    """One HTML page: recommendation, picture, table, reasons. Nothing from outside.

    Args:
        report: what was found.
        picture: HTML, for example the explorer of :mod:`mobilelab.course.widgets.checked`.
    """
    facts = [
        f"{report.signature}", f"{report.parameters:,} parameters, {report.weights_kb:,.0f} kB",
        f"{report.examples} examples, read as {report.task}",
        f"{report.eager_ms:.2f} ms in eager PyTorch at one thread" if report.eager_ms else "",
        f"{report.host.get('cpu', '')}, {report.versions}",
    ]  # fmt: skip
    rows = [
        ("bad" if row.verdict == "DIFFERENT" else "" if row.usable else "no", row.title, cells(row))
        for row in report.rows
    ]
    return render(
        "mobilelab.check", "page", report=report, facts=facts, headings=HEADINGS, rows=rows,
        picture=Markup(picture), reasons=reasons(report),
        number=lambda i: Markup(" class='n'") if _is_number(i) else "",
    )  # fmt: skip
