"""What makes a file of a network: one small function for each road.

An exporter takes a network in eval mode and examples, or the file of another road, and returns
what is saved. Recipes that a chapter spells out are those of ``mobilelab.recipes``.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
import torch.jit.mobile
from torch import nn
from torch.ao import quantization as tq
from torch.jit._trace import TracerWarning
from torch.utils.mobile_optimizer import optimize_for_mobile

from mobilelab import measure, runtimes
from mobilelab.core.errors import ExportError
from mobilelab.core.signature import Example
from mobilelab.core.trees import is_plain
from mobilelab.measure.state import stateless_quietly
from mobilelab.recipes import npu as npus
from mobilelab.recipes import successors, variants
from mobilelab.recipes.engine import ENGINE
from mobilelab.recipes.exportable import PlainAnswers


class NotForThisNetwork(ExportError):
    """A road that is meant for other networks: nothing is wrong with this one."""


@dataclass(frozen=True)
class Made:
    """What an exporter made."""

    artifact: Any
    """A TorchScript module, or the bytes of a finished file."""
    how: str = ""
    """By which way, where there was a choice."""


Exporter = Callable[[Any, Sequence[Example]], Made]


# --- TorchScript --------------------------------------------------------------------------


def trace(model: nn.Module, examples: Sequence[Example]) -> Made:
    """Run once and write down what was computed (chapter 02)."""
    plain = _plain(model, examples[0])
    with _untold():
        traced = torch.jit.trace(plain, examples[0].own().args, strict=False, check_trace=False)
    return Made(cast(torch.jit.ScriptModule, traced))


def script(model: nn.Module, examples: Sequence[Example]) -> Made:
    """Compile the source of ``forward``, every branch included (chapter 02)."""
    return Made(variants.script(model))


def compiled(model: nn.Module, examples: Sequence[Example]) -> Made:
    """Script, or trace where the compiler refuses the source."""
    with contextlib.suppress(Exception):  # the road "script" tells why
        return Made(variants.script(model), "scripted")
    return Made(trace(model, examples).artifact, "traced")


def freeze(model: nn.Module, examples: Sequence[Example]) -> Made:
    """Turn weights into constants and fold what can be folded (chapter 02)."""
    made = compiled(model, examples)
    return Made(torch.jit.freeze(cast(torch.jit.ScriptModule, made.artifact)), made.how)


# --- the lite interpreter -----------------------------------------------------------------


def recipe(model: nn.Module, examples: Sequence[Example]) -> Made:
    """Trace, then ``optimize_for_mobile``: as most tutorials print it (chapter 04)."""
    return Made(optimize(trace(model, examples).artifact))


def mobile(model: nn.Module, examples: Sequence[Example]) -> Made:
    """Script or trace, freeze, and then ``optimize_for_mobile`` (chapter 04)."""
    made = freeze(model, examples)
    return Made(optimize(made.artifact), made.how)


def optimize(module: nn.Module, without: Iterable[Any] = ()) -> torch.jit.ScriptModule:
    """``optimize_for_mobile``, with some of its passes switched off."""
    return optimize_for_mobile(cast(torch.jit.ScriptModule, module), set(without) or None)


def channels_last(model: nn.Module, examples: Sequence[Example]) -> Made:
    """The same with the picture in XNNPACK's own order (chapter 04).

    Raises:
        NotForThisNetwork: if the network does not take one picture.
    """
    inputs = list(examples[0].leaves().values())
    if len(inputs) != 1 or inputs[0].ndim != 4:
        raise NotForThisNetwork(
            "channels_last is an order of pictures, and this network does not take one tensor of "
            "four axes; nothing is to be done."
        )
    return mobile(variants.ChannelsLast(model).eval(), examples)


def backport(version: int) -> Exporter:
    """The lite file in an older bytecode (chapter 05)."""

    def export(path: Path, examples: Sequence[Example]) -> Made:
        with tempfile.TemporaryDirectory(prefix="mobilelab-") as folder:
            old = Path(folder) / "model.ptl"
            torch.jit.mobile._backport_for_mobile(str(path), str(old), version)
            return Made(old.read_bytes())

    return export


# --- int8 ---------------------------------------------------------------------------------


def dynamic_int8(model: nn.Module, examples: Sequence[Example]) -> Made:
    """int8 weights of linear and recurrent layers, quantized while it runs (chapter 03)."""
    torch.backends.quantized.engine = ENGINE
    return compiled(tq.quantize_dynamic(model), examples)


def fx_int8(model: nn.Module, examples: Sequence[Example]) -> Made:
    """int8 after training on torch.fx's graph, which needs no stubs (chapter 03)."""
    from torch.ao.quantization import quantize_fx

    torch.backends.quantized.engine = ENGINE
    config = tq.get_default_qconfig_mapping(ENGINE)
    prepared = quantize_fx.prepare_fx(model, config, examples[0].own().args)
    measure.answers(prepared, examples)
    return compiled(quantize_fx.convert_fx(prepared), examples)


