"""The course's pictures: one function per picture, each returns a matplotlib figure.

Colours are Okabe and Ito's palette (2008), which stays apart for colour-blind readers.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from torch import Tensor

from mobilelab.measure import Record
from mobilelab.measure.report import Budget
from mobilelab.recipes.training import Epoch

BLUE, ORANGE, GREEN, RED = "#0072B2", "#E69F00", "#009E73", "#D55E00"
SKY, PURPLE, YELLOW, GREY, INK = "#56B4E9", "#CC79A7", "#F0E442", "#999999", "#222222"
PALETTE = (BLUE, ORANGE, GREEN, RED, SKY, PURPLE, YELLOW, GREY)


class Picture(Figure):
    """A matplotlib figure that a notebook shows when it is the last line of a cell.

    It is not registered with pyplot, so nothing has to be closed and nothing piles up.
    """

    def _repr_png_(self) -> bytes:
        out = io.BytesIO()
        self.savefig(out, format="png")
        return out.getvalue()


def figure(width: float = 7, height: float = 3.2) -> Picture:
    """An empty picture in the course's size (inches) and layout."""
    return Picture(figsize=(width, height), layout="constrained", dpi=110)


def images(
    pictures: Tensor,
    titles: Sequence[str],
    columns: int = 10,
    wrong: Sequence[int] = (),
    side: float = 0.75,
) -> Picture:
    """Small pictures in a grid.

    Args:
        pictures: shape ``(n, 1 or 3, h, w)``, any range; each is stretched to its own.
        titles: one per picture.
        columns: pictures per row.
        wrong: positions whose title is set apart in orange.
        side: width of one picture in inches.
    """
    rows = -(-len(pictures) // columns)
    fig = figure(side * columns, (side + 0.2) * rows)
    axes = fig.subplots(rows, columns, squeeze=False)
    for i, ax in enumerate(axes.flat):
        ax.axis("off")
        if i < len(pictures):
            picture = pictures[i].float()
            picture = (picture - picture.min()) / (picture.max() - picture.min()).clamp(min=1e-9)
            ax.imshow(picture.permute(1, 2, 0).squeeze(-1).numpy(), cmap="gray_r", vmin=0, vmax=1)
            ax.set_title(titles[i], fontsize=9, color=RED if i in wrong else INK)
    return fig


def answer_titles(said: Sequence[str], true: Sequence[str]) -> list[str]:
    """Titles for pictures of answers: ``"3"``, and where it is wrong ``"said 9, is 3"``."""
    return [a if a == b else f"said {a}, is {b}" for a, b in zip(said, true, strict=True)]


def training_curve(epochs: Sequence[Epoch], with_batch_statistics: Sequence[float] = ()) -> Picture:
    """Loss and accuracy on images that training never sees, epoch by epoch.

    Args:
        epochs: what each epoch ended with; its accuracy is that of ``eval()`` mode.
        with_batch_statistics: accuracy, 0 to 1, of the same network with BatchNorm as in
            ``train()`` mode, for a second line.
    """
    fig = figure()
    left, right = fig.subplots(1, 2)
    numbers = [epoch.number for epoch in epochs]
    left.plot(numbers, [epoch.loss for epoch in epochs], "o-", color=BLUE)
    left.set(xlabel="epoch", ylabel="training loss (cross-entropy)", yscale="log")
    if with_batch_statistics:
        shares = [100 * share for share in with_batch_statistics]
        right.plot(
            numbers, shares, "s--", color=BLUE, label="BatchNorm with the batch's own statistics"
        )
    averages = "BatchNorm with running averages, eval()"
    right.plot(
        numbers, [100 * epoch.accuracy for epoch in epochs], "o-", color=ORANGE, label=averages
    )
    if with_batch_statistics:
        right.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), fontsize=8, frameon=False)
    right.set(xlabel="epoch", ylabel="calibration accuracy (%)", ylim=(0, 103))
    for ax in (left, right):
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.grid(alpha=0.3)
    return fig


def rounding(values: Tensor, rounded: Tensor, step: float, ends: tuple[float, float]) -> Picture:
    """A quantizer's staircase, and beside it the error, with the clipped parts shaded.

    Args:
        values: what goes in, in rising order.
        rounded: what comes back.
        step: distance of two levels.
        ends: the lowest and the highest level.
    """
    fig = figure(8.5, 3.2)
    left, right = fig.subplots(1, 2)
    first, last = values[0].item(), values[-1].item()
    for level in range(round((ends[1] - ends[0]) / step) + 1):
        left.axhline(ends[0] + level * step, color=GREY, lw=0.4)
    left.plot(values, values, color=ORANGE, lw=1.2, label="float")
    left.plot(values, rounded, color=BLUE, label="after rounding")
    left.set(xlabel="value that goes in", ylabel="value that comes back")
    left.legend()
    right.plot(values, rounded - values, color=BLUE)
    right.axvspan(first, ends[0] - step / 2, color=RED, alpha=0.15, label="clipped")
    right.axvspan(ends[1] + step / 2, last, color=RED, alpha=0.15)
    right.axhline(step / 2, color=GREY, ls="--", label="half a step")
    right.axhline(-step / 2, color=GREY, ls="--")
    right.set(xlabel="value that goes in", ylabel="error")
    right.legend(loc="upper right")
    return fig


