"""The values that a TorchScript graph computes with, while it is recorded.

Lists, tuples and dictionaries are Python's own; their leaves are numbers, strings, ``None``, or a
:class:`Cell`. So that taking a list apart is no step of the network, and only what computes is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

#: The line below a marked one.
_MARK = re.compile(r"\s*~+[~\s]*(?:<--- HERE)?\s*")

#: What a node raises that gets what it cannot work with, or that is damaged.
FAILS = (
    RuntimeError, TypeError, LookupError, NotImplementedError, ValueError, ArithmeticError,
    AttributeError,
)  # fmt: skip


@dataclass(eq=False)
class Cell:
    """A tensor, or a number that was read out of one, at one place of a recorded run."""

    value: Any
    number: int
    depends: bool = False
    """Whether it can be another one for other inputs of the same shapes."""
    name: str = ""
    """Where a weight was found in the file, ``features.0.weight``."""


@dataclass(eq=False)
class Thing:
    """A module, or an object of a class, with its attributes as they are after what ran so far."""

    object: Any
    path: str = ""
    attributes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Place:
    """A node of a graph: what it is called, and the line that it was made from."""

    kind: str
    source: str = ""
    """``model.py, line 12: return self.f(x)``; empty where the archive carries no lines."""

    def __str__(self) -> str:
        return f"{self.kind} ({self.source})" if self.source else self.kind

    @classmethod
    def of(cls, node: torch._C.Node) -> Place:
        """The place of a node."""
        try:
            return cls(node.kind(), source_line(str(node.sourceRange())))
        except UnicodeDecodeError:  # of a damaged file
            return cls(node.kind())


def source_line(text: str) -> str:
    """File, number and words of the line that a node's source range marks.

    >>> source_line('  File "/a/net.py", line 3\\n  y = f(x)\\n      ~ <--- HERE\\n')
    'net.py, line 3: y = f(x)'
    """
    found = re.search(r'File "([^"]+)", line (\d+)', text)
    if found is None:
        return ""
    lines = text[found.end() :].splitlines()
    marked = next((i for i, line in enumerate(lines) if i and _MARK.fullmatch(line)), 0)
    words = lines[marked - 1].strip() if marked else ""
    file = re.split(r"[/\\]", found[1])[-1]
    return f"{file}, line {found[2]}" + (f": {words}" if words else "")


def cells(value: Any) -> Iterator[Cell]:
    """All cells in a value, in their order."""
    if isinstance(value, Cell):
        yield value
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from cells(part)
    elif isinstance(value, dict):
        for part in value.values():
            yield from cells(part)


def mapped(value: Any, change: Callable[[Any], Any]) -> Any:
    """A value with every leaf changed; lists, tuples and dictionaries are new ones."""
    if isinstance(value, list):
        return [mapped(part, change) for part in value]
    if isinstance(value, tuple):
        return tuple(mapped(part, change) for part in value)
    if isinstance(value, dict):
        return {key: mapped(part, change) for key, part in value.items()}
    return change(value)


def bare(value: Any) -> Any:
    """A value with tensors in place of cells, and objects in place of things."""

    def leaf(part: Any) -> Any:
        if isinstance(part, Cell):
            return part.value
        return part.object if isinstance(part, Thing) else part

    return mapped(value, leaf)


def storage(value: Any) -> int:
    """Where a tensor's memory begins; 0 for what has none."""
    if not isinstance(value, Tensor):
        return 0
    try:
        return value.untyped_storage().data_ptr()
    except (RuntimeError, NotImplementedError):  # sparse, mkldnn
        return 0
