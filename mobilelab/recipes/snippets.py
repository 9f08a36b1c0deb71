"""The cell that builds each variant of the walk, in raw PyTorch calls.

``variants`` builds the same things behind one interface. The explorer shows these texts, so
that a reader who has chosen a variant can take its recipe along; a test runs every one of them
and compares what comes out.
"""

from __future__ import annotations

_START = """\
import torch
from mobilelab import datasets, models

data = datasets.load("digits")
model = models.load_trained(data)  # trained as chapter 01 does
"""

_MOBILE = """\
from torch.utils.mobile_optimizer import optimize_for_mobile
"""

_PRUNED = """\
from mobilelab.recipes import training, variants

smaller = variants.prune_channels(model, keep=0.5)
training.fit(smaller, data, epochs=3, learning_rate=2e-3)
"""

_INT8 = """\
from torch.ao.quantization import convert, get_default_qconfig, prepare

torch.backends.quantized.engine = "qnnpack"
network = models.QuantizableTinyMobileNet.from_float(model).fuse()
network.qconfig = get_default_qconfig("qnnpack")
prepared = prepare(network)
with torch.no_grad():
    for images in data.calibration.images.split(100):
        prepared(images)
int8 = convert(prepared)
"""

#: After ``_PRUNED``: the cut network, quantized.
_SMALL = """\
from torch.ao.quantization import convert, get_default_qconfig, prepare

torch.backends.quantized.engine = "qnnpack"
network = variants.prune_channels(models.QuantizableTinyMobileNet.from_float(model), keep=0.5)
network.load_state_dict(smaller.state_dict())
network.eval().fuse().qconfig = get_default_qconfig("qnnpack")
prepared = prepare(network)
with torch.no_grad():
    for images in data.calibration.images.split(100):
        prepared(images)
int8 = convert(prepared)
"""

_QAT = """\
from dataclasses import replace
from torch.ao.quantization import convert, get_default_qat_qconfig, prepare_qat
from mobilelab.recipes import training

torch.backends.quantized.engine = "qnnpack"
network = models.QuantizableTinyMobileNet.from_float(model).train().fuse()
network.qconfig = get_default_qat_qconfig("qnnpack")
prepared = prepare_qat(network)
short = datasets.Split(*(part[:600] for part in (data.train.raw, data.train.images, data.train.labels)))
training.fit(prepared, replace(data, train=short), epochs=1, learning_rate=1e-4)
int8 = convert(prepared)
"""  # noqa: E501

_LAST = """\
class ChannelsLast(torch.nn.Module):
    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.network(x.to(memory_format=torch.channels_last))


network = ChannelsLast(model).eval()
"""


def _ptl(before: str, network: str, name: str) -> str:
    return (
        before
        + f"optimized = optimize_for_mobile(torch.jit.script({network}))\n"
        + f'optimized._save_for_lite_interpreter("{name}.ptl")\n'
    )


#: Name of the variant to a cell that builds it and saves it into the present folder.
CELLS: dict[str, str] = {
    "eager": _START + 'torch.save(model.state_dict(), "eager.state_dict")\n',
    "scripted": _START + 'torch.jit.script(model).save("scripted.pt")\n',
    "frozen": _START + 'torch.jit.freeze(torch.jit.script(model)).save("frozen.pt")\n',
    "pruned": _START + _PRUNED + 'torch.jit.script(smaller).save("pruned.pt")\n',
    "int8": _START + _INT8 + 'torch.jit.script(int8).save("int8.pt")\n',
    "int8-qat": _START + _QAT + 'torch.jit.script(int8).save("int8-qat.pt")\n',
    "recipe": _START
    + _MOBILE
    + "\ntraced = torch.jit.trace(model, data.test.images[:1])  # loses the biases: chapter 04\n"
    + 'optimize_for_mobile(traced)._save_for_lite_interpreter("recipe.ptl")\n',
    "mobile": _ptl(_START + _MOBILE + "\n", "model", "mobile"),
    "mobile-nhwc": _ptl(_START + _MOBILE + "\n\n" + _LAST, "network", "mobile-nhwc"),
    "mobile-pruned": _ptl(_START + _MOBILE + _PRUNED, "smaller", "mobile-pruned"),
    "mobile-int8": _ptl(_START + _MOBILE + _INT8, "int8", "mobile-int8"),
    "mobile-qat": _ptl(_START + _MOBILE + _QAT, "int8", "mobile-qat"),
    "mobile-small": _ptl(_START + _MOBILE + _PRUNED + _SMALL, "int8", "mobile-small"),
}

