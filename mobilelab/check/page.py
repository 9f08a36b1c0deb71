"""The report as a table for a terminal, and as one HTML page that needs nothing from outside."""

from __future__ import annotations

import html
import io

from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter
from rich import box
from rich.table import Table

from mobilelab.check.advice import ON_PHONES, grave
from mobilelab.check.diagnosis import Reason
from mobilelab.check.results import Report, Row

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


def table(report: Report) -> Table:
    """The table for a terminal."""
    found = Table(title=report.model, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for i, heading in enumerate(HEADINGS):
        last = i == len(HEADINGS) - 1
        found.add_column(heading, justify="right" if 1 < i < 7 else "left",
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

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem;
       color: #1c1c1c; background: #fff; }
table { border-collapse: collapse; width: 100%; } th, td { padding: .25rem .6rem; text-align: left;
       border-bottom: 1px solid #ccc; vertical-align: top; } th.n, td.n { text-align: right; }
tr.bad td { color: #a00000; font-weight: 600; } tr.no td { color: #555; }
pre { background: #f2f2f2; padding: .5rem; overflow-x: auto; }
svg { min-width: 34rem; max-width: 100%; height: auto; }
.table { overflow-x: auto; }
@media (prefers-color-scheme: dark) { body { background: #161616; color: #eee; }
  pre { background: #2a2a2a; } tr.bad td { color: #ff9a9a; } tr.no td { color: #aaa; } }
"""


def page(report: Report) -> str:
    """One HTML page: recommendation, picture, table, reasons. No scripts, nothing from outside."""
    e = html.escape
    facts = [
        f"{report.signature}", f"{report.parameters:,} parameters, {report.weights_kb:,.0f} kB",
        f"{report.examples} examples, read as {report.task}",
        f"{report.eager_ms:.2f} ms in eager PyTorch at one thread" if report.eager_ms else "",
        f"{report.host.get('cpu', '')}, {report.versions}",
    ]  # fmt: skip
    head = "".join(
        f"<th scope='col'{' class=n' if 1 < i < 7 else ''}>{e(name)}</th>"
        for i, name in enumerate(HEADINGS)
    )
    return (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width'>"
        f"<title>{e(report.model)} on every road</title><style>{_STYLE}</style></head><body>"
        f"<h1>{e(report.model)}</h1><p>{e(report.advice)}</p>"
        f"<ul>{''.join(f'<li>{e(fact)}</li>' for fact in facts if fact)}</ul>"
        f"{picture(report)}"
        f"<h2>Every road</h2><div class='table'><table><thead><tr>{head}</tr></thead>"
        f"<tbody>{''.join(map(_row, report.rows))}</tbody></table></div>"
        "<p>x eager: median time over the network's own, taken in turn on this host, one thread. "
        "MiB: peak memory that loading and running adds. Times are no phone's.</p>"
        f"<h2>Reasons</h2>{''.join(_reason(w, r) for w, r in reasons(report)) or '<p>None.</p>'}"
        "</body></html>"
    )


def _row(row: Row) -> str:
    kind = "bad" if row.verdict == "DIFFERENT" else "" if row.usable else "no"
    text = "".join(
        f"<td class='n'>{html.escape(cell)}</td>" if 1 < i < 7 else f"<td>{html.escape(cell)}</td>"
        for i, cell in enumerate(cells(row))
    )
    return f"<tr class='{kind}' title='{html.escape(row.title, quote=True)}'>{text}</tr>"


def _reason(where: str, reason: Reason) -> str:
    e = html.escape
    parts = [f"<h3 id='{e(reason.cause)}'>{e(reason.cause or 'not known')}</h3>",
             f"<p>On {e(where)}. {e(reason.says)}</p>"]  # fmt: skip
    if reason.line:
        parts.append(f"<p>At <code>{e(reason.line)}</code></p>")
    if reason.cause and reason.error:
        parts.append(f"<p>The error: <code>{e(reason.error)}</code></p>")
    if reason.fix:
        parts.append(f"<pre>{e(reason.fix.strip())}</pre>")
    if reason.source:
        chapter = f"Chapter {e(reason.chapter)}. " if reason.chapter else ""
        parts.append(f"<p>{chapter}<a href='{e(reason.source, quote=True)}'>Source</a></p>")
    return "".join(parts)


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
    return (
        "<div class='table' role='img' aria-label='Size and time of each file; the table below "
        f"holds the same figures.'>{drawn[drawn.index('<svg') :]}</div>"
    )
