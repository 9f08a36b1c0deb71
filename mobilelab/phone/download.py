"""Download one part and check it: packages from Debian's mirrors, wheels through pip.

So a user's own index and proxy are honoured. pooch keeps a file only if its checksum is right.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pooch
import requests

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
    wheel = part.kind == "wheel"
    way: Any = partial(_through_pip if wheel else _over_http, part, count)
    reasons = []
    pooch.get_logger().setLevel("WARNING")  # the progress bar says it
    for address in [part.name] if wheel else [mirror + part.source for mirror in mirrors]:
        try:
            pooch.retrieve(address, f"sha256:{part.sha256}", path.name, path.parent, downloader=way)
            return
        except (requests.RequestException, ConnectionError) as error:
            reasons.append(f"{address.split('/')[2]}: {error}")
        except ValueError as error:
            raise PhoneError(
                f"The download of {part.name} {part.version} is not the file that the course was "
                "tested with (its SHA-256 differs), so it was removed; try again later or from "
                "another network."
            ) from error
    raise PhoneError(
        f"Could not download {part.name} {part.version} ({'; '.join(reasons)}); connect to a "
        "network and run `mobilelab phone fetch` again, what is already here is kept."
    )


def _over_http(
    part: Part, count: Callable[[int], None], address: str, file: str, of: object
) -> None:
    """Bring a package from a mirror."""
    size = 0
    with requests.get(address, stream=True, timeout=SECONDS) as response, open(file, "wb") as kept:
        response.raise_for_status()
        for block in response.iter_content(1 << 16):
            size += kept.write(block)
            if size > part.size:
                raise ValueError("more bytes than the lock says")
            count(size)
    if size < part.size:
        raise ConnectionError(f"the connection ended after {size} of {part.size} bytes")


def pip_download(requirement: str, tag: str, folder: str | Path) -> list[str]:
    """The command with which pip brings one wheel for Python 3.11 on another platform."""
    command = [
        sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check",
        "--no-cache-dir", "--no-deps", "--only-binary", ":all:", "--python-version", "3.11",
        "--implementation", "cp", "--platform", tag, "--dest", str(folder), requirement,
    ]  # fmt: skip
    return command


def _through_pip(
    part: Part, count: Callable[[int], None], address: str, file: str, of: object
) -> None:
    """Bring a wheel."""
    folder = Path(file).with_name("pip")
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
                f"({said[0] if said else 'no message'}); connect to a network and run "
                "`mobilelab phone fetch` again, what is already here is kept."
            )
        found[0].replace(file)
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
