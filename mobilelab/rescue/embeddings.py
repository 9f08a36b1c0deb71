"""Embeddings and bags of them: float, or with rows of 8 or 4 bits that have a scale each.

A quantized row q stands for (q - z) s, with a float zero point z (torch, ``qembeddingbag.cpp``).
The table stays int8: looked up, then scaled by what is looked up in two columns beside it. The new
runtimes have no kernel for bags; a bag is a sum over rows, and where offsets say which rows, a
product with a mask of zeros and ones.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from mobilelab.core.errors import RescueError
from mobilelab.rescue.lowering import Lowering
from mobilelab.rescue.tape import Step
from mobilelab.rescue.values import Cell

_ATEN = torch.ops.aten
#: Operators of the namespace ``quantized`` that look up rows of packed weights.
ROWS = ("embedding_byte", "embedding_4bit")
BAGS = ("embedding_bag_byte", "embedding_bag_4bit")
_SUM, _MEAN = 0, 1


def _table(packed: Any) -> tuple[Tensor, Tensor, Tensor]:
    """Rows as int8, and the scale and the shift of each: a number is ``row * scale + shift``."""
    held = torch.ops.quantized.embedding_bag_unpack(packed)
    numbers = held.int_repr()
    scale = held.q_per_channel_scales().double()[:, None]
    shift = -held.q_per_channel_zero_points().double()[:, None] * scale
    if held.dtype == torch.quint8:
        return (numbers.short() - 128).to(torch.int8), scale.float(), (shift + 128 * scale).float()
    # two in a byte, the first in the lower half; beside them lie scale and shift as float16
    numbers = torch.stack([numbers & 15, numbers >> 4], -1).reshape(held.shape)
    return numbers.to(torch.int8), scale.half().float(), shift.float().half().float()


def _looked_up(to: Lowering, packed: Any, indices: Cell) -> Cell:
    rows, scale, shift = to.unpacked(packed, _table)
    found = to.emit(_ATEN.embedding.default, to.weight(rows, "embedding.rows"), indices)
    found = to.emit(_ATEN.to.dtype, found, torch.float32)
    scale = to.emit(_ATEN.embedding.default, to.weight(scale, "embedding.scale"), indices)
    shift = to.emit(_ATEN.embedding.default, to.weight(shift, "embedding.shift"), indices)
    return to.emit(_ATEN.add.Tensor, to.emit(_ATEN.mul.Tensor, found, scale), shift)


def quantized_rows(to: Lowering, step: Step) -> None:
    """``quantized::embedding_byte`` and ``embedding_4bit``."""
    packed, indices, *pruned = step.args
    _not_pruned(step, any(pruned))
    to.replace(step.result, _looked_up(to, packed, indices))


def quantized_bag(to: Lowering, step: Step) -> None:
    """``quantized::embedding_bag_byte`` and ``embedding_bag_4bit``, which add whatever the mode."""
    packed, indices, offsets, _, _, pruned, weights, mapping, closed = step.args
    _not_pruned(step, pruned or mapping is not None)
    found = _looked_up(to, packed, indices)
    to.replace(step.result, _bag(to, found, indices, offsets, weights, closed, _SUM))


def float_bag(to: Lowering, step: Step) -> None:
    """``aten::embedding_bag`` as a sum or a mean."""
    table, indices, offsets, _, mode, _, weights, closed, *padding = step.args
    if mode not in (_SUM, _MEAN) or any(part is not None and part != -1 for part in padding):
        raise RescueError(
            f"{step.place} takes the largest of a bag, or leaves a row out, which has no "
            "counterpart here; only sums and means have."
        )
    found = to.emit(_ATEN.embedding.default, table, indices)
    to.replace(step.result[0], _bag(to, found, indices, offsets, weights, closed, mode))


def _not_pruned(step: Step, pruned: Any) -> None:
    if pruned:
        raise RescueError(
            f"{step.place} has rows pruned away and a table of those that are left, which has no "
            "counterpart here; quantize the float embedding anew."
        )


def _bag(
    to: Lowering,
    rows: Cell,
    indices: Cell,
    offsets: Cell | None,
    weights: Cell | None,
    closed: bool,
    mode: int,
) -> Cell:
    """Rows of shape (bags, many, width), or (all, width) with offsets, as (bags, width)."""
    emit = to.emit
    if weights is not None:
        rows = emit(_ATEN.mul.Tensor, rows, emit(_ATEN.unsqueeze.default, weights, -1))
    if indices.value.ndim == 2:
        call = _ATEN.mean.dim if mode == _MEAN else _ATEN.sum.dim_IntList
        return emit(call, rows, [1])
    if offsets is None:
        raise RescueError("A bag without offsets has no counterpart.")
    many = len(indices.value)
    place = to.weight(torch.arange(many, dtype=offsets.value.dtype)[None], "places")
    first = emit(_ATEN.unsqueeze.default, offsets, 1)
    if closed:
        first, last = (
            emit(_ATEN.slice.Tensor, first, 0, begin, end)
            for begin, end in ((0, len(offsets.value) - 1), (1, len(offsets.value)))
        )
    else:
        end = to.weight(torch.full((1, 1), many, dtype=offsets.value.dtype), "end")
        last = emit(_ATEN.cat.default, [emit(_ATEN.slice.Tensor, first, 0, 1, many + 1), end])
    inside = emit(
        _ATEN.logical_and.default, emit(_ATEN.ge.Tensor, place, first),
        emit(_ATEN.lt.Tensor, place, last),
    )  # fmt: skip
    mask = emit(_ATEN.to.dtype, inside, torch.float32)
    found = emit(_ATEN.mm.default, mask, rows)
    if mode == _SUM:
        return found
    count = emit(_ATEN.clamp.default, emit(_ATEN.sum.dim_IntList, mask, [1], True), 1)
    return emit(_ATEN.div.Tensor, found, count)
