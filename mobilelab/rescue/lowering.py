"""A recorded tape in operators that every exporter knows: packed weights are unpacked.

What optimize_for_mobile prepacked for XNNPACK becomes a convolution and a clamp again. Quantized
steps become dequantize, the float operator, quantize
(:mod:`mobilelab.rescue.quantized`).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from mobilelab.core.errors import RescueError
from mobilelab.rescue.tape import Step, Tape
from mobilelab.rescue.values import Cell, Place, Thing, cells, mapped

#: Writes the steps that stand for one of the old ones.
Rule = Callable[["Lowering", Step], None]

_ATEN = torch.ops.aten


class Lowering:
    """Writes a new tape, step by step.

    A cell keeps its number, so steps that need no change are taken over. A cell that was a
    quantized tensor holds the int8 numbers of it in the new tape, and its old value says with
    which scale and zero point.
    """

    def __init__(self, tape: Tape, folded: bool = True) -> None:
        self.old = tape
        self.folded = folded
        self.constants = {cell.number for cell in tape.constants()}
        self.made: dict[tuple[str, int], tuple[Any, Any]] = {}
        numbers = [cell.number for step in tape.steps for cell in cells(step.result)]
        numbers += [cell.number for cell in [*cells(tape.inputs), *cells(tape.outputs)]]
        numbers += [cell.number for step in tape.steps for cell in step.inputs]
        self._numbers = itertools.count(max(numbers, default=0) + 1)
        self.steps: list[Step] = []
        self._instead: dict[int, Cell] = {}
        self._weights: dict[int, Cell] = {}
        self._packed: dict[int, Any] = {}
        self._place = Place("")
        self._kept: list[Any] = []

    def fresh(self) -> Cell:
        """A cell for something new."""
        return Cell(None, next(self._numbers), True)

    def emit(self, call: Any, *args: Any, to: Any = None, **named: Any) -> Any:
        """One more step; its result is a new cell, or the tree of cells given."""
        result = self.fresh() if to is None else to
        self.steps.append(Step(call, args, named, result, Place(str(call), self._place.source)))
        return result

    def weight(self, tensor: Tensor, name: str = "") -> Cell:
        """A constant of the new tape; the same tensor is the same constant."""
        if id(tensor) not in self._weights:
            self._weights[id(tensor)] = Cell(tensor, next(self._numbers), False, name)
            self._kept.append(tensor)
        return self._weights[id(tensor)]

    def unpacked(self, thing: Thing, how: Callable[[Any], Any]) -> Any:
        """What a packed object holds; read once."""
        key = id(thing)  # the recorder wraps each object of a file once
        if key not in self._packed:
            try:
                self._packed[key] = how(thing.object)
            except (RuntimeError, TypeError) as error:
                raise RescueError(
                    f"The weights of {self._place} cannot be unpacked ({error}); load the file "
                    "with the engine that it was made for."
                ) from error
            self._kept.append(thing)
        return self._packed[key]

    def current(self, tree: Any) -> Any:
        """Arguments as they are now, after what was written into them."""

        def leaf(part: Any) -> Any:
            while isinstance(part, Cell) and part.number in self._instead:
                part = self._instead[part.number]
            return part

        return mapped(tree, leaf)

    def _answer(self, leaf: Any) -> Any:
        """A number among the answers as a tensor, which files can answer with."""
        number = isinstance(leaf, (bool, int, float))
        return self.weight(torch.tensor(leaf), "number") if number else leaf

    def replace(self, cell: Cell, by: Cell) -> None:
        """From here on, one cell stands for another."""
        if cell.number != by.number:
            self._instead[cell.number] = by

    def run(self, rules: Callable[[Step], Rule | None], finish: Callable[..., Any]) -> Tape:
        """The whole tape, each step by its rule.

        Args:
            rules: the rule for a step; ``None`` takes it over as it is.
            finish: makes an output of the new tape from one of the old.
        """
        for step in self.old.steps:
            self._place = step.place
            step = Step(
                step.call, self.current(step.args), self.current(step.named), step.result,
                step.place, step.written,
            )  # fmt: skip
            rule = rules(step)
            if rule is None:
                self.steps.append(step)
            else:
                rule(self, step)
        outputs = mapped(
            self.current(self.old.outputs), lambda leaf: finish(self, self._answer(leaf))
        )
        return Tape(self.old.inputs, outputs, self.steps, self.old.state, self.old.copied).pruned()


# --- prepacked for XNNPACK ----------------------------------------------------------------------


def _state(packed: Any) -> tuple[Any, ...]:
    return packed.__getstate__()[0]


def _clamped(to: Lowering, x: Cell, low: float | None, high: float | None, result: Cell) -> None:
    """The clamp that was fused into a prepacked operator; ``x`` is its last step's result."""
    infinite = float("inf")
    low = None if low is None or low == -infinite else low
    high = None if high is None or high == infinite else high
    if low is None and high is None:
        to.replace(result, x)
    elif low == 0 and high is None:
        to.emit(_ATEN.relu.default, x, to=result)
    elif low is None or high is None:
        to.emit(_ATEN.clamp.default, x, low, high, to=result)
    else:
        to.emit(_ATEN.hardtanh.default, x, low, high, to=result)


