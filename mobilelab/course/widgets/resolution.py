"""The resolution explorer: what a larger picture costs a fully convolutional network."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import ipywidgets as w
import torch
from matplotlib.figure import Figure
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from mobilelab import measure
from mobilelab.core.errors import MobileLabError
from mobilelab.course.plots import BLUE, GREY, INK, ORANGE, RED
from mobilelab.course.widgets.base import Explorer, View, labeled, row
from mobilelab.course.widgets.drawing import axes, canvas

#: Input size to seconds for AnimeGANv2 with PyTorch Mobile on a "low-profile" Android phone that
#: is not named (AIOZ AI, "Pytorch Mobile", 2022-08-27, table 1). Another network on another
#: device, in whole seconds: only its exponent can be compared, and that roughly.
ANIMEGAN_PHONE = {640: 9.0, 400: 4.0, 300: 2.0, 256: 2.0}


@dataclass(frozen=True)
class Cost:
    """What one square input costs."""

    size: int
    """Pixels along one side."""
    median_ms: float
    added_mib: float
    """Peak memory above bare torch, in MiB; a process of its own measured it."""
    macs: int
    """Multiply-accumulates, counted by torch's FlopCounterMode."""


def macs(network: nn.Module, shape: Sequence[int]) -> int:
    """Multiply-accumulates of one call, counted without computing anything (meta tensors)."""
    with torch.device("meta"):
        x = torch.empty(*shape)
    state = {name: t.to("meta") for name, t in network.state_dict().items()}
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        torch.func.functional_call(network, state, (x,))
    return counter.get_total_flops() // 2  # torch counts a multiply and an add as two


def measure_sizes(
    network: nn.Module,
    sizes: Sequence[int],
    *,
    seconds: float = 0.4,
    on_step: Callable[[str], None] = lambda what: None,
) -> list[Cost]:
    """Latency, peak memory and MACs for square inputs, ``(1, 3, size, size)``, one thread.

    Args:
        network: fully convolutional, in eval mode, three channels in.
        sizes: pixels along a side.
        seconds: about how long each size is timed for.
        on_step: told what is being measured.

    Raises:
        MobileLabError: without a size.
    """
    sizes = sorted(set(sizes))
    if not sizes:
        raise MobileLabError("Name at least one input size to measure.")
    scripted = torch.jit.freeze(torch.jit.script(network))
    on_step("memory")
    with tempfile.TemporaryDirectory(prefix="mobilelab-") as folder:
        path = Path(folder) / "network.pt"
        scripted.save(str(path))
        peaks = measure.peak_by_shape(path, [(1, 3, size, size) for size in sizes], runs=2)
    costs = []
    for size, peak in zip(sizes, peaks, strict=True):
        on_step(f"{size} x {size}")
        x = torch.rand(1, 3, size, size)
        timing = measure.latency(scripted, x, warmup=2, seconds=seconds, least=3, most=30)
        costs.append(Cost(size, timing.median_ms, peak.added_mib, macs(network, x.shape)))
    return costs


def exponent(sizes: Sequence[float], values: Sequence[float]) -> float:
    """The k of ``value = c * size ** k``, by least squares on the logarithms.

    Raises:
        MobileLabError: for fewer than two different sizes, or values that are not positive.
    """
    if len(set(sizes)) < 2 or min(*sizes, *values) <= 0:
        raise MobileLabError("A fit needs two different sizes and positive values.")
    x, y = [math.log(s) for s in sizes], [math.log(v) for v in values]
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    above = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True))
    return above / sum((a - mean_x) ** 2 for a in x)


QUANTITIES: dict[str, tuple[str, str, Callable[[Cost], float]]] = {
    "latency": ("median latency", "ms", lambda c: c.median_ms),
    "memory": ("peak memory above torch", "MiB", lambda c: c.added_mib),
    "MACs": ("multiply-accumulates", "million", lambda c: c.macs / 1e6),
}


#: Quantities that do not follow a power law: a part of the memory is the same for any picture.
CURVED = {"memory"}


