"""What is in the packed weights of the quantized engines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

_ATEN = torch.ops.aten
_Q = torch.ops.quantized


@dataclass(frozen=True)
class Layer:
    """Weights of a quantized layer: quantized themselves or float, with a float bias."""

    kind: str
    weight: Tensor
    bias: Tensor | None
    call: Any = None
    """The float operator, for a convolution."""
    options: tuple[Any, ...] = ()
    """What that takes after the bias."""


def layer(name: str, packed: Any) -> Layer:
    """Unpack the weights that an operator such as ``quantized::conv2d_relu`` gets."""
    short = name.removeprefix("quantized::")
    if short.startswith("linear") and short.endswith("fp16"):
        return Layer("linear", *_Q.linear_unpack_fp16(packed))
    if short.startswith("linear"):
        return Layer("linear", *_Q.linear_unpack(packed))
    dimensions = 1 if "1d" in short else 3 if "3d" in short else 2
    unpack = _Q.conv3d_unpack if dimensions == 3 else _Q.conv2d_unpack
    about = "conv3d" if dimensions == 3 else "conv2d"
    if dimensions == 1:
        unpack = _Q.conv1d_unpack
    weight, bias = unpack(packed)

    def numbers(what: str) -> list[int]:
        return list(getattr(_Q, f"{about}_{what}")(packed))[-dimensions:]

    stride, padding, dilation = numbers("stride"), numbers("padding"), numbers("dilation")
    groups = getattr(_Q, f"{about}_groups")(packed)
    if "transpose" not in short:
        call = {1: _ATEN.conv1d, 2: _ATEN.conv2d, 3: _ATEN.conv3d}[dimensions].default
        return Layer("conv", weight, bias, call, (stride, padding, dilation, groups))
    calls = {1: _ATEN.conv_transpose1d.default, 2: _ATEN.conv_transpose2d.input}
    more = numbers("output_padding")
    options = (stride, padding, more, groups, dilation)
    return Layer("conv_transpose", weight, bias, calls[dimensions], options)
