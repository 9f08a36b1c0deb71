"""Find the submissions: in a folder of notebooks, a folder of student folders, or a zip of either.

Nothing is unpacked to disk, and nothing of a file is believed but its bytes.
"""

from __future__ import annotations

import csv
import re
import unicodedata
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path, PurePosixPath

from mobilelab.core.errors import MobileLabError
from mobilelab.grading.notebook import LARGEST
from mobilelab.grading.plain import same_name


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


@dataclass(frozen=True)
class Remark:
    """A file that needs a word: it is not graded, or something about it was not as it should be."""

    path: str
    text: str


def find(
    place: str | Path,
    exercise: str,
    roster: Mapping[str, str] | None = None,
    untouched: Callable[[bytes], bool] | None = None,
) -> tuple[list[Submission], list[Remark]]:
    """All submissions below ``place``.

    Whose a file is says its outermost folder, or the platform's own name for it at the top; never
    a name inside a student's folder.

    Args:
        place: a folder, a zip from the LMS, or one notebook.
        exercise: its folder's name. Where a student has several notebooks, those named after it
            count; all that count are attempts.
        roster: any name by which a student is known to their id (:func:`read_roster`).
        untouched: whether a notebook is still as it was handed out. Where all that a student named
            after the exercise are, the others count.

    Returns:
        Submissions, by student and time; and a remark for everything that is not graded.

    Raises:
        SubmissionsError: if there is no such place or no notebook in it.
    """
    place = Path(place)
    if not place.exists():
        raise SubmissionsError(f"There is no {place}; give a folder of notebooks or a zip of one.")
    remarks: list[Remark] = []
    try:
        if place.is_dir():
            files = list(_in_folder(place, remarks))
        elif place.suffix.lower() != ".ipynb" and zipfile.is_zipfile(place):
            files = list(_in_zip(place, remarks))
        else:
            files = [(_clean(place.name), _read(place), _time(place))]
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        # a damaged zip ends in any of them, UnicodeDecodeError among the ValueErrors
        raise SubmissionsError(f"Cannot read {place}: {error}.") from error
    notebooks = [file for file in files if file[0].lower().endswith(".ipynb")]
    if not notebooks:
        why = f" {remarks[0].path}: {remarks[0].text}" if remarks else ""
        raise SubmissionsError(f"There is no notebook (.ipynb) in {place}.{why}")
    by_student: dict[str, list[Submission]] = {}
    for path, content, when in notebooks:
        names = names_of(path)
        known = {(roster or {}).get(same_name(name), "") for name in names} - {""}
        if len(known) > 1:
            why = f"not graded: its names are those of {_and(known)}; rename it"
            remarks.append(Remark(path, why))
            continue
        if roster and not known:
            remarks.append(Remark(path, f"graded, but {names[0]} is not on the roster"))
        student = next(iter(known), names[0])
        by_student.setdefault(same_name(student), []).append(
            Submission(student, path, content, when)
        )
    chosen: list[Submission] = []
    for own in by_student.values():
        named = [s for s in own if exercise.casefold() in PurePosixPath(s.path).stem.casefold()]
        if untouched is not None and all(untouched(s.content) for s in named):
            worked = [s for s in own if not untouched(s.content)]
            remarks += [
                Remark(s.path, f"not graded: nothing in it was changed, and {s.student} handed in "
                       "another file") for s in named if worked
            ]  # fmt: skip
            named = worked
        for other in own if named else ():
            if other not in named and not any(other.path == told.path for told in remarks):
                remarks.append(
                    Remark(other.path, f"not graded: not named after {exercise} as others are")
                )
        chosen += sorted(named or own, key=lambda s: (s.handed_in, s.path))
    have = {same_name(names_of(path)[0]) for path, _, _ in notebooks}
    remarks += [
        Remark(path, "not graded: no notebook, and none beside it")
        for path, _, _ in files
        if not path.lower().endswith(".ipynb") and same_name(names_of(path)[0]) not in have
    ]
    tops = {PurePosixPath(path).parts[0] for path, _, _ in notebooks}
    deep = any(len(PurePosixPath(path).parts) > 2 for path, _, _ in notebooks)
    if len(tops) == 1 and len(notebooks) > 1 and deep:
        top = tops.pop()
        remarks.append(
            Remark(top, "all notebooks are in this folder, so all are taken as attempts of one "
                   "student. If it holds a class, give this folder, or a zip of what is in it")
        )  # fmt: skip
    return sorted(chosen, key=lambda s: s.student), sorted(remarks, key=lambda r: r.path)


