"""Messages as frames of bytes; what the values in them look like, ``plain`` says.

This module and ``sandbox`` do not import torch, so that a sandbox can start before torch is there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from mobilelab.errors import MobileLabError

#: The most bytes of JSON in one message.
LARGEST_JSON = 2 * 2**20


class NotPlain(MobileLabError):
    """A message is not plain data of the agreed form."""


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

    def __init__(self, largest: int = 64 * 2**20) -> None:
        self.largest = largest
        self._held = bytearray()
        self._head: tuple[dict[str, Any], int] | None = None

    def feed(self, data: bytes) -> list[tuple[dict[str, Any], list[bytes]]]:
        """The frames that are complete now.

        Raises:
            NotPlain: if the stream is not made of frames.
        """
        self._held += data
        frames = []
        while self._begun():
            message, at = self._head
            end = at + sum(message["sizes"])
            if len(self._held) < end:
                break
            blocks = []
            for length in message.pop("sizes"):
                blocks.append(bytes(self._held[at : at + length]))
                at += length
            del self._held[:end]
            self._head = None
            frames.append((message, blocks))
        return frames

    def _begun(self) -> bool:
        """Whether the JSON of the next frame is there and read."""
        if self._head is None and len(self._held) >= 4:
            end = 4 + int.from_bytes(self._held[:4], "big")
            if end > LARGEST_JSON:
                raise NotPlain("a message is too long")
            if len(self._held) >= end:
                message = _message(bytes(self._held[4:end]))
                if end + sum(message["sizes"]) > self.largest:
                    raise NotPlain("a message is too long")
                self._head = message, end
        return self._head is not None


def _message(text: bytes) -> dict[str, Any]:
    try:
        message = json.loads(text.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise NotPlain("a message is not JSON") from error
    sizes = message.get("sizes") if type(message) is dict else None
    if type(sizes) is not list or any(type(n) is not int or n < 0 for n in sizes):
        raise NotPlain("a message does not say the sizes of its blocks")
    return message
