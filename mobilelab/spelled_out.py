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
from mobilelab import training, variants

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

_QAT = """\
from dataclasses import replace
from torch.ao.quantization import convert, get_default_qat_qconfig, prepare_qat
from mobilelab import training

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
}