def _and(names: Iterable[str]) -> str:
    return " and ".join(sorted(names))


def names_of(path: str) -> list[str]:
    """Names that tell whose file it is, by the top of its path; all of one student.

    ``ada/anything.ipynb`` and ``ada.ipynb`` are ada's. Moodle's folders
    (``Ada L_1234567_assignsubmission_file``) give ``Participant 1234567`` and ``Ada L``, Canvas'
    file names (``lovelaceada_12345_67890_work.ipynb``, with ``_LATE`` or without) give ``12345``.
    """
    top, *below = PurePosixPath(path).parts
    if below:
        moodle = re.fullmatch(r"(.*)_(\d+)_assignsubmission_(?:file|onlinetext)_?", top)
        return [f"Participant {moodle[2]}", moodle[1]] if moodle else [top.strip()]
    # Canvas' own numbers have more digits than a date in a name
    canvas = re.match(r"[^_]+_(?:LATE_)?(\d{2,})_\d{4,}_.+", top)
    return [canvas[1] if canvas else PurePosixPath(top).stem.strip()]


def _clean(path: str) -> str:
    """A path as it is shown and told apart.

    Bytes that are not UTF-8 are read as Latin-1, and what nobody sees in a name (control
    characters, marks of direction, spaces without width) is taken out: two students must not look
    alike.
    """
    content = path.encode("utf-8", "surrogateescape")
    try:
        path = content.decode("utf-8")
    except UnicodeDecodeError:
        path = content.decode("latin-1")
    return "".join(c for c in path if unicodedata.category(c) not in ("Cc", "Cf", "Cs"))


def _skipped(path: PurePosixPath, remarks: list[Remark]) -> bool:
    """Whether a file is no hand-in by its place; what could have been one is told."""
    parts = path.parts
    hidden = any(p.startswith(".") and p != ".." for p in parts)
    if "__MACOSX" in parts or (hidden and path.suffix.lower() != ".ipynb"):
        return True
    if hidden:
        remarks.append(Remark(str(path), "not graded: a copy that Jupyter keeps for itself"))
    elif ".." in parts or path.is_absolute():
        remarks.append(Remark(str(path), "not graded: its path leads out of the zip"))
        hidden = True
    return hidden


def _in_folder(folder: Path, remarks: list[Remark]) -> Iterator[tuple[str, bytes, datetime]]:
    for path in sorted(folder.rglob("*")):
        inside = PurePosixPath(_clean(path.relative_to(folder).as_posix()))
        if path.is_symlink():  # it could lead anywhere on the grader's disk
            remarks.append(Remark(str(inside), "not graded: a link; put the file itself there"))
        elif not path.is_file() and not path.is_dir():
            remarks.append(Remark(str(inside), "not graded: no ordinary file"))
        elif path.is_file() and not _skipped(inside, remarks):
            try:
                yield str(inside), _read(path), _time(path)
            except OSError as error:
                remarks.append(Remark(str(inside), f"not graded: {error.strerror}"))


def _read(path: Path) -> bytes:
    if path.suffix.lower() != ".ipynb":
        return b""
    with path.open("rb") as file:
        return file.read(LARGEST + 1)


def _time(path: Path) -> datetime:
    return datetime.fromtimestamp(path.stat().st_mtime, timezone.utc)


def _in_zip(place: Path, remarks: list[Remark]) -> Iterator[tuple[str, bytes, datetime]]:
    with zipfile.ZipFile(place) as archive:
        for entry in archive.infolist():
            path = PurePosixPath(_clean(entry.filename.replace("\\", "/")))
            if entry.is_dir() or not path.parts or _skipped(path, remarks):
                continue
            content = b""
            if path.suffix.lower() == ".ipynb":
                try:
                    with archive.open(entry) as file:
                        content = file.read(LARGEST + 1)  # an entry may unpack to anything
                except Exception as error:  # each way to pack a file fails in its own way
                    why = f"not graded: it cannot be unpacked ({error}); download it again"
                    remarks.append(Remark(str(path), why))
                    continue
            try:
                when = datetime(*entry.date_time, tzinfo=timezone.utc)
            except ValueError:
                when = _time(place)
                why = "graded, with the zip's own date: its own is none; --times can give one"
                remarks.append(Remark(str(path), why))
            yield str(path), content, when


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
            f"{path} has no column {_and(lacking)}; its first line has to be student,time."
        )
    names = roster or {}
    return {
        same_name(names.get(same_name(student), student)): parse_time(when)
        for student, when in rows
    }


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
