"""Fetch the parts of the virtual phone, once, into a cache folder.

``lock`` says what they are, ``download`` brings one, ``unpack`` unpacks one, ``cache`` says where.
Nothing is installed: packages are unpacked into a folder of the cache, without root.
"""

from __future__ import annotations

import contextlib
import errno
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout
from pooch import file_hash
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeRemainingColumn,
)

from mobilelab.core.terminal import Terminal
from mobilelab.phone.cache import PLACE, place, root
from mobilelab.phone.download import DEBIAN, SNAPSHOT, download
from mobilelab.phone.errors import PhoneError
from mobilelab.phone.lock import LOCK, Part, parts
from mobilelab.phone.unpack import unpack


def fetch(
    console: Console | None = None,
    wanted: list[Part] | None = None,
    mirrors: tuple[str, ...] | None = None,
) -> Path:
    """Download, check and unpack what is missing; at once if nothing is.

    Safe to interrupt: a file counts only when it is complete and its checksum is right, the phone
    only when all of it is unpacked. Two processes do not fetch at the same time.

    Args:
        console: where progress is shown; the terminal by default.
        wanted: the parts, those of the lock by default.
        mirrors: addresses to try in turn for Debian packages.

    Returns:
        The folder of the unpacked phone.

    Raises:
        PhoneError: no network, a wrong checksum, a folder that cannot be written, a full disk, or
            an unsupported computer.
    """
    console = console or Terminal()
    wanted = parts() if wanted is None else wanted
    target = place(wanted)
    if (target / "complete").is_file():
        return target
    if mirrors is None:
        date = json.loads(LOCK.read_text())["snapshot"]
        mirrors = (DEBIAN, SNAPSHOT.format(date=date))
    try:
        root().mkdir(parents=True, exist_ok=True)
        with _alone(console):
            if not (target / "complete").is_file():
                _fetch(console, wanted, target, mirrors)
    except OSError as error:
        raise PhoneError(_cannot_keep(error)) from error
    return target


def _cannot_keep(error: OSError) -> str:
    """One sentence: what the system refused, and what helps against that."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        advice = f"free some space, or set {PLACE} to a folder on another disk"
    elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        advice = f"set {PLACE} to a folder that you may write to"
    else:
        advice = f"run `mobilelab phone fetch` again, or set {PLACE} to another folder"
    reason = error.strerror or str(error)
    if error.filename is not None:
        reason += f": {error.filename}"
    return f"Cannot keep the virtual phone in {root()} ({reason}); {advice}."


@contextlib.contextmanager
def _alone(console: Console) -> Iterator[None]:
    lock = FileLock(root() / "fetch.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        console.print("Another process is fetching the virtual phone; waiting for it.")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _fetch(console: Console, wanted: list[Part], target: Path, mirrors: tuple[str, ...]) -> None:
    downloads = root() / "downloads"
    downloads.mkdir(exist_ok=True)
    with Progress(
        SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), DownloadColumn(),
        TimeRemainingColumn(), console=console,
    ) as progress:  # fmt: skip
        task = progress.add_task("virtual phone", total=sum(part.size for part in wanted))
        done = 0
        for part in wanted:
            progress.update(task, description=f"{part.name} {part.version}", completed=done)
            path = downloads / part.file
            if not (path.is_file() and file_hash(str(path)) == part.sha256):

                def count(size: int, start: int = done) -> None:
                    progress.update(task, completed=start + size)

                download(part, path, mirrors, count)
            done += part.size
        progress.update(task, completed=done)
        unfinished = target.with_suffix(".part")
        shutil.rmtree(unfinished, ignore_errors=True)
        task = progress.add_task("unpacking", total=done)
        for part in wanted:
            progress.update(task, description=f"unpacking {part.name}")
            unpack(part, downloads / part.file, unfinished)
            progress.update(task, advance=part.size)
        (unfinished / "complete").write_text("")
        shutil.rmtree(target, ignore_errors=True)
        unfinished.rename(target)
        shutil.rmtree(downloads)
