"""Photographs with boxes on them."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

from matplotlib.patches import Rectangle
from PIL import Image
from torch import Tensor

from mobilelab.course.plots.style import PALETTE, Picture


class Photos(Picture):
    """A picture of photographs with 128 colours, which makes a stored notebook a third as large."""

    def _repr_png_(self) -> bytes:
        out = io.BytesIO()
        few = Image.open(io.BytesIO(super()._repr_png_())).convert("RGB").quantize(128)
        few.save(out, format="png", optimize=True)
        return out.getvalue()


def boxes(
    photos: Sequence[Tensor],
    found: Sequence[Mapping[str, Tensor]],
    names: Sequence[str],
    *,
    titles: Sequence[str] = (),
    columns: int = 4,
) -> Picture:
    """Photographs, and on each its boxes: a colour for each class, a score where there is one.

    Args:
        photos: uint8, shape ``(3, height, width)`` each.
        found: for each its ``boxes`` ``(k, 4)``, ``labels`` ``(k,)`` and, maybe, ``scores``.
        names: of the classes.
        titles: one for each photograph, or none.
        columns: photographs in a row.
    """
    rows = -(-len(photos) // columns)
    size = 2.6 * columns, 2.1 * rows + 0.2 * bool(titles)
    picture = Photos(figsize=size, layout="constrained", dpi=90)
    for i, (photo, one) in enumerate(zip(photos, found, strict=True)):
        axes = picture.add_subplot(rows, columns, i + 1)
        axes.imshow(photo.permute(1, 2, 0).numpy())
        axes.set_axis_off()
        if titles:
            axes.set_title(titles[i], fontsize=9)
        scores = one.get("scores", [None] * len(one["labels"]))
        for box, label, score in zip(one["boxes"].tolist(), one["labels"], scores, strict=True):
            colour = PALETTE[int(label) % len(PALETTE)]
            x0, y0, x1, y1 = box
            axes.add_patch(
                Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, edgecolor=colour, linewidth=1.6)
            )
            text = names[int(label)] + ("" if score is None else f" {float(score):.2f}")
            axes.text(
                x0, max(y0 - 2, 8), text, fontsize=7, color="black", va="bottom",
                bbox={"facecolor": colour, "edgecolor": "none", "pad": 0.8, "alpha": 0.85},
            )  # fmt: skip
    return picture
