"""What the virtual phone is made of: ``lock.json`` names every part with its size and SHA-256.

``scripts/lock_phone.py`` makes that file.
"""

from __future__ import annotations

import json
import platform
import posixpath
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mobilelab.phone.errors import PhoneError

LOCK = Path(__file__).with_name("lock.json")


@dataclass(frozen=True)
class Part:
    """One file of the lock: a Debian package or a wheel."""

    kind: str
    """``deb`` or ``wheel``."""
    role: str
    """Whose it is: ``host`` (the emulator), ``guest`` and ``arm`` (what an ARM Linux runs),
    ``mac``, ``any``, or the name of a runtime that is fetched beside these."""
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


def parts(which: str | None = None, runtime: str = "lite") -> list[Part]:
    """What this computer needs for its way of running the phone.

    Args:
        which: a way, from :func:`way`; this computer's by default.
        runtime: ``lite`` for the phone itself; the name of another runtime for what is added to it.

    Raises:
        PhoneError: on a computer on which it does not run.
    """
    which = which or way()
    if runtime != "lite":
        if which == "mac":
            raise PhoneError(
                f"On Apple Silicon the virtual phone has the lite interpreter only; {runtime} runs "
                "there on the Mac itself."
            )
        roles: tuple[str, ...] = (runtime,)
    else:
        roles = {
            "emulated": ("host", "guest", "arm", "any"),
            "native": ("guest", "arm", "any"),
            "mac": ("mac", "any"),
        }[which]
    return [_part(p) for p in json.loads(LOCK.read_text())["parts"] if p["role"] in roles]


def _part(entry: dict[str, Any]) -> Part:
    """What an entry of the lock says."""
    lists = {key: tuple(entry[key]) for key in ("keep", "drop") if key in entry}
    return Part(**{**entry, **lists})
