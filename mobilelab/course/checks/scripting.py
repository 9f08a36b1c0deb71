"""What TorchScript says, in one line and without its warnings."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TypeVar

_Given = TypeVar("_Given")


def quietly(convert: Callable[..., _Given], *args: object) -> _Given:
    """Script or trace without the warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return convert(*args)


def short(error: Exception) -> str:
    """The one line of a TorchScript message that says what is wrong."""
    lines = [line.strip().removeprefix("RuntimeError: ") for line in str(error).splitlines()]
    lines = [line for line in lines if line] or [type(error).__name__]
    if lines[0].startswith("The following operation failed"):
        return lines[-1]
    telling = ("Expected", "aren't supported", "Could not match")
    return next((line for line in lines if any(word in line for word in telling)), lines[0])
