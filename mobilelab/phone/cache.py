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
