"""The course's colors, and a figure that a notebook shows.

The colors are Okabe and Ito's palette (2008), which stays apart for colour-blind readers.
"""

from __future__ import annotations

import io

from matplotlib.figure import Figure

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