def zeros(rows: Sequence[tuple[float, float, float, float]], accuracy: float) -> Picture:
    """What zeros among the weights cost and save.

    Args:
        rows: share of zeros, accuracy (both 0 to 1), kB of the file, kB of the file zipped.
        accuracy: the budget's limit, 0 to 1, drawn as a line.
    """
    shares, right, raw, zipped = zip(*rows, strict=True)
    percent = [100 * share for share in shares]
    fig = figure(8.5, 3.1)
    one, other = fig.subplots(1, 2)
    one.plot(percent, [100 * r for r in right], "o-", color=BLUE)
    one.axhline(100 * accuracy, color=GREEN, ls="--", label="budget")
    one.set(xlabel="zeros among the weights (%)", ylabel="test accuracy (%)", ylim=(0, 103))
    other.plot(percent, raw, "o-", color=ORANGE, label="file")
    other.plot(percent, zipped, "s-", color=BLUE, label="file, compressed")
    other.set(xlabel="zeros among the weights (%)", ylabel="size (kB)", ylim=(0, 1.1 * max(raw)))
    for ax in (one, other):
        ax.grid(alpha=0.3)
        ax.legend()
    return fig


def bars(panels: Mapping[str, Mapping[str, float]]) -> Picture:
    """Horizontal bars, one panel for each quantity, each bar with its value beside it.

    Args:
        panels: for each label of a quantity, its values by name; the names of the first panel
            and their order hold for all.
    """
    names = list(next(iter(panels.values())))
    fig = figure(3.5 + 2.2 * len(panels), 0.8 + 0.28 * len(names))
    axes = fig.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for ax, color, (label, values) in zip(axes, PALETTE, panels.items(), strict=False):
        drawn = ax.barh(range(len(names)), [values[name] for name in names], color=color)
        ax.bar_label(drawn, fmt="%.3g", padding=3, fontsize=8)
        ax.margins(x=0.2)
        ax.set_xlabel(label, fontsize=9)
        ax.spines[["top", "right"]].set_visible(False)
    axes[0].set_yticks(range(len(names)), names, fontsize=9)
    axes[0].invert_yaxis()
    return fig


_VERDICT_COLORS = {"same": BLUE, "close": ORANGE, "DIFFERENT": RED}
_VERDICT_WORDS = {
    "same": "same answers as the float model",
    "close": "close to the float model",
    "DIFFERENT": "different answers",
}


def label_column(
    ax: Axes, labels: Sequence[tuple[float, float, str, str]], gap: float = 0.062, size: float = 9
) -> None:
    """Names in one column beside the axes, pushed apart until none overlap, joined by lines.

    Args:
        ax: with its limits set; the column stands to the right of it.
        labels: x, y, text and color of the line, for each point.
        gap: least distance between two labels, as a share of the axes' height.
        size: of the letters, in points.
    """
    (left, right), (low, top) = ax.get_xlim(), ax.get_ylim()
    ordered = sorted(labels, key=lambda label: label[1])
    height = -1.0
    joints = []
    at, beside = left + 1.03 * (right - left), left + 1.045 * (right - left)
    for i, (x, y, text, _) in enumerate(ordered):
        room = 1 - gap * (len(ordered) - 1 - i)
        height = min(max(height + gap, (y - low) / (top - low)), room)
        level = low + height * (top - low)
        joints.append(((x, y), (at, level)))
        ax.text(beside, level, text, va="center", fontsize=size, color=INK)
    colors = [color for *_, color in ordered]
    ax.add_collection(LineCollection(joints, colors=colors, lw=0.7, clip_on=False, zorder=1), False)


