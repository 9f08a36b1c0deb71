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
from mobilelab.report import Budget
from mobilelab.training import Epoch

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
    pictures: Tensor, titles: Sequence[str], columns: int = 10, wrong: Sequence[int] = ()
) -> Picture:
    """Small pictures in a grid.

    Args:
        pictures: shape ``(n, 1 or 3, h, w)``, any range; each is stretched to its own.
        titles: one per picture.
        columns: pictures per row.
        wrong: positions whose title is set apart in red.
    """
    rows = -(-len(pictures) // columns)
    fig = figure(0.75 * columns, 0.95 * rows)
    axes = fig.subplots(rows, columns, squeeze=False)
    for i, ax in enumerate(axes.flat):
        ax.axis("off")
        if i < len(pictures):
            picture = pictures[i].float()
            picture = (picture - picture.min()) / (picture.max() - picture.min()).clamp(min=1e-9)
            ax.imshow(picture.permute(1, 2, 0).squeeze(-1).numpy(), cmap="gray_r", vmin=0, vmax=1)
            ax.set_title(titles[i], fontsize=9, color=RED if i in wrong else INK)
    return fig


def training_curve(epochs: Sequence[Epoch]) -> Picture:
    """Loss and accuracy on images that training never sees, epoch by epoch."""
    fig = figure()
    left, right = fig.subplots(1, 2)
    numbers = [epoch.number for epoch in epochs]
    left.plot(numbers, [epoch.loss for epoch in epochs], "o-", color=BLUE)
    left.set(xlabel="epoch", ylabel="training loss (nats)", yscale="log")
    right.plot(numbers, [100 * epoch.accuracy for epoch in epochs], "o-", color=ORANGE)
    right.set(xlabel="epoch", ylabel="calibration accuracy (%)", ylim=(0, 103))
    for ax in (left, right):
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.grid(alpha=0.3)
    return fig


def bars(values: Mapping[str, float], label: str, color: str = BLUE) -> Picture:
    """Horizontal bars, in the order given, each with its value written beside it."""
    fig = figure(7, 0.8 + 0.28 * len(values))
    ax = fig.subplots()
    positions = range(len(values))
    drawn = ax.barh(positions, list(values.values()), color=color)
    ax.bar_label(drawn, fmt="%.3g", padding=3, fontsize=8)
    ax.set_yticks(positions, list(values), fontsize=9)
    ax.invert_yaxis()
    ax.margins(x=0.12)
    ax.set_xlabel(label)
    ax.spines[["top", "right"]].set_visible(False)
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
        text = f"{record.variant}  {record.accuracy:.1%}"
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