def _conv2d(to: Lowering, step: Step) -> None:
    x, packed = step.args
    state = to.unpacked(packed, _state)
    weight, bias, stride, padding, dilation, groups, low, high = state
    found = to.emit(
        _ATEN.conv2d.default, x, to.weight(weight, "conv.weight"), _bias(to, bias, "conv"),
        list(stride), list(padding), list(dilation), groups,
    )  # fmt: skip
    _clamped(to, found, low, high, step.result)


def _transposed(to: Lowering, step: Step) -> None:
    x, packed = step.args
    state = to.unpacked(packed, _state)
    weight, bias, stride, padding, output_padding, dilation, groups, low, high = state
    found = to.emit(
        _ATEN.conv_transpose2d.input, x, to.weight(weight, "conv_transpose.weight"),
        _bias(to, bias, "conv_transpose"), list(stride), list(padding), list(output_padding),
        groups, list(dilation),
    )  # fmt: skip
    _clamped(to, found, low, high, step.result)


def _linear(to: Lowering, step: Step) -> None:
    x, packed = step.args
    weight, bias, low, high = to.unpacked(packed, _state)
    found = to.emit(
        _ATEN.linear.default, x, to.weight(weight, "linear.weight"), _bias(to, bias, "linear")
    )
    _clamped(to, found, low, high, step.result)


def _bias(to: Lowering, bias: Tensor | None, name: str) -> Cell | None:
    return None if bias is None else to.weight(bias, f"{name}.bias")


# --- what tracing left in an inner form ---------------------------------------------------------


def _convolution(to: Lowering, step: Step) -> None:
    """``aten::_convolution``, as tracing writes it, without cuDNN's switches."""
    x, weight, bias, stride, padding, dilation, transposed, output_padding, groups = step.args[:9]
    spatial = len(stride)
    plain = {1: _ATEN.conv1d, 2: _ATEN.conv2d, 3: _ATEN.conv3d}.get(spatial)
    if plain is not None and not transposed:
        to.emit(plain.default, x, weight, bias, stride, padding, dilation, groups, to=step.result)
        return
    to.emit(
        _ATEN.convolution.default, x, weight, bias, stride, padding, dilation, transposed,
        output_padding, groups, to=step.result,
    )  # fmt: skip


def _add_relu(to: Lowering, step: Step) -> None:
    """``aten::_add_relu``, which optimize_for_mobile makes of a residual's last two steps."""
    x, y = step.args
    into = step.name.endswith("_")
    add, relu = (_ATEN.add_, _ATEN.relu_) if into else (_ATEN.add, _ATEN.relu)
    found = to.emit(add.Tensor, x, y, **step.named)
    to.emit(relu.default, found, to=step.result)
    for one in to.steps[-2:]:
        one.written = step.written


def reshape(to: Lowering, step: Step) -> None:
    """A view, which asks for the memory's order; the new runtimes have another one."""
    to.emit(_ATEN.reshape.default, *step.args, to=step.result)


def pools(step: Step) -> bool:
    """Whether a step is the mean over both sides of pictures, without keeping the dimensions."""
    if step.name != "aten::mean" or len(step.args) < 3 or step.args[2] is not False:
        return False
    x, sides = step.args[0].value, step.args[1]
    return x.ndim == 4 and sorted(side % 4 for side in sides or ()) == [2, 3]


def _mean(to: Lowering, step: Step) -> None:
    """That mean as a pooling and a reshape, which XNNPACK takes."""
    x, sides = step.args[:2]
    found = to.emit(_ATEN.mean.dim, x, sides, True, **step.named)
    to.emit(_ATEN.reshape.default, found, list(x.value.shape[:2]), to=step.result)


#: Operators with another name in the new tape.
FLOAT_RULES: dict[str, Rule] = {
    "aten::mean": _mean,
    "prepacked::conv2d_clamp_run": _conv2d,
    "prepacked::conv2d_transpose_clamp_run": _transposed,
    "prepacked::linear_clamp_run": _linear,
    "aten::_convolution": _convolution,
    "aten::_add_relu": _add_relu,
    "aten::_add_relu_": _add_relu,
}
