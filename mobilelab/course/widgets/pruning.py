"""The pruning explorer: what zeros cost and save, and what missing channels do."""

from __future__ import annotations

import copy
import tempfile
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.nn.utils import prune

from mobilelab import measure
from mobilelab.core.errors import MobileLabError
from mobilelab.course.plots import BLUE, GREEN, INK, ORANGE, PURPLE
from mobilelab.course.widgets.controls import Choice
from mobilelab.course.widgets.drawing import axes, canvas
from mobilelab.course.widgets.explorer import Explorer, View
from mobilelab.course.widgets.measuring import bar, some
from mobilelab.datasets import Dataset, Split
from mobilelab.models import TinyMobileNet
from mobilelab.recipes.variants import prune_channels

METHODS = ("magnitude", "structured")
#: Images in one call: more take longer each.
STEP = 25
#: What each method does, in words.
KINDS = {"magnitude": "weights set to zero", "structured": "hidden channels cut out"}


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


def _frozen(network: nn.Module, image: Tensor) -> torch.jit.ScriptModule:
    """For its time alone: a traced network is ready in half the time of a scripted one."""
    return torch.jit.freeze(torch.jit.trace(network, image, check_trace=False))


def measured(
    model: TinyMobileNet, whole: nn.Module, images: Split, method: str, sparsity: float
) -> Pruned:
    """Prune a network and measure what comes out.

    Args:
        model: left as it is.
        whole: the same network, traced and frozen; timed in turn with the pruned one.
        images: what accuracy is measured on.
        method: ``magnitude`` or ``structured``, as :func:`pruned_network` takes it.
        sparsity: 0 to 0.95.
    """
    network = pruned_network(model, method, sparsity)
    with tempfile.TemporaryDirectory() as folder:
        # A file, not a buffer: torch writes its name into each record, and this is the course's.
        path = Path(folder) / "eager.state_dict"
        torch.save(network.state_dict(), path)
        raw = path.read_bytes()
    parts = [measure.scores(network, part) for part in images.images.split(STEP)]
    image = images.images[:1]
    frozen = _frozen(network, image)
    calls = {"pruned": lambda: frozen(image), "whole": lambda: whole(image)}
    times = measure.time_in_turn(calls, seconds=0.1, warmup=3)
    return Pruned(
        method,
        sparsity,
        measure.accuracy(torch.cat(parts), images.labels),
        len(raw) / 1000,
        len(zlib.compress(raw, 1)) / 1000,
        times["pruned"].ratio(times["whole"]).median,
    )


#: Name, color, mark, field, and whether it is shown as a share of the unpruned network's.
SERIES = (
    ("accuracy (% right)", BLUE, "o", "accuracy", False),
    ("file size (%)", ORANGE, "s", "raw_kb", True),
    ("compressed size (%)", GREEN, "^", "compressed_kb", True),
    ("latency (%)", PURPLE, "D", "latency", False),
)


def draw(points: Sequence[Pruned], sparsity: float) -> Figure:
    """Accuracy, size and latency against sparsity, for one method.

    Args:
        points: of one method, that at sparsity 0 among them.
        sparsity: where the slider stands.
    """
    figure = canvas()
    ax = axes(figure, 0.085, 0.13, 0.6, 0.83)
    points = sorted(points, key=lambda p: p.sparsity)
    x = [100 * p.sparsity for p in points]
    tallest = 110.0
    for i, (label, color, marker, field, share) in enumerate(SERIES):
        one = getattr(points[0], field) if share else 1
        y = [100 * getattr(p, field) / one for p in points]
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

    Every point is measured in this kernel before the explorer is shown, so that it moves without
    one. Nothing is trained afterwards: chapter 03 does that, and much comes back.

    Args:
        model: float network in eval mode.
        data: accuracy is measured on its test images.
        start: sparsities, 0 to 0.95; 0 is always among them.
        images: accuracy is measured on about so many test images, evenly spaced.
    """

    kind = "pruning"
    title = "Pruning explorer"

    def __init__(
        self, model: TinyMobileNet, data: Dataset,
        start: Sequence[float] = (0.0, 0.2, 0.4, 0.5, 0.6, 0.8), images: int = 100,
    ) -> None:  # fmt: skip
        super().__init__()
        self.images = some(data.test, images)
        shares = sorted({0.0, *start})
        self.points: list[Pruned] = []
        whole = _frozen(model, self.images.images[:1])
        with bar("pruned networks", 2 * len(shares) - 1) as step:
            for method in METHODS:
                for share in shares if method == METHODS[0] else shares[1:]:
                    self.points.append(measured(model, whole, self.images, method, share))
                    step()
        # Nothing removed is the same for both methods.
        self.points.append(replace(self.points[0], method="structured"))
        self.points.sort(key=lambda p: (p.method, p.sparsity))
        self.method = Choice(
            "method", "what goes",
            [("single weights", "magnitude"), ("whole channels", "structured")], kind="buttons",
        )  # fmt: skip
        places = [(f"{100 * share:.0f}", round(100 * share)) for share in shares]
        self.sparsity = Choice(
            "sparsity", "sparsity (%)", places, places[len(places) // 2][1], kind="slider"
        )
        self.assemble((self.method, self.sparsity))

    def at(self, method: str, sparsity: float) -> Pruned | None:
        """What was measured there, if anything."""
        for point in self.points:
            if point.method == method and abs(point.sparsity - sparsity) < 1e-9:
                return point
        return None

    def contents(self) -> dict[str, Any]:
        """All points, and the curves that are drawn through them."""
        return {
            "points": [asdict(p) for p in self.points],
            "images": len(self.images),
            "kinds": KINDS,
            "series": [
                {"name": name, "key": field, "whole": share} for name, _, _, field, share in SERIES
            ],
            "head": ["sparsity", "right", "file", "compressed", "latency"],
            "alt": {method: self._alt(method) for method in METHODS},
        }

    def _of(self, method: str) -> list[Pruned]:
        return [p for p in self.points if p.method == method]

    def _alt(self, method: str) -> str:
        return (
            f"Accuracy, file size raw and compressed, and latency against sparsity, "
            f"{KINDS[method]}; measured at "
            f"{', '.join(f'{p.sparsity:.0%}' for p in self._of(method))}."
        )

    @property
    def _here(self) -> Pruned:
        method, percent = cast(str, self.method.value), cast(int, self.sparsity.value)
        return next(p for p in self._of(method) if round(100 * p.sparsity) == percent)

    def figure(self) -> Figure:
        """The curves for readers without scripts."""
        return draw(self._of(self._here.method), self._here.sparsity)

    def view(self) -> View:
        """The figures at the slider's place, and the table."""
        here = self._here
        points = self._of(here.method)
        whole = points[0]
        return View(
            alt=self._alt(here.method),
            words=(
                f"<b>{here.sparsity:.0%} {KINDS[here.method]}</b>, not trained afterwards: "
                f"{here.accuracy:.1%} of {len(self.images)} test images right "
                f"(unpruned {whole.accuracy:.1%}); {here.raw_kb:.0f} kB as saved "
                f"(unpruned {whole.raw_kb:.0f} kB), {here.compressed_kb:.0f} kB compressed; "
                f"{here.latency:.2f}x the unpruned network's time, measured in turn on this host."
            ),
            headings=("sparsity", "right", "file", "compressed", "latency"),
            rows=[
                (f"{p.sparsity:.0%}", f"{p.accuracy:.1%}", f"{p.raw_kb:.0f} kB",
                 f"{p.compressed_kb:.0f} kB", f"{p.latency:.2f}x")
                for p in points
            ],
        )  # fmt: skip
