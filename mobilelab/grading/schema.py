"""What a sealed process may say: every message is parsed here, once, and believed no further."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

import msgspec

from mobilelab.grading.framing import (
    MOST_ITEMS,
    MOST_TEXT,
)
from mobilelab.grading.sandbox import Ended


class Item(msgspec.Struct):
    """One thing that a cell showed."""

    kind: Literal["out", "err", "shown", "picture"]
    text: Annotated[str, msgspec.Meta(max_length=MOST_TEXT + 200)] = ""
    block: int = -1


class CellEnded(msgspec.Struct):
    """What the student's side says of a cell."""

    ended: int
    outcome: Literal["ok", "error", "todo", "timeout", "memory"]
    error: Annotated[str, msgspec.Meta(max_length=2000)] | None = None
    outputs: Annotated[list[Item], msgspec.Meta(max_length=MOST_ITEMS)] = []
    changed: dict[str, Annotated[str, msgspec.Meta(max_length=200)]] = {}


class Answered(msgspec.Struct):
    """What the student's side, or a delivered model's, says to a question."""

    reply: int
    outcome: Literal["ok", "error", "todo", "timeout", "memory", "missing"]
    error: Annotated[str, msgspec.Meta(max_length=2000)] = ""
    value: Any = None


_Message = TypeVar("_Message", CellEnded, Answered)


def parsed(message: dict[str, Any], kind: type[_Message]) -> _Message:
    """The one place where what a submission sends is believed to be of some form.

    Raises:
        Ended: if it is of another.
    """
    try:
        return msgspec.convert(message, kind)
    except (msgspec.ValidationError, RecursionError) as error:
        raise Ended("nonsense", f"it sent what is not an answer ({error})"[:300]) from error
