"""What a student gets back: one HTML page, with nothing in it that a browser would run."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from mobilelab.core.errors import MobileLabError
from mobilelab.grading.gradebook import Standing
from mobilelab.grading.pages import render


class FeedbackError(MobileLabError):
    """A page or a table cannot be written."""


def to_html(title: str, standing: Standing) -> str:
    """The feedback of one student.

    Public cases show what was expected and what came; of a hidden case there is the name, and the
    misconception to think about, but no value.
    """
    return render("feedback", title=title, standing=standing)


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
