"""The figures that an explorer leaves for readers without scripts."""

from __future__ import annotations

import io

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image


def canvas(width: float = 9, height: float = 4.6) -> Figure:
    """An empty figure; its axes have fixed margins, so that a legend finds room beside them."""
    return Figure(figsize=(width, height), dpi=100)


def axes(figure: Figure, left: float, bottom: float, width: float, height: float) -> Axes:
    """Axes with the explorers' fonts and grid; places are shares of the figure."""
    ax = figure.add_axes((left, bottom, width, height))
    ax.tick_params(labelsize=11)
    ax.xaxis.label.set_fontsize(12)
    ax.yaxis.label.set_fontsize(12)
    ax.grid(alpha=0.3)
    return ax


def small_png(figure: Figure) -> bytes:
    """The figure as a PNG that is small: one that a notebook keeps."""
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=72)
    picture = Image.open(out).convert("RGB")
    # Flat colors: few are enough.
    picture = picture.quantize(24, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    out = io.BytesIO()
    picture.save(out, "png", optimize=True)
    return out.getvalue()
