"""Layers of a graph, seen without running it: what an input meets first, and all convolutions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mobilelab.rescue.packed import layer

#: Operators that leave the features of an input where they are.
_THROUGH = frozenset(
    f"aten::{name}" for name in (
        "quantize_per_tensor", "to", "contiguous", "sub", "add", "mul", "div", "sub_", "add_",
        "mul_", "div_", "relu", "clamp", "clone", "detach", "float", "type_as", "batch_norm",
        "dropout", "neg", "abs", "sqrt", "pow", "tanh", "sigmoid", "layer_norm",
    )
) | {"prim::unchecked_cast", "aten::_unwrap_optional"}  # fmt: skip


def nodes(block: Any) -> Iterator[torch._C.Node]:
    """All nodes, those in inner blocks too."""
    for node in block.nodes():
        yield node
        for inner in node.blocks():
            yield from nodes(inner)


@dataclass(frozen=True)
class Weights:
    """A layer with weights: what kind, which shape, whether it has a bias."""

    kind: str
    weight: Tensor
    bias: bool
    groups: int = 1

    @property
    def features(self) -> int:
        """How many features an input has."""
        if self.kind == "embedding":
            return len(self.weight)
        return self.weight.shape[1] * self.groups if self.weight.ndim > 1 else len(self.weight)


def attribute(owner: Any, name: str) -> Any:
    """An attribute of a module or object as torch holds it."""
    return owner.getattr(name) if hasattr(owner, "getattr") else getattr(owner, name)


def constant(value: torch._C.Value, module: torch.jit.ScriptModule) -> Any:
    """What a value is, where the graph says it without being run; else ``None``."""
    node = value.node()
    if node.kind() == "prim::Constant":
        return value.toIValue() if node.attributeNames() else None
    if node.kind() == "prim::GetAttr":
        owner = node.input()
        whole = module._c if owner.node().kind() == "prim::Param" else constant(owner, module)
        if isinstance(whole, torch._C.ScriptModule):
            return attribute(whole, node.s("name"))
    return None


def weights(node: torch._C.Node, module: torch.jit.ScriptModule) -> Weights | None:
    """The weights of a node that is a layer; ``None`` for any other."""
    space, _, name = node.kind().partition("::")
    inputs = list(node.inputs())
    if space == "prepacked" and name.endswith("_run"):
        return _prepacked(name, constant(inputs[1], module))
    if name.endswith("_fp16"):  # torch's layers have both kinds of calls, and one of packed weights
        return None
    if space == "quantized" and name.startswith(("conv", "linear")) and len(inputs) > 1:
        packed = constant(inputs[1], module)
        if packed is None:
            return None
        held = layer(node.kind(), packed)
        groups = held.options[3] if held.kind == "conv" else 1
        return Weights(_kind(held.weight, held.kind), held.weight, held.bias is not None, groups)
    if space != "aten" or name not in _LAYERS:
        return None
    weight = constant(inputs[0 if name == "embedding" else 1], module)
    if not isinstance(weight, Tensor):
        return None
    bias = name != "embedding" and constant(inputs[2], module) is not None
    if "conv" not in name:
        return Weights(name, weight, bias)
    groups = constant(inputs[8 if name == "_convolution" else 6], module)
    transposed = name.startswith("conv_transpose") or (
        name == "_convolution" and bool(constant(inputs[6], module))
    )
    kind = "conv_transpose" if transposed else "conv"
    return Weights(_kind(weight, kind), weight, bias, groups or 1)


_LAYERS = ("conv1d", "conv2d", "conv3d", "_convolution", "linear", "embedding", "conv_transpose2d")


def _kind(weight: Tensor, kind: str) -> str:
    return f"{kind}{weight.ndim - 2}d" if kind.startswith("conv") else kind


def _prepacked(name: str, packed: Any) -> Weights | None:
    if packed is None:
        return None
    state = packed.__getstate__()[0]
    if name.startswith("linear"):
        return Weights("linear", state[0], state[1] is not None)
    groups = state[6] if "transpose" in name else state[5]
    kind = "conv_transpose" if "transpose" in name else "conv"
    return Weights(_kind(state[0], kind), state[0], state[1] is not None, groups)


def all_weights(module: torch.jit.ScriptModule) -> list[Weights]:
    """Every layer of ``forward`` whose weights the graph names."""
    found = (weights(node, module) for node in nodes(module.forward.inlined_graph))
    return [one for one in found if one is not None]


def first_layer(module: torch.jit.ScriptModule, place: int) -> tuple[str, int] | None:
    """The layer that an input meets first, and how many features it takes there."""
    graph = module.forward.inlined_graph
    out: dict[str, list[torch._C.Value]] = {}
    for node in nodes(graph):  # what leaves a branch goes on behind it
        if node.kind() == "prim::If":
            for block in node.blocks():
                for inner, outer in zip(block.outputs(), node.outputs(), strict=True):
                    out.setdefault(inner.debugName(), []).append(outer)
    waiting = [list(graph.inputs())[place + 1]]
    seen: set[str] = set()
    while waiting:
        value = waiting.pop(0)
        if value.debugName() in seen:
            continue
        seen.add(value.debugName())
        waiting += out.get(value.debugName(), [])
        for use in value.uses():
            found = weights(use.user, module)
            if found is not None and found.kind != "conv_transpose2d":
                return found.kind, found.features
            if use.user.kind() in _THROUGH:
                waiting += list(use.user.outputs())
    return None
