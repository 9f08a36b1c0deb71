"""int8, after training and with training in its presence (chapter 03)."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn
from torch.ao import quantization as tq

from mobilelab import measure
from mobilelab.datasets import Dataset, Split
from mobilelab.models import QuantizableTinyMobileNet, TinyMobileNet
from mobilelab.recipes import training
from mobilelab.recipes.engine import ENGINE
from mobilelab.recipes.memo import once


@once
def quantize_static(model: TinyMobileNet, data: Dataset, seed: int = 0) -> nn.Module:
    """int8 after training: fuse, observe the calibration images, convert (chapter 03)."""
    return to_int8(QuantizableTinyMobileNet.from_float(model), data)


def to_int8(quantizable: QuantizableTinyMobileNet, data: Dataset) -> nn.Module:
    """Fuse a float network with stubs, observe the calibration images, convert."""
    torch.backends.quantized.engine = ENGINE
    config = tq.get_default_qconfig(ENGINE)
    # A module takes any attribute; torch's stub of __setattr__ knows tensors and modules only.
    quantizable.fuse().qconfig = config  # pyright: ignore[reportArgumentType]
    prepared = tq.prepare(quantizable)
    measure.scores(prepared, data.calibration.images)
    return tq.convert(prepared)


@once
def quantize_aware(model: TinyMobileNet, data: Dataset, seed: int = 0) -> nn.Module:
    """int8 with a short epoch of training in its presence, then convert (chapter 03)."""
    torch.backends.quantized.engine = ENGINE
    quantizable = QuantizableTinyMobileNet.from_float(model).train().fuse()
    config = tq.get_default_qat_qconfig(ENGINE)
    quantizable.qconfig = config  # pyright: ignore[reportArgumentType] as in to_int8
    prepared = tq.prepare_qat(quantizable)
    whole = data.train
    short = Split(whole.raw[:600], whole.images[:600], whole.labels[:600])
    training.fit(prepared, replace(data, train=short), epochs=1, learning_rate=1e-4, seed=seed)
    return tq.convert(prepared)