def draw(costs: Sequence[Cost], quantity: str, size: int, figure: Figure | None = None) -> Figure:
    """One quantity against input size, both logarithmic, so that a power law is a straight line.

    Args:
        costs: from :func:`measure_sizes`.
        quantity: a key of :data:`QUANTITIES`; for latency the cited phone stands beside it.
        size: where the slider stands.
        figure: an earlier drawing of this function, to be used again.
    """
    figure = figure or canvas()
    ax = axes(figure, 0.085, 0.13, 0.6, 0.83)
    label, unit, value = QUANTITIES[quantity]
    x, y = [c.size for c in costs], [value(c) for c in costs]
    ax.set(xscale="log", yscale="log")
    lines = [(x, y, BLUE, "o", "TinyGenerator, this host")]
    if quantity == "latency":
        phone = sorted(ANIMEGAN_PHONE)
        seconds = [1000 * ANIMEGAN_PHONE[s] for s in phone]
        lines.append((phone, seconds, ORANGE, "s", "AnimeGANv2 on a phone, cited"))
    for i, (sizes, values, color, marker, text) in enumerate(lines):
        ax.plot(sizes, values, marker, color=color, ms=9)
        at = 0.86 - 0.2 * i
        figure.text(0.7, at, "●■"[i], color=color, fontsize=13)
        figure.text(0.725, at, text, color=INK, fontsize=11)
        if len(sizes) > 1 and quantity not in CURVED:
            k = exponent(sizes, values)
            middle = math.exp(
                sum(math.log(v) - k * math.log(s) for s, v in zip(sizes, values, strict=True))
                / len(sizes)
            )
            ends = (min(sizes), max(sizes))
            ax.plot(ends, [middle * e**k for e in ends], color=color, lw=1.5, alpha=0.7)
            figure.text(0.725, at - 0.07, f"fit: size to the power {k:.2f}", color=INK, fontsize=11)
    ax.axvline(size, color=INK, lw=1.2, ls="--")
    every = [v for _, values, *_ in lines for v in values]
    ax.set(xlim=(0.85 * min(x), 1.2 * max(*x, *(lines[-1][0]))))
    ax.set(ylim=(0.5 * min(every), 2 * max(every)))
    ticks = [s for s in (64, 128, 256, 512, 640) if s <= 1.2 * max(*x, *(lines[-1][0]))]
    ax.set_xticks(ticks, [str(s) for s in ticks])
    ax.set_xticks([], minor=True)
    ax.set_xlabel("pixels along a side of the input")
    ax.set_ylabel(f"{label} ({unit})")
    here = next((c for c in costs if c.size == size), None)
    if here is not None:
        ax.plot(size, value(here), "o", ms=17, mfc="none", mec=RED, mew=2.5)
    ax.grid(color=GREY, alpha=0.3)
    return figure


class ResolutionExplorer(Explorer):
    """Latency, memory and work against the size of the input.

    Args:
        costs: from :func:`measure_sizes`, at least two.

    Raises:
        MobileLabError: for fewer than two sizes.
    """

    def __init__(self, costs: Sequence[Cost]) -> None:
        super().__init__()
        if len(costs) < 2:
            raise MobileLabError("A curve needs at least two input sizes; measure more.")
        self.costs = sorted(costs, key=lambda c: c.size)
        sizes = [c.size for c in self.costs]
        self.size = labeled(
            w.SelectionSlider(options=sizes, value=sizes[-1], description="input size"),
            width="26em",
        )
        self.quantity = w.ToggleButtons(options=list(QUANTITIES))
        self.quantity.style.button_width = "8em"
        self.on_change(self.size, self.quantity)
        self.assemble(row(self.size, self.quantity))

    def view(self) -> View:
        """The curve, its exponent, and what the chosen size costs beside the smallest."""
        here = next(c for c in self.costs if c.size == self.size.value)
        small, quantity = self.costs[0], cast(str, self.quantity.value)
        sizes = [c.size for c in self.costs]
        k = {
            name: exponent(sizes, [max(value(c), 1e-3) for c in self.costs])
            for name, (_, _, value) in QUANTITIES.items()
            if name not in CURVED
        }
        phone = exponent(list(ANIMEGAN_PHONE), list(ANIMEGAN_PHONE.values()))
        words = (
            f"<b>{here.size} x {here.size}</b>: median {here.median_ms:.1f} ms at one thread, "
            f"{here.added_mib:.1f} MiB above torch, {here.macs / 1e6:.0f} million MACs. "
            f"That is {here.size / small.size:.1f} times the side of {small.size} and "
            f"{here.median_ms / small.median_ms:.1f} times its time on this host.<br>"
            f"Fitted exponents: latency <b>{k['latency']:.2f}</b>, "
            f"MACs {k['MACs']:.2f}; the cited phone's table {phone:.2f}."
        )
        return View(
            figure=draw(self.costs, quantity, here.size, self.figure),
            alt=(
                f"{QUANTITIES[quantity][0].capitalize()} against input size, both axes "
                f"logarithmic, {len(self.costs)} points"
                + (
                    f" near a straight line of slope {k[quantity]:.2f}"
                    if quantity in k
                    else ""
                )
                + (
                    ", beside the cited table of AnimeGANv2 on a phone."
                    if quantity == "latency"
                    else "."
                )
            ),
            words=words,
            headings=("input", "median", "peak memory", "MACs", "AnimeGANv2, cited phone"),
            rows=[
                (f"{c.size} x {c.size}", f"{c.median_ms:.1f} ms", f"+{c.added_mib:.1f} MiB",
                 f"{c.macs / 1e6:.0f} million",
                 f"{ANIMEGAN_PHONE[c.size]:.0f} s" if c.size in ANIMEGAN_PHONE else "")
                for c in self.costs
            ]
            + [(f"{s} x {s}", "", "", "", f"{t:.0f} s") for s, t in sorted(ANIMEGAN_PHONE.items())
               if s not in sizes],
        )  # fmt: skip
