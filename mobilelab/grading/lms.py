"""Grades in the forms that learning platforms read.

Canvas and Moodle: a file that was exported from there is filled in, never invented. Gradescope:
one ``results.json`` for each submission.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from mobilelab.grading.feedback import FeedbackError, file_names
from mobilelab.grading.gradebook import Standing
from mobilelab.grading.pages import number, without_controls
from mobilelab.grading.serialize import same_name


def _table(path: str | Path) -> tuple[list[str], list[list[str]]]:
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
        rows = list(csv.reader(io.StringIO(text)))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise FeedbackError(f"Cannot read {path}: {error}.") from error
    if len(rows) < 2:
        raise FeedbackError(f"{path} has no students; export it again from the platform.")
    return rows[0], [row + [""] * (len(rows[0]) - len(row)) for row in rows[1:]]


def _write(path: str | Path, rows: list[list[str]]) -> None:
    try:
        with Path(path).open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(rows)
    except OSError as error:
        raise FeedbackError(f"Cannot write {path}: {error.strerror}.") from error


def harmless(text: str) -> str:
    """Text that no spreadsheet takes for a formula."""
    return f"'{text}" if text[:1] in tuple("=+-@\t\r") else text


def canvas(
    exported: str | Path, out: str | Path, column: str, grades: Mapping[str, Standing],
    names: Mapping[str, str] | None = None,
) -> tuple[int, list[str]]:  # fmt: skip
    """Fill one assignment's column of an exported Canvas gradebook.

    Args:
        exported: the CSV from Canvas (Grades, Export).
        out: the file to import; only the student columns and this assignment are in it.
        column: the assignment's header, or the part of it that tells it from the others.
        grades: student id to standing.
        names: any name of a student to the id used in ``grades`` (a roster).

    Returns:
        How many were filled, and the graded students that Canvas does not know.

    Raises:
        FeedbackError: if a file or the column is not there.
    """
    header, rows = _table(exported)
    wanted = [i for i, name in enumerate(header) if name == column] or [
        i for i, name in enumerate(header) if column.casefold() in name.casefold()
    ]
    if len(wanted) != 1:
        raise FeedbackError(
            f"{len(wanted)} columns of {exported} match {column!r}; give the whole header, "
            "Name (number), of one."
        )
    fixed = ("Student", "ID", "SIS User ID", "SIS Login ID", "Section")
    if header[:2] != list(fixed[:2]):
        raise FeedbackError(f"{exported} does not look like a Canvas gradebook: {header[:5]}.")
    keep = [header.index(name) for name in fixed if name in header] + wanted
    who = [header.index(name) for name in fixed[:-1] if name in header]
    filled, known, table = 0, set(), [[header[i] for i in keep]]
    for row in rows:
        if row[0].strip() == "Points Possible" or row[0].strip() == "Student, Test":
            table.append([row[i] for i in keep])
            continue
        standing = _standing([row[i] for i in who], grades, names)
        cells = [row[i] for i in keep]
        if standing is not None and cells[-1].strip().upper() != "EX":  # an excused student stays
            cells[-1] = number(standing.points)
            filled += 1
        if standing is not None:
            known.add(standing.student)
        table.append(cells)
    _write(out, table)
    return filled, sorted(set(grades) - known)


#: Columns of Moodle's worksheet that name a person.
_WHO = {
    "identifier", "full name", "first name", "last name", "surname", "email address", "id number",
    "username", "institution id",
}  # fmt: skip


def moodle(
    worksheet: str | Path, out: str | Path, grades: Mapping[str, Standing],
    names: Mapping[str, str] | None = None,
) -> tuple[int, list[str]]:  # fmt: skip
    """Fill in Moodle's offline grading worksheet: ``Grade`` and ``Feedback comments``.

    Args:
        worksheet: as downloaded from the assignment.
        out: the file to upload.
        grades: student id to standing; ``Participant 123`` from Moodle's folders is one.
        names: as for :func:`canvas`.

    Returns:
        How many were filled, and the graded students that the worksheet does not know.

    Raises:
        FeedbackError: if it is no such worksheet, or allows fewer points than were reached.
    """
    header, rows = _table(worksheet)
    if "Identifier" not in header or "Grade" not in header:
        raise FeedbackError(
            f"{worksheet} has no columns Identifier and Grade; download the grading worksheet "
            "from the assignment (View all submissions, Grading action)."
        )
    grade, comments = header.index("Grade"), None
    if "Feedback comments" in header:
        comments = header.index("Feedback comments")
    most = header.index("Maximum Grade") if "Maximum Grade" in header else None
    # Only what names a person: "No submission" stands in Status, and may be somebody's file.
    who = [i for i, name in enumerate(header) if name.strip().casefold() in _WHO]
    filled, known = 0, set()
    for row in rows:
        standing = _standing([row[i] for i in who], grades, names)
        if standing is None:
            continue
        points = standing.points
        if most is not None and row[most].strip():
            try:
                points = points / standing.most * float(row[most].replace(",", "."))
            except ValueError as error:
                raise FeedbackError(f"{row[most]!r} in {worksheet} is no maximum grade.") from error
        row[grade] = number(points)
        if comments is not None:
            row[comments] = harmless(escape(summary(standing), quote=False))
        known.add(standing.student)
        filled += 1
    _write(out, [header, *rows])
    return filled, sorted(set(grades) - known)


def _standing(
    row: list[str], grades: Mapping[str, Standing], names: Mapping[str, str] | None
) -> Standing | None:
    known = {same_name(student): standing for student, standing in grades.items()}
    for cell in map(same_name, row):
        for name in (cell, same_name((names or {}).get(cell, ""))):
            if name and name in known:
                return known[name]
    return None


def summary(standing: Standing) -> str:
    """A standing in a line per task, for a comment field."""
    lines = [f"{number(standing.points)} of {number(standing.most)} points."]
    if standing.message:
        lines.append(standing.message)
    for task in standing.tasks.values():
        missed = [case["name"] for case in task["cases"] if not case["ok"]]
        more = f" ({task['end']}: {', '.join(missed[:4])})" if task["end"] != "right" else ""
        lines.append(f"{task['title']}: {number(task['points'])} of {number(task['max'])}{more}")
    return re.sub(r"[^\S\n]+", " ", without_controls("\n".join(lines)))


def gradescope(standing: Standing) -> dict[str, Any]:
    """The content of Gradescope's ``results.json`` for one submission."""
    tests = []
    for task in standing.tasks.values():
        lines = [task["message"]] if task["message"] else []
        for case in task["cases"]:
            line = f"{'ok' if case['ok'] else 'WRONG'} {case['name']}"
            if not case["ok"] and case["public"]:
                line += f": expected {case['expected']}, got {case['got']}"
            if not case["ok"] and case["hint"]:
                line += f" ({case['hint']})"
            lines.append(line)
        tests.append(
            {
                "name": task["title"],
                "score": round(task["points"] * standing.factor, 2),
                "max_score": task["max"],
                "status": "passed" if task["points"] == task["max"] else "failed",
                "visibility": "visible",
                "output": "\n".join(lines),
            }
        )
    return {
        "score": standing.points,
        "output": standing.message,
        "visibility": "visible",
        "stdout_visibility": "hidden",
        "tests": tests,
    }


def write_gradescope(folder: str | Path, grades: Mapping[str, Standing]) -> None:
    """One folder per student with a ``results.json`` in it.

    Raises:
        FeedbackError: if they cannot be written.
    """
    try:
        names = file_names(grades)
        for student, standing in grades.items():
            path = Path(folder, names[student])
            path.mkdir(parents=True, exist_ok=True)
            (path / "results.json").write_text(json.dumps(gradescope(standing), indent=1))
    except OSError as error:
        raise FeedbackError(f"Cannot write to {folder}: {error.strerror}.") from error
