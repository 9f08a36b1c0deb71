"""Where the unpacked phone is kept, and whether it is there."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict
from pathlib import Path

import platformdirs

from mobilelab.phone.errors import PhoneError
from mobilelab.phone.lock import Part, parts

#: Environment variable: where the parts are kept, instead of the user's cache folder.
PLACE = "MOBILELAB_CACHE"


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


def ready(runtime: str = "lite") -> bool:
    """Is the phone of this lock fetched and unpacked, or a runtime that is added to it?"""
    return (place(parts(runtime=runtime)) / "complete").is_file()


def require(runtime: str = "lite") -> Path:
    """The folder of the unpacked phone, or of a runtime that is added to it; fetches nothing.

    Raises:
        PhoneError: if it was not fetched yet.
    """
    wanted = parts(runtime=runtime)
    if not ready(runtime):
        size = sum(part.size for part in wanted) / 1e6
        what, option = "The virtual phone", ""
        if runtime != "lite":
            what, option = f"The virtual phone's {runtime}", f" --runtime {runtime}"
        raise PhoneError(
            f"{what} is not on this computer yet; connect to a network and run "
            f"`mobilelab phone fetch{option}` once ({size:.0f} MB)."
        )
    return place(wanted)