def tradeoff(records: Sequence[Record], budget: Budget | None = None) -> Picture:
    """File size against latency, with the budget shaded.

    Color and shape say whether a variant answers as the float model does; a filled marker is a
    ``.ptl``, an open one a file that only the full PyTorch can run. The bar through a marker is
    the middle half of its times. Names and accuracy stand in the right margin.
    """
    fig = figure(8.5, 4.8)
    ax = fig.subplots()
    top = max(record.median_ms for record in records) * 1.15
    right = max(record.file_kb for record in records) * 1.08
    ax.set(xlim=(0, right), ylim=(0, top))
    if budget and math.isfinite(budget.file_kb):
        ax.axvspan(0, budget.file_kb, color=GREEN, alpha=0.10, lw=0)
        ax.axvline(budget.file_kb, color=GREEN, lw=1, ls="--")
        ax.text(
            budget.file_kb, 1.01, f"budget {budget.file_kb:.0f} kB ", color=GREEN, fontsize=9,
            ha="right", transform=ax.get_xaxis_transform(),
        )  # fmt: skip
    labels = []
    for record in records:
        color = _VERDICT_COLORS[record.verdict]
        ax.errorbar(
            record.file_kb, record.median_ms, yerr=record.iqr_ms / 2, ms=9, color=color,
            fmt="X" if record.verdict == "DIFFERENT" else "o",
            mfc=color if record.file.endswith(".ptl") else "white", mew=1.5,
            zorder=3 if record.file.endswith(".ptl") else 2,
        )  # fmt: skip
        quality = "" if record.accuracy is None else record.metric.text(record.accuracy)
        text = f"{record.variant}  {quality}"
        labels.append((record.file_kb, record.median_ms, text, color))
    label_column(ax, labels)
    for verdict, color in _VERDICT_COLORS.items():
        if any(record.verdict == verdict for record in records):
            marker = "X" if verdict == "DIFFERENT" else "o"
            ax.plot([], [], marker, color=color, label=_VERDICT_WORDS[verdict])
    ax.plot([], [], "o", mfc="white", color=GREY, label="open: not a .ptl")
    fig.legend(loc="outside lower center", ncols=4, fontsize=8.5, frameon=False)
    ax.set(xlabel="file size (kB)", ylabel="median latency, 1 thread, this host (ms)")
    ax.grid(alpha=0.3)
    return fig


#: The steps of the walk, with the chapter of each.
STEPS = (
    ("train", "01"),
    ("TorchScript", "02"),
    ("quantize\nprune", "03"),
    ("optimize\nfor mobile", "04"),
    (".ptl", "05"),
    ("lite\ninterpreter", "05"),
)


def lost_bias() -> Picture:
    """How folding BatchNorm loses the bias of a convolution, in four steps (chapter 04)."""
    fig = figure(11, 2.6)
    ax = fig.subplots()
    ax.axis("off")
    batch_norm, stored = "BatchNorm: mean, var, weight, bias", "stored in the module: bias'"
    steps = (
        ("the trace", "_convolution(x, weight, None)", batch_norm, ""),
        ("rewritten", "conv2d(x, weight, None)", batch_norm, ""),
        ("after folding", "conv2d(x, weight', None)", stored, "no _convolution: not connected"),
        ("after freezing", "conv2d(x, weight', None)", "", "bias' is gone"),
    )
    for i, (name, graph, beside, remark) in enumerate(steps):
        ax.text(4 * i + 1.6, 2.5, name, ha="center", fontsize=10, color=INK, weight="bold")
        for level, text in ((1.6, graph), (0.6, beside)):
            if text:
                box = FancyBboxPatch(
                    (4 * i, level - 0.25), 3.2, 0.5, boxstyle="round,pad=0.08", lw=1.5,
                    edgecolor=BLUE if level > 1 else ORANGE, facecolor="white",
                )  # fmt: skip
                ax.add_patch(box)
                ax.text(4 * i + 1.6, level, text, ha="center", va="center", fontsize=8, color=INK)
        ax.text(4 * i + 1.6, 0.0, remark, ha="center", fontsize=9, color=RED)
        if i:
            arrow = FancyArrowPatch(
                (4 * i - 0.65, 1.6), (4 * i - 0.1, 1.6), arrowstyle="-|>", mutation_scale=14,
                color=INK, lw=1.5,
            )  # fmt: skip
            ax.add_patch(arrow)
    ax.set(xlim=(-0.2, 15.6), ylim=(-0.3, 2.9))
    return fig


def workflow(here: str = "") -> Picture:
    """The walk from training to the lite interpreter, with the four questions of every arrow.

    Args:
        here: chapter to mark, for example ``"03"``.
    """
    fig = figure(9, 1.9)
    ax = fig.subplots()
    ax.axis("off")
    for i, (name, chapter) in enumerate(STEPS):
        marked = chapter == here
        ax.add_patch(
            FancyBboxPatch(
                (2 * i, 0), 1.35, 0.9, boxstyle="round,pad=0.08", lw=1.5, edgecolor=BLUE,
                facecolor=SKY if marked else "white",
            )
        )  # fmt: skip
        ax.text(2 * i + 0.675, 0.52, name, ha="center", va="center", fontsize=10, color=INK)
        ax.text(2 * i + 0.675, 0.03, chapter, ha="center", va="center", fontsize=8, color=INK)
        if i:
            ax.add_patch(
                FancyArrowPatch(
                    (2 * i - 0.55, 0.45), (2 * i - 0.1, 0.45), arrowstyle="-|>",
                    mutation_scale=14, color=ORANGE, lw=2,
                )
            )  # fmt: skip
    ax.text(
        5.7, -0.62, "at every arrow:  same answers?   how big?   how fast?   how accurate?",
        ha="center", fontsize=10, color=INK,
    )  # fmt: skip
    ax.set(xlim=(-0.3, 11.7), ylim=(-0.85, 1.1))
    return fig
