"""Find the submissions: in a folder of notebooks, a folder of student folders, or a zip of either.

Nothing of a file is believed but its bytes.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath

from mobilelab.core.errors import MobileLabError
from mobilelab.grading.files import File, Remark, is_notebook, opened
from mobilelab.grading.notebook import LARGEST
from mobilelab.grading.serialize import same_name

#: Of one student: the most notebooks, and the most bytes of them, that are taken; the newest count.
MOST_ATTEMPTS, MOST_BYTES = 30, 2 * LARGEST


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
    """Time of the file, or of its entry in the zip, which is this machine's local time."""


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
        roster: any name by which a student is known to their id, from
            :func:`mobilelab.grading.roster.read_roster`.
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
        with opened(place, remarks) as files:
            class_folder = _around_a_class([file.path for file in files], roster, remarks)
            notebooks = _taken(files, class_folder, exercise, remarks)
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        # a damaged zip ends in any of them, UnicodeDecodeError among the ValueErrors
        raise SubmissionsError(f"Cannot read {place}: {error}.") from error
    if not notebooks:
        why = f" {remarks[0].path}: {remarks[0].text}" if remarks else ""
        raise SubmissionsError(f"There is no notebook (.ipynb) in {place}.{why}")
    by_student = _by_student(notebooks, class_folder, roster, remarks)
    chosen: list[Submission] = []
    for own in by_student.values():
        named = _worked_on(own, exercise, untouched, remarks)
        for other in own if named else ():
            if other not in named and not any(other.path == told.path for told in remarks):
                remarks.append(
                    Remark(other.path, f"not graded: not named after {exercise} as others are")
                )
        chosen += sorted(named or own, key=lambda s: (s.handed_in, s.path))
    have = {same_name(names_of(path.removeprefix(class_folder))[0]) for path, _, _ in notebooks}
    remarks += [
        Remark(file.path, "not graded: no notebook, and none beside it")
        for file in files
        if not is_notebook(file.path)
        and same_name(names_of(file.path.removeprefix(class_folder))[0]) not in have
    ]
    return sorted(chosen, key=lambda s: s.student), sorted(remarks, key=lambda r: r.path)


def _by_student(
    notebooks: Sequence[tuple[str, bytes, datetime]], class_folder: str,
    roster: Mapping[str, str] | None, remarks: list[Remark],
) -> dict[str, list[Submission]]:  # fmt: skip
    """The submissions of each student, by the name as :func:`same_name` writes it."""
    by_student: dict[str, list[Submission]] = {}
    for path, content, when in notebooks:
        names = names_of(path.removeprefix(class_folder))
        known = {(roster or {}).get(same_name(name), "") for name in names} - {""}
        if len(known) > 1:
            why = f"not graded: its names are those of {listed(known)}; rename it"
            remarks.append(Remark(path, why))
            continue
        if roster and not known:
            remarks.append(Remark(path, f"graded, but {names[0]} is not on the roster"))
        student = next(iter(known), names[0])
        by_student.setdefault(same_name(student), []).append(
            Submission(student, path, content, when)
        )
    return by_student


def _worked_on(
    own: Sequence[Submission], exercise: str, untouched: Callable[[bytes], bool] | None,
    remarks: list[Remark],
) -> list[Submission]:  # fmt: skip
    """One student's files that are named after the exercise, or others if those are untouched."""
    named = [s for s in own if _named_after(exercise, s.path)]
    if untouched is None or not all(untouched(s.content) for s in named):
        return named
    worked = [s for s in own if not untouched(s.content)]
    why = "not graded: nothing in it was changed, and {} handed in another file"
    remarks += [Remark(s.path, why.format(s.student)) for s in named if worked]
    return worked


def _around_a_class(
    paths: Sequence[str], roster: Mapping[str, str] | None, remarks: list[Remark]
) -> str:
    """The folder around a whole class, with its slash; nothing if students' own are outermost.

    It is one only if nobody on the roster has its name and somebody has a name inside it: without
    a roster a folder of two files could be one student's two attempts.
    """
    notebooks = [path for path in paths if is_notebook(path)]
    tops = {PurePosixPath(path).parts[0] for path in notebooks}
    if len(tops) != 1 or len(notebooks) < 2 or any("/" not in path for path in notebooks):
        return ""
    top = tops.pop()
    inside = [path.removeprefix(f"{top}/") for path in notebooks]

    def known(path: str) -> bool:
        return any(same_name(name) in (roster or {}) for name in names_of(path))

    if not known(f"{top}/x.ipynb") and any(map(known, inside)):
        remarks.append(
            Remark(top, "taken as the folder of a class: nobody on the roster has this name")
        )
        return f"{top}/"
    if any("/" in path for path in inside):
        remarks.append(
            Remark(top, "all notebooks are in this folder, so all are taken as attempts of one "
                   "student. If it holds a class, give this folder, or a zip of what is in it")
        )  # fmt: skip
    return ""


def _taken(
    files: Sequence[File], class_folder: str, exercise: str, remarks: list[Remark]
) -> list[tuple[str, bytes, datetime]]:
    """The notebooks' contents: of each student no more than a grader's memory bears."""
    by_student: dict[str, list[File]] = {}
    for file in files:
        if is_notebook(file.path):
            student = same_name(names_of(file.path.removeprefix(class_folder))[0])
            by_student.setdefault(student, []).append(file)
    taken = []
    for own in by_student.values():
        bytes_left = MOST_BYTES
        own.sort(key=lambda f: (_named_after(exercise, f.path), f.when), reverse=True)
        for number, file in enumerate(own):
            size = min(file.size, LARGEST + 1)
            if number >= MOST_ATTEMPTS or size > bytes_left:
                why = (
                    f"not graded: its student has more than {MOST_ATTEMPTS} notebooks, or more "
                    f"than {MOST_BYTES >> 20} MB of them, and others are newer"
                )
                remarks.append(Remark(file.path, why))
                continue
            try:
                taken.append((file.path, file.read(), file.when))
                bytes_left -= size
            except Exception as error:  # each way to pack a file fails in its own way
                said = getattr(error, "strerror", None) or f"it cannot be unpacked ({error})"
                why = f"not graded: {said}; download it again"
                remarks.append(Remark(file.path, why))
    return taken


def _named_after(exercise: str, path: str) -> bool:
    return exercise.casefold() in PurePosixPath(path).stem.casefold()


def listed(names: Iterable[str]) -> str:
    """Names in a sentence."""
    return " and ".join(sorted(names))


def names_of(path: str) -> list[str]:
    """Names that tell whose file it is, by the top of its path; all of one student.

    ``ada/anything.ipynb`` and ``ada.ipynb`` are ada's. Moodle's folders
    (``Ada L_1234567_assignsubmission_file``), or file names that begin so where it makes no
    folders, give ``Participant 1234567`` and ``Ada L``; Canvas' file names
    (``lovelaceada_12345_67890_work.ipynb``, with ``_LATE`` or without) give ``12345``.
    """
    top, *below = PurePosixPath(path).parts
    rest = "_?" if below else "_.+"
    moodle = re.fullmatch(rf"(.*)_(\d+)_assignsubmission_(?:file|onlinetext){rest}", top)
    if moodle:
        return [f"Participant {moodle[2]}", moodle[1]]
    if below:
        return [top.strip()]
    # Canvas' own numbers have more digits than a date in a name
    canvas = re.match(r"[^_]+_(?:LATE_)?(\d{2,})_\d{4,}_.+", top)
    return [canvas[1] if canvas else PurePosixPath(top).stem.strip()]
