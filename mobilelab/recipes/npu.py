"""The same network for an NPU that nobody has to own: Arm's Ethos-U.

Chapter 12 spells these recipes out. Here they stand behind the interface of ``variants``.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mobilelab.core.errors import ExportError
from mobilelab.core.signature import Example
from mobilelab.datasets import Dataset
from mobilelab.models import TinyMobileNet
from mobilelab.recipes.exportable import exportable, prepared, refusals
from mobilelab.recipes.memo import once
from mobilelab.recipes.variants import Variant
from mobilelab.runtimes import ethosu, vela
from mobilelab.runtimes.executorch import with_flatc
from mobilelab.runtimes.libraries import imported, quiet

_ET = ("ExecuTorch", "executorch")
#: What the course compiles for if nothing is said.
TARGET = "ethos-u55-128"


def _spec(target: str) -> Any:
    vela.family(target)
    imported("tosa_serializer", "The TOSA serializer", vela.NPU)
    imported("ethosu.vela.vela", vela.VELA, vela.NPU)
    return imported("executorch.backends.arm.ethosu", *_ET).EthosUCompileSpec(target)


def quantize_ethos_u(
    model: nn.Module, images: Tensor | Sequence[Any], target: str = TARGET
) -> nn.Module:
    """int8 after training, on the exported graph, as an Ethos-U wants it (chapter 12).

    Args:
        model: in eval mode.
        images: what the observers see, one at a time, shape ``(n, channels, h, w)``; or examples
            for a network with other inputs.
        target: accelerator and size.

    Raises:
        MissingRuntimeError: if executorch, Vela or the TOSA tools are not installed.
        ExportError: if Vela knows no such accelerator.
    """
    spec = _spec(target)
    arm = imported("executorch.backends.arm.quantizer", *_ET)
    pt2e = imported("torchao.quantization.pt2e.quantize_pt2e", *_ET)
    quantizer = arm.EthosUQuantizer(spec)
    quantizer.set_global(arm.get_symmetric_quantization_config(is_per_channel=True))
    with quiet(), torch.no_grad():
        given = images.split(1) if isinstance(images, Tensor) else images
        examples = [Example.of(one).positional(model.forward) for one in given]
        # without guards: the partitioner takes no module that is called
        graph = torch.export.export(model, examples[0].own().args).module(check_guards=False)
        observed = pt2e.prepare_pt2e(graph, quantizer)
        for example in examples:
            observed(*example.own().args)
        return pt2e.convert_pt2e(observed)


def to_ethos_u(model: nn.Module, inputs: Any, target: str = TARGET) -> bytes:
    """Export, lower and compile for an Ethos-U, and keep what the compiler saw (chapter 12).

    Args:
        model: what :func:`quantize_ethos_u` gave; of a float network the NPU takes nothing.
        inputs: an example, for instance one image ``(1, channels, h, w)``.
        target: accelerator and size.

    Returns:
        A ``.npu``, for :class:`mobilelab.runtimes.ethosu.EthosUSession`.

    Raises:
        MissingRuntimeError: if executorch, Vela or the TOSA tools are not installed.
        ExportError: if a step refuses the network, or Vela knows no such accelerator.
    """
    with torch.random.fork_rng(devices=[]):  # imports and exporters draw from it
        return _to_ethos_u(model, inputs, target)


def _to_ethos_u(model: nn.Module, inputs: Any, target: str) -> bytes:
    spec = _spec(target)
    exir = imported("executorch.exir", *_ET)
    partitioner = imported("executorch.backends.arm.ethosu", *_ET).EthosUPartitioner
    with_flatc()
    model, example = prepared(model, inputs)
    lost = "ExecuTorch's exporter drops the value that the state starts with"
    model = exportable(model, example, lost, inputs_too=True)
    with (
        tempfile.TemporaryDirectory(prefix="mobilelab-") as folder,
        refusals("ExecuTorch's exporter for Ethos-U"),
    ):
        spec.dump_intermediate_artifacts_to(folder)
        exported = torch.export.export(model, example.args)
        lowered = exir.to_edge_transform_and_lower(exported, partitioner=[partitioner(spec)])
        program = bytes(lowered.to_executorch().buffer)
        graphs = [path.read_bytes() for path in sorted(Path(folder).glob("output_*.tosa"))]
        return bundle(program, graphs, target)


def bundle(program: bytes, graphs: Sequence[bytes], target: str = TARGET) -> bytes:
    """Put a program and the TOSA graphs of its parts into a ``.npu``.

    Which graph belongs to which part is not taken from names: each is compiled once more, and the
    part is the one with the same bytes.

    Args:
        program: a ``.pte`` for the target.
        graphs: TOSA flatbuffers, in any order.
        target: accelerator and size that the program was compiled for.

    Raises:
        ExportError: if a part was compiled from none of the graphs.
    """
    spec = _spec(target)
    compile_ = imported("executorch.backends.arm.arm_vela", *_ET).vela_compile
    with quiet():
        streams = {compile_(graph, list(spec.compiler_flags)): graph for graph in graphs}
    held = ethosu.program_of(program)
    parts = []
    for delegate in held.execution_plan[0].delegates:
        stream = bytes(held.backend_delegate_data[delegate.processed.index].data)
        if stream not in streams:
            raise ExportError(
                f"A part of the program was compiled from none of the graphs given for {target}; "
                "give the graphs of the same lowering."
            )
        graph = streams[stream]
        parts.append((graph, *vela.compiled(graph, target)))
    return ethosu.packed(program, parts)


@once
def _npu_int8(model: TinyMobileNet, data: Dataset, seed: int = 0) -> bytes:
    return to_ethos_u(quantize_ethos_u(model, data.calibration.images), data.test.images[:1])


#: The walk's step for the NPU. It stands beside the others of chapters 08 and 09.
NPU = Variant("npu-int8", "int8 after training, Ethos-U55", "12", ".npu", _npu_int8)
