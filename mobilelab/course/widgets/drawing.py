"""Figures that are drawn again at every move of a slider, and quickly."""

from __future__ import annotations

import io
from typing import cast

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

#: Drawn axes that a figure keeps, 1.7 MB each.
KEPT = 8


def canvas(width: float = 9, height: float = 4.6) -> Figure:
    """An empty figure with fixed margins: fitting them anew would double the time of a move."""
    figure = Figure(figsize=(width, height), dpi=100)
    FigureCanvasAgg(figure)
    return figure


def axes(figure: Figure, left: float, bottom: float, width: float, height: float) -> Axes:
    """The figure's axes, empty; those of an earlier drawing are wiped and used again.

    Making axes with their ticks takes as long as drawing them, so a redrawn figure keeps its own.
    Places are shares of the figure.
    """
    if not figure.axes:
        ax = figure.add_axes((left, bottom, width, height))
        ax.tick_params(labelsize=11)
        ax.xaxis.label.set_fontsize(12)
        ax.yaxis.label.set_fontsize(12)
        ax.grid(alpha=0.3)
        return ax
    ax = figure.axes[0]
    for artist in [*ax.lines, *ax.texts, *ax.collections, *ax.patches, *figure.texts]:
        artist.remove()
    return ax


def small_png(figure: Figure) -> bytes:
    """The figure as a PNG that is small rather than quick: one that a notebook keeps."""
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=72)
    picture = Image.open(out).convert("RGB")
    # Flat colors: few are enough.
    picture = picture.quantize(32, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    out = io.BytesIO()
    picture.save(out, "png", optimize=True)
    return out.getvalue()


def png(figure: Figure) -> bytes:
    """The figure as a PNG.

    Ticks, labels and grid take most of the time and rarely change, so they are drawn once and
    kept as long as the axes stay as they are; the rest is drawn over them.
    """
    ax, canvas = figure.axes[0], cast(FigureCanvasAgg, figure.canvas)
    drawn = sorted(
        [*ax.lines, *ax.texts, *ax.collections, *ax.patches], key=lambda artist: artist.zorder
    )
    frame = (
        *(ax.get_xlim(), ax.get_ylim(), ax.get_xlabel(), ax.get_ylabel()),
        *(ax.get_xscale(), ax.get_yscale()),
        *(tuple(getattr(axis.get_major_formatter(), "seq", ())) for axis in (ax.xaxis, ax.yaxis)),
    )
    frames = figure.__dict__.setdefault("_kept_frames", {})
    if frame not in frames:
        for artist in [*drawn, *figure.texts]:
            artist.set_visible(False)
        canvas.draw()
        for artist in [*drawn, *figure.texts]:
            artist.set_visible(True)
        if len(frames) >= KEPT:
            del frames[next(iter(frames))]
        frames[frame] = canvas.copy_from_bbox(figure.bbox)
    canvas.restore_region(frames[frame])
    for artist in drawn:
        ax.draw_artist(artist)
    for text in figure.texts:
        figure.draw_artist(text)
    out = io.BytesIO()
    picture = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    # Flat colors: 256 of them are enough, and the file is less than half as large.
    picture = picture.quantize(256, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    picture.save(out, "png", compress_level=1)
    return out.getvalue()
