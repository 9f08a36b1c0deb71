"""The runtimes that the virtual phone can have, as their own files in ``runtimes`` say.

The first is what ``mobilelab phone fetch`` brings: torch 2.1.0, the release of the last published
Android and iOS packages, with its lite interpreter. The others are fetched beside it and share its
Python.
"""

from __future__ import annotations

from mobilelab import runtimes
from mobilelab.phone.errors import PhoneError
from mobilelab.runtimes.elsewhere import OnPhone

#: The phone's own runtime.
OWN = "lite"


def known() -> dict[str, OnPhone]:
    """All of them by name, the phone's own first."""
    found = {kind.on_phone.name: kind.on_phone for kind in runtimes.kinds() if kind.on_phone}
    return {OWN: found.pop(OWN), **found}


def suffix(name: str) -> str:
    """Ending of the files that a runtime loads."""
    return next(
        kind.suffix for kind in runtimes.kinds() if kind.on_phone and kind.on_phone.name == name
    )


def named(name: str) -> OnPhone:
    """The runtime of that name.

    Raises:
        PhoneError: if there is none.
    """
    if name not in known():
        raise PhoneError(
            f"The virtual phone has no runtime called {name!r}; choose {', '.join(known())}."
        )
    return known()[name]


def for_file(ending: str) -> OnPhone:
    """The runtime that loads files with this ending; the phone's own where nobody knows it.

    Raises:
        PhoneError: for files of a runtime that the phone does not have.
    """
    found = next((kind for kind in runtimes.kinds() if kind.suffix == ending), None)
    if found is None or not found.on_phones:
        return named(OWN)  # which says what is wrong with the file
    if found.on_phone is None:
        able = ", ".join(map(suffix, known()))
        raise PhoneError(
            f"The virtual phone has no {found.runtime}, which a {ending} needs; it loads {able}."
        )
    return found.on_phone
