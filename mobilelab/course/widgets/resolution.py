"""The resolution explorer: what a larger picture costs a fully convolutional network."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import torch
from matplotlib.figure import Figure
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from mobilelab import measure
from mobilelab.core.errors import MobileLabError
from mobilelab.course.plots import BLUE, GREY, INK, ORANGE, RED
from mobilelab.course.widgets.controls import Choice
from mobilelab.course.widgets.drawing import axes, canvas
from mobilelab.course.widgets.explorer import Explorer, View

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


@dataclass(frozen=True)
class Series:
    """Points of one network on one device, by input size."""

    name: str
    sizes: Sequence[int]
    values: Sequence[float]
    fit: tuple[float, float] | None = None
    """The k and c of ``value = c * size ** k``; ``None`` for what no power describes."""

    def spec(self) -> dict[str, Any]:
        """What the page draws it from."""
        points = list(zip(self.sizes, self.values, strict=True))
        return {"name": self.name, "points": points, "fit": self.fit}


def series(costs: Sequence[Cost], quantity: str) -> list[Series]:
    """The measured points; for latency the cited phone's stand beside them.

    Args:
        costs: from :func:`measure_sizes`, at least two sizes.
        quantity: a key of :data:`QUANTITIES`.
    """
    value = QUANTITIES[quantity][2]
    lines = [("TinyGenerator, this host", {c.size: value(c) for c in costs})]
    if quantity == "latency":
        cited = {size: 1000 * ANIMEGAN_PHONE[size] for size in sorted(ANIMEGAN_PHONE)}
        lines.append(("AnimeGANv2 on a phone, cited", cited))
    return [
        Series(name, [*points], [*points.values()], _fit(points, quantity))
        for name, points in lines
    ]


def _fit(points: dict[int, float], quantity: str) -> tuple[float, float] | None:
    if quantity in CURVED:
        return None
    k = exponent([*points], [max(v, 1e-3) for v in points.values()])
    logs = [math.log(max(v, 1e-3)) - k * math.log(s) for s, v in points.items()]
    return k, math.exp(sum(logs) / len(logs))


def draw(costs: Sequence[Cost], quantity: str, size: int) -> Figure:
    """One quantity against input size, both logarithmic, so that a power law is a straight line.

    Args:
        costs: from :func:`measure_sizes`.
        quantity: a key of :data:`QUANTITIES`.
        size: where the slider stands.
    """
    figure = canvas()
    ax = axes(figure, 0.085, 0.13, 0.6, 0.83)
    label, unit, value = QUANTITIES[quantity]
    lines = series(costs, quantity)
    ax.set(xscale="log", yscale="log")
    for i, (line, color) in enumerate(zip(lines, (BLUE, ORANGE), strict=False)):
        ax.plot(line.sizes, line.values, "os"[i], color=color, ms=9)
        at = 0.86 - 0.2 * i
        figure.text(0.7, at, "●■"[i], color=color, fontsize=13)
        figure.text(0.725, at, line.name, color=INK, fontsize=11)
        if line.fit:
            k, c = line.fit
            ends = line.sizes[0], line.sizes[-1]
            ax.plot(ends, [c * end**k for end in ends], color=color, lw=1.5, alpha=0.7)
            figure.text(0.725, at - 0.07, f"fit: size to the power {k:.2f}", color=INK, fontsize=11)
    ax.axvline(size, color=INK, lw=1.2, ls="--")
    sizes = [size for line in lines for size in line.sizes]
    every = [v for line in lines for v in line.values]
    ax.set(xlim=(0.85 * min(sizes), 1.2 * max(sizes)), ylim=(0.5 * min(every), 2 * max(every)))
    ticks = [s for s in (16, 32, 64, 128, 256, 512) if min(sizes) <= s <= max(sizes)]
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

    kind = "resolution"
    title = "Resolution explorer"

    def __init__(self, costs: Sequence[Cost]) -> None:
        super().__init__()
        if len(costs) < 2:
            raise MobileLabError("A curve needs at least two input sizes; measure more.")
        self.costs = sorted(costs, key=lambda c: c.size)
        sizes = [(f"{c.size}", c.size) for c in self.costs]
        self.size = Choice("size", "input size", sizes, sizes[-1][1], kind="slider")
        self.quantity = Choice("quantity", "quantity", list(QUANTITIES), kind="buttons")
        self.assemble((self.size, self.quantity))

    def contents(self) -> dict[str, Any]:
        """Costs, curves with their exponents, and the table."""
        headings, rows = self._table()
        return {
            "identity": [c.size for c in self.costs],
            "costs": [asdict(c) for c in self.costs],
            "quantities": {
                name: {
                    "label": label, "unit": unit,
                    "series": [line.spec() for line in series(self.costs, name)],
                }
                for name, (label, unit, _) in QUANTITIES.items()
            },
            "cited": exponent(list(ANIMEGAN_PHONE), list(ANIMEGAN_PHONE.values())),
            "alt": {name: self._alt(name) for name in QUANTITIES},
            "head": headings, "rows": rows,
        }  # fmt: skip

    def _alt(self, quantity: str) -> str:
        line, *others = series(self.costs, quantity)
        return (
            f"{QUANTITIES[quantity][0].capitalize()} against input size, both axes logarithmic, "
            f"{len(self.costs)} points"
            + (f" near a straight line of slope {line.fit[0]:.2f}" if line.fit else "")
            + (", beside the cited table of AnimeGANv2 on a phone." if others else ".")
        )

    def _table(self) -> tuple[list[str], list[list[str]]]:
        measured = {c.size for c in self.costs}
        rows = [
            [f"{c.size} x {c.size}", f"{c.median_ms:.1f} ms", f"+{c.added_mib:.1f} MiB",
             f"{c.macs / 1e6:.0f} million",
             f"{ANIMEGAN_PHONE[c.size]:.0f} s" if c.size in ANIMEGAN_PHONE else ""]
            for c in self.costs
        ]  # fmt: skip
        cited = [s for s in sorted(ANIMEGAN_PHONE) if s not in measured]
        rows += [[f"{s} x {s}", "", "", "", f"{ANIMEGAN_PHONE[s]:.0f} s"] for s in cited]
        return ["input", "median", "peak memory", "MACs", "AnimeGANv2, cited phone"], rows

    def figure(self) -> Figure:
        """The curve for readers without scripts."""
        return draw(self.costs, cast(str, self.quantity.value), cast(int, self.size.value))

    def view(self) -> View:
        """The exponents, and what the chosen size costs beside the smallest."""
        here = next(c for c in self.costs if c.size == self.size.value)
        small = self.costs[0]
        fits = {n: series(self.costs, n)[0].fit or (0.0, 0.0) for n in ("latency", "MACs")}
        phone = exponent(list(ANIMEGAN_PHONE), list(ANIMEGAN_PHONE.values()))
        headings, rows = self._table()
        return View(
            alt=self._alt(cast(str, self.quantity.value)),
            words=(
                f"<b>{here.size} x {here.size}</b>: median {here.median_ms:.1f} ms at one thread, "
                f"{here.added_mib:.1f} MiB above torch, {here.macs / 1e6:.0f} million MACs. "
                f"That is {here.size / small.size:.1f} times the side of {small.size} and "
                f"{here.median_ms / small.median_ms:.1f} times its time on this host.<br>"
                f"Fitted exponents: latency <b>{fits['latency'][0]:.2f}</b>, "
                f"MACs {fits['MACs'][0]:.2f}; the cited phone's table {phone:.2f}."
            ),
            headings=headings,
            rows=rows,
        )
