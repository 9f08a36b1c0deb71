"""Download one part and check it: packages from Debian's mirrors, wheels through pip.

So a user's own index and proxy are honoured.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from mobilelab.phone.errors import PhoneError
from mobilelab.phone.lock import Part

DEBIAN = "https://deb.debian.org/debian/"
#: Keeps every version that Debian ever had; asked when the mirror has moved on.
SNAPSHOT = "https://snapshot.debian.org/archive/debian/{date}/"
SECONDS = 60
"""How long a server may say nothing before it counts as unreachable."""


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
    if digest(unfinished) != part.sha256:
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


def digest(path: Path) -> str:
    """SHA-256 of a file, as the lock writes it."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
