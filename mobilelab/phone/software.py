"""The runtimes that the virtual phone can have.

``lite`` is what ``mobilelab phone fetch`` brings: torch 2.1.0, the release of the last published
Android and iOS packages. The others are fetched beside it and share its Python. ``executorch`` is
the newest version whose torch runs on a Cortex-A53; it is older than the ExecuTorch of this
computer, so the tests ask whether it reads what this computer writes. Its XNNPACK takes dot
product instructions for granted in int8 (it stops at an SDOT), so an int8 ``.pte`` wants a core
that has them. ``litert`` is the version of this computer. It reads ``/proc/cpuinfo``, and crashes
where that describes an x86 processor, which the phone's does not.
"""

from __future__ import annotations

from dataclasses import dataclass

from mobilelab.phone.errors import PhoneError


@dataclass(frozen=True)
class Software:
    """A runtime on the phone."""

    name: str
    title: str
    """Name and version, as messages say it."""
    suffix: str
    """Ending of the files that it loads."""


LITE = Software("lite", "torch 2.1.0", ".ptl")
EXECUTORCH = Software("executorch", "ExecuTorch 1.0.1", ".pte")
LITERT = Software("litert", "LiteRT 2.3.0", ".tflite")
SOFTWARE: dict[str, Software] = {one.name: one for one in (LITE, EXECUTORCH, LITERT)}


def named(name: str) -> Software:
    """The runtime of that name.

    Raises:
        PhoneError: if there is none.
    """
    if name not in SOFTWARE:
        raise PhoneError(
            f"The virtual phone has no runtime called {name!r}; choose {', '.join(SOFTWARE)}."
        )
    return SOFTWARE[name]


def for_file(suffix: str) -> Software:
    """The runtime that loads files with this ending; the lite interpreter for any other."""
    return next((one for one in SOFTWARE.values() if one.suffix == suffix), LITE)