_PATH = """\
import os
import sys
from pathlib import Path

os.environ["PATH"] += os.pathsep + str(Path(sys.executable).parent)  # flatc lies beside Python
"""

_LOWER = """\
from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
from executorch.exir import to_edge_transform_and_lower

"""

_PT2E = """\
from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
    XNNPACKQuantizer,
    get_symmetric_quantization_config,
)
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

quantizer = XNNPACKQuantizer()
quantizer.set_global(get_symmetric_quantization_config(is_per_channel=True))
image = data.test.images[:1]
prepared = prepare_pt2e(torch.export.export(model, (image,)).module(), quantizer)
with torch.no_grad():
    for one in data.calibration.images.split(1):
        prepared(one)
int8 = convert_pt2e(prepared)
"""

_PT2E_QAT = """\
import copy

from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
    XNNPACKQuantizer,
    get_symmetric_quantization_config,
)
from torch.nn.functional import cross_entropy
from torchao.quantization.pt2e import move_exported_model_to_eval, move_exported_model_to_train
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_qat_pt2e

torch.manual_seed(0)
quantizer = XNNPACKQuantizer()
quantizer.set_global(get_symmetric_quantization_config(is_per_channel=True, is_qat=True))
batch = {0: torch.export.Dim("batch", min=1, max=1024)}
two = data.train.images[:2]
graph = torch.export.export(copy.deepcopy(model).train(), (two,), dynamic_shapes=(batch,))
prepared = prepare_qat_pt2e(graph.module(), quantizer)
move_exported_model_to_train(prepared)
optimizer = torch.optim.AdamW(prepared.parameters(), lr=1e-4)
for chosen in torch.randperm(320).split(32):
    optimizer.zero_grad()
    cross_entropy(prepared(data.train.images[chosen]), data.train.labels[chosen]).backward()
    optimizer.step()
move_exported_model_to_eval(prepared)
int8 = convert_pt2e(prepared)
"""

_TFLITE = """\
import litert_torch

litert_torch.convert(model, (data.test.images[:1],)).export("{name}.tflite")
"""

_TFLITE_INT8 = """\
from ai_edge_quantizer import calibrator, quantizer, recipe_manager
from ai_edge_quantizer.qtyping import TFLOperationName as Operators
from ai_edge_quantizer.utils import qsv_utils

recipe = recipe_manager.RecipeManager()
recipe.add_static_config(".*", Operators.ALL_SUPPORTED, activation_num_bits=8, weight_num_bits=8)
for end in (Operators.INPUT, Operators.OUTPUT):
    recipe.add_quantization_config(
        ".*", end, algorithm_key=recipe_manager.AlgorithmName.NO_QUANTIZE
    )
observer = calibrator.Calibrator(
    "float.tflite", num_threads=1, qsv_update_func=qsv_utils.min_max_update
)
samples = [{"args_0": one.numpy()} for one in data.calibration.images.split(1)]
observer.calibrate({"serving_default": samples}, recipe)
worker = quantizer.Quantizer("float.tflite")
worker.load_quantization_recipe(recipe.get_quantization_recipe())
int8 = worker.quantize(observer.get_model_qsvs())
int8.export_model("litert-int8.tflite", overwrite=True)
"""


def _pte(before: str, network: str, name: str, partitioner: str = "XnnpackPartitioner()") -> str:
    return (
        before
        + "\n"
        + _PATH
        + _LOWER
        + f"exported = torch.export.export({network}, (data.test.images[:1],))\n"
        + f"lowered = to_edge_transform_and_lower(exported, partitioner=[{partitioner}])\n"
        + f'Path("{name}.pte").write_bytes(lowered.to_executorch().buffer)\n'
    )


#: The same for the variants of chapters 08 and 09.
WAY_ON: dict[str, str] = {
    "et-portable": _pte(_START, "model", "et-portable", ""),
    "et-fp32": _pte(_START, "model", "et-fp32"),
    "et-int8": _pte(_START + _PT2E, "int8", "et-int8"),
    "et-qat": _pte(_START + _PT2E_QAT, "int8", "et-qat"),
    "litert-fp32": _START + _TFLITE.format(name="litert-fp32"),
    "litert-int8": _START + _TFLITE.format(name="float") + _TFLITE_INT8,
}
