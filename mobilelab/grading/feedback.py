"""What a student gets back: one HTML page, with nothing in it that a browser would run."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from html import escape
from pathlib import Path

from mobilelab.core.errors import MobileLabError
from mobilelab.grading.gradebook import Standing

#: The most letters of one cell's output on the page.
MOST = 3000


class FeedbackError(MobileLabError):
    """A page or a table cannot be written."""


STYLE = """
body { font: 17px/1.5 system-ui, sans-serif; max-width: 52rem; margin: 2rem auto; padding: 0 1rem;
       color: #1a1a1a; background: #fff; }
table { border-collapse: collapse; width: 100%; margin: .5rem 0 1.5rem; }
th, td { text-align: left; vertical-align: top; padding: .3rem .6rem;
         border-bottom: 1px solid #ccc; overflow-wrap: anywhere; }
@media (max-width: 40rem) { table { display: block; overflow-x: auto; }
  td { min-width: 3.5rem; } th { overflow-wrap: normal; } }
.score { font-size: 1.5rem; font-weight: 600; }
.right { color: #005a9c; } .wrong { color: #a34700; }
.right, .wrong, .bars { white-space: nowrap; }
pre { background: #f4f4f4; padding: .6rem; overflow-x: auto; white-space: pre-wrap; }
.note { border-left: .3rem solid #a34700; padding-left: .8rem; }
img { max-width: 100%; }
@media (prefers-color-scheme: dark) {
  body { color: #eee; background: #161616; } pre { background: #262626; }
  .right { color: #6db9f2; } .wrong { color: #f0a050; } }
"""


def page(title: str, body: str) -> str:
    """A whole HTML page; ``body`` is already escaped. Scripts are forbidden to the browser."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width">\n'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "img-src data:; style-src 'unsafe-inline'\">\n"
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n{body}\n"
        "</body>\n</html>\n"
    )


def number(points: float) -> str:
    """Points without needless zeros."""
    return f"{points:.2f}".rstrip("0").rstrip(".")


def to_html(title: str, standing: Standing) -> str:
    """The feedback of one student.

    Public cases show what was expected and what came; of a hidden case there is the name, and the
    misconception to think about, but no value.
    """
    parts = [
        f"<h1>{escape(title)}</h1>",
        f"<p>{_text(standing.student)} · {_text(standing.path)}</p>",
        f'<p class="score">{number(standing.points)} of {number(standing.most)} points</p>',
    ]
    if standing.factor < 1:
        parts.append(
            f"<p>Handed in {standing.late_days} days late: {standing.factor:.0%} of the points "
            "count.</p>"
        )
    if standing.message:
        note = f"<strong>{_text(standing.end)}.</strong> {_text(standing.message)}"
        parts.append(f'<p class="note">{note}</p>')
    for task in standing.tasks.values():
        parts.append(
            f"<h2>{_text(task['title'])}: {number(task['points'])} of {number(task['max'])}</h2>"
        )
        if task["end"] != "right" and (task["message"] or task["end"] != "wrong answer"):
            said = f"<pre>{_text(task['message'][:MOST])}</pre>" if task["message"] else ""
            parts.append(f'<div class="note"><strong>{_text(task["end"])}</strong>{said}</div>')
        if task["cases"]:
            parts.append(_cases(task["cases"]))
    if standing.limits:
        parts.append(f"<p>{_text(standing.limits)}</p>")
    parts.append("<h2>Your cells</h2>")
    parts += [_cell(cell) for cell in standing.cells]
    return page(f"{title}: {standing.student}", "\n".join(parts))


#: Kinds of characters that nobody sees.
_SILENT = ("Cc", "Cf", "Cs")


def _text(value: str) -> str:
    """A student's words, for a page."""
    return escape(without_controls(value))


def _cases(cases: list[dict]) -> str:
    rows = ["<tr><th></th><th>case</th><th>expected</th><th>got</th></tr>"]
    for case in cases:
        mark = (
            '<span class="right">✓ right</span>'
            if case["ok"]
            else '<span class="wrong">✗ wrong</span>'
        )
        name = _text(case["name"])
        if not case["ok"] and case["hint"]:
            name += f"<br><em>{_text(case['hint'])}</em>"
        if case["public"]:
            values = f"<td>{_text(case['expected'])}</td><td>{_text(case['got'])}</td>"
        else:
            values = "<td colspan=2>hidden, counts for points</td>"
        rows.append(f"<tr><td>{mark}</td><td>{name}</td>{values}</tr>")
    return "<table>" + "\n".join(rows) + "</table>"


def _cell(cell: dict) -> str:
    place = cell["place"] + 1
    parts = [f"<h3>Cell {place}</h3>", f"<pre>{escape(_trimmed(cell['source']))}</pre>"]
    for item in cell["outputs"]:
        if item["kind"] == "picture":
            alt = f"picture of cell {place}"
            parts.append(f'<img alt="{alt}" src="data:image/png;base64,{escape(item["png"])}">')
        else:
            parts.append(f"<pre>{escape(_trimmed(item['text']))}</pre>")
    if cell["error"]:
        parts.append(f'<pre class="wrong">{escape(_trimmed(cell["error"]))}</pre>')
    elif cell["outcome"] == "not run":
        parts.append('<p class="wrong">This cell was not run.</p>')
    return "\n".join(parts)


def _trimmed(text: str) -> str:
    text = without_controls(text)
    return text if len(text) <= MOST else text[:MOST] + "\n[trimmed]"


def without_controls(text: str) -> str:
    """Text without what has no place in a page: colors, control characters, marks of direction."""
    text = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", text)
    return "".join(c for c in text if c in "\n\t" or unicodedata.category(c) not in _SILENT)


def file_name(student: str) -> str:
    """A safe file name for a student, of 120 bytes at most; two may have one."""
    name = re.sub(r"[^\w.@+-]", "_", student.lstrip("."))
    return name.encode()[:120].decode(errors="ignore") or "student"


def file_names(students: Iterable[str]) -> dict[str, str]:
    """A file name for each student, and no two alike, also where case does not count."""
    found: dict[str, str] = {}
    taken: set[str] = set()
    for student in students:
        name = base = file_name(student)
        count = 1
        while name.casefold() in taken:
            count += 1
            name = f"{base}-{count}"
        taken.add(name.casefold())
        found[student] = name
    return found


def write(folder: str | Path, title: str, standings: Iterable[Standing]) -> int:
    """Write one page per student into ``folder``; how many there are.

    Raises:
        FeedbackError: if they cannot be written.
    """
    standings = list(standings)
    names = file_names(standing.student for standing in standings)
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        for standing in standings:
            path = Path(folder, f"{names[standing.student]}.html")
            path.write_text(to_html(title, standing), encoding="utf-8")
    except OSError as error:
        raise FeedbackError(f"Cannot write feedback to {folder}: {error.strerror}.") from error
    return len(standings)
