"""Names beside the points of a scatter plot, where they cover nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import product
from math import cos, dist, pi, sin

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg

from mobilelab.course.plots.style import GREY, INK

#: Left, lower, right and upper edge, in pixels.
Box = tuple[float, float, float, float]
Point = tuple[float, float]
#: How far away a label is, the line to it, and its box.
Place = tuple[float, tuple[Point, Point], Box]
#: Points that are nearer than this (in pixels) share a label, a line for each of them.
TOUCHING = 15.0
#: How far from its points a label may stand (in pixels), and in how many directions.
FAR, AROUND = (13.0, 22.0, 36.0, 54.0, 76.0, 104.0), 24


def names_beside(
    ax: Axes,
    labels: Sequence[tuple[float, float, str]],
    bars: Iterable[tuple[tuple[float, float], tuple[float, float]]] = (),
    size: float = 9,
) -> None:
    """Write a name beside each point; points that touch get one label, the highest first.

    Of many places around its points a label takes the one where it covers least, and where the
    line that joins it to them crosses least.

    Args:
        ax: with its limits set.
        labels: x, y and text of each point.
        bars: two ends of each line that must stay free, such as a spread.
        size: of the letters, in points.
    """
    _canvas(ax).draw()  # until then a constrained layout has no pixels
    points = [_pixels(ax, (x, y)) for x, y, _ in labels]
    marks: list[Box] = [(x - 8, y - 8, x + 8, y + 8) for x, y in points]
    lines = [(_pixels(ax, one), _pixels(ax, other)) for one, other in bars]
    room, placed = ax.get_window_extent().extents, []
    for group in sorted(_groups(points), key=len, reverse=True):
        order = sorted(group, key=lambda i: -points[i][1])
        text = "\n".join(labels[i][2] for i in order)
        middle = tuple(np.mean([points[i] for i in group], axis=0))
        others = [marks[i] for i in range(len(marks)) if i not in group]
        width, height = _extent(ax, text, size)

        def cost(place: Place, others: list[Box] = others) -> float:
            far, joint, box = place
            total = far / 4 + 1e4 * (1 - _shared(box, room) / (box[2] - box[0]) / (box[3] - box[1]))
            for other in (*marks, *placed):
                shared = _shared(box, other)
                total += 50 + shared if shared else 0
            total += 15 * sum(_crosses(line, box) for line in lines)
            return total + 60 * sum(_crosses(joint, other) for other in (*others, *placed))

        far, joint, box = min(_places(middle, width, height), key=cost)
        placed.append(box)
        lines.append(joint)
        if far > FAR[0]:
            ends = ax.transData.inverted().transform(joint)
            ax.plot(*ends.T, color=GREY, lw=0.7, zorder=1, scalex=False, scaley=False)
        x, y = ax.transAxes.inverted().transform(box[:2])
        ax.text(
            x, y, text, transform=ax.transAxes, fontsize=size, color=INK, va="bottom", ha="left",
            linespacing=1.1, zorder=5, parse_math=False,
        )  # fmt: skip


def _canvas(ax: Axes) -> FigureCanvasAgg:
    return FigureCanvasAgg(ax.get_figure(root=True))


def _pixels(ax: Axes, point: Point) -> Point:
    x, y = ax.transData.transform(point)
    return float(x), float(y)


def _places(middle: Point, width: float, height: float) -> Iterator[Place]:
    """Places for a label: how far away, the line to it, and its box."""
    for far, step in product(FAR, range(AROUND)):
        across, up = cos(2 * pi * step / AROUND), sin(2 * pi * step / AROUND)
        near = middle[0] + far * across, middle[1] + far * up
        left, low = near[0] - width * (1 - across) / 2, near[1] - height * (1 - up) / 2
        yield far, (middle, near), (left, low, left + width, low + height)


def _groups(points: Sequence[Point]) -> list[list[int]]:
    """Numbers of the points, those together that touch, over others too."""
    groups: list[list[int]] = []
    for i, point in enumerate(points):
        near = [g for g in groups if any(dist(points[j], point) < TOUCHING for j in g)]
        groups = [g for g in groups if g not in near] + [[i, *(j for g in near for j in g)]]
    return groups


def _extent(ax: Axes, text: str, size: float) -> tuple[float, float]:
    """Width and height of a text in pixels."""
    probe = ax.text(0, 0, text, fontsize=size, linespacing=1.1, parse_math=False)
    box = probe.get_window_extent(_canvas(ax).get_renderer())
    probe.remove()
    return box.width + 4, box.height + 2


def _shared(one: Box, other: Box) -> float:
    """Area in both, in square pixels."""
    across = min(one[2], other[2]) - max(one[0], other[0])
    up = min(one[3], other[3]) - max(one[1], other[1])
    return across * up if across > 0 and up > 0 else 0.0


def _crosses(line: tuple[Point, Point], box: Box) -> bool:
    """Whether a line between two points runs through a box (Liang and Barsky, 1984)."""
    start, end = 0.0, 1.0
    for axis in (0, 1):
        at, step = line[0][axis], line[1][axis] - line[0][axis]
        low, high = box[axis] - at, box[axis + 2] - at
        if step == 0:
            if low > 0 or high < 0:
                return False
            continue
        first, last = sorted((low / step, high / step))
        start, end = max(start, first), min(end, last)
    return start < end
