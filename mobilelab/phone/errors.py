"""What can go wrong with the virtual phone."""

from __future__ import annotations

from mobilelab.core.errors import MobileLabError


class PhoneError(MobileLabError):
    """The virtual phone cannot be had, does not start, or has stopped."""


class Refused(PhoneError):
    """The phone's runtime does not take a file, or fails while running it.

    Attributes:
        text: the runtime's own words.
    """

    def __init__(self, message: str, text: str) -> None:
        super().__init__(message)
        self.text = text


class NoCounter(PhoneError):
    """Instructions cannot be counted here, so there is no figure."""