def eager_int8(model: nn.Module, examples: Sequence[Example]) -> Made:
    """int8 after training with stubs: the network's own, or around the whole (chapter 03).

    Raises:
        NotForThisNetwork: if stubs cannot be set around it.
    """
    torch.backends.quantized.engine = ENGINE
    how = "stubs of its own"
    if not any(isinstance(part, tq.QuantStub) for part in model.modules()):
        if len(examples[0].args) != 1 or not isinstance(examples[0].args[0], torch.Tensor):
            raise NotForThisNetwork(
                "stubs can be set from outside around one input and one answer only; put a "
                "QuantStub and a DeQuantStub into the network, or take torch.fx's road."
            )
        model, how = tq.QuantWrapper(model), "stubs around the whole"
    model = fused(model)
    config = tq.get_default_qconfig(ENGINE)
    model.qconfig = config  # pyright: ignore[reportArgumentType] torch's stub knows tensors only
    prepared = tq.prepare(model.eval())
    measure.answers(prepared, examples)
    made = compiled(tq.convert(prepared), examples)
    return Made(made.artifact, f"{how}, {made.how}")


def fused(model: nn.Module) -> nn.Module:
    """Every BatchNorm that stands behind its convolution in a Sequential, folded into it."""
    pairs = []
    for place, part in model.named_modules():
        if isinstance(part, nn.Sequential):
            for (one, conv), (two, norm) in itertools.pairwise(part.named_children()):
                if type(conv) is nn.Conv2d and type(norm) is nn.BatchNorm2d:
                    pairs.append([f"{place}.{one}".lstrip("."), f"{place}.{two}".lstrip(".")])
    return tq.fuse_modules(model, pairs) if pairs else model


# --- export, ExecuTorch, LiteRT -----------------------------------------------------------


def export(model: nn.Module, examples: Sequence[Example]) -> Made:
    """``torch.export``: the graph that ExecuTorch and LiteRT start from (chapter 08)."""
    program = torch.export.export(_plain(model, examples[0]), examples[0].own().args)
    file = io.BytesIO()
    torch.export.save(program, file)
    return Made(file.getvalue())


def portable(model: nn.Module, examples: Sequence[Example]) -> Made:
    """ExecuTorch's own kernels (chapter 08)."""
    return Made(successors.to_executorch(model, examples[0], delegate=False))


def xnnpack(model: nn.Module, examples: Sequence[Example]) -> Made:
    """ExecuTorch with what XNNPACK can take (chapter 08)."""
    return Made(successors.to_executorch(model, examples[0]))


def pt2e_int8(model: nn.Module, examples: Sequence[Example]) -> Made:
    """int8 after training on the exported graph, for XNNPACK (chapter 08)."""
    quantized = successors.quantize_pt2e(_plain(model, examples[0]), examples)
    return Made(successors.to_executorch(quantized, examples[0]))


def litert(model: nn.Module, examples: Sequence[Example]) -> Made:
    """A ``.tflite`` (chapter 09)."""
    return Made(successors.to_litert(model, examples[0]))


def litert_int8(path: Path, examples: Sequence[Example]) -> Made:
    """int8 after training on the ``.tflite`` (chapter 09)."""
    signature = runtimes.load(path).signature
    ports = signature.inputs if signature else ()
    typed = [  # by the file's names and types: int32 where the network takes int64
        Example((), {port.name: x.to(port.dtype) for port, x in zip(ports, leaves, strict=True)})
        for leaves in (one.leaves().values() for one in examples)
    ]
    return Made(successors.quantize_litert(path.read_bytes(), typed))


def npu(model: nn.Module, examples: Sequence[Example]) -> Made:
    """int8 after training for Arm's Ethos-U (chapter 12)."""
    quantized = npus.quantize_ethos_u(_plain(model, examples[0]), examples)
    return Made(npus.to_ethos_u(quantized, examples[0]), npus.TARGET)


def as_it_is(path: Path, examples: Sequence[Example]) -> Made:
    """The file of another road, to be run somewhere else."""
    return Made(path.read_bytes())


@contextmanager
def _untold() -> Iterator[None]:
    """The tracer's warnings are left out: what it froze is found by calling again."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TracerWarning)
        yield


def _plain(model: nn.Module, example: Example) -> nn.Module:
    """The network, answering with a dictionary where it answers with somebody's own class."""
    mine = example.own()
    with stateless_quietly(model):  # a state would move on before the file is made
        answer = model(*mine.args)
    return model if is_plain(answer) else PlainAnswers(model).eval()
