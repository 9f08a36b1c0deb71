"""Old file against new: the same inputs, each output by itself, each kind of inputs by itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch

from mobilelab.core.errors import MobileLabError, RescueError, StructureError
from mobilelab.core.trees import Answers, Tree, identical, leaves, own
from mobilelab.measure import parity
from mobilelab.measure.parity import Verdict
from mobilelab.rescue.inputs import Groups
from mobilelab.rescue.tape import Tape
from mobilelab.rescue.values import Cell, Place, cells, mapped
from mobilelab.runtimes.libraries import first_line
from mobilelab.tasks import Regression

#: Inputs of one kind to the old file's answers to them.
Reference = dict[str, Answers]


@dataclass(frozen=True)
class Row:
    """One output on one kind of inputs."""

    inputs: str
    """``bundled``, ``random`` or ``extremes``."""
    many: int
    output: str
    largest: float
    """Largest absolute difference of any number, in the unit of the answers."""
    relative: float
    """L2 norm of the difference over that of the old answers."""
    equal: float
    """Share of the numbers, 0 to 1, that are equal bit for bit."""
    verdict: Verdict


#: Gives a network as it is before its first call: a module, or a session's ``predict``.
Begin = Callable[[], Callable[..., Tree]]


def answers(begin: Begin, groups: Groups, chosen: Callable[[tuple[Any, ...]], Any]) -> Reference:
    """Answers to every input, one call for each, each with inputs of its own.

    The inputs of one kind are one sequence of calls, from the beginning: what a network keeps in
    one call is there in the next.

    Args:
        begin: the network.
        groups: inputs by kind.
        chosen: what of an input it is called with.
    """
    found = {}
    with torch.no_grad():
        for kind, inputs in groups.items():
            call = begin()
            found[kind] = Answers(own(call(*own(tuple(chosen(one))))) for one in inputs)
    return found


def old_answers(begin: Begin, groups: Groups, name: str) -> Reference:
    """The old file's answers, if it answers alike twice.

    Raises:
        RescueError: if it does not, or does not answer at all.
    """
    try:
        found = answers(begin, groups, lambda one: one)
        again = answers(begin, {kind: inputs[:1] for kind, inputs in groups.items()}, lambda x: x)
        for kind, first in again.items():
            if not identical(first[0], found[kind][0]):
                raise RescueError(
                    f"{name} answers otherwise when it is asked again: it keeps a state or "
                    "draws random numbers, and nothing can be proved about it."
                )
        if not any(leaves(tree) for tree in found["random"]):
            raise RescueError(f"{name} answers with nothing; there is nothing to compare.")
    except StructureError as error:
        raise RescueError(f"{name} answers with more than tensors: {error}") from error
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        raise RescueError(f"{name} does not run here: {first_line(error)}.") from error
    return found


def compared(old: Reference, new: Reference) -> list[Row]:
    """The table of differences.

    Raises:
        RescueError: if the outputs are not the same in number or shape.
    """
    rows = []
    for kind, ours in old.items():
        try:
            found = parity.compare(ours, new[kind], Regression())
        except MobileLabError as error:
            raise RescueError(f"The answers cannot be compared: {error}") from error
        for leaf in found.leaves:
            verdict = leaf.verdict(found.bounds)
            numbers = leaf.max_abs, leaf.rel_l2, leaf.equal
            rows.append(Row(kind, len(ours), leaf.path, *numbers, verdict))
    return rows


#: How much the inputs are changed to see how far an old file's answers move by themselves: a few
#: units in the last digit of float32.
NUDGE = 5e-7
#: How many times that counts as rounding, too: every layer rounds, not the input only.
LAYERS = 10


def nudged(begin: Begin, groups: Groups) -> Reference:
    """The old file's answers to the extremes, changed in their last digit."""
    generator = torch.Generator().manual_seed(0)

    def leaf(x: Any) -> Any:
        if not isinstance(x, torch.Tensor) or not x.is_floating_point():
            return x
        return x * (1 + NUDGE * torch.randn(x.shape, generator=generator)).to(x.dtype)

    chosen = {"extremes": groups["extremes"]}
    return answers(begin, chosen, lambda one: mapped(one, leaf))


def excused(rows: list[Row], moved: list[Row]) -> list[Row]:
    """The table with differences on extremes forgiven that rounding makes of the old file itself.

    A normalization of constant inputs divides by next to nothing: there the old file's answers move
    as far when its inputs change in their last digit, and say nothing about the new one.

    Args:
        rows: new file against old.
        moved: old file against itself, from :func:`nudged`.
    """
    far = {(row.inputs, row.output): row.relative for row in moved}
    return [
        replace(row, verdict=Verdict.SAME)
        if row.relative <= LAYERS * far.get((row.inputs, row.output), 0.0) < 1 else row
        for row in rows
    ]  # fmt: skip


def judged(rows: list[Row], rounds: bool) -> Verdict:
    """The verdict on a table: the worst of its rows.

    Args:
        rows: from :func:`compared`.
        rounds: whether the network rounds to int8, so that a last step may fall otherwise. A
            float network has to give the same answers.
    """
    if not rows:
        return Verdict.DIFFERENT
    verdicts = {row.verdict for row in rows}
    if Verdict.DIFFERENT in verdicts or (Verdict.CLOSE in verdicts and not rounds):
        return Verdict.DIFFERENT
    return Verdict.CLOSE if Verdict.CLOSE in verdicts else Verdict.SAME


def first_difference(tape: Tape, known: dict[int, Any]) -> Place | None:
    """The first step that a rebuilt network does otherwise than it was recorded.

    Args:
        tape: as it was recorded.
        known: what the rebuilt network has for each cell.
    """
    for step in tape.steps:
        if any(not _near(cell, known.get(cell.number)) for cell in cells(step.result)):
            return step.place
    return None


def _near(cell: Cell, now: Any) -> bool:
    """Whether a step gave what it gave when it was recorded, but for rounding."""
    then = cell.value
    if not isinstance(then, torch.Tensor) or not isinstance(now, torch.Tensor):
        return True
    if then.is_quantized and then.qscheme() == torch.per_tensor_affine:
        shift = 128 if then.dtype == torch.quint8 else 0
        return bool(((then.int_repr().int() - shift - now.int()).abs() <= 2).all())
    if not then.is_floating_point() or then.shape != now.shape:
        return True
    return bool(torch.allclose(then, now, rtol=1e-3, atol=1e-4, equal_nan=True))
