"""Drawings of what was measured, and of the images that it was measured on."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor

from mobilelab import runtimes
from mobilelab.course.plots.labels import names_beside
from mobilelab.course.plots.style import (
    BLUE,
    GREEN,
    GREY,
    INK,
    ORANGE,
    PALETTE,
    RED,
    Picture,
    figure,
)
from mobilelab.measure import Record
from mobilelab.measure.quantities import LATENCY, SIZE, quality
from mobilelab.measure.report import Budget
from mobilelab.recipes.training import Epoch


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


def bars(panels: Mapping[str, Mapping[str, float]], one_scale: bool = False) -> Picture:
    """Horizontal bars, one panel for each quantity, each bar with its value beside it.

    Args:
        panels: for each label of a quantity, its values by name; the panel with the most names
            gives their order. Where a panel lacks one, it says so in place of a bar.
        one_scale: all panels have the same quantity, so bars are to be compared across them.
    """
    longest_first = sorted(panels.values(), key=len, reverse=True)
    names = list(dict.fromkeys(name for values in longest_first for name in values))
    fig = figure(3.5 + 2.2 * len(panels), 0.8 + 0.28 * len(names))
    axes = fig.subplots(1, len(panels), sharex=one_scale, sharey=True, squeeze=False)[0]
    for ax, color, (label, values) in zip(axes, PALETTE, panels.items(), strict=False):
        places = [names.index(name) for name in values]
        drawn = ax.barh(places, list(values.values()), color=color)
        ax.bar_label(drawn, fmt="%.3g", padding=3, fontsize=8)
        for place in set(range(len(names))) - set(places):
            ax.annotate("no figure", (0, place), (3, 0), textcoords="offset points", fontsize=8,
                        va="center")  # fmt: skip
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


def tradeoff(records: Sequence[Record], budget: Budget | None = None) -> Picture:
    """File size against latency, with the budget shaded.

    Color and shape say whether a variant answers as the float model does; a filled marker is a
    file for phones, an open one a file that only the full PyTorch can run. The bar through a
    marker is as long as the middle half of its times is wide. Beside it stand name and accuracy;
    marks that touch share a label.
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
            budget.file_kb, 1.01, f"budget {SIZE.text(budget.file_kb)} ", color=GREEN, fontsize=9,
            ha="right", transform=ax.get_xaxis_transform(),
        )  # fmt: skip
    labels, spreads = [], []
    for record in records:
        color = _VERDICT_COLORS[record.verdict]
        ax.errorbar(
            record.file_kb, record.median_ms, yerr=record.iqr_ms / 2, ms=9, color=color,
            fmt="X" if record.verdict == "DIFFERENT" else "o",
            mfc=color if runtimes.on_phones(record.file) else "white", mew=1.5,
            zorder=3 if runtimes.on_phones(record.file) else 2,
        )  # fmt: skip
        text = f"{record.variant}  {quality(record.metric).of(record, missing='')}"
        labels.append((record.file_kb, record.median_ms, text))
        low, high = (record.median_ms + way * record.iqr_ms / 2 for way in (-1, 1))
        spreads.append(((record.file_kb, low), (record.file_kb, high)))
    for verdict, color in _VERDICT_COLORS.items():
        if any(record.verdict == verdict for record in records):
            marker = "X" if verdict == "DIFFERENT" else "o"
            ax.plot([], [], marker, color=color, label=_VERDICT_WORDS[verdict])
    endings = sorted({Path(r.file).suffix for r in records if runtimes.on_phones(r.file)})
    what = f"not a {' or '.join(endings)}" if endings else "for no phone"
    ax.plot([], [], "o", mfc="white", color=GREY, label=f"open: {what}")
    fig.legend(loc="outside lower center", ncols=4, fontsize=8.5, frameon=False)
    ax.set(xlabel=SIZE.heading, ylabel=f"{LATENCY.heading}, 1 thread, this host")
    ax.grid(alpha=0.3)
    names_beside(ax, labels, spreads)
    return fig
