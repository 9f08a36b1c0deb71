"""The attributes of a file's modules while it is recorded: what is read, written, and left behind.

An attribute that a call leaves with another value is state. In a run that lifts it, it begins as an
input of its own, so what comes of it depends on it, and what it ends as is an output.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import torch
from torch import Tensor

from mobilelab.rescue.layers import attribute
from mobilelab.rescue.values import Cell, Thing, cells, mapped, storage

#: Kind of a leaf and what must stay alike from call to call: an element type and a shape, a number.
Signature = list[tuple[Any, ...]]


class Attributes:
    """All attributes that one run meets.

    Args:
        cell: makes a cell from a value, whether it depends on the inputs, and a name.
        lifted: attributes that begin as inputs, and whether their numbers change, too.
    """

    def __init__(self, cell: Callable[..., Cell], lifted: Mapping[str, bool]) -> None:
        self._cell = cell
        self._lifted = lifted
        self._known: dict[str, Any] = {}
        self._owners: dict[str, tuple[Thing, str]] = {}
        self.first: dict[str, Any] = {}
        """Attribute to what it was when it was read first."""

    def wrapped(self, value: Any, name: str) -> Any:
        """A value of the file as the recorder handles it."""
        lifted = name in self._lifted

        def leaf(part: Any) -> Any:
            if isinstance(part, Tensor):
                return self._cell(part.clone() if lifted else part, lifted, name)
            if isinstance(part, (torch._C.ScriptModule, torch._C.ScriptObject)):
                return Thing(part, name)
            number = self._lifted.get(name, False) and isinstance(part, (int, float))
            return self._cell(part, True, name) if number else part

        return mapped(value, leaf)

    def get(self, owner: Thing, name: str) -> Any:
        """What an attribute is now."""
        if name not in owner.attributes:
            path = f"{owner.path}.{name}".lstrip(".")
            if path not in self._known or not owner.object:
                self._known[path] = self.wrapped(attribute(owner.object, name), path)
                self._owners[path] = owner, name
                self.first[path] = mapped(self._known[path], lambda leaf: leaf)
            owner.attributes[name] = self._known[path]
        return owner.attributes[name]

    def set(self, owner: Thing, name: str, value: Any) -> None:
        """Give an attribute another value."""
        owner.attributes[name] = value
        if owner.object is not None:
            self._owners.setdefault(f"{owner.path}.{name}".lstrip("."), (owner, name))

    def last(self, path: str) -> Any:
        """What an attribute is after the run."""
        owner, name = self._owners[path]
        return owner.attributes[name]

    def changed(self, written: Collection[int]) -> tuple[str, ...]:
        """Attributes that are another value now, or whose memory was written into.

        Args:
            written: where the memory that was written into begins.
        """
        found = []
        for path in self._owners:
            now = self.last(path)
            inside = any(storage(cell.value) in written for cell in cells(now))
            if inside or path not in self.first or not _same(self.first[path], now):
                found.append(path)
        return tuple(found)


def signature(value: Any) -> Signature:
    """What of a value the steps of a run depend on: shapes of tensors, and numbers."""
    found: Signature = []

    def leaf(part: Any) -> None:
        value = part.value if isinstance(part, Cell) else part
        if isinstance(value, Tensor):
            found.append((value.dtype, tuple(value.shape)))
        elif not isinstance(part, Cell):
            found.append((type(part), part if isinstance(part, (int, float, str)) else None))
        else:
            found.append((type(value),))

    mapped(value, leaf)
    return found


def _same(first: Any, now: Any) -> bool:
    """Whether two values are the same leaves."""
    ours: list[Any] = []
    theirs: list[Any] = []
    mapped(first, ours.append)
    mapped(now, theirs.append)
    return len(ours) == len(theirs) and all(
        a is b or (not isinstance(a, (Cell, Thing)) and type(a) is type(b) and a == b)
        for a, b in zip(ours, theirs, strict=True)
    )
