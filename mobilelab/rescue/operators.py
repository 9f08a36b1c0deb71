"""Operators of a graph's nodes: which overload, which arguments, what kind of operator it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import torch
from torch import Tensor

from mobilelab.core.errors import RescueError
from mobilelab.core.signature import dtype_name
from mobilelab.rescue.values import Place

#: Operators whose number of answers depends on what is in the input.
COUNTING = (
    "aten::nonzero", "aten::nonzero_numpy", "aten::masked_select", "aten::argwhere",
    "aten::unique_consecutive", "aten::_unique", "aten::_unique2", "aten::unique_dim",
    "aten::bincount", "torchvision::nms", "aten::repeat_interleave",
)  # fmt: skip

#: Namespaces that a stock torch, or one with torchvision, has operators in.
_OURS = ("aten", "prim", "quantized", "prepacked", "torchvision", "mkldnn", "_quantized")

#: Operators that read or write files. Never run from a file that was found somewhere.
FORBIDDEN = ("aten::save", "aten::from_file")


@dataclass(frozen=True)
class Operator:
    """One overload of an operator, ready to be called from Python."""

    name: str
    overload: str
    call: Callable[..., Any]
    schema: Any

    def bound(self, inputs: list[Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """A node's inputs, by position and by name."""
        arguments = self.schema.arguments
        args, named = [], {}
        for argument, value in zip(arguments, inputs, strict=False):
            if argument.kwarg_only:
                named[argument.name] = value
            else:
                args.append(value)
        return tuple(args), named

    def written(self, args: tuple[Any, ...], named: dict[str, Any]) -> list[Any]:
        """The arguments that it writes into."""
        found = []
        for place, argument in enumerate(self.schema.arguments):
            alias = argument.alias_info
            if alias is None or not alias.is_write:
                continue
            if argument.name in named:
                found.append(named[argument.name])
            elif not argument.kwarg_only and place < len(args):
                found.append(args[place])
        return found


@cache
def on_phones() -> dict[str, frozenset[str]]:
    """Operators of torch 2.1.0, the last Android and iOS packages' release, with their overloads.

    ``scripts/phone_operators.py`` asked the virtual phone for them. A custom build of the packages
    has fewer.
    """
    text = (files("mobilelab.rescue") / "phone_operators.txt").read_text(encoding="utf-8")
    lines = (line.split() for line in text.splitlines()[1:])
    return {name: frozenset(overloads) for name, *overloads in lines}


def lacking(node: torch._C.Node) -> str:
    """A node's operator with its overload, if torch 2.1.0 has no such; else nothing."""
    kind, text = node.kind(), node.schema()
    if text == "(no schema)":
        return ""
    overload = _schema(text).overload_name
    if (overload or "-") in on_phones().get(kind, ()):
        return ""
    return f"{kind}.{overload}" if overload else kind


@cache
def _schema(text: str) -> Any:
    return torch._C.parse_schema(text)


def operator(node: torch._C.Node, place: Place) -> Operator:
    """The overload that a node's schema names.

    Raises:
        RescueError: if torch has none, or the file must not run it.
    """
    kind, text = node.kind(), node.schema()
    space, _, name = kind.partition("::")
    if kind in FORBIDDEN:
        raise RescueError(f"{place} reads or writes files, which no network needs; it was not run.")
    if kind in COUNTING:
        raise RescueError(
            f"{place} gives as many answers as the input decides, and a phone's new runtimes "
            "need shapes; end the network before it and do this in the app."
        )
    if text == "(no schema)" or space not in _OURS:
        raise RescueError(
            f"{place} has no counterpart outside of TorchScript; rescue the part of the network "
            "before it, or replace it in the source."
        )
    schema = _schema(text)
    try:
        packet = getattr(getattr(torch.ops, space), name)
        call = getattr(packet, schema.overload_name or "default")
    except (AttributeError, RuntimeError) as error:
        raise RescueError(f"{place} is no operator of torch {torch.__version__}.") from error
    return Operator(kind, schema.overload_name, call, schema)


#: Operators that look at a tensor's shape, type or place, and not at what is in it.
ABOUT = frozenset(
    f"aten::{name}" for name in (
        "size", "dim", "numel", "len", "stride", "storage_offset", "is_contiguous",
        "is_floating_point", "is_complex", "is_signed", "sym_size", "element_size", "get_device",
        "is_cuda", "is_quantized", "is_sparse", "q_scale", "q_zero_point", "qscheme",
        "is_inference", "ndimension", "is_same_size", "is_set_to", "is_conj", "is_neg", "is_pinned",
        "can_cast", "result_type", "layout", "q_per_channel_axis",
    )
) | {"prim::dtype", "prim::device", "prim::layout", "prim::is_cuda", "prim::is_quantized",
     "prim::requires_grad", "prim::is_sparse", "prim::type", "prim::shape", "prim::is_cpu",
     "prim::is_meta", "prim::is_mkldnn", "prim::is_nested", "prim::is_vulkan", "prim::itemsize",
     "prim::name"}  # fmt: skip


def about(does: Operator, found: Any) -> bool:
    """Whether a result says something about shapes and types only."""
    return does.name in ABOUT and not isinstance(found, Tensor)


def misfit(does: Operator, args: tuple[Any, ...]) -> str:
    """Why a prepacked layer must not get an input; XNNPACK's kernels would read other memory.

    Empty if it may, or if the operator is another one.
    """
    if not does.name.startswith("prepacked::") or not does.name.endswith("_run"):
        return ""
    x, state = args[0], args[1].__getstate__()[0]
    weight = state[0]
    if x.dtype != torch.float32:
        return f"it takes float32, not {dtype_name(x.dtype)}"
    if does.name == "prepacked::linear_clamp_run":
        wanted, found = weight.shape[1], x.shape[-1] if x.ndim else 0
    elif x.ndim != 4:
        return f"it takes four dimensions, not {x.ndim}"
    else:
        transposed = "transpose" in does.name
        wanted = weight.shape[0] if transposed else weight.shape[1] * state[5]
        found = x.shape[1]
    return "" if wanted == found else f"it takes {wanted} features, not {found}"


#: Names of the arguments that switch an operator's random numbers on.
_SWITCHES = {"train": False, "training": False, "dropout_p": 0.0, "dropout": 0.0, "p": 0.0}


def draws(does: Operator, args: tuple[Any, ...], named: dict[str, Any]) -> bool:
    """Whether a call draws random numbers."""
    tags = getattr(does.call, "tags", ())
    name = does.name.removeprefix("aten::").removeprefix("_").rstrip("_")
    random = torch.Tag.nondeterministic_seeded in tags or name in _RANDOM
    if not random and "dropout" not in name:
        return False
    values = dict(zip((a.name for a in does.schema.arguments), args, strict=False)) | named
    for switch, off in _SWITCHES.items():
        if values.get(switch) == off and switch in values:
            return False
    return True


_RANDOM = (
    "rand", "randn", "randint", "randperm", "rand_like", "randn_like", "randint_like", "normal",
    "bernoulli", "multinomial", "poisson", "uniform", "random", "exponential", "geometric",
    "log_normal", "cauchy", "rrelu_with_noise",
)  # fmt: skip
