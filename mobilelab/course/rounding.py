"""Rounding a tensor to few bits: the grid that an observer chooses, and what it costs.

The formulas are those of chapter 03, section 1; the observers are torch's own
(``torch.ao.quantization.observer``), told how many bits there are.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.ao.quantization import observer as ao

from mobilelab.core.errors import MobileLabError

OBSERVERS = ("min-max", "histogram", "percentile")
BITS = range(2, 9)
#: Values that an observer and a histogram look at; larger tensors are sampled evenly.
MOST_VALUES = 50_000


@dataclass(frozen=True)
class Grid:
    """The levels that a tensor may take."""

    scale: Tensor
    """Step between two levels: one number, or one for each channel."""
    zero_point: Tensor
    """Which level stands for 0.0, as many as there are scales."""
    low: int
    """Number of the lowest level."""
    high: int
    """Number of the highest level."""

    @property
    def per_channel(self) -> bool:
        """Whether every channel (axis 0) has a scale of its own."""
        return self.scale.numel() > 1

    def levels(self, channel: int = 0) -> Tensor:
        """The values that exist, ascending. For one scale, ``channel`` does not matter."""
        at = channel if self.per_channel else 0
        steps = torch.arange(self.low, self.high + 1, dtype=torch.float32)
        return (steps - self.zero_point[at]) * self.scale[at]


@dataclass(frozen=True)
class Cost:
    """What rounding did to a tensor."""

    relative_error: float
    """L2 norm of the difference over the L2 norm of the tensor."""
    largest_error: float
    clipped: float
    """Share of values beyond the outermost levels, 0 to 1."""
    levels_used: int
    """Different whole numbers in use, over all channels."""


def sample(x: Tensor, most: int = MOST_VALUES) -> Tensor:
    """At most ``most`` values of a tensor, evenly spaced, its extremes included."""
    flat = x.detach().flatten()
    if flat.numel() <= most:
        return flat
    picked = flat[:: -(-flat.numel() // most)]
    return torch.cat([picked, flat.min().view(1), flat.max().view(1)])


def choose_grid(
    x: Tensor,
    bits: int,
    *,
    symmetric: bool = False,
    per_channel: bool = False,
    observer: str = "min-max",
    percentile: float = 99.9,
) -> Grid:
    """The grid that an observer chooses after it has seen ``x``.

    Args:
        x: float tensor of any shape; channels are along axis 0.
        bits: 2 to 8, which gives ``2 ** bits`` levels.
        symmetric: 0.0 lies in the middle of the levels, as is usual for weights.
        per_channel: one scale for each channel.
        observer: ``min-max`` spans all values; ``histogram`` looks for the span with the
            smallest squared error (torch's ``HistogramObserver``); ``percentile`` leaves out
            what lies beyond a percentile on either side.
        percentile: 50 to 100, for the observer of that name.

    Raises:
        MobileLabError: for bits, an observer or a percentile out of range, and for
            ``histogram`` per channel, which torch does not have.
    """
    if bits not in BITS:
        raise MobileLabError(f"Bits go from {BITS[0]} to {BITS[-1]}, not {bits}.")
    if observer not in OBSERVERS:
        raise MobileLabError(f"There is no observer {observer!r}; use {', '.join(OBSERVERS)}.")
    if not 50 <= percentile <= 100:
        raise MobileLabError(f"A percentile for clipping is 50 to 100, not {percentile}.")
    if observer == "histogram" and per_channel:
        raise MobileLabError(
            "torch has no per-channel histogram observer; choose per tensor, or another observer."
        )
    x = x.detach()
    if not per_channel:
        x = sample(x)
    if observer == "percentile":
        x = _clip_to_percentile(x, percentile / 100, per_channel)
    kind = "per_channel" if per_channel else "per_tensor"
    options = {
        "dtype": torch.qint8,
        "qscheme": getattr(torch, f"{kind}_{'symmetric' if symmetric else 'affine'}"),
        "quant_min": -(2 ** (bits - 1)),
        "quant_max": 2 ** (bits - 1) - 1,
    }
    if per_channel:
        watcher = ao.PerChannelMinMaxObserver(ch_axis=0, **options)
    elif observer == "histogram":
        watcher = ao.HistogramObserver(bins=512, **options)
    else:
        watcher = ao.MinMaxObserver(**options)
    watcher(x)
    scale, zero_point = watcher.calculate_qparams()
    return Grid(scale, zero_point, options["quant_min"], options["quant_max"])


def _clip_to_percentile(x: Tensor, share: float, per_channel: bool) -> Tensor:
    rows = x.flatten(1) if per_channel else x.flatten().unsqueeze(0)
    last = rows.shape[1] - 1
    low = rows.kthvalue(1 + round((1 - share) * last), dim=1, keepdim=True).values
    high = rows.kthvalue(1 + round(share * last), dim=1, keepdim=True).values
    return rows.clamp(low, high).view_as(x)


def apply(x: Tensor, grid: Grid) -> Tensor:
    """``x`` rounded to the grid and turned back into floats (torch's fake quantization)."""
    if grid.per_channel:
        return torch.fake_quantize_per_channel_affine(
            x, grid.scale, grid.zero_point.int(), 0, grid.low, grid.high
        )
    return torch.fake_quantize_per_tensor_affine(
        x, grid.scale.item(), int(grid.zero_point.item()), grid.low, grid.high
    )


def cost(x: Tensor, grid: Grid) -> Cost:
    """What rounding ``x`` to ``grid`` costs; large tensors are sampled (see :func:`sample`)."""
    if not grid.per_channel:
        x = sample(x)
    rounded = apply(x, grid)
    shape = [-1] + [1] * (x.ndim - 1)
    scale = grid.scale.view(shape) if grid.per_channel else grid.scale
    zero = grid.zero_point.view(shape) if grid.per_channel else grid.zero_point
    number = (x / scale).round() + zero
    error = rounded - x
    inside = number.clamp(grid.low, grid.high) - grid.low
    return Cost(
        relative_error=(error.norm() / x.norm().clamp(min=1e-12)).item(),
        largest_error=error.abs().max().item(),
        clipped=((number < grid.low) | (number > grid.high)).double().mean().item(),
        levels_used=int(torch.bincount(inside.flatten().long()).count_nonzero()),
    )
