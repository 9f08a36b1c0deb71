"""A photograph of any shape in the square that a network takes, and boxes back on it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from mobilelab.core.errors import ShapeError


@dataclass(frozen=True)
class Place:
    """Where a photograph lies in the square, in pixels of the square."""

    top: int
    left: int
    height: int
    width: int


@dataclass(frozen=True)
class Letterbox:
    """The photograph is made smaller without stretching, and the rest is filled with grey.

    An app has to repeat all of it: the rounding of the sizes, the resize, the grey, the scaling.
    """

    size: int = 128
    """Height and width of the square, in pixels."""
    fill: float = 128.0
    """Raw value of the pixels around the photograph."""
    max_value: float = 255.0
    """Raw value that maps to 1.0."""
    mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    std: tuple[float, ...] = (0.25, 0.25, 0.25)

    def place(self, height: int, width: int) -> Place:
        """Where a photograph of that size lies. Whole numbers only, so that no language rounds
        otherwise: a half is rounded up."""
        longest = max(height, width)
        h = max(1, (2 * height * self.size + longest) // (2 * longest))
        w = max(1, (2 * width * self.size + longest) // (2 * longest))
        return Place((self.size - h) // 2, (self.size - w) // 2, h, w)

    def __call__(self, photo: Tensor) -> Tensor:
        """Raw pixels ``(3, height, width)`` to network input ``(3, size, size)``, float32.

        The resize is bilinear, corners not aligned, no antialiasing.

        Raises:
            ShapeError: if the photograph has another number of axes or channels.
        """
        if photo.ndim != 3 or photo.shape[0] != len(self.mean):
            raise ShapeError(
                f"A letterbox takes one photograph of shape ({len(self.mean)}, height, width), "
                f"not {tuple(photo.shape)}."
            )
        place = self.place(*photo.shape[1:])
        small = F.interpolate(
            photo[None].float() / self.max_value, size=(place.height, place.width),
            mode="bilinear", align_corners=False,
        )[0]  # fmt: skip
        square = torch.full((len(self.mean), self.size, self.size), self.fill / self.max_value)
        rows = slice(place.top, place.top + place.height)
        square[:, rows, place.left : place.left + place.width] = small
        mean, std = (torch.tensor(v).view(-1, 1, 1) for v in (self.mean, self.std))
        return (square - mean) / std

    def forth(self, boxes: Tensor, height: int, width: int) -> Tensor:
        """Boxes on a photograph of that size, ``(k, 4)`` as x0, y0, x1, y1, in the square."""
        place = self.place(height, width)
        scale = torch.tensor([place.width / width, place.height / height] * 2)
        return boxes * scale + torch.tensor([place.left, place.top] * 2)

    def back(self, boxes: Tensor, height: int, width: int) -> Tensor:
        """Boxes in the square, back on the photograph, cut off at its edges."""
        place = self.place(height, width)
        scale = torch.tensor([width / place.width, height / place.height] * 2)
        moved = (boxes - torch.tensor([place.left, place.top] * 2)) * scale
        return moved.clamp(min=0).minimum(torch.tensor([width, height] * 2))
