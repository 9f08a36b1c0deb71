"""Cut whole channels out of a network (chapter 03)."""

from __future__ import annotations

import copy
from typing import TypeVar, cast

import torch
from torch import nn

from mobilelab.core.errors import MobileLabError
from mobilelab.models import InvertedResidual, TinyMobileNet

_Net = TypeVar("_Net", bound=TinyMobileNet)


def prune_channels(model: _Net, keep: float = 0.5) -> _Net:
    """Drop whole hidden channels of every block, those with the smallest BatchNorm scale.

    The network that comes out is smaller, not merely full of zeros (chapter 03). It has
    forgotten a good part of what it knew: train it on with :func:`mobilelab.recipes.training.fit`.

    Args:
        model: left as it is.
        keep: share of hidden channels to keep, above 0 and at most 1.

    Raises:
        MobileLabError: if ``keep`` is out of range.
    """
    if not 0 < keep <= 1:
        raise MobileLabError(f"keep is the share of channels that stay, 0 < keep <= 1, not {keep}.")
    smaller = copy.deepcopy(model)
    for block in smaller.features:
        if isinstance(block, InvertedResidual):
            wide, wide_norm = _conv_and_norm(block.expand)
            deep, deep_norm = _conv_and_norm(block.depthwise)
            scale = deep_norm.weight.abs()
            index = scale.topk(max(1, round(keep * len(scale)))).indices.sort().values
            _keep_outputs(wide, index)
            _keep_norm(wide_norm, index)
            _keep_outputs(deep, index)
            deep.groups = deep.in_channels = len(index)
            _keep_norm(deep_norm, index)
            _keep_inputs(_conv_and_norm(block.project)[0], index)
    return smaller


def _conv_and_norm(layers: nn.Sequential) -> tuple[nn.Conv2d, nn.BatchNorm2d]:
    return cast(nn.Conv2d, layers[0]), cast(nn.BatchNorm2d, layers[1])


def _keep_outputs(conv: nn.Conv2d, index: torch.Tensor) -> None:
    conv.weight = nn.Parameter(conv.weight.detach()[index].clone())
    conv.out_channels = len(index)


def _keep_inputs(conv: nn.Conv2d, index: torch.Tensor) -> None:
    conv.weight = nn.Parameter(conv.weight.detach()[:, index].clone())
    conv.in_channels = len(index)


def _keep_norm(norm: nn.BatchNorm2d, index: torch.Tensor) -> None:
    norm.num_features = len(index)
    for name in ("weight", "bias"):
        setattr(norm, name, nn.Parameter(getattr(norm, name).detach()[index].clone()))
    for name in ("running_mean", "running_var"):
        setattr(norm, name, getattr(norm, name)[index].clone())
