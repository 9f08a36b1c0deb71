"""Fetch the parts of the virtual phone, once, into a cache folder.

``lock.json`` names every part with its size and SHA-256; ``scripts/lock_phone.py`` makes it.
Packages come from Debian, wheels through pip, so that a user's own index and proxy are honoured.
Nothing is installed: packages are unpacked into a folder of the cache, without root.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import json
import os
import platform
import posixpath
import shutil
import subprocess
import sys
import tarfile
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import platformdirs
from filelock import FileLock, Timeout
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeRemainingColumn,
)

from mobilelab.core.errors import MobileLabError
from mobilelab.core.terminal import Terminal

LOCK = Path(__file__).with_name("lock.json")
DEBIAN = "https://deb.debian.org/debian/"
#: Keeps every version that Debian ever had; asked when the mirror has moved on.
SNAPSHOT = "https://snapshot.debian.org/archive/debian/{date}/"
#: Environment variable: where the parts are kept, instead of the user's cache folder.
PLACE = "MOBILELAB_CACHE"
SECONDS = 60
"""How long a server may say nothing before it counts as unreachable."""


class PhoneError(MobileLabError):
    """The virtual phone cannot be had, does not start, or has stopped."""


@dataclass(frozen=True)
class Part:
    """One file of the lock: a Debian package or a wheel."""

    kind: str
    """``deb`` or ``wheel``."""
    role: str
    """Whose it is: ``host`` (the emulator), ``guest`` and ``arm`` (what an ARM Linux runs),
    ``mac``, or ``any``."""
    name: str
    version: str
    source: str
    """Path below Debian's mirror, or the wheel's file name."""
    size: int
    """Bytes to download."""
    sha256: str
    keep: tuple[str, ...] = ()
    """Beginnings of the paths that are unpacked; empty for all."""
    drop: tuple[str, ...] = ()
    """Beginnings of the paths that are not."""
    platform: str = "any"
    """pip's name of the platform, for wheels."""

    @property
    def file(self) -> str:
        """Name of the file in the cache."""
        return f"{self.role}-{posixpath.basename(self.source)}"


def way() -> str:
    """How the phone runs on this computer.

    Returns:
        ``emulated`` (Linux on x86-64), ``native`` (Linux on arm64) or ``mac`` (Apple Silicon).

    Raises:
        PhoneError: on any other computer.
    """
    system, machine = platform.system(), platform.machine().lower()
    if system == "Linux" and machine in ("x86_64", "amd64"):
        return "emulated"
    if system == "Linux" and machine in ("aarch64", "arm64"):
        return "native"
    if system == "Darwin" and machine == "arm64":
        if sys.version_info[:2] != (3, 11):
            raise PhoneError(
                "On Apple Silicon the virtual phone needs the course to run in Python 3.11, for "
                f"which torch 2.1.0 was built, but this is {platform.python_version()}."
            )
        return "mac"
    raise PhoneError(
        f"The virtual phone runs on Linux (x86-64 or arm64) and on Apple Silicon, not on {system} "
        f"{machine}; on Windows, use the Windows Subsystem for Linux."
    )


def parts(which: str | None = None) -> list[Part]:
    """What this computer needs for its way of running the phone."""
    roles = {
        "emulated": ("host", "guest", "arm", "any"),
        "native": ("guest", "arm", "any"),
        "mac": ("mac", "any"),
    }[which or way()]
    return [_part(p) for p in json.loads(LOCK.read_text())["parts"] if p["role"] in roles]


def _part(entry: dict[str, Any]) -> Part:
    """What an entry of the lock says."""
    lists = {key: tuple(entry[key]) for key in ("keep", "drop") if key in entry}
    return Part(**{**entry, **lists})


def root() -> Path:
    """The folder that holds everything that is fetched."""
    chosen = os.environ.get(PLACE)
    return Path(chosen or platformdirs.user_cache_dir("mobilelab", appauthor=False)) / "phone"


