"""The inputs on which an old and a new file are compared: bundled, random, and extreme ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mobilelab.rescue.tape import Step, Tape
from mobilelab.rescue.values import Cell, Thing, cells, mapped

#: At least so many inputs are compared.
LEAST = 32
#: How many of them are extremes.
_EXTREMES = 8


def groups(tape: Tape, first: tuple[Any, ...], bundled: tuple[Any, ...], seed: int = 0) -> Groups:
    """Inputs of an example's structure, by kind.

    Half of the random floats are normal, half between 0 and 1, as pictures are. Integers that an
    embedding looks up are drawn among its rows; other integers are 0 or 1, and those beside an
    example of ones stay as they are.

    Args:
        tape: a recorded run, which says what integers are for.
        first: the example.
        bundled: what the file brings along.
        seed: of the random ones.
    """
    generator = torch.Generator().manual_seed(seed)
    alike = [x for x in bundled if _shapes(x) == _shapes(first)]
    ranges = _ranges(tape)
    many = max(LEAST - _EXTREMES - len(alike), 16)
    random = [
        _filled(first, ranges, lambda x, turn=turn: _random(x, turn, generator))
        for turn in range(many)
    ]
    extremes = [_filled(first, ranges, lambda x, kind=kind: _extreme(x, kind)) for kind in _KINDS]
    found = {"bundled": alike, "random": random, "extremes": extremes}
    return {name: inputs for name, inputs in found.items() if inputs}


#: Kind of inputs to the inputs.
Groups = dict[str, list[tuple[Any, ...]]]
_KINDS = ("zeros", "ones", "large", "small", "negative", "one hot", "ramp", "alternating")


def _shapes(inputs: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    found: list[tuple[Any, ...]] = []
    mapped(inputs, lambda x: found.append((x.dtype, x.shape)) if isinstance(x, Tensor) else None)
    return found


@dataclass(frozen=True)
class _Range:
    """Which integers a tensor may hold: from 0 to below ``high``."""

    high: int = 2
    rises: bool = False
    """Whether they are offsets, which begin at 0 and do not fall."""
    ends: bool = False
    """Whether the last of those is ``high``."""


def _filled(first: tuple[Any, ...], ranges: list[_Range], make: Any) -> tuple[Any, ...]:
    """The structure of an example with other numbers."""
    bounds = iter(ranges)

    def leaf(x: Any) -> Any:
        if not isinstance(x, Tensor):
            return x
        allowed = next(bounds)
        found = make(torch.empty(x.shape, dtype=torch.float64))
        if x.dtype == torch.bool:
            return found > 0
        if not x.dtype.is_floating_point:
            whole = _whole(found, allowed.high).to(x.dtype)
            return _rising(whole, allowed) if allowed.rises else whole
        return found.to(x.dtype)

    return mapped(first, leaf)


def _whole(x: Tensor, high: int) -> Tensor:
    """Numbers as integers from 0 to below ``high``, whatever their distribution."""
    if x.numel() == 0:
        return x
    spread = (x.max() - x.min()).item()
    share = (x - x.min()) / spread if spread else x.clamp(0, 1)
    return (share * high).long().clamp(0, high - 1)


def _rising(x: Tensor, allowed: _Range) -> Tensor:
    """Numbers in their order, the first of them 0."""
    x = x.sort().values
    if allowed.ends:
        x[-1:] = allowed.high
    x[:1] = 0
    return x


def _random(x: Tensor, turn: int, generator: torch.Generator) -> Tensor:
    if turn % 2:
        return torch.rand(x.shape, generator=generator, dtype=x.dtype)
    return torch.randn(x.shape, generator=generator, dtype=x.dtype)


def _extreme(x: Tensor, kind: str) -> Tensor:
    count = torch.arange(x.numel(), dtype=x.dtype).reshape(x.shape)
    if kind == "one hot":
        return (count == x.numel() // 2).to(x.dtype)
    if kind == "ramp":
        return count / max(x.numel() - 1, 1)
    if kind == "alternating":
        return 1 - 2 * (count % 2)
    value = {"zeros": 0.0, "ones": 1.0, "large": 100.0, "small": 1e-4, "negative": -3.0}[kind]
    return torch.full_like(x, value)


def _ranges(tape: Tape) -> list[_Range]:
    """For each tensor of the input, which integers it may hold."""
    found = []
    for cell in cells(tape.inputs):
        if isinstance(cell.value, Tensor):
            reached = {cell.number}
            allowed = _Range()
            for step in tape.steps:
                numbers = {one.number for one in step.inputs}
                if not reached & numbers:
                    continue
                if "::embedding" in step.name:
                    allowed = _lookup(step, reached)
                    break
                results = list(cells(step.result))
                if all(_counts(one) for one in results):
                    reached |= {one.number for one in results}
            found.append(allowed)
    return found


def _lookup(step: Step, reached: set[int]) -> _Range:
    """What the indices or the offsets of an embedding may be."""
    table, indices, *more = step.args
    if isinstance(indices, Cell) and indices.number in reached:
        packed = isinstance(table, Thing)
        rows = torch.ops.quantized.embedding_bag_unpack(table.object) if packed else table.value
        return _Range(max(2, len(rows)))
    bag = "embedding_bag" in step.name and more and isinstance(more[0], Cell)
    if bag and more[0].number in reached:
        closed = step.args[7 if step.name.startswith("aten::") else 8]
        return _Range(len(indices.value), rises=True, ends=closed)
    return _Range()


def _counts(cell: Cell) -> bool:
    return isinstance(cell.value, Tensor) and not cell.value.is_floating_point()
