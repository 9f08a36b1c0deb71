"""What a runtime's own file says of the places, besides this computer, where it runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class OnPhone:
    """A runtime that the virtual phone has."""

    name: str
    title: str
    """Name and version there, as messages say it."""
    exact_int8: bool = True
    """Whether int8 answers have to be those of this computer bit for bit."""


@dataclass(frozen=True)
class InApp:
    """A runtime that the ready-made apps are written for."""

    name: str
    """What ``--variant`` calls it, and the folder of its templates below each platform."""
    android: str
    """What Gradle fetches."""
    ios: str = ""
    """Branch or version of what Xcode fetches, if the templates leave it open."""
    templates: Path | None = None
    """Folder with ``android/NAME`` and ``ios/NAME``, README included; without one, the templates of
    ``mobilelab.apps``."""