def place(wanted: list[Part] | None = None) -> Path:
    """Where the unpacked phone of this lock is, or will be.

    Raises:
        PhoneError: on a computer on which it does not run.
    """
    contents = json.dumps([asdict(part) for part in (parts() if wanted is None else wanted)])
    return root() / hashlib.sha256(contents.encode()).hexdigest()[:12]


def ready() -> bool:
    """Is the phone of this lock fetched and unpacked?"""
    return (place() / "complete").is_file()


def require() -> Path:
    """The folder of the unpacked phone; fetches nothing.

    Raises:
        PhoneError: if it was not fetched yet.
    """
    if not ready():
        size = sum(part.size for part in parts()) / 1e6
        raise PhoneError(
            "The virtual phone is not on this computer yet; connect to a network and run "
            f"`mobilelab phone fetch` once ({size:.0f} MB)."
        )
    return place()


# --- fetching -----------------------------------------------------------------------------


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
            if not (path.is_file() and _digest(path) == part.sha256):

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


def download(
    part: Part, path: Path, mirrors: tuple[str, ...], count: Callable[[int], None]
) -> None:
    """Bring one part and check it; ``path`` is there only if it is complete and right.

    Args:
        part: what to bring.
        path: the file to make.
        mirrors: addresses to try in turn for a Debian package; wheels come through pip.
        count: told the number of bytes that are there, now and then.

    Raises:
        PhoneError: if nobody sends it, or what comes is not what the lock says.
    """
    unfinished = path.with_name(path.name + ".part")
    if part.kind == "wheel":
        _through_pip(part, unfinished, count)
    else:
        _from_mirror(part, unfinished, mirrors, count)
    if _digest(unfinished) != part.sha256:
        unfinished.unlink()
        raise PhoneError(
            f"The download of {part.name} {part.version} is not the file that the course was "
            "tested with (its SHA-256 differs), so it was removed; try again later or from "
            "another network."
        )
    with unfinished.open("rb") as file:
        os.fsync(file.fileno())
    unfinished.replace(path)


def _from_mirror(
    part: Part, path: Path, mirrors: tuple[str, ...], count: Callable[[int], None]
) -> None:
    reasons = []
    for mirror in mirrors:
        try:
            with (
                urllib.request.urlopen(mirror + part.source, timeout=SECONDS) as response,
                path.open("wb") as file,
            ):
                size = 0
                while block := response.read(1 << 16):
                    size += len(block)
                    if size > part.size:
                        break  # the checksum will say the rest
                    file.write(block)
                    count(size)
            if size < part.size:
                raise TimeoutError(f"the connection ended after {size} of {part.size} bytes")
            return
        except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
            path.unlink(missing_ok=True)
            reasons.append(f"{mirror.split('/')[2]}: {getattr(error, 'reason', error)}")
    raise PhoneError(
        f"Could not download {part.name} {part.version} ({'; '.join(reasons)}); connect to a "
        "network and run `mobilelab phone fetch` again, what is already here is kept."
    )


def pip_download(requirement: str, tag: str, folder: str | Path) -> list[str]:
    """The command with which pip brings one wheel for Python 3.11 on another platform."""
    command = [
        sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check",
        "--no-cache-dir", "--no-deps", "--only-binary", ":all:", "--python-version", "3.11",
        "--implementation", "cp", "--platform", tag, "--dest", str(folder), requirement,
    ]  # fmt: skip
    return command


def _through_pip(part: Part, path: Path, count: Callable[[int], None]) -> None:
    folder = path.with_name("pip")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    command = pip_download(f"{part.name}=={part.version}", part.platform, folder / "done")
    try:
        with (folder / "log").open("w+") as log:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env={**os.environ, "TMPDIR": str(folder)},
            )  # fmt: skip
            try:
                while process.poll() is None:
                    time.sleep(0.1)
                    count(_largest(folder))
            finally:
                process.kill()
                process.wait()
            log.seek(0)
            said = [line.strip() for line in log if "ERROR" in line]
        found = list((folder / "done").glob("*.whl"))
        if process.returncode or len(found) != 1:
            raise PhoneError(
                f"pip could not download {part.name} {part.version} "
                f"({said[0] if said else 'no message'}); connect to a network and run `mobilelab "
                "phone fetch` again, what is already here is kept."
            )
        found[0].replace(path)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _largest(folder: Path) -> int:
    """Bytes of the largest file below, while another process makes, moves and removes them."""
    largest = 0
    for inside, _, names in os.walk(folder):  # unlike rglob, it passes over a folder that is gone
        for name in names:
            with contextlib.suppress(OSError):
                largest = max(largest, os.stat(os.path.join(inside, name)).st_size)
    return largest


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


