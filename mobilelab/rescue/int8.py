"""int8 numbers of quantized tensors, and the steps that round to them and back.

Activations of the old engines are quint8 with a zero point z. The same numbers less 128 are int8
with the zero point z - 128, and stand for the same values: (q - z) s. Weights are int8 already.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from mobilelab.core.errors import RescueError
from mobilelab.rescue.lowering import Lowering
from mobilelab.rescue.values import Cell

# importing it registers the operators
import torch.ao.quantization.fx._decomposed  # isort: skip

_QD = torch.ops.quantized_decomposed
#: Range of int8, as the operators want it.
LOW, HIGH = -128, 127


def is_quantized(leaf: Any) -> bool:
    """Whether a cell was a quantized tensor in the old tape."""
    return isinstance(leaf, Cell) and isinstance(leaf.value, Tensor) and leaf.value.is_quantized


def _ints(x: Tensor) -> Tensor:
    """The numbers of a quantized tensor as int8."""
    numbers = x.int_repr()
    numbers = (numbers.short() - 128).to(torch.int8) if x.dtype == torch.quint8 else numbers
    return numbers.contiguous()


def _zero(x: Tensor) -> int:
    return x.q_zero_point() - (128 if x.dtype == torch.quint8 else 0)


def _must_be_eight(x: Tensor, to: Lowering) -> None:
    if x.dtype not in (torch.quint8, torch.qint8):
        raise RescueError(
            f"A tensor of {x.dtype} stands where int8 is needed; only quint8 and qint8 have a "
            "counterpart."
        )


def dequantized(to: Lowering, leaf: Any) -> Any:
    """A quantized cell as floats; anything else as it is."""
    if not is_quantized(leaf):
        return leaf
    x = leaf.value
    _must_be_eight(x, to)
    if leaf.number in to.constants:
        return weight(to, x, leaf.name or "constant")
    return to.emit(
        _QD.dequantize_per_tensor.default, leaf, x.q_scale(), _zero(x), LOW, HIGH, torch.int8
    )


def _once(to: Lowering, what: str, x: Tensor, make: Callable[[Tensor], Any]) -> Any:
    """What is made of weights, made once."""
    key = what, id(x)
    if key not in to.made:
        to.made[key] = make(x), x
    return to.made[key][0]


def weight(to: Lowering, x: Tensor, name: str, by_channel: bool = False) -> Cell:
    """int8 weights as floats, from a constant of the new tape.

    With ``to.folded`` the constant is int8; otherwise it is float and a step rounds it, exactly:
    LiteRT's converter reads weights so.
    """
    _must_be_eight(x, to)
    per_tensor = x.qscheme() in (torch.per_tensor_affine, torch.per_tensor_symmetric)
    if per_tensor and not by_channel:
        numbers: tuple[Any, ...] = x.q_scale(), _zero(x)
        calls = _QD.quantize_per_tensor.default, _QD.dequantize_per_tensor.default
    else:
        scales, zeros, axis = _channels(to, x)
        numbers = to.weight(scales, f"{name}.scales"), to.weight(zeros, f"{name}.zeros"), axis
        calls = _QD.quantize_per_channel.default, _QD.dequantize_per_channel.default
    if to.folded:
        held = to.weight(_once(to, "ints", x, _ints), name)
    else:
        floats = to.weight(_once(to, "floats", x, lambda it: it.dequantize().contiguous()), name)
        held = to.emit(calls[0], floats, *numbers, LOW, HIGH, torch.int8)
    return to.emit(calls[1], held, *numbers, LOW, HIGH, torch.int8)


def _channels(to: Lowering, x: Tensor) -> tuple[Tensor, Tensor, int]:
    """Scales, zero points and axis of weights; those with one scale for all have it repeated."""

    def found(it: Tensor) -> tuple[Tensor, Tensor, int]:
        shift = 128 if it.dtype == torch.quint8 else 0
        if it.qscheme() in (torch.per_tensor_affine, torch.per_tensor_symmetric):
            many = len(it)
            return torch.full((many,), it.q_scale()), torch.full((many,), _zero(it)), 0
        zeros = it.q_per_channel_zero_points().long() - shift
        return it.q_per_channel_scales().float(), zeros, it.q_per_channel_axis()

    return _once(to, "channels", x, found)


def quantize(to: Lowering, x: Cell, result: Cell) -> None:
    """Floats as what a cell of the old tape was."""
    like = result.value
    _must_be_eight(like, to)
    to.emit(
        _QD.quantize_per_tensor.default, x, like.q_scale(), _zero(like), LOW, HIGH, torch.int8,
        to=result,
    )  # fmt: skip
