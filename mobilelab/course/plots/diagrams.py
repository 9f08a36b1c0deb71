"""Drawings of how something works: the walk, and how a bias is lost."""

from __future__ import annotations

from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from mobilelab.course.plots.style import BLUE, INK, ORANGE, RED, SKY, Picture, figure

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
