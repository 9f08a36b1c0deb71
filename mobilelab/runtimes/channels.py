"""How many channels a TorchScript file's first convolution expects of an image."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

#: What may lie between the image and a convolution without changing the number of channels.
_KEEPS_CHANNELS = {
    f"aten::{name}" for name in (
        "to", "contiguous", "clone", "detach", "quantize_per_tensor", "constant_pad_nd", "pad",
        "reflection_pad2d", "replication_pad2d", "max_pool2d", "avg_pool2d", "relu", "relu_",
    )
}  # fmt: skip


def input_channels(path: str | Path) -> int | None:
    """Channels that a convolution expects of the image that a ``.ptl`` is given.

    A prepacked convolution does not check them itself (chapter 04), so a wrong number would go
    unnoticed. A ``.ptl`` holds all that a TorchScript file holds (chapter 05); it is read as one.

    Returns:
        ``None`` where no convolution works on the input itself: what a network that repeats its
        gray input, or does arithmetic on it first, wants cannot be read off its convolution.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit.load is deprecated, as all of this
        try:
            module = torch.jit.freeze(torch.jit.load(str(path)).eval())
        except RuntimeError:
            return None
    graph = module.inlined_graph
    image = {value.debugName() for value in graph.inputs()}
    for node in graph.nodes():
        kind = node.kind()
        if not ("conv2d" in kind or kind == "aten::_convolution") or "unpack" in kind:
            continue
        source = next(node.inputs())
        while source.node().kind() in _KEEPS_CHANNELS:
            source = next(source.node().inputs())
        channels = _channels(node) if source.debugName() in image else None
        if channels is not None:
            return channels
    return None


def _channels(node: torch._C.Node) -> int | None:
    """What a convolution expects: weight ``(out, in / groups, h, w)``, plain or packed.

    A transposed one, which has ``(in, out / groups, h, w)``, is ``aten::conv_transpose2d`` or an
    ``aten::_convolution`` that says so.
    """
    values = [value.toIValue() for value in node.inputs()]
    for value in values:
        if isinstance(value, Tensor) and value.ndim == 4:
            if node.kind() == "aten::_convolution" and values[6]:
                return value.shape[0]
            groups = cast(int, values[8] if node.kind() == "aten::_convolution" else values[-1])
            return value.shape[1] * groups
        if isinstance(value, torch.ScriptObject):
            kind = value._type().qualified_name()
            if kind.endswith("Conv2dOpContext"):
                weight, *_, groups = torch.ops.prepacked.unpack_prepacked_sizes_conv2d(value)
                return weight[1] * groups
            if kind.endswith("Conv2dPackedParamsBase"):
                weight, _ = torch.ops.quantized.conv2d_unpack(value)
                return weight.shape[1] * torch.ops.quantized.conv2d_groups(value)
    return None
