"""Dynamic int8 LSTMs and GRUs, unrolled over time into linear layers and gates.

The formulas are those of ``torch.nn.LSTM`` and ``torch.nn.GRU``. As the old kernels do, the input
weights meet the whole sequence at once and the state's weights each step.
"""

from __future__ import annotations

from typing import Any

import torch

from mobilelab.core.errors import RescueError
from mobilelab.rescue.lowering import Lowering
from mobilelab.rescue.packed import Layer, layer
from mobilelab.rescue.tape import Step
from mobilelab.rescue.values import Cell, cells

_ATEN = torch.ops.aten
#: Gates of one cell, in the order of their weights.
_GATES = {"quantized_lstm": 4, "quantized_gru": 3}


def _layers(packed: Any) -> tuple[Layer, Layer]:
    """The two linear layers of a cell, on the input and on the state."""
    state = packed.__getstate__()
    state = state[0] if isinstance(state[0], tuple) else state
    kind, *_, weights = state
    names = {"quantized_dynamic": "linear", "quantized_fp16": "linear_fp16"}
    if kind not in names:
        raise RescueError(f"Weights of an RNN of kind {kind} have no counterpart.")
    on_input, on_state = (layer(names[kind], weight) for weight in weights)
    return on_input, on_state


class _Unrolled:
    """One layer in one direction."""

    def __init__(self, to: Lowering, kind: str, layers: tuple[Layer, Layer], linear: Any) -> None:
        self.to, self.kind, self.linear = to, kind, linear
        self.on_input, self.on_state = layers

    def run(self, x: Cell, state: list[Cell], length: int, backwards: bool) -> tuple[Cell, Any]:
        """All steps; ``x`` has shape (length, batch, features), each state (batch, hidden)."""
        to = self.to
        whole = self.linear(to, self.on_input, x)
        order = range(length - 1, -1, -1) if backwards else range(length)
        found: dict[int, Cell] = {}
        for turn in order:
            now = to.emit(_ATEN.select.int, whole, 0, turn)
            state = self.step(now, state)
            found[turn] = state[0]
        return to.emit(_ATEN.stack.default, [found[turn] for turn in range(length)]), state

    def step(self, now: Cell, state: list[Cell]) -> list[Cell]:
        """The state after one step; ``now`` is what the input weights made of its input."""
        then = self.linear(self.to, self.on_state, state[0])
        return (self._lstm if self.kind == "quantized_lstm" else self._gru)(now, then, state)

    def _chunks(self, x: Cell) -> list[Cell]:
        many = _GATES[self.kind]
        parts = [self.to.fresh() for _ in range(many)]
        self.to.emit(_ATEN.chunk.default, x, many, -1, to=parts)
        return parts

    def _lstm(self, now: Cell, then: Cell, state: list[Cell]) -> list[Cell]:
        emit = self.to.emit
        enter, forget, new, leave = self._chunks(emit(_ATEN.add.Tensor, now, then))
        enter, forget, leave = (emit(_ATEN.sigmoid.default, x) for x in (enter, forget, leave))
        kept = emit(_ATEN.mul.Tensor, forget, state[1])
        added = emit(_ATEN.mul.Tensor, enter, emit(_ATEN.tanh.default, new))
        memory = emit(_ATEN.add.Tensor, kept, added)
        return [emit(_ATEN.mul.Tensor, leave, emit(_ATEN.tanh.default, memory)), memory]

    def _gru(self, now: Cell, then: Cell, state: list[Cell]) -> list[Cell]:
        emit = self.to.emit
        (r, z, n), (hr, hz, hn) = self._chunks(now), self._chunks(then)
        r = emit(_ATEN.sigmoid.default, emit(_ATEN.add.Tensor, r, hr))
        z = emit(_ATEN.sigmoid.default, emit(_ATEN.add.Tensor, z, hz))
        n = emit(_ATEN.add.Tensor, n, emit(_ATEN.mul.Tensor, r, hn))
        n = emit(_ATEN.tanh.default, n)
        gap = emit(_ATEN.sub.Tensor, state[0], n)
        return [emit(_ATEN.add.Tensor, emit(_ATEN.mul.Tensor, gap, z), n)]


def unrolled(to: Lowering, step: Step, linear: Any) -> None:
    """``aten::quantized_lstm`` and ``aten::quantized_gru`` over sequences of one length.

    Args:
        to: the tape to write.
        step: the old step.
        linear: writes a dynamic linear layer.
    """
    kind = step.name.removeprefix("aten::")
    x, given, params, _, layers, _, _, both, batch_first = step.args
    if not isinstance(batch_first, bool) or not isinstance(params, list):
        raise RescueError(f"{step.place} on packed sequences has no counterpart.")
    if batch_first:
        x = to.emit(_ATEN.transpose.int, x, 0, 1)
    value = step.args[0].value
    length = value.shape[1 if batch_first else 0]
    directions = 2 if both else 1
    firsts = given if isinstance(given, list) else [given]
    ends: list[list[Cell]] = []
    for number in range(layers):
        sides = []
        for side in range(directions):
            place = number * directions + side
            state = [to.emit(_ATEN.select.int, part, 0, place) for part in firsts]
            one = _Unrolled(to, kind, to.unpacked(params[place], _layers), linear)
            out, end = one.run(x, state, length, backwards=side == 1)
            sides.append(out)
            ends.append(end)
        x = sides[0] if directions == 1 else to.emit(_ATEN.cat.default, sides, -1)
    answer, *states = cells(step.result)
    if batch_first:
        to.emit(_ATEN.transpose.int, x, 0, 1, to=answer)
    else:
        to.replace(answer, x)
    for kept, old in enumerate(states):
        to.emit(_ATEN.stack.default, [end[kept] for end in ends], to=old)


def one_step(to: Lowering, step: Step, linear: Any) -> None:
    """``quantized::quantized_lstm_cell_dynamic`` and the GRU's: one step, two packed layers."""
    x, given, on_input, on_state = step.args[:4]
    name = step.name.removeprefix("quantized::").removesuffix("_cell_dynamic")
    layers = tuple(
        to.unpacked(part, lambda packed: layer("linear", packed)) for part in (on_input, on_state)
    )
    one = _Unrolled(to, name, (layers[0], layers[1]), linear)
    state = one.step(linear(to, one.on_input, x), given if isinstance(given, list) else [given])
    for old, new in zip(cells(step.result), state, strict=True):
        to.replace(old, new)
