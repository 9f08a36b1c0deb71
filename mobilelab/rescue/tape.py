"""What a recorded run of a graph leaves: a straight list of steps, and a network that runs it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from mobilelab.core.trees import Tree
from mobilelab.rescue.values import Cell, Place, cells, mapped


@dataclass(eq=False)
class Step:
    """One call of an operator."""

    call: Callable[..., Any]
    args: tuple[Any, ...]
    named: dict[str, Any]
    result: Any
    """A tree of cells, as the operator gives it."""
    place: Place
    written: tuple[Cell, ...] = ()
    """The arguments that it writes into."""

    @property
    def name(self) -> str:
        """The operator, as ``aten::add``."""
        return self.place.kind

    @property
    def inputs(self) -> list[Cell]:
        """All cells among its arguments."""
        return [*cells(self.args), *cells(self.named)]


@dataclass(eq=False)
class Tape:
    """Inputs, steps in their order, and outputs."""

    inputs: tuple[Any, ...]
    """One tree of cells for each input."""
    outputs: Any
    steps: list[Step] = field(default_factory=list)
    state: tuple[str, ...] = ()
    """Attributes that a run leaves with another value."""
    copied: frozenset[int] = frozenset()
    """Inputs that a step writes into; the new network writes into a copy."""

    def pruned(self) -> Tape:
        """The same without the steps that no output needs."""
        needed = {cell.number for cell in cells(self.outputs)}
        kept: list[Step] = []
        for step in reversed(self.steps):
            if step.written or any(cell.number in needed for cell in cells(step.result)):
                needed |= {cell.number for cell in step.inputs}
                kept.append(step)
        return Tape(self.inputs, self.outputs, kept[::-1], self.state, self.copied)

    def constants(self) -> list[Cell]:
        """Cells that the steps and outputs use and that neither a step nor the caller makes."""
        made = {cell.number for cell in cells(self.inputs)}
        made |= {cell.number for step in self.steps for cell in cells(step.result)}
        found: dict[int, Cell] = {}
        for cell in [c for step in self.steps for c in step.inputs] + [*cells(self.outputs)]:
            if cell.number not in made:
                found[cell.number] = cell
        return list(found.values())


class Rebuilt(nn.Module):
    """A network that does the steps of a tape, with the weights as its buffers.

    It takes what the old file takes, or its tensors one after the other, and gives the same tree of
    tensors, for inputs of the shapes that the tape was recorded with. Numbers among the old inputs
    are fixed.
    """

    def __init__(self, tape: Tape) -> None:
        super().__init__()
        self.tape = tape
        self._names: dict[int, str] = {}
        self._numbers: dict[int, Any] = {}
        held: dict[int, str] = {}
        for cell in tape.constants():
            if not isinstance(cell.value, Tensor):
                self._numbers[cell.number] = cell.value
                continue
            if id(cell.value) not in held:  # a weight that is used twice is kept once
                held[id(cell.value)] = self._free_name(cell)
                self.register_buffer(held[id(cell.value)], cell.value.detach().contiguous())
            self._names[cell.number] = held[id(cell.value)]
        # export wants to see modules in evaluation; nothing here asks for it
        self.eval()

    def _free_name(self, cell: Cell) -> str:
        base = re.sub(r"\W", "_", cell.name) or "constant"
        base = f"w_{base}" if base[0].isdigit() or hasattr(nn.Module, base) else base
        taken = self._buffers
        number = 1
        name = base
        while name in taken or hasattr(self, name):
            name, number = f"{base}_{number}", number + 1
        return name

    def weight_name(self, cell: Cell) -> str | None:
        """The buffer that holds a cell's tensor; ``None`` for what is computed."""
        return self._names.get(cell.number)

    def forward(self, *inputs: Tree) -> Tree:
        """The old file's answer."""
        return self.answers(inputs)[0]

    def answers(self, inputs: tuple[Tree, ...], keep: bool = False) -> tuple[Tree, dict[int, Any]]:
        """The answer, and with ``keep`` every cell's value by its number."""
        known: dict[int, Any] = dict(self._numbers)
        known.update({number: getattr(self, name) for number, name in self._names.items()})
        given = zip(cells(self.tape.inputs), tensors(inputs), strict=True)
        for cell, tensor in given:
            known[cell.number] = tensor.clone() if cell.number in self.tape.copied else tensor
        last = {} if keep else _last_uses(self.tape)
        for place, step in enumerate(self.tape.steps):
            found = step.call(*_filled(step.args, known), **_filled(step.named, known))
            _assign(step.result, found, known)
            for number in last.get(place, ()):
                known.pop(number, None)
        return _filled(self.tape.outputs, known), known


def tensors(inputs: Tree) -> list[Tensor]:
    """The tensors of a tree in their order; numbers in it are part of the program."""
    found: list[Tensor] = []
    mapped(inputs, lambda leaf: found.append(leaf) if isinstance(leaf, Tensor) else None)
    return found


def _filled(tree: Any, known: dict[int, Any]) -> Any:
    return mapped(tree, lambda leaf: known[leaf.number] if isinstance(leaf, Cell) else leaf)


def _assign(tree: Any, found: Any, known: dict[int, Any]) -> None:
    if isinstance(tree, Cell):
        known[tree.number] = found
    elif isinstance(tree, (list, tuple)):
        for part, value in zip(tree, found, strict=True):
            _assign(part, value, known)


def _last_uses(tape: Tape) -> dict[int, list[int]]:
    """Step to the cells that no later step needs, so that their memory is free."""
    last = {cell.number: place for place, step in enumerate(tape.steps) for cell in step.inputs}
    kept = {cell.number for cell in cells(tape.outputs)}
    found: dict[int, list[int]] = {}
    for number, place in last.items():
        if number not in kept:
            found.setdefault(place, []).append(number)
    return found
