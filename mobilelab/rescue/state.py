"""What a file remembers from call to call, as inputs and outputs of the new network.

The new runtimes begin every call alike. So each tensor that a call leaves with another value
becomes an input behind the others, and what it ends as becomes an output behind the answer; the app
hands that output to the next call as that input.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any

import torch
from torch import Tensor

from mobilelab.core.errors import RescueError
from mobilelab.core.signature import dtype_name
from mobilelab.core.trees import own
from mobilelab.rescue.attributes import signature
from mobilelab.rescue.layers import attribute
from mobilelab.rescue.recording import Recorder
from mobilelab.rescue.tape import Tape
from mobilelab.rescue.values import cells, mapped

#: Calls after which a state has to keep its shapes.
CALLS = 4


@dataclass(frozen=True)
class Kept:
    """One tensor of a state."""

    name: str
    """Where the old file has it, as ``encoder.h``."""
    first: Tensor
    """What the first call gets."""
    input: int
    """Its place among the tensors that go in, from 0."""
    output: int
    """Its place among the tensors that come out, from 0."""
    assumed: bool = False
    """Whether the file begins without it, so that it was taken to begin as zeros."""

    def __str__(self) -> str:
        begins = "other numbers, see the .state.json" if bool(self.first.any()) else "zeros"
        what = f"{dtype_name(self.first.dtype)} {tuple(self.first.shape)}"
        return (
            f"{self.name}, {what}: tensor {self.input} of the inputs, tensor {self.output} of the "
            f"outputs, begins as {begins}"
        )

    def as_dict(self) -> dict[str, Any]:
        """For JSON: the numbers that it begins as in row-major order, or one if all are equal."""
        numbers = self.first.flatten().tolist()
        alike = bool(numbers) and all(number == numbers[0] for number in numbers)
        return {
            "name": self.name,
            "input": self.input,
            "output": self.output,
            "dtype": dtype_name(self.first.dtype),
            "shape": list(self.first.shape),
            "begins": numbers[0] if alike else numbers,
        }


def lifted(
    load: Callable[[], torch.jit.ScriptModule], tape: Tape, first: tuple[Any, ...]
) -> tuple[Tape, tuple[Kept, ...]]:
    """A recorded network whose state goes in and comes out.

    Args:
        load: the file, as it was saved, each time.
        tape: its first call as it was recorded.
        first: the example.

    Returns:
        The tape, and what is kept; nothing if no answer depends on it.

    Raises:
        RescueError: if the state changes its shape with every call, or decides.
    """
    for calls in range(CALLS):
        module = _after(load, first, calls)
        run = Recorder(module)
        names = run.run(first).state
        moving = [name for name in names if _moves(run, name)]
        if all(_only_numbers(run, name) for name in moving):
            break
    else:
        raise RescueError(
            f"The file keeps a state, and {', '.join(moving)} has another shape after each of "
            f"{CALLS} calls, so no program of fixed shapes stands for it; keep it in the app."
        )
    run = Recorder(_after(load, first, calls), lifted={n: n in moving for n in names})
    tape = _needed(run.run(first))
    before = [*cells(tape.inputs)][len([*cells(tape.inputs)]) - len(tape.state) :]
    answers = len([*cells(tape.outputs[0])])
    inputs = len([*cells(tape.inputs)]) - len(before)
    cold = load()
    kept = []
    for place, (name, cell) in enumerate(zip(tape.state, before, strict=True)):
        found = _begins(cold, cell.name, name, cell.value)
        start = torch.zeros_like(cell.value).contiguous() if found is None else found
        kept.append(Kept(name, start, inputs + place, answers + place, found is None))
    return (tape, tuple(kept)) if kept else (replace(tape, outputs=tape.outputs[0]), ())


def _after(
    load: Callable[[], torch.jit.ScriptModule], first: tuple[Any, ...], calls: int
) -> torch.jit.ScriptModule:
    """The file after some calls."""
    module = load()
    with torch.no_grad():
        for _ in range(calls):
            module.forward(*own(first))
    return module


def _moves(run: Recorder, name: str) -> bool:
    """Whether a call leaves an attribute with another shape or number."""
    first = run.attributes.first
    return name in first and signature(first[name]) != signature(run.attributes.last(name))


def _only_numbers(run: Recorder, name: str) -> bool:
    return not any(
        isinstance(cell.value, Tensor)
        for value in (run.attributes.first[name], run.attributes.last(name))
        for cell in cells(value)
    )


def _needed(tape: Tape) -> Tape:
    """A tape without the state that no answer, of this call or a later one, depends on."""
    many = len(tape.state)
    user, before = tape.inputs[: len(tape.inputs) - many], tape.inputs[len(tape.inputs) - many :]
    answer, after = tape.outputs[0], tape.outputs[1:]
    needed: list[int] = []
    while True:
        now = replace(tape, outputs=(answer, *(after[i] for i in needed))).pruned()
        used = {cell.number for step in now.steps for cell in step.inputs}
        used |= {cell.number for cell in cells(now.outputs)}
        more = [i for i in range(many) if before[i].number in used]
        if more == needed:
            return replace(
                now,
                inputs=(*user, *(before[i] for i in needed)),
                state=tuple(tape.state[i] for i in needed),
            )
        needed = more


def _begins(module: torch.jit.ScriptModule, path: str, name: str, like: Tensor) -> Tensor | None:
    """What a fresh file has for a tensor of the state; ``None`` if it has none of that shape."""
    found: list[Any] = []
    mapped(reduce(attribute, path.split("."), module._c), found.append)
    leaves = [leaf for leaf in found if isinstance(leaf, Tensor)]
    place = int(name[len(path) + 1 :] or 0)
    start = leaves[place] if place < len(leaves) else None
    if start is None or start.shape != like.shape or start.dtype != like.dtype:
        return None
    return start.detach().clone().contiguous()


def stepping(
    network: Callable[..., Any], kept: tuple[Kept, ...]
) -> Callable[[], Callable[..., Any]]:
    """A new network as something that begins anew and remembers, as the old file does.

    Args:
        network: takes the state behind its inputs, and answers with it behind its answer.
        kept: what it is.
    """

    def begin() -> Callable[..., Any]:
        state = [one.first.clone() for one in kept]

        def call(*inputs: Any) -> Any:
            *answer, state[:] = _parted(network(*inputs, *state), len(kept))
            return answer[0] if len(answer) == 1 else tuple(answer)

        return call if kept else network

    return begin


def _parted(found: Any, many: int) -> list[Any]:
    parts = list(found.values()) if isinstance(found, dict) else list(found)
    return [*parts[: len(parts) - many], parts[len(parts) - many :]]