# --- unpacking ----------------------------------------------------------------------------


def unpack(part: Part, path: Path, target: Path) -> None:
    """Unpack one part below ``target``: packages into ``host`` and ``guest``, wheels into ``site``.

    Raises:
        PhoneError: if the archive cannot be read, or wants to write outside of its folder.
    """
    folder = target / ("site" if part.kind == "wheel" else part.role)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        if part.kind == "wheel":
            _unpack_wheel(part, path, folder)
        else:
            _unpack_deb(part, path, folder)
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, ValueError) as error:
        raise PhoneError(
            f"The package {part.name} {part.version} cannot be unpacked ({error}); "
            "delete the cache folder and run `mobilelab phone fetch` again."
        ) from error


def _inside(name: str, part: Part) -> str:
    """The path, if it stays below the folder that it is unpacked into."""
    clean = posixpath.normpath(name)
    if clean.startswith(("/", "..")) or "\\" in name:
        raise PhoneError(_outside(name, part))
    return clean


def _outside(name: str, part: Part) -> str:
    return f"The package {part.name} wants to write to {name}; it was not unpacked."


def _wanted(name: str, part: Part) -> bool:
    kept = not part.keep or name.startswith(part.keep)
    return kept and not name.startswith(part.drop or ("\0",))


def _unpack_wheel(part: Part, path: Path, folder: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            _inside(entry.filename, part)
            if _wanted(entry.filename, part):
                archive.extract(entry, folder)


def _unpack_deb(part: Part, path: Path, folder: Path) -> None:
    """A package is an ``ar`` archive (deb(5)); the files are in its member ``data.tar.xz``."""
    name, content = _data(path)
    if name != "data.tar.xz":
        raise ValueError(f"it holds {name}, not data.tar.xz")
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:xz") as archive:
        for member in archive:
            clean = _inside(member.name, part)
            if member.issym():
                base = posixpath.dirname(clean)
                if member.linkname.startswith("/"):  # seen from the root of the package
                    member.linkname = posixpath.relpath(member.linkname[1:], base)
                _inside(posixpath.join(base, member.linkname), part)
            if not _wanted(member.name, part):
                continue
            # A link that an earlier member made must not lead out, whatever its text looks like.
            parent = (folder / clean).parent.resolve()
            if not parent.is_relative_to(folder.resolve()) and clean != ".":
                raise PhoneError(_outside(member.name, part))
            if member.isdir():
                (folder / clean).mkdir(parents=True, exist_ok=True)
            elif member.isfile() or member.issym() or member.islnk():
                _put(archive, member, folder / clean)
            else:
                raise ValueError(f"{member.name} is a device")


def _put(archive: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    if member.issym():
        path.symlink_to(member.linkname)
        return
    source = archive.extractfile(member)
    assert source is not None  # it is a file, or a hard link to one
    with path.open("wb") as file:
        shutil.copyfileobj(source, file)
    path.chmod(0o755 if member.mode & 0o111 else 0o644)


def _data(path: Path) -> tuple[str, bytes]:
    """Name and content of a package's ``data`` member."""
    with path.open("rb") as file:
        if file.read(8) != b"!<arch>\n":
            raise ValueError("it is not an ar archive")
        while len(header := file.read(60)) == 60:
            name, size = header[:16].decode().strip().rstrip("/"), int(header[48:58])
            if name.startswith("data.tar"):
                return name, file.read(size)
            file.seek(size + size % 2, os.SEEK_CUR)
    raise ValueError("it holds no data")
