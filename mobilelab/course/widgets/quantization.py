"""The quantization playground: fewer and fewer levels for a layer's real numbers."""

from __future__ import annotations

import html
from collections.abc import Iterator
from typing import cast

import ipywidgets as w
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from mobilelab.course import rounding
from mobilelab.course.plots import BLUE, GREY, ORANGE, RED
from mobilelab.course.widgets.base import Explorer, View, labeled, row
from mobilelab.course.widgets.drawing import axes, canvas
from mobilelab.course.widgets.fake_quantization import Setting, Tensors
from mobilelab.datasets import Dataset
from mobilelab.measure import accuracy


def draw(values: Tensor, grid: rounding.Grid, channel: int, figure: Figure | None = None) -> Figure:
    """The values as a histogram, the levels that they may take as lines over it.

    Args:
        values: float tensor; with one scale per channel, those of ``channel`` only.
        grid: from :func:`mobilelab.course.rounding.choose_grid`.
        channel: whose levels are drawn.
        figure: an earlier drawing of this function, to be used again.
    """
    figure = figure or canvas()
    ax = axes(figure, 0.085, 0.13, 0.89, 0.76)
    values = rounding.sample(values)
    levels = grid.levels(channel)
    low = min(values.min().item(), levels[0].item())
    high = max(values.max().item(), levels[-1].item())
    room = 0.03 * ((high - low) or 1.0)
    counts, edges = torch.histogram(values, bins=120, range=(low - room, high + room))
    share = 100 * counts / values.numel()
    top = 1.1 * max(share.max().item(), 1e-9)
    ax.stairs(share.numpy(), edges.numpy(), fill=True, color=BLUE, alpha=0.75)
    ax.vlines(levels.numpy(), 0, top, color=ORANGE, lw=1.6 if len(levels) < 40 else 0.6)
    # What lies within half a step of the last level is rounded to it; beyond, it is clipped.
    half = (levels[1] - levels[0]).item() / 2
    for start, end in (
        (low - room, levels[0].item() - half),
        (levels[-1].item() + half, high + room),
    ):
        if start < end:
            ax.axvspan(start, end, color=GREY, alpha=0.25, lw=0)
    ax.axvline(0, color=RED, lw=1, ls=":", zorder=3)
    ax.set(xlim=(low - room, high + room), ylim=(0, top))
    ax.set_xlabel("value")
    ax.set_ylabel("share of values (%)")
    figure.text(0.085, 0.93, "blue: real values", color=BLUE, fontsize=11)
    figure.text(0.29, 0.93, f"orange: the {len(levels)} levels", color="#B07600", fontsize=11)
    figure.text(0.51, 0.93, "gray: clipped to the nearest level", color="#666666", fontsize=11)
    figure.text(0.83, 0.93, "dotted: 0.0", color=RED, fontsize=11)
    return figure


