"""Who is in the class, and when they handed in: two tables that the instructor gives."""

from __future__ import annotations

import csv
import unicodedata
from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from mobilelab.grading.serialize import same_name
from mobilelab.grading.submissions import SubmissionsError, listed


def read_roster(path: str | Path) -> dict[str, str]:
    """Any name of a student, as :func:`same_name` writes it, to the id in the first column.

    Every cell of a row (name, email, LMS number) names the student, whatever the header says; one
    that stands in several rows (a group, a city) names nobody.

    Raises:
        SubmissionsError: if the file cannot be read, has no rows, or an id cannot be one.
    """
    try:
        with Path(path).open(newline="", encoding="utf-8-sig") as file:
            rows = [row for row in csv.reader(file) if any(cell.strip() for cell in row)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SubmissionsError(f"Cannot read the roster {path}: {error}.") from error
    if len(rows) < 2:
        raise SubmissionsError(f"The roster {path} needs a header and one row per student.")
    names: dict[str, str] = {}
    told: Counter[str] = Counter()
    for row in rows[1:]:
        student = unicodedata.normalize("NFC", row[0]).strip()
        _check_id(student, path)
        if same_name(student) in names:
            raise SubmissionsError(f"{student} stands in two rows of {path}; keep one.")
        names[same_name(student)] = student
    for row in rows[1:]:
        told.update({same_name(cell) for cell in row[1:] if cell.strip()} - {same_name(row[0])})
    for row in rows[1:]:
        for cell in map(same_name, row[1:]):
            if told[cell] == 1:
                names.setdefault(cell, names[same_name(row[0])])
    return names


def _check_id(student: str, path: str | Path) -> None:
    """An id becomes the name of a folder, and is printed.

    Raises:
        SubmissionsError: if it cannot.
    """
    bad = [c for c in student if c in "/\\" or unicodedata.category(c).startswith("C")]
    if not student or bad or student.startswith(".") or len(student) > 100:
        raise SubmissionsError(
            f"{student!r} in the first column of {path} cannot be an id: up to 100 letters, digits "
            "and signs, without a slash and without a dot at the beginning."
        )


def read_times(path: str | Path, roster: Mapping[str, str] | None = None) -> dict[str, datetime]:
    """Student to the time of handing in, from a CSV with the columns ``student`` and ``time``.

    Args:
        path: the file.
        roster: from :func:`read_roster`; any name of a student will do then.

    Returns:
        Times by id, as :func:`same_name` writes it.

    Raises:
        SubmissionsError: if the file or a time in it cannot be read.
    """
    try:
        with Path(path).open(newline="", encoding="utf-8-sig") as file:
            table = csv.DictReader(file)
            lacking = {"student", "time"} - set(table.fieldnames or ())
            rows = [] if lacking else [(row["student"] or "", row["time"] or "") for row in table]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SubmissionsError(f"Cannot read the times in {path}: {error}.") from error
    if lacking:
        raise SubmissionsError(
            f"{path} has no column {listed(lacking)}; its first line has to be student,time."
        )
    names = roster or {}
    return {
        same_name(names.get(same_name(student), student)): parse_time(when)
        for student, when in rows
    }


def parse_time(text: str) -> datetime:
    """An ISO 8601 time; this machine's local time where it names no zone.

    Raises:
        SubmissionsError: if it is none.
    """
    try:
        when = datetime.fromisoformat(text.strip().replace("Z", "+00:00"))
    except ValueError as error:
        raise SubmissionsError(f"{text!r} is no time; write it as 2026-11-30T23:59.") from error
    return when if when.tzinfo else when.astimezone()
