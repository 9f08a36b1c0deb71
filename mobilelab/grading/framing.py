"""Messages as frames of bytes; what the values in them look like, ``serialize`` says.

This module and ``sandbox`` do not import torch, so that a sandbox can start before torch is there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from mobilelab.core.errors import MobileLabError

#: The most bytes of JSON in one message, and the most blocks.
LARGEST_JSON, MOST_BLOCKS = 2 * 2**20, 20_000
#: The most bytes in one message: a delivered model is the largest thing that anybody hands in.
LARGEST = 32 * 2**20
#: Of one cell: the most letters of output that are kept, the most pieces, the most pictures, and
#: the largest picture in bytes.
MOST_TEXT, MOST_ITEMS, MOST_PICTURES, LARGEST_PICTURE = 20_000, 40, 4, 300_000
#: Of all cells of a notebook: the most letters and the most bytes of pictures that are kept.
MOST_TEXTS, MOST_PICTURE_BYTES = 500_000, 10 * 2**20


class NotPlain(MobileLabError):
    """A message is not plain data of the agreed form."""


class TooLarge(NotPlain):
    """A message is larger than anything that is asked for."""


def to_bytes(message: Mapping[str, Any], blocks: list[bytes] | None = None) -> bytes:
    """One frame: the length of the JSON, the JSON with the sizes of the blocks, the blocks."""
    blocks = blocks or []
    text = json.dumps({**message, "sizes": [len(b) for b in blocks]}).encode()
    return b"".join([len(text).to_bytes(4, "big"), text, *blocks])


class Reader:
    """Takes frames out of a stream of bytes that nobody vouches for.

    Args:
        largest: the most bytes that one frame may have.
    """

    def __init__(self, largest: int = LARGEST) -> None:
        self.largest = largest
        self._held = bytearray()
        self._head: tuple[dict[str, Any], int, int] | None = None

    def feed(self, data: bytes) -> list[tuple[dict[str, Any], list[bytes]]]:
        """The frames that are complete now.

        Raises:
            NotPlain: if the stream is not made of frames.
        """
        self._held += data
        frames = []
        while (head := self._begun()) is not None:
            message, at, end = head
            if len(self._held) < end:
                break
            blocks = []
            with memoryview(self._held) as held:
                for length in message.pop("sizes"):
                    blocks.append(bytes(held[at : at + length]))
                    at += length
            del self._held[:end]
            self._head = None
            frames.append((message, blocks))
        return frames

    def _begun(self) -> tuple[dict[str, Any], int, int] | None:
        """The next frame's JSON, and where its blocks begin and end, once the JSON is there."""
        if self._head is None and len(self._held) >= 4:
            end = 4 + int.from_bytes(self._held[:4], "big")
            if end > LARGEST_JSON:
                raise TooLarge(_too_large("text", LARGEST_JSON))
            if len(self._held) >= end:
                message = _message(bytes(self._held[4:end]))
                whole = end + sum(message["sizes"])
                if whole > self.largest:
                    raise TooLarge(_too_large("data", self.largest))
                self._head = message, end, whole
        return self._head


def _too_large(what: str, most: int) -> str:
    return f"more than {most >> 20} MB of {what} at once"


def _message(text: bytes) -> dict[str, Any]:
    try:
        message = json.loads(text.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise NotPlain("a message is not JSON") from error
    sizes = message.get("sizes") if type(message) is dict else None
    if type(sizes) is list and len(sizes) > MOST_BLOCKS:
        raise TooLarge(f"more than {MOST_BLOCKS} blocks of data at once")
    if type(sizes) is not list or any(type(n) is not int or n < 0 for n in sizes):
        raise NotPlain("a message does not say the sizes of its blocks")
    return message
