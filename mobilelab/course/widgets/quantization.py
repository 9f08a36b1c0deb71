"""The quantization playground: fewer and fewer levels for a layer's real numbers."""

from __future__ import annotations

import html
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

from matplotlib.figure import Figure
from torch import nn

from mobilelab.course import rounding
from mobilelab.course.plots import BLUE, GREY, RED
from mobilelab.course.widgets.controls import Choice, Slider
from mobilelab.course.widgets.drawing import axes, canvas
from mobilelab.course.widgets.explorer import Explorer, View
from mobilelab.course.widgets.fake_quantization import Setting, Tensors
from mobilelab.course.widgets.measuring import bar, some
from mobilelab.course.widgets.sheets import BARS, CHANNELS, PERCENTILES, Sheet, shown_channels
from mobilelab.datasets import Dataset
from mobilelab.measure import accuracy

_ORANGE = "#B07600"


def draw(bars: dict[str, Any], scale: float, zero_point: int, bits: int) -> Figure:
    """The values as a histogram, the levels that they may take as lines over it.

    Args:
        bars: from :class:`~mobilelab.course.widgets.sheets.Sheet`.
        scale: step between two levels.
        zero_point: which level stands for 0.0.
        bits: how many levels there are, as a power of two.
    """
    figure = canvas()
    ax = axes(figure, 0.085, 0.13, 0.89, 0.76)
    count = 2**bits
    levels = [(i - count // 2 - zero_point) * scale for i in range(count)]
    low, high = min(bars["low"], levels[0]), max(bars["high"], levels[-1])
    room = 0.03 * ((high - low) or 1.0)
    width = (bars["high"] - bars["low"]) / BARS
    edges = [bars["low"] + i * width for i in range(BARS + 1)]
    share, top = [bars["top"] * h / 1000 for h in bars["heights"]], 1.1 * bars["top"]
    ax.stairs(share, edges, fill=True, color=BLUE, alpha=0.75)
    ax.vlines(levels, 0, top, color=_ORANGE, lw=1.6 if count < 40 else 0.6)
    # What lies within half a step of the last level is rounded to it; beyond, it is clipped.
    ends = (low - room, levels[0] - scale / 2), (levels[-1] + scale / 2, high + room)
    for start, end in ends:
        if start < end:
            ax.axvspan(start, end, color=GREY, alpha=0.25, lw=0)
    ax.axvline(0, color=RED, lw=1, ls=":", zorder=3)
    ax.set(xlim=(low - room, high + room), ylim=(0, top))
    ax.set_xlabel("value")
    ax.set_ylabel("share of values (%)")
    figure.text(0.085, 0.93, "blue: real values", color=BLUE, fontsize=11)
    figure.text(0.29, 0.93, f"orange: the {count} levels", color=_ORANGE, fontsize=11)
    figure.text(0.51, 0.93, "gray: clipped to the nearest level", color="#666666", fontsize=11)
    figure.text(0.83, 0.93, "dotted: 0.0", color=RED, fontsize=11)
    return figure


class QuantizationPlayground(Explorer):
    """Bits, symmetry, granularity and observer on a layer's real weights or activations.

    What every setting does to four tensors, and the accuracy for every number of bits with all
    weights rounded, are computed before it is shown, so that these answer without a kernel. Other
    tensors and settings are asked of the kernel once and remembered.

    Args:
        model: float network in eval mode, best with BatchNorm folded (chapter 03).
        data: accuracy is measured on its test images.
        images: on about so many of them, evenly spaced.
    """

    kind = "quantization"
    title = "Quantization playground"

    def __init__(self, model: nn.Module, data: Dataset, images: int = 100) -> None:
        super().__init__()
        self.tensors = Tensors(model, data.calibration)
        self.images = some(data.test, images)
        #: Accuracy of every setting measured so far, by its key; "float" is the float network.
        self.measured: dict[str, float] = {}
        self.sheets: dict[str, Sheet] = {}
        self._make_controls()
        whole = [
            replace(self.setting, bits=bits, per_channel=per_channel, everywhere=True)
            for bits in rounding.BITS
            for per_channel in (False, True)
        ]
        first = self._first()
        with bar("tensors and settings", len(first) + len(whole) + 2) as step:
            for name in first:
                self._sheet(name)
                step()
            for setting in (None, self.setting, *whole):
                self._measure(setting)
                step()
        self.assemble(
            (self.tensor, self.bits, self.observer, self.percentile),
            (self.symmetric, self.per_channel, self.channel),
            (self.everywhere,),
        )

    def _make_controls(self) -> None:
        names = self.tensors.names
        largest = max(self.tensors.weights, key=lambda name: self.tensors[name].numel())
        self.tensor = Choice("tensor", "tensor", names, largest)
        self.bits = Slider("bits", "bits", 8, low=2, high=8)
        self.observer = Choice("observer", "observer", list(rounding.OBSERVERS))
        percentiles = [(f"{p:g}", p) for p in PERCENTILES]
        self.percentile = Choice("percentile", "percentile", percentiles, 99.9, kind="slider")
        self.symmetric = _two("symmetric", "grid", "affine", "symmetric")
        self.per_channel = _two("per_channel", "scales", "per tensor", "per channel")
        channels = [(name, i) for i, name in enumerate(CHANNELS)]
        self.channel = Choice("channel", "channel by its range", channels)
        self.everywhere = _two("everywhere", "what is rounded", "round this one", "round all such")

    def _first(self) -> list[str]:
        """The tensors that are looked at before the explorer is shown."""
        weights, activations = list(self.tensors.weights), list(self.tensors.activations)

        def uneven(name: str) -> float:
            x = self.tensors[name].flatten(1)
            ranges = x.max(1).values - x.min(1).values
            narrow, _, wide = (ranges[i].item() for i in shown_channels(x))
            return wide / max(narrow, 1e-12)

        chosen = [cast(str, self.tensor.value), max(weights, key=uneven)]
        chosen += [activations[0], activations[len(activations) // 2]]
        return list(dict.fromkeys(chosen))

    def _sheet(self, name: str) -> None:
        if name not in self.sheets:
            weights = name in self.tensors.weights
            self.sheets[name] = Sheet(name, self.tensors[name], weights)

    def _measure(self, setting: Setting | None) -> None:
        key = "float" if setting is None else setting.key
        if key not in self.measured:
            scores = self.tensors.scores(setting, self.images.images)
            self.measured[key] = accuracy(scores, self.images.labels)

    @property
    def setting(self) -> Setting:
        """What the controls say, without what does not apply."""
        tensor, observer = cast(str, self.tensor.value), cast(str, self.observer.value)
        weights = tensor in self.tensors.weights
        per_channel = cast(bool, self.per_channel.value) and weights and observer != "histogram"
        return Setting(
            tensor, int(self.bits.value), cast(bool, self.symmetric.value), per_channel, observer,
            cast(float, self.percentile.value) if observer == "percentile" else 100.0,
            cast(bool, self.everywhere.value),
        )  # fmt: skip

    def moved(self, names: set[str]) -> None:
        """Look at a tensor and measure a setting that are new; both are remembered."""
        setting = self.setting
        asked: list[tuple[str, Callable[[], None]]] = []
        if setting.tensor not in self.sheets:
            asked.append(("rounding", lambda: self._sheet(setting.tensor)))
        if setting.key not in self.measured:
            asked.append(("accuracy", lambda: self._measure(setting)))
        try:
            for done, (what, ask) in enumerate(asked):
                told = f"measuring {what}: {setting.key}"
                self.progress = {"done": done, "of": len(asked), "what": told}
                ask()
        finally:
            if asked:
                self.progress = {}
        if asked:
            self.write()

    def contents(self) -> dict[str, Any]:
        """What was computed so far."""
        return {
            "identity": self.tensors.names,
            "weights": list(self.tensors.weights),
            "sheets": {name: sheet.spec() for name, sheet in self.sheets.items()},
            "accuracy": dict(self.measured),  # a copy, or nobody would notice what is new
            "images": len(self.images),
        }

    def _notes(self, setting: Setting) -> list[str]:
        if not self.per_channel.value or setting.per_channel:
            return []
        if setting.tensor in self.tensors.weights:
            return ["torch has no per-channel histogram observer; shown per tensor."]
        return ["Activations get one scale: kernels have no per-channel form for them."]

    @property
    def _shown(self) -> int:
        """Which of the sheet's histograms and grids is drawn: 0 is the whole tensor."""
        return 1 + cast(int, self.channel.value) if self.setting.per_channel else 0

    def figure(self) -> Figure:
        """Histogram and levels for readers without scripts."""
        setting, shown = self.setting, self._shown
        sheet = self.sheets[setting.tensor]
        scale, zero_point = sheet.of(setting).grids[max(0, shown - 1)]
        return draw(sheet.bars[shown], scale, zero_point, setting.bits)

    def view(self) -> View:
        """The error, and accuracy."""
        setting, shown = self.setting, self._shown
        sheet = self.sheets[setting.tensor]
        f = sheet.of(setting)
        before, after = self.measured["float"], self.measured[setting.key]
        what = f"all {setting.tensor.split()[0]}" if setting.everywhere else setting.tensor
        scales = f"{sheet.scales} scales" if setting.per_channel else "1 scale"
        channel = f" of channel {sheet.channels[shown - 1]}" if setting.per_channel else ""
        shape = f"({', '.join(map(str, sheet.shape))})"
        words = (
            f"<b>{html.escape(setting.tensor)}</b>, shape {shape}: relative error "
            f"<b>{f.relative_error:.2%}</b>, largest error {f.largest_error:.3g}, "
            f"<b>{f.clipped:.2%}</b> clipped, {f.levels_used} of {2**setting.bits} levels "
            f"in use, {scales}.<br>Accuracy on {len(self.images)} test images: {before:.1%} in "
            f"float, <b>{after:.1%}</b> with {html.escape(what)} rounded."
        ) + "".join(f"<br><i>{note}</i>" for note in self._notes(setting))
        return View(
            alt=(
                f"Histogram of {setting.tensor} with {2**setting.bits} levels drawn over it; "
                f"relative error {f.relative_error:.1%}, {f.clipped:.1%} clipped."
            ),
            words=words,
            headings=("quantity", "value"),
            rows=[
                ("levels to choose from", str(2**setting.bits)),
                ("levels in use", str(f.levels_used)),
                ("scales", scales),
                (f"zero point{channel}", str(f.grids[max(0, shown - 1)][1])),
                ("relative error", f"{f.relative_error:.2%}"),
                ("largest error", f"{f.largest_error:.3g}"),
                ("clipped", f"{f.clipped:.2%}"),
                ("accuracy in float", f"{before:.1%}"),
                (f"accuracy with {what} rounded", f"{after:.1%}"),
            ],
        )


def _two(name: str, label: str, no: str, yes: str) -> Choice:
    return Choice(name, label, [(no, False), (yes, True)], kind="buttons")
