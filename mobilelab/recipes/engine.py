"""The quantized engine that phones have."""

from __future__ import annotations

import torch

ENGINE = "qnnpack"


def choose_engine() -> None:
    """Who copies or loads int8 weights packs them for the engine that is chosen then."""
    if ENGINE in torch.backends.quantized.supported_engines:
        torch.backends.quantized.engine = ENGINE
