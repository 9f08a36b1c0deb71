"""What lies in a folder or in a zip, without unpacking it: names, times, and contents on demand."""

from __future__ import annotations

import contextlib
import unicodedata
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path, PurePosixPath

from mobilelab.grading.notebook import LARGEST


@dataclass(frozen=True)
class Remark:
    """A file that needs a word: it is not graded, or something about it was not as it should be."""

    path: str
    text: str


@dataclass(frozen=True)
class File:
    """A file that was found, read only when it is wanted."""

    path: str
    when: datetime
    size: int
    read: Callable[[], bytes]


def is_notebook(path: str) -> bool:
    """Whether a file has a notebook's ending."""
    return path.lower().endswith(".ipynb")


@contextlib.contextmanager
def opened(place: Path, remarks: list[Remark]) -> Iterator[list[File]]:
    """The files in a folder, in a zip, or the one file that ``place`` is; readable until the end.

    Args:
        place: what was given; it exists.
        remarks: what cannot be a submission is said here.

    Raises:
        OSError, BadZipFile, ValueError, NotImplementedError: if it cannot be read.
    """
    if place.is_dir():
        yield list(_in_folder(place, remarks))
    elif place.suffix.lower() != ".ipynb" and zipfile.is_zipfile(place):
        with zipfile.ZipFile(place) as archive:
            yield list(_in_zip(place, archive, remarks))
    else:
        yield [_on_disk(shown(place.name), place)]


def shown(path: str) -> str:
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


def _in_folder(folder: Path, remarks: list[Remark]) -> Iterator[File]:
    for path in sorted(folder.rglob("*")):
        inside = PurePosixPath(shown(path.relative_to(folder).as_posix()))
        if path.is_symlink():  # it could lead anywhere on the grader's disk
            remarks.append(Remark(str(inside), "not graded: a link; put the file itself there"))
        elif not path.is_file() and not path.is_dir():
            remarks.append(Remark(str(inside), "not graded: no ordinary file"))
        elif path.is_file() and not _skipped(inside, remarks):
            yield _on_disk(str(inside), path)


def _on_disk(name: str, path: Path) -> File:
    def read() -> bytes:
        with path.open("rb") as file:
            return file.read(LARGEST + 1)

    found = path.stat()
    return File(name, datetime.fromtimestamp(found.st_mtime, timezone.utc), found.st_size, read)


def _in_zip(place: Path, archive: zipfile.ZipFile, remarks: list[Remark]) -> Iterator[File]:
    def reader(entry: zipfile.ZipInfo) -> Callable[[], bytes]:
        def read() -> bytes:
            with archive.open(entry) as file:
                return file.read(LARGEST + 1)  # an entry may unpack to anything

        return read

    for entry in archive.infolist():
        path = PurePosixPath(shown(entry.filename.replace("\\", "/")))
        if entry.is_dir() or not path.parts or _skipped(path, remarks):
            continue
        try:
            when = datetime(*entry.date_time).astimezone()  # a zip keeps local times, without zone
        except (ValueError, OverflowError, OSError):
            when = _on_disk(place.name, place).when
            why = "graded, with the zip's own date: its own is none; --times can give one"
            remarks.append(Remark(str(path), why))
        # What an entry says of its size is the student's word: what it cannot be is not believed.
        size = max(entry.file_size, entry.compress_size)
        yield File(str(path), when, size, reader(entry))
