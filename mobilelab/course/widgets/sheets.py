"""What rounding costs one tensor, for every position of the playground's controls (chapter 03)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import torch
from torch import Tensor

from mobilelab.course import rounding
from mobilelab.course.widgets.fake_quantization import Setting

#: Percentiles that the observer of that name can be set to.
PERCENTILES = (95.0, 99.0, 99.5, 99.9)
#: Bars of a histogram.
BARS = 120
#: The channels that are shown, by their range.
CHANNELS = ("narrowest", "middle", "widest")


@dataclass(frozen=True)
class Figures:
    """What one setting does to one tensor."""

    relative_error: float
    largest_error: float
    clipped: float
    levels_used: int
    grids: list[tuple[float, int]]
    """Scale and zero point: of the tensor, or of each channel that is shown."""


def settings(tensor: str, weights: bool) -> list[Setting]:
    """Every setting of one tensor that makes a difference."""
    found = []
    for per_channel, observer in product((False, True), rounding.OBSERVERS):
        if per_channel and (observer == "histogram" or not weights):
            continue
        for percentile in PERCENTILES if observer == "percentile" else (100.0,):
            found += [
                Setting(tensor, bits, symmetric, per_channel, observer, percentile, False)
                for bits in rounding.BITS
                for symmetric in (False, True)
            ]
    return found


def shown_channels(x: Tensor) -> list[int]:
    """The channels (axis 0) with the narrowest, the middle and the widest range."""
    rows = x.flatten(1)
    order = (rows.max(1).values - rows.min(1).values).argsort(stable=True).tolist()
    return [order[0], order[len(order) // 2], order[-1]]


class Sheet:
    """One tensor: its histogram, and what every setting costs it.

    Args:
        name: of the tensor.
        x: the tensor; channels are along axis 0.
        weights: whether it can have a scale for each channel.
    """

    def __init__(self, name: str, x: Tensor, weights: bool) -> None:
        self.shape = tuple(x.shape)
        self.scales = len(x) if weights else 1
        self.channels = shown_channels(x) if weights else []
        self.bars = [_bars(rounding.sample(x)), *(_bars(x[i].flatten()) for i in self.channels)]
        self.figures = {each: _figures(each, x, self.channels) for each in settings(name, weights)}

    def of(self, setting: Setting) -> Figures:
        """What a setting costs, whether or not accuracy is measured with all tensors rounded."""
        return self.figures[replace(setting, everywhere=False)]

    def spec(self) -> dict[str, Any]:
        """What the page draws it from: rows of figures by way, then bits, then symmetry."""
        ways: dict[str, list[list[float]]] = {}
        for setting, f in self.figures.items():
            numbers = [f.relative_error, f.largest_error, f.clipped, f.levels_used]
            flat = [number for grid in f.grids for number in grid]
            ways.setdefault(setting.way, []).append([*numbers, *flat])
        return {
            "shape": list(self.shape),
            "scales": self.scales,
            "channels": self.channels,
            "bars": self.bars,
            "ways": ways,
        }


def _short(value: float, digits: int) -> float:
    return float(f"{value:.{digits}g}")


def _bars(values: Tensor) -> dict[str, Any]:
    """Shares of the values in equal bins from the least to the largest, in % of the tallest."""
    low, high = values.min().item(), values.max().item()
    if low == high:
        low, high = low - 0.5, high + 0.5
    counts = torch.histc(values, BARS, low, high)
    top = counts.max().item()
    return {
        "low": _short(low, 6),
        "high": _short(high, 6),
        "top": _short(100 * top / values.numel(), 4),
        # Upwards, so that a bin with a single value can be seen.
        "heights": (1000 * counts / top).ceil().int().tolist(),
    }


def _figures(setting: Setting, x: Tensor, channels: list[int]) -> Figures:
    grid = setting.grid(x)
    cost = rounding.cost(x, grid)
    return Figures(
        _short(cost.relative_error, 5),
        _short(cost.largest_error, 4),
        _short(cost.clipped, 5),
        cost.levels_used,
        [
            (_short(grid.scale[i].item(), 6), int(grid.zero_point[i]))
            for i in (channels if setting.per_channel else [0])
        ],
    )
