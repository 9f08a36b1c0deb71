"""Variants as points: the drawing of the trade-off explorer."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from matplotlib import colormaps
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from mobilelab.course.plots import BLUE, GREEN, GREY, INK, RED, names_beside
from mobilelab.course.widgets.drawing import axes, canvas
from mobilelab.course.widgets.pareto import pareto
from mobilelab.measure import Record
from mobilelab.measure.quantities import Axis
from mobilelab.measure.report import Budget


def draw(
    records: Sequence[Record],
    x: Axis,
    y: Axis,
    color: Axis,
    budget: Budget,
    selected: str = "",
    everything: bool = False,
) -> Figure:
    """Every record as a point; what misses the budget is gray, the Pareto front is a line.

    Args:
        records: at least one.
        x: quantity along the horizontal axis.
        y: quantity along the vertical axis.
        color: third quantity, as color and in the label.
        budget: dashed lines on the axes that it limits; decides what is gray.
        selected: name of the record to ring.
        everything: files that no phone can load compete for the front, too.
    """
    figure = canvas()
    ax = axes(figure, 0.085, 0.125, 0.885, 0.795)
    shown = [r for r in records if x.places(r) and y.places(r)]
    x_limits, y_limits = _limits(shown, x, budget), _limits(shown, y, budget)
    ax.set(xlim=x_limits, ylim=y_limits)
    ax.set_xlabel(f"{x.label} ({x.unit}){', more is better' if x.more_is_better else ''}")
    ax.set_ylabel(f"{y.label} ({y.unit}){', more is better' if y.more_is_better else ''}")
    for axis, line in ((x, ax.axvline), (y, ax.axhline)):
        limit = axis.limit(budget, shown)
        if limit < math.inf:
            line(limit, color=GREEN, ls="--", lw=1.5)
    front = pareto(shown, x, y, everything)
    if len(front) > 1:
        ax.step(
            [x.known(r) for r in front], [y.known(r) for r in front],
            where="post", color=BLUE, lw=1.5, alpha=0.6, zorder=1,
        )  # fmt: skip
    # A variant that answers differently is gray in any case and must not stretch the colors.
    sound = [r for r in shown if r.verdict != "DIFFERENT" and color.places(r)]
    shades = _shades([color.known(r) for r in sound])
    labels, spreads, paints = [], [], []
    for record in shown:
        px = min(max(x.known(record), x_limits[0]), x_limits[1])
        py = min(max(y.known(record), y_limits[0]), y_limits[1])
        fits = not budget.misses(record)
        paint = shades(color.known(record)) if fits and color.places(record) else GREY
        across, up = x.spread(record), y.spread(record)
        spreads.append(((px - across, py - up), (px + across, py + up)))
        paints.append(paint)
        ax.plot(
            px, py, _marker(record, (px, py), x, y), ms=11, mew=1.2, zorder=3,
            mfc=paint if fits else "white", mec=INK if fits else GREY, clip_on=False,
        )  # fmt: skip
        if record.variant == selected:
            ax.plot(px, py, "o", ms=19, mfc="none", mec=RED, mew=2.5, zorder=4, clip_on=False)
        labels.append((px, py, _label(record, (px, py), (x, y, color))))
    ax.add_collection(LineCollection(spreads, colors=paints, lw=3, zorder=2), False)
    names_beside(ax, labels, spreads, size=10.5)
    figure.text(0.085, 0.963, f"beside each name: {color.label}", fontsize=10.5, color=INK)
    return figure


def _marker(record: Record, at: tuple[float, float], x: Axis, y: Axis) -> str:
    """Its shape: an arrow to where a point would be that lies outside."""
    if x.known(record) != at[0]:
        return ">" if x.known(record) > at[0] else "<"
    if y.known(record) != at[1]:
        return "^" if y.known(record) > at[1] else "v"
    return "X" if record.verdict == "DIFFERENT" else "o"


def _label(record: Record, at: tuple[float, float], drawn: tuple[Axis, Axis, Axis]) -> str:
    """Its name, what its color says, and its figure on an axis where it lies outside."""
    *places, color = drawn
    outside = [
        axis.of(record)
        for axis, place in zip(places, at, strict=True)
        if axis.known(record) != place and axis is not color
    ]
    return "  ".join([record.variant, *(f"outside: {text}" for text in outside), color.of(record)])


def _limits(records: Sequence[Record], axis: Axis, budget: Budget) -> tuple[float, float]:
    """From 0 for costs; for accuracy from just below the worst record that counts."""
    values = [axis.known(r) for r in records] or [0.0]
    if not axis.more_is_better:
        return 0.0, 1.08 * max([*values, 1e-9])
    sound = [axis.known(r) for r in records if r.verdict != "DIFFERENT"] or values
    low, high = min(sound), max(sound)
    room = max(0.25 * (high - low), 0.2)
    return low - room, min(high + room, 100.4)


def _shades(values: Sequence[float]) -> Callable[[float], object]:
    """Cividis, which colour-blind readers see as others do; dark is low."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    span = (high - low) or 1.0
    return lambda value: colormaps["cividis"](0.05 + 0.9 * (value - low) / span)
