"""The same network for the runtimes that came after PyTorch Mobile, as named variants.

Chapters 08 and 09 spell these recipes out. Here they stand behind the interface of ``variants``,
so that what measures, compares and draws the walk does the same for them.
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mobilelab.core.signature import Example
from mobilelab.datasets import Dataset
from mobilelab.models import TinyMobileNet
from mobilelab.recipes.exportable import exportable, prepared, refusals
from mobilelab.recipes.memo import once
from mobilelab.recipes.variants import Variant
from mobilelab.runtimes.executorch import with_flatc
from mobilelab.runtimes.libraries import imported, quiet

_ET = ("ExecuTorch", "executorch")
_LITERT = ("LiteRT's converter", "litert")


# --- ExecuTorch ---------------------------------------------------------------------------


def to_executorch(model: nn.Module, inputs: Any, *, delegate: bool = True, **export: Any) -> bytes:
    """Export, lower and serialize (chapter 08).

    Args:
        model: in eval mode, or what :func:`quantize_pt2e` gave.
        inputs: an example, for instance one image ``(1, channels, h, w)``; without
            ``dynamic_shapes`` the file takes its shapes only.
        delegate: hand what XNNPACK can do to XNNPACK; otherwise portable kernels run all of it.
        export: options of ``torch.export.export``, such as ``dynamic_shapes``.

    Raises:
        MissingRuntimeError: if executorch is not installed.
        ExportError: if the model keeps a state in a buffer, or the exporter refuses it.
    """
    with torch.random.fork_rng(devices=[]):  # imports and exporters draw from it
        return _to_executorch(model, inputs, delegate, export)


def _to_executorch(model: nn.Module, inputs: Any, delegate: bool, export: dict[str, Any]) -> bytes:
    exir = imported("executorch.exir", *_ET)
    xnnpack = imported("executorch.backends.xnnpack.partition.xnnpack_partitioner", *_ET)
    with_flatc()
    model, example = prepared(model, inputs)
    lost = "ExecuTorch's exporter drops the value that the state starts with"
    model = exportable(model, example, lost, inputs_too=True)
    way = " Try delegate=False: then portable kernels run it." if delegate else ""
    with refusals("ExecuTorch's exporter", way):
        exported = torch.export.export(model, example.args, **export)
        partitioners = [xnnpack.XnnpackPartitioner()] if delegate else []
        lowered = exir.to_edge_transform_and_lower(exported, partitioner=partitioners)
        return bytes(lowered.to_executorch().buffer)


def _quantizer(aware: bool):
    xnnpack = imported("executorch.backends.xnnpack.quantizer.xnnpack_quantizer", *_ET)
    config = xnnpack.get_symmetric_quantization_config(is_per_channel=True, is_qat=aware)
    return xnnpack.XNNPACKQuantizer().set_global(config)


def quantize_pt2e(model: nn.Module, images: Tensor | Sequence[Any]) -> nn.Module:
    """int8 after training, on the exported graph (chapter 08).

    Args:
        model: in eval mode.
        images: what the observers see, one at a time, shape ``(n, channels, h, w)``; or examples
            for a network with other inputs.
    """
    pt2e = imported("torchao.quantization.pt2e.quantize_pt2e", *_ET)
    quantizer = _quantizer(aware=False)
    with quiet(), torch.no_grad():
        given = images.split(1) if isinstance(images, Tensor) else images
        examples = [Example.of(one).positional(model.forward) for one in given]
        graph = torch.export.export(model, examples[0].own().args).module()
        prepared = pt2e.prepare_pt2e(graph, quantizer)
        for example in examples:
            prepared(*example.own().args)
        return pt2e.convert_pt2e(prepared)


@once
def quantize_pt2e_aware(model: TinyMobileNet, data: Dataset, seed: int = 0) -> nn.Module:
    """int8 with a short epoch of training in its presence, on the exported graph.

    Chapter 08 names it and leaves it out: ``convert_pt2e`` takes long after training.
    """
    pt2e = imported("torchao.quantization.pt2e.quantize_pt2e", *_ET)
    mode = imported("torchao.quantization.pt2e", *_ET)
    quantizer = _quantizer(aware=True)
    images, labels = data.train.images[:320], data.train.labels[:320]
    torch.manual_seed(seed)
    with quiet():
        batch = {0: torch.export.Dim("batch", min=1, max=1024)}
        training = copy.deepcopy(model).train()
        graph = torch.export.export(training, (images[:2],), dynamic_shapes=(batch,)).module()
        prepared = pt2e.prepare_qat_pt2e(graph, quantizer)
        mode.move_exported_model_to_train(prepared)
        optimizer = torch.optim.AdamW(prepared.parameters(), lr=1e-4)
        for chosen in torch.randperm(len(images)).split(32):
            optimizer.zero_grad()
            F.cross_entropy(prepared(images[chosen]), labels[chosen]).backward()
            optimizer.step()
        mode.move_exported_model_to_eval(prepared)
        return pt2e.convert_pt2e(prepared)


# --- LiteRT -------------------------------------------------------------------------------


def to_litert(model: nn.Module, inputs: Any, **convert: Any) -> bytes:
    """Convert to a ``.tflite`` (chapter 09).

    Args:
        model: in eval mode.
        inputs: an example, for instance one image ``(1, channels, h, w)``; the file takes its
            shapes only.
        convert: options of ``litert_torch.convert``, such as ``quant_config``.

    Raises:
        MissingRuntimeError: if litert-torch is not installed.
        ExportError: if the model keeps a state in a buffer, or the exporter refuses it.
    """
    with torch.random.fork_rng(devices=[]):  # importing the converter draws from it
        return _to_litert(model, inputs, convert)


def _to_litert(model: nn.Module, inputs: Any, convert: dict[str, Any]) -> bytes:
    converter = imported("litert_torch", *_LITERT)
    model, example = prepared(model, inputs)
    lost = "LiteRT's converter makes a constant of the state"
    model = exportable(model, example, lost, inputs_too=False)
    road = refusals("LiteRT's converter")
    with tempfile.TemporaryDirectory(prefix="mobilelab-") as folder, road:
        path = Path(folder) / "model.tflite"
        converter.convert(model, example.args, **convert).export(str(path))
        return path.read_bytes()


def quantize_litert(model: bytes, images: Sequence[Any]) -> bytes:
    """int8 after training, on the ``.tflite``, with float inputs and outputs (chapter 09).

    Args:
        model: from :func:`to_litert`.
        images: what the observers see, each of the shape that the file takes; or examples with
            their inputs by position, or by the names that the file has.
    """
    quantizer = imported("ai_edge_quantizer.quantizer", *_LITERT)
    calibrator = imported("ai_edge_quantizer.calibrator", *_LITERT)
    recipe = imported("ai_edge_quantizer.recipe_manager", *_LITERT)
    kinds = imported("ai_edge_quantizer.qtyping", *_LITERT).TFLOperationName
    ranges = imported("ai_edge_quantizer.utils.qsv_utils", *_LITERT)
    manager = recipe.RecipeManager()
    manager.add_static_config(
        regex=".*",
        operation_name=kinds.ALL_SUPPORTED,
        activation_num_bits=8,
        weight_num_bits=8,
    )
    for end in (kinds.INPUT, kinds.OUTPUT):
        manager.add_quantization_config(
            regex=".*", operation_name=end, algorithm_key=recipe.AlgorithmName.NO_QUANTIZE
        )
    with tempfile.TemporaryDirectory(prefix="mobilelab-") as folder, quiet():
        path = Path(folder) / "model.tflite"
        path.write_bytes(model)
        observer = calibrator.Calibrator(
            str(path), num_threads=1, qsv_update_func=ranges.min_max_update
        )
        samples = [
            {
                f"args_{name}" if name.isdigit() else name: x.numpy(force=True)
                for name, x in Example.of(one).leaves().items()
            }
            for one in images
        ]
        observer.calibrate({"serving_default": samples}, manager)
        worker = quantizer.Quantizer(str(path))
        worker.load_quantization_recipe(manager.get_quantization_recipe())
        worker.quantize(observer.get_model_qsvs()).export_model(str(path), overwrite=True)
        return path.read_bytes()


# --- the variants -------------------------------------------------------------------------


@once
def _litert(model: TinyMobileNet, data: Dataset, seed: int = 0) -> bytes:
    return to_litert(model, data.test.images[:1])


@once
def _executorch_int8(model: TinyMobileNet, data: Dataset, seed: int = 0) -> bytes:
    return to_executorch(quantize_pt2e(model, data.calibration.images), data.test.images[:1])


@once
def _executorch_qat(model: TinyMobileNet, data: Dataset, seed: int = 0) -> bytes:
    return to_executorch(quantize_pt2e_aware(model, data, seed), data.test.images[:1])


SUCCESSORS: tuple[Variant, ...] = (
    Variant(
        "et-portable", "float32, ExecuTorch without a delegate", "08", ".pte",
        lambda m, d, s: to_executorch(m, d.test.images[:1], delegate=False), lossless=True,
    ),
    Variant(
        "et-fp32", "float32, ExecuTorch with XNNPACK", "08", ".pte",
        lambda m, d, s: to_executorch(m, d.test.images[:1]), lossless=True,
    ),
    Variant(
        "et-int8", "int8 after training, ExecuTorch with XNNPACK", "08", ".pte", _executorch_int8,
    ),
    Variant(
        "et-qat", "int8 with training, ExecuTorch with XNNPACK", "08", ".pte", _executorch_qat,
        trains=True,
    ),
    Variant("litert-fp32", "float32, LiteRT", "09", ".tflite", _litert, lossless=True),
    Variant(
        "litert-int8", "int8 after training, LiteRT", "09", ".tflite",
        lambda m, d, s: quantize_litert(_litert(m, d, s), d.calibration.images.split(1)),
    ),
)  # fmt: skip
