"""Static and dynamic int8: dequantize, the float operator, quantize.

Exporters find the pattern and hand it to int8 kernels (:mod:`mobilelab.rescue.int8` says why the
numbers stay the same).
"""

from __future__ import annotations

from typing import Any

import torch

from mobilelab.core.errors import RescueError
from mobilelab.rescue import embeddings
from mobilelab.rescue.int8 import HIGH, LOW, dequantized, is_quantized, quantize, weight
from mobilelab.rescue.lowering import FLOAT_RULES, Lowering, Rule, pools, reshape
from mobilelab.rescue.packed import Layer, layer
from mobilelab.rescue.recurrent import one_step, unrolled
from mobilelab.rescue.tape import Step, Tape
from mobilelab.rescue.values import Cell, Thing, cells, mapped

# importing it registers the operators
import torch.ao.quantization.fx._decomposed  # isort: skip

_ATEN = torch.ops.aten
_QD = torch.ops.quantized_decomposed


def _finish(to: Lowering, step: Step, floats: Any, result: Any = None) -> None:
    """Give floats to the cells of a result, as int8 where the old ones were quantized."""
    result = step.result if result is None else result
    for cell, value in zip(cells(result), cells(floats), strict=True):
        if is_quantized(cell):
            quantize(to, value, cell)
        else:
            to.replace(cell, value)
    for written in step.written:
        if is_quantized(written):
            to.replace(written, next(cells(result)))


# --- layers -------------------------------------------------------------------------------------


def _applied(to: Lowering, held: Layer, x: Cell, by_channel: bool = False) -> Cell:
    """A convolution or a linear layer in floats, with int8 weights."""
    name = f"{held.kind}.weight"
    if held.weight.is_quantized:
        weights = weight(to, held.weight, name, by_channel)
    else:
        weights = to.weight(held.weight, name)
    bias = None if held.bias is None else to.weight(held.bias, f"{held.kind}.bias")
    if held.kind == "linear":
        return to.emit(_ATEN.linear.default, x, weights, bias)
    return to.emit(held.call, x, weights, bias, *held.options)


def _layer(to: Lowering, step: Step) -> None:
    """``quantized::conv2d`` and its kin: input, packed weights, scale and zero point."""
    x, packed = step.args[:2]
    held = to.unpacked(packed, lambda thing: layer(step.name, thing))
    found = _applied(to, held, dequantized(to, x))
    if "_relu" in step.name:
        found = to.emit(_ATEN.relu.default, found)
    _finish(to, step, found)


def _dynamic(to: Lowering, step: Step) -> None:
    """``quantized::linear_dynamic``: the input gets a scale of its own in every call."""
    x, packed = step.args[:2]
    held = to.unpacked(packed, lambda thing: layer(step.name, thing))
    found = dynamic_linear(to, held, x)
    if "_relu" in step.name:
        found = to.emit(_ATEN.relu.default, found)
    to.replace(step.result, found)


#: Linear layers whose input stays in floats outside; those with float16 weights never round it.
_DYNAMIC = (
    "linear_dynamic", "linear_relu_dynamic", "linear_dynamic_fp16", "linear_relu_dynamic_fp16",
)  # fmt: skip


def dynamic_linear(to: Lowering, held: Layer, x: Cell) -> Cell:
    """A linear layer whose input is rounded to int8 with the scale that it needs itself.

    With float16 weights nothing is rounded; they become float32, in which the old engine computes.

    For LiteRT's converter, which has no such operator, the input stays as it is: that is nearer to
    the float network than the old file was.
    """
    if not to.folded or not held.weight.is_quantized:
        return _applied(to, held, x)
    scale, zero = to.fresh(), to.fresh()
    epsilon = torch.finfo(torch.float32).eps
    to.emit(_QD.choose_qparams.tensor, x, LOW, HIGH, epsilon, torch.int8, to=(scale, zero))
    ints = to.emit(_QD.quantize_per_tensor.tensor, x, scale, zero, LOW, HIGH, torch.int8)
    back = to.emit(_QD.dequantize_per_tensor.tensor, ints, scale, zero, LOW, HIGH, torch.int8)
    return _applied(to, held, back, by_channel=True)  # XNNPACK has no other


# --- everything else ----------------------------------------------------------------------------

#: Operator of the namespace ``quantized`` to the float one, and how many arguments that takes.
_FLOAT: dict[str, tuple[Any, int]] = {
    "add": (_ATEN.add.Tensor, 2),
    "add_relu": (_ATEN.add.Tensor, 2),
    "mul": (_ATEN.mul.Tensor, 2),
    "mul_relu": (_ATEN.mul.Tensor, 2),
    "add_scalar": (_ATEN.add.Scalar, 2),
    "add_scalar_relu": (_ATEN.add.Scalar, 2),
    "mul_scalar": (_ATEN.mul.Scalar, 2),
    "mul_scalar_relu": (_ATEN.mul.Scalar, 2),
    "matmul": (_ATEN.matmul.default, 2),
    "softmax": (_ATEN.softmax.int, 2),
    "hardswish": (_ATEN.hardswish.default, 1),
    "sigmoid": (_ATEN.sigmoid.default, 1),
    "relu6": (_ATEN.relu6.default, 1),
    "leaky_relu": (_ATEN.leaky_relu.default, 2),
    "prelu": (_ATEN.prelu.default, 2),
    "layer_norm": (_ATEN.layer_norm.default, 5),
    "group_norm": (_ATEN.group_norm.default, 5),
}


