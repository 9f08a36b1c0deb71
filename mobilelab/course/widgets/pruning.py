"""The pruning explorer: what zeros cost and save, and what missing channels do."""

from __future__ import annotations

import copy
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import ipywidgets as w
import torch
from matplotlib.figure import Figure
from torch import nn
from torch.nn.utils import prune

from mobilelab import measure
from mobilelab.core.errors import MobileLabError
from mobilelab.course.plots import BLUE, GREEN, INK, ORANGE, PURPLE
from mobilelab.course.widgets.base import Explorer, View, labeled, row
from mobilelab.course.widgets.drawing import axes, canvas
from mobilelab.datasets import Dataset
from mobilelab.models import TinyMobileNet
from mobilelab.recipes.variants import prune_channels

METHODS = ("magnitude", "structured")
STEP = 25


@dataclass(frozen=True)
class Pruned:
    """What was measured at one sparsity, right after pruning, before any training."""

    method: str
    sparsity: float
    """Share of weights set to zero (magnitude) or of hidden channels cut out (structured)."""
    accuracy: float
    raw_kb: float
    """Weights as torch saves them, in kB."""
    compressed_kb: float
    """The same through zlib, as an app store's archive would pack them."""
    latency: float
    """Median time relative to the unpruned network, measured in turn with it."""


