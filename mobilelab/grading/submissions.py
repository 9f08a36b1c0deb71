"""Find the submissions: in a folder of notebooks, a folder of student folders, or a zip of either.

Nothing is unpacked to disk, and nothing of a file is believed but its bytes.
"""

from __future__ import annotations

import csv
import re
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path, PurePosixPath

from mobilelab.errors import MobileLabError
from mobilelab.grading.notebook import LARGEST


class SubmissionsError(MobileLabError):
    """There is nothing to grade, or what there is cannot be read."""


@dataclass(frozen=True)
class Submission:
    """One file that a student handed in."""

    student: str
    path: str
    """Where it was found, relative to what was given."""
    content: bytes
    """The file; a file that is too large is cut off just above the limit."""
    handed_in: datetime
    """UTC time of the file, or of its entry in the zip."""


def find(
    place: str | Path, exercise: str, roster: Mapping[str, str] | None = None
) -> tuple[list[Submission], list[str]]:
    """All submissions below ``place``.

    Args:
        place: a folder, a zip from the LMS, or one notebook.
        exercise: its folder's name. Where a student has several notebooks, those named after it
            count; all that count are attempts.
        roster: any name by which a student is known to their id (:func:`read_roster`).

    Returns:
        Submissions, by student and time; and the paths that hold no notebook.

    Raises:
        SubmissionsError: if there is no such place or no notebook in it.
    """
    place = Path(place)
    if not place.exists():
        raise SubmissionsError(f"There is no {place}; give a folder of notebooks or a zip of one.")
    try:
        if place.is_dir():
            files = list(_in_folder(place))
        elif zipfile.is_zipfile(place):
            files = list(_in_zip(place))
        else:
            files = [(place.name, _read(place), _time(place))]
    except (OSError, zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:
        raise SubmissionsError(f"Cannot read {place}: {error}.") from error
    notebooks = [file for file in files if file[0].lower().endswith(".ipynb")]
    if not notebooks:
        raise SubmissionsError(f"There is no notebook (.ipynb) in {place}.")
    by_student: dict[str, list[Submission]] = {}
    for path, content, when in notebooks:
        name = student_of(path)
        student = (roster or {}).get(name.casefold(), name)
        by_student.setdefault(student, []).append(Submission(student, path, content, when))
    chosen: list[Submission] = []
    for own in by_student.values():
        named = [s for s in own if exercise.casefold() in PurePosixPath(s.path).stem.casefold()]
        chosen += sorted(named or own, key=lambda s: (s.handed_in, s.path))
    have = {student_of(path) for path, _, _ in notebooks}
    ignored = sorted(
        path for path, _, _ in files
        if not path.lower().endswith(".ipynb") and student_of(path) not in have
    )  # fmt: skip
    return sorted(chosen, key=lambda s: s.student), ignored


def student_of(path: str) -> str:
    """Whose file it is, by its path.

    ``ada/anything.ipynb`` and ``ada.ipynb`` are ada's. Moodle's folders
    (``Ada L_1234567_assignsubmission_file``) give ``Participant 1234567``, Canvas' file names
    (``lovelaceada_12345_67890_work.ipynb``, with ``_LATE`` or without) give ``12345``.
    """
    parts = PurePosixPath(path).parts
    for part in parts[:-1]:
        moodle = re.fullmatch(r".*_(\d+)_assignsubmission_(?:file|onlinetext)_?", part)
        if moodle:
            return f"Participant {moodle[1]}"
    canvas = re.match(r"[^_]+_(?:LATE_)?(\d+)_\d+_.+", parts[-1])
    if canvas:
        return canvas[1]
    return parts[0] if len(parts) > 1 else PurePosixPath(parts[-1]).stem


def _skipped(parts: tuple[str, ...]) -> bool:
    return any(p.startswith(".") or p == "__MACOSX" for p in parts)


def _in_folder(folder: Path) -> Iterator[tuple[str, bytes, datetime]]:
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        # a link could lead anywhere on the grader's disk
        if path.is_symlink() or not path.is_file() or _skipped(inside.parts):
            continue
        yield inside.as_posix(), _read(path), _time(path)


def _read(path: Path) -> bytes:
    if path.suffix.lower() != ".ipynb":
        return b""
    with path.open("rb") as file:
        return file.read(LARGEST + 1)


def _time(path: Path) -> datetime:
    return datetime.fromtimestamp(path.stat().st_mtime, timezone.utc)


def _in_zip(place: Path) -> Iterator[tuple[str, bytes, datetime]]:
    with zipfile.ZipFile(place) as archive:
        names = [i for i in archive.infolist() if not i.is_dir()]
        for entry in names:
            path = PurePosixPath(entry.filename.replace("\\", "/"))
            if _skipped(path.parts) or ".." in path.parts:
                continue
            content = b""
            if path.suffix.lower() == ".ipynb":
                with archive.open(entry) as file:
                    content = file.read(LARGEST + 1)  # an entry may unpack to anything
            when = datetime(*entry.date_time, tzinfo=timezone.utc)
            yield str(path), content, when


def read_roster(path: str | Path) -> dict[str, str]:
    """Any name of a student to the id in the first column.

    Every cell of a row (name, email, LMS number) names the student, whatever the header says.

    Raises:
        SubmissionsError: if the file cannot be read or has no rows.
    """
    try:
        with Path(path).open(newline="", encoding="utf-8-sig") as file:
            rows = [row for row in csv.reader(file) if any(cell.strip() for cell in row)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SubmissionsError(f"Cannot read the roster {path}: {error}.") from error
    if len(rows) < 2:
        raise SubmissionsError(f"The roster {path} needs a header and one row per student.")
    names: dict[str, str] = {}
    for row in rows[1:]:
        for cell in row:
            if cell.strip():
                names.setdefault(cell.strip().casefold(), row[0].strip())
    return names


def read_times(path: str | Path) -> dict[str, datetime]:
    """Student to the time of handing in, from a CSV with the columns ``student`` and ``time``.

    Raises:
        SubmissionsError: if the file or a time in it cannot be read.
    """
    try:
        with Path(path).open(newline="", encoding="utf-8-sig") as file:
            return {row["student"]: parse_time(row["time"]) for row in csv.DictReader(file)}
    except (OSError, KeyError, UnicodeDecodeError, csv.Error) as error:
        raise SubmissionsError(f"Cannot read the times in {path}: {error}.") from error


def parse_time(text: str) -> datetime:
    """An ISO 8601 time; UTC where it names no zone.

    Raises:
        SubmissionsError: if it is none.
    """
    try:
        when = datetime.fromisoformat(text.strip().replace("Z", "+00:00"))
    except ValueError as error:
        raise SubmissionsError(f"{text!r} is no time; write it as 2026-11-30T23:59.") from error
    return when if when.tzinfo else when.replace(tzinfo=timezone.utc)
