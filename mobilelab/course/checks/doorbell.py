"""The networks of exercise 04.2, as they are after training."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor, nn

_Net = TypeVar("_Net", bound=nn.Module)


class _Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.widen = nn.Sequential(
            nn.Conv2d(1, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6), nn.ReLU()
        )
        self.depthwise = nn.Sequential(
            nn.Conv2d(6, 6, 3, padding=1, groups=6, bias=False), nn.BatchNorm2d(6), nn.ReLU()
        )
        self.head = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.widen(x)
        x = x + self.depthwise(x)
        return self.head(x.mean(dim=[2, 3]))


def _lived_in(model: _Net) -> _Net:
    """Give every BatchNorm the statistics of a network that was trained, not of a fresh one."""
    for norm in model.modules():
        if isinstance(norm, nn.BatchNorm2d):
            nn.init.uniform_(norm.weight, 0.5, 1.5)
            nn.init.uniform_(norm.bias, -1, 1)
            assert norm.running_mean is not None and norm.running_var is not None
            nn.init.uniform_(norm.running_mean, -1, 1)
            nn.init.uniform_(norm.running_var, 0.2, 2)
    return model.eval()


def doorbell() -> nn.Sequential:
    """The network of exercise 04.2: three convolutions, each followed by a BatchNorm.

    Input ``(n, 1, 16, 16)``, output ``(n, 4)``. Eval mode; the same weights at every call.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        return _lived_in(
            nn.Sequential(
                nn.Conv2d(1, 8, 3, padding=1, bias=False),
                nn.BatchNorm2d(8),
                nn.ReLU(),
                nn.Conv2d(8, 8, 3, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(8),
                nn.ReLU(),
                nn.Conv2d(8, 16, 1, bias=False),
                nn.BatchNorm2d(16),
                nn.ReLU(),
                nn.AdaptiveAvgPool2d(1),
                nn.Flatten(),
                nn.Linear(16, 4),
            )
        )


def residual() -> nn.Module:
    """A network with an addition, for the same images, made in the same way."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        return _lived_in(_Residual())