def pruned_network(model: TinyMobileNet, method: str, sparsity: float) -> TinyMobileNet:
    """A pruned copy of a network (chapter 03, section 8).

    Args:
        model: left as it is.
        method: ``magnitude`` sets the smallest weights of all convolutions and linear layers to
            zero; ``structured`` cuts out hidden channels.
        sparsity: 0 to 0.95.

    Raises:
        MobileLabError: for another method or sparsity.
    """
    if method not in METHODS:
        raise MobileLabError(f"There is no method {method!r}; use {' or '.join(METHODS)}.")
    if not 0 <= sparsity <= 0.95:
        raise MobileLabError(f"Sparsity goes from 0 to 0.95 here, not {sparsity}.")
    if method == "structured":
        return prune_channels(model, keep=1 - sparsity).eval()
    smaller = copy.deepcopy(model)
    layers = [(m, "weight") for m in smaller.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    if sparsity:
        prune.global_unstructured(layers, prune.L1Unstructured, amount=sparsity)
        for module, name in layers:
            prune.remove(module, name)
    return smaller.eval()


def measured_steps(
    model: TinyMobileNet, data: Dataset, method: str, sparsity: float, out: list[Pruned]
) -> Iterator[None]:
    """Prune and measure, in steps of a few dozen milliseconds; the result is added to ``out``."""
    network = pruned_network(model, method, sparsity)
    yield
    with tempfile.TemporaryDirectory() as folder:
        # A file, not a buffer: torch writes its name into each record, and this is the course's.
        path = Path(folder) / "eager.state_dict"
        torch.save(network.state_dict(), path)
        raw = path.read_bytes()
    yield
    packed = zlib.compress(raw, 1)
    yield
    parts = []
    for images in data.test.images.split(STEP):
        parts.append(measure.scores(network, images))
        yield
    image = data.test.images[:1]
    frozen = [torch.jit.freeze(torch.jit.script(m)) for m in (network, model)]
    calls = {"pruned": lambda: frozen[0](image), "whole": lambda: frozen[1](image)}
    yield
    times = measure.time_in_turn(calls, seconds=0.1, warmup=3)
    out.append(
        Pruned(
            method,
            sparsity,
            measure.accuracy(torch.cat(parts), data.test.labels),
            len(raw) / 1000,
            len(packed) / 1000,
            times["pruned"].ratio(times["whole"]).median,
        )
    )


SERIES = (
    ("accuracy (% right)", BLUE, "o", lambda p, whole: 100 * p.accuracy),
    ("file size (%)", ORANGE, "s", lambda p, whole: 100 * p.raw_kb / whole.raw_kb),
    ("compressed size (%)", GREEN, "^",
     lambda p, whole: 100 * p.compressed_kb / whole.raw_kb),
    ("latency (%)", PURPLE, "D", lambda p, whole: 100 * p.latency),
)  # fmt: skip


def draw(points: Sequence[Pruned], sparsity: float, figure: Figure | None = None) -> Figure:
    """Accuracy, size and latency against sparsity, for one method.

    Args:
        points: of one method, that at sparsity 0 among them.
        sparsity: where the slider stands.
        figure: an earlier drawing of this function, to be used again.
    """
    figure = figure or canvas()
    ax = axes(figure, 0.085, 0.13, 0.6, 0.83)
    points = sorted(points, key=lambda p: p.sparsity)
    whole = points[0]
    x = [100 * p.sparsity for p in points]
    tallest = 110.0
    for i, (label, color, marker, value) in enumerate(SERIES):
        y = [value(p, whole) for p in points]
        tallest = max(tallest, 1.05 * max(y))
        ax.plot(x, y, marker=marker, color=color, ms=8, lw=1.5)
        figure.text(0.705, 0.86 - 0.085 * i, "●■▲◆"[i], color=color, fontsize=13)
        figure.text(0.73, 0.86 - 0.085 * i, label, color=INK, fontsize=11)
    ax.axvline(100 * sparsity, color=INK, lw=1.2, ls="--")
    ax.set(xlim=(-2, 97), ylim=(0, tallest))
    ax.set_xlabel("sparsity (%)")
    ax.set_ylabel("% right, or % of the unpruned file or time")
    return figure


class PruningExplorer(Explorer):
    """Take weights or channels away and see what goes with them.

    Every point was measured in this kernel; a new position of the slider is measured when it
    rests. Nothing is trained afterwards: chapter 03 does that, and much comes back.

    Args:
        model: float network in eval mode.
        data: accuracy is measured on its test images.
        start: sparsities that are measured before anything is shown.
    """

    def __init__(
        self, model: TinyMobileNet, data: Dataset, start: Sequence[float] = (0.0, 0.4, 0.8)
    ) -> None:
        super().__init__()
        self.model, self.data = model, data
        self.points: list[Pruned] = []
        self.method = w.ToggleButtons(
            options=[("single weights", "magnitude"), ("whole channels", "structured")]
        )
        self.method.style.button_width = "11em"
        self.sparsity = labeled(
            w.IntSlider(40, min=0, max=95, step=5, description="sparsity (%)"), width="26em"
        )
        for _ in measured_steps(model, data, "magnitude", 0.0, self.points):
            pass
        # Nothing removed is the same for both methods.
        self.points.append(replace(self.points[0], method="structured"))
        for method in METHODS:
            for sparsity in sorted({*start} - {0.0}):
                for _ in measured_steps(model, data, method, sparsity, self.points):
                    pass
        self.on_change(self.method, self.sparsity, then=self.moved)
        self.assemble(row(self.method, self.sparsity))

    def at(self, method: str, sparsity: float) -> Pruned | None:
        """What was measured there, if anything."""
        for point in self.points:
            if point.method == method and abs(point.sparsity - sparsity) < 1e-9:
                return point
        return None

    @property
    def _place(self) -> tuple[str, float]:
        """Where the controls stand."""
        return cast(str, self.method.value), self.sparsity.value / 100

    def moved(self) -> None:
        """Draw at once; measure when the slider rests, if this place is new."""
        self.refresh()
        if self.at(*self._place) is None:
            self.when_resting(self._measure_here)

    def _measure_here(self) -> Iterator[None]:
        yield from measured_steps(self.model, self.data, *self._place, self.points)
        self.refresh()

    def view(self) -> View:
        """The curves so far, and the figures at the slider's place."""
        method, sparsity = self._place
        points = [p for p in self.points if p.method == method]
        whole, here = self.at(method, 0.0), self.at(method, sparsity)
        assert whole is not None  # it is measured first
        kind = "weights set to zero" if method == "magnitude" else "hidden channels cut out"
        if here is None:
            words = f"<b>{sparsity:.0%} {kind}</b>: measuring…"
        else:
            words = (
                f"<b>{sparsity:.0%} {kind}</b>, not trained afterwards: {here.accuracy:.1%} right "
                f"(unpruned {whole.accuracy:.1%}); {here.raw_kb:.0f} kB as saved "
                f"(unpruned {whole.raw_kb:.0f} kB), {here.compressed_kb:.0f} kB compressed; "
                f"{here.latency:.2f}x the unpruned network's time, measured in turn on this host."
            )
        ordered = sorted(points, key=lambda p: p.sparsity)
        return View(
            figure=draw(points, sparsity, self.figure),
            alt=(
                f"Accuracy, file size raw and compressed, and latency against sparsity, {kind}; "
                f"measured at {', '.join(f'{p.sparsity:.0%}' for p in ordered)}."
            ),
            words=words,
            headings=("sparsity", "right", "file", "compressed", "latency"),
            rows=[
                (f"{p.sparsity:.0%}", f"{p.accuracy:.1%}", f"{p.raw_kb:.0f} kB",
                 f"{p.compressed_kb:.0f} kB", f"{p.latency:.2f}x")
                for p in ordered
            ],
        )  # fmt: skip