class QuantizationPlayground(Explorer):
    """Bits, symmetry, granularity and observer on a layer's real weights or activations.

    Args:
        model: float network in eval mode, best with BatchNorm folded (chapter 03).
        data: accuracy is measured on its test images once the controls rest.
    """

    def __init__(self, model: nn.Module, data: Dataset) -> None:
        super().__init__()
        self.tensors = Tensors(model, data)
        self.labels = data.test.labels
        #: Accuracy of every setting measured so far; ``None`` is the float network.
        self.measured: dict[Setting | None, float] = {}
        names = self.tensors.names
        largest = max(self.tensors.weights, key=lambda name: self.tensors[name].numel())
        self.tensor = labeled(w.Dropdown(options=names, value=largest, description="tensor"))
        self.bits = labeled(w.IntSlider(8, min=2, max=8, description="bits"), width="20em")
        self.symmetric = w.ToggleButtons(options=[("affine", False), ("symmetric", True)])
        self.per_channel = w.ToggleButtons(options=[("per tensor", False), ("per channel", True)])
        self.observer = labeled(w.Dropdown(options=rounding.OBSERVERS, description="observer"))
        self.percentile = labeled(
            w.FloatSlider(
                99.9, min=90, max=100, step=0.1, readout_format=".1f", description="percentile"
            ), width="20em",
        )  # fmt: skip
        self.channel = labeled(w.IntSlider(0, min=0, max=0, description="channel"), width="20em")
        self.everywhere = w.ToggleButtons(
            options=[("round this one", False), ("round all such", True)]
        )
        for buttons in (self.symmetric, self.per_channel, self.everywhere):
            buttons.style.button_width = "12em"
        self.on_change(
            self.tensor, self.bits, self.symmetric, self.per_channel, self.observer,
            self.percentile, self.channel, self.everywhere, then=self.moved,
        )  # fmt: skip
        self._enable()
        for _ in self._measure(None):
            pass
        for _ in self._measure(self.setting):
            pass
        self.assemble(
            row(self.tensor, self.bits, self.observer, self.percentile),
            row(self.symmetric, self.per_channel, self.channel),
            row(self.everywhere),
        )

    @property
    def setting(self) -> Setting:
        """What the controls say, without what does not apply."""
        tensor, observer = cast(str, self.tensor.value), cast(str, self.observer.value)
        weights = tensor in self.tensors.weights
        per_channel = cast(bool, self.per_channel.value) and weights and observer != "histogram"
        return Setting(
            tensor, self.bits.value, cast(bool, self.symmetric.value), per_channel, observer,
            self.percentile.value if observer == "percentile" else 100.0,
            cast(bool, self.everywhere.value),
        )  # fmt: skip

    def _enable(self) -> None:
        weights = self.tensor.value in self.tensors.weights
        histogram = self.observer.value == "histogram"
        self.per_channel.disabled = not weights or histogram
        self.percentile.disabled = self.observer.value != "percentile"
        setting = self.setting
        self.channel.max = len(self.tensors[setting.tensor]) - 1 if setting.per_channel else 0
        self.channel.disabled = not setting.per_channel

    def moved(self) -> None:
        """Draw at once; measure accuracy when the controls rest."""
        self._enable()
        self.refresh()
        if self.setting not in self.measured:
            self.when_resting(self._accuracy_arrives)

    def _accuracy_arrives(self) -> Iterator[None]:
        yield from self._measure(self.setting)
        self.refresh()

    def _measure(self, setting: Setting | None) -> Iterator[None]:
        parts = []
        for part in self.tensors.scores(setting):
            parts.append(part)
            yield
        self.measured[setting] = accuracy(torch.cat(parts), self.labels)

    def view(self) -> View:
        """Histogram and levels, the error, and accuracy if it is measured already."""
        setting = self.setting
        x = self.tensors[setting.tensor]
        grid = setting.grid(x)
        cost = rounding.cost(x, grid)
        channel = self.channel.value if setting.per_channel else 0
        shown = x[channel] if setting.per_channel else x
        before, after = self.measured[None], self.measured.get(setting)
        what = f"all {setting.tensor.split()[0]}" if setting.everywhere else setting.tensor
        right = "measuring…" if after is None else f"{after:.1%}"
        notes = []
        if self.per_channel.value and self.tensor.value not in self.tensors.weights:
            notes.append("Activations get one scale: kernels have no per-channel form for them.")
        elif self.per_channel.value and setting.observer == "histogram":
            notes.append("torch has no per-channel histogram observer; shown per tensor.")
        scales = f"{grid.scale.numel()} scale" + ("s" if grid.scale.numel() > 1 else "")
        rows = [
            ("levels to choose from", str(2**setting.bits)),
            ("levels in use", str(cost.levels_used)),
            ("scales", scales),
            ("zero point" + (f" of channel {channel}" if setting.per_channel else ""),
             str(int(grid.zero_point[channel if setting.per_channel else 0]))),
            ("relative error", f"{cost.relative_error:.2%}"),
            ("largest error", f"{cost.largest_error:.3g}"),
            ("clipped", f"{cost.clipped:.2%}"),
            ("accuracy in float", f"{before:.1%}"),
            (f"accuracy with {what} rounded", right),
        ]  # fmt: skip
        words = (
            f"<b>{html.escape(setting.tensor)}</b>, shape {tuple(x.shape)}: relative error "
            f"<b>{cost.relative_error:.2%}</b>, largest error {cost.largest_error:.3g}, "
            f"<b>{cost.clipped:.2%}</b> clipped, {cost.levels_used} of {2**setting.bits} levels "
            f"in use, {scales}.<br>Accuracy on {len(self.labels)} test images: {before:.1%} in "
            f"float, <b>{right}</b> with {html.escape(what)} rounded."
        ) + "".join(f"<br><i>{note}</i>" for note in notes)
        return View(
            figure=draw(shown, grid, channel, self.figure),
            alt=(
                f"Histogram of {setting.tensor} with {2**setting.bits} levels drawn over it; "
                f"relative error {cost.relative_error:.1%}, {cost.clipped:.1%} clipped."
            ),
            words=words,
            headings=("quantity", "value"),
            rows=rows,
        )