def _named(to: Lowering, step: Step) -> None:
    """An operator of the namespace ``quantized`` without packed weights."""
    name = step.name.removeprefix("quantized::").removesuffix("_out")
    if "batch_norm" in name:
        x, scale, shift, mean, variance, epsilon = step.args[:6]
        args = (dequantized(to, x), scale, shift, mean, variance, False, 0.0, epsilon, False)
        found = to.emit(_ATEN.batch_norm.default, *args)
    elif name.startswith("cat"):
        like = step.result.value
        parts = [_in_scale(to, part, like) for part in step.args[0]]
        found = to.emit(_ATEN.cat.default, parts, step.args[1])
    else:
        call, many = _FLOAT[name]
        found = to.emit(call, *mapped(step.args[:many], lambda leaf: dequantized(to, leaf)))
    if name.endswith("_relu") and name != "leaky_relu":
        found = to.emit(_ATEN.relu.default, found)
    _finish(to, step, found)


def _in_scale(to: Lowering, part: Cell, like: Any) -> Cell:
    """A part as floats that have the scale of the whole; XNNPACK joins no others."""
    floats = dequantized(to, part)
    held = part.value
    if (held.q_scale(), held.q_zero_point()) == (like.q_scale(), like.q_zero_point()):
        return floats
    between = Cell(like, to.fresh().number, True)
    quantize(to, floats, between)
    return dequantized(to, between)


def _quantize(to: Lowering, step: Step) -> None:
    if any(cell.depends for cell in step.inputs[1:]):
        raise RescueError(f"{step.place} quantizes with a scale that the input decides.")
    quantize(to, step.args[0], step.result)


def _dequantize(to: Lowering, step: Step) -> None:
    _finish(to, step, mapped(step.args[0], lambda leaf: dequantized(to, leaf)))


def _in_floats(to: Lowering, step: Step) -> None:
    """Any other operator on quantized tensors: a pooling, a reshape, a relu."""
    call = step.call
    if step.written:  # nothing is written in place: the result stands for the argument from now on
        packet = getattr(_ATEN, step.name.removeprefix("aten::").rstrip("_"))
        call = getattr(packet, step.call._overloadname)
    args = mapped(step.args, lambda leaf: dequantized(to, leaf))
    named = mapped(step.named, lambda leaf: dequantized(to, leaf))
    floats = mapped(step.result, lambda leaf: to.fresh())
    to.emit(call, *args, to=floats, **named)
    _finish(to, step, floats)


def _pooled(to: Lowering, step: Step) -> None:
    """A mean over both sides, as a pooling and a reshape, each rounded."""
    x = step.args[0]
    between = Cell(step.result.value, to.fresh().number, True)
    quantize(to, to.emit(_ATEN.mean.dim, dequantized(to, x), step.args[1], True), between)
    sizes = list(x.value.shape[:2])
    quantize(to, to.emit(_ATEN.reshape.default, dequantized(to, between), sizes), step.result)


def _rule(step: Step) -> Rule | None:
    name = step.name
    space, _, short = name.partition("::")
    if name in FLOAT_RULES and (name != "aten::mean" or pools(step)):
        return _pooled if any(map(is_quantized, step.inputs)) else FLOAT_RULES[name]
    if name == "aten::embedding_bag":
        return embeddings.float_bag
    if space == "quantized":
        return _quantized_rule(step, short)
    if name in ("aten::quantized_lstm", "aten::quantized_gru"):
        return lambda to, it: unrolled(to, it, dynamic_linear)
    if any(isinstance(part, Thing) for part in step.args):
        raise RescueError(
            f"{step.place} uses an object of a class of its own, which has no counterpart; rescue "
            "the part of the network before it."
        )
    if name == "aten::quantize_per_tensor" and isinstance(step.result, Cell):
        return _quantize
    if name == "aten::dequantize":
        return _dequantize
    both = [*step.inputs, *cells(step.result)]
    if name == "aten::int_repr" or ("quantize_per" in name and any(map(is_quantized, both))):
        raise RescueError(f"{step.place} has no counterpart in int8 with a fixed scale.")
    if any(map(is_quantized, both)):
        return _in_floats
    return reshape if name == "aten::view" and len(step.args) == 2 and not _is_dtype(step) else None


def _is_dtype(step: Step) -> bool:
    return not isinstance(step.args[1], list)


def _quantized_rule(step: Step, short: str) -> Rule:
    if short in _DYNAMIC:
        return _dynamic
    if short in ("quantized_lstm_cell_dynamic", "quantized_gru_cell_dynamic"):
        return lambda to, it: one_step(to, it, dynamic_linear)
    if short in embeddings.ROWS:
        return embeddings.quantized_rows
    if short in embeddings.BAGS:
        return embeddings.quantized_bag
    if short.startswith(("conv", "linear")) and "dynamic" not in short and len(step.args) > 3:
        return _layer
    if short == "dropout":  # in eval mode, or the recorder had refused it
        return lambda to, it: _finish(to, it, dequantized(to, it.args[0]))
    if short.removesuffix("_out") in {*_FLOAT, "cat", "cat_relu"} or short.startswith("batch_norm"):
        return _named
    raise RescueError(
        f"{step.place} has no counterpart in float operators here; convert the float network anew, "
        "or rescue the part before it."
    )


def lowered(tape: Tape, folded: bool = True) -> Tape:
    """The same network in operators that exporters know.

    Args:
        tape: from :func:`mobilelab.rescue.graph.record`.
        folded: whether int8 weights stand in it as int8, which ExecuTorch's exporter wants;
            LiteRT's wants floats and a step that rounds them.

    Raises:
        RescueError: naming the first step without a counterpart.
    """
    if any(map(is_quantized, cells(tape.inputs))):
        raise RescueError("The file takes quantized tensors; no exporter does. Give it floats.")
    return Lowering(tape, folded).run(_rule, dequantized)
