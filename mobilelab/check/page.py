"""The report as a table for a terminal, and as one HTML page that needs nothing from outside."""

from __future__ import annotations

import io

from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter
from rich import box
from rich.table import Table

from mobilelab.check.advice import ON_PHONES, grave
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
    places += [(row.road, reason) for row in report.rows for reason in row.reasons]
    for place, reason in places:
        key = (reason.cause, reason.line if reason.cause else reason.says)
        found.setdefault(key, ([], reason))[0].append(place)
    return [(", ".join(where), reason) for where, reason in found.values()]


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


def page(report: Report) -> str:
    """One HTML page: recommendation, picture, table, reasons. No scripts, nothing from outside."""
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
        picture=Markup(picture(report)), reasons=reasons(report),
        number=lambda i: Markup(" class='n'") if _is_number(i) else "",
    )  # fmt: skip


#: What a file is drawn as, from the worst down: color, mark, and what that says.
_KINDS = (
    ("#d55e00", "X", "other answers, or a fault"),
    ("#0072b2", "o", "for phones"),
    ("#777777", "s", "for this computer"),
)


def _kind(row: Row) -> int:
    if not row.usable or grave(row):
        return 0
    return 1 if row.file.endswith(ON_PHONES) else 2


def picture(report: Report) -> str:
    """Size across, time over the network's own upward, as SVG; the table below says the same."""
    rows = [row for row in report.rows if row.file_kb and row.times_eager]
    if len(rows) < 2:
        return ""
    figure = Figure(figsize=(8, 3.6), layout="constrained")
    axes = figure.subplots()
    for kind, (color, mark, says) in enumerate(_KINDS):
        own = [row for row in rows if _kind(row) == kind]
        points = [row.file_kb or 1 for row in own], [row.times_eager or 1 for row in own]
        if own:
            axes.scatter(*points, c=color, marker=mark, label=says, zorder=3)
    axes.set(xscale="log", yscale="log", xlabel="file size (kB)", ylabel="time over eager (x)")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axis.set_minor_formatter(NullFormatter())
    axes.grid(alpha=0.3)
    axes.margins(0.15)
    written: list[tuple[float, float]] = []
    for row in rows:
        left, low = axes.transData.transform((row.file_kb or 1, row.times_eager or 1))
        if all(abs(x - left) > 70 or abs(y - low) > 11 for x, y in written):  # else unreadable
            written.append((left, low))
            at = (row.file_kb or 1, row.times_eager or 1)
            axes.annotate(row.road, at, (6, 3), textcoords="offset points", fontsize=9)
    figure.legend(loc="outside right upper", frameon=False, fontsize=9)
    for part in figure.findobj():
        part.set_clip_on(False)  # a clip is a reference by url()
    content = io.StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "mobilelab"}):
        figure.savefig(
            content, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type"))
        )
    drawn = content.getvalue()
    return drawn[drawn.index("<svg") :]
