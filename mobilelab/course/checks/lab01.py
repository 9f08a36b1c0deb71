"""Checks for the exercises of lab 01, image classification."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from mobilelab.course.checks import Case, Check, verify


def _place(height: int, width: int, size: int, crop: int) -> tuple[int, int, int, int]:
    """Height and width after the resize, and the first row and column of the middle square."""
    short, long = min(height, width), max(height, width)
    other = int(size * long / short)
    tall, wide = (other, size) if height > width else (size, other)
    return tall, wide, round((tall - crop) / 2), round((wide - crop) / 2)


def check_place(place: Callable[[int, int, int, int], tuple[int, int, int, int]]) -> Check:
    """01.1: size after the resize, and where the middle square begins."""
    cases = (
        ("a wide photograph", (300, 400, 256, 224),
         "The height is the shorter side: it becomes 256, and the width 341."),
        ("a tall photograph", (400, 300, 256, 224),
         "The shorter side becomes 256, and here that is the width."),
        ("a square photograph", (512, 512, 256, 224), "Both sides become 256."),
        ("smaller than the crop", (120, 160, 256, 224),
         "A small photograph is made larger: its shorter side becomes 256, too."),
        ("other sizes", (480, 640, 232, 200), "`size` and `crop` are arguments."),
        ("a half", (256, 343, 256, 224),
         "(343 - 224) / 2 is 59.5, and `round` makes 60 of it. Rounding down makes 59."),
        ("a half that goes down", (256, 341, 256, 224),
         "(341 - 224) / 2 is 58.5, and `round` makes 58 of it: of two whole numbers the even one."),
        ("not a whole pixel", (301, 452, 256, 224),
         "256 * 452 / 301 is 384.4: what is not a whole pixel is cut off."),
        ("nearly a whole pixel", (309, 480, 256, 224),
         "256 * 480 / 309 is 397.67: cut off, not rounded."),
    )  # fmt: skip
    return verify(
        "Exercise 01.1",
        [
            Case(name, lambda s=sizes: tuple(place(*s)), _place(*sizes), hint)
            for name, sizes, hint in cases
        ],
    )


def _upright(pixels: Tensor, orientation: int) -> Tensor:
    """Stored pixels as a person should see them, by the EXIF number."""
    if orientation >= 5:
        pixels = pixels.transpose(1, 2)
    mirrored = {2: (2,), 3: (1, 2), 4: (1,), 6: (2,), 7: (1, 2), 8: (1,)}
    return pixels.flip(mirrored.get(orientation, ()))


def check_upright(upright: Callable[[Tensor, int], Tensor]) -> Check:
    """01.2: pixels turned as the EXIF orientation says."""
    stored = torch.arange(18, dtype=torch.uint8).view(3, 2, 3)
    hints = {
        1: "1 means: leave everything as it is.",
        2: "Left and right are exchanged: `flip(2)`.",
        3: "A half turn: first both sides are mirrored, one after the other.",
        4: "Top and bottom are exchanged: `flip(1)`.",
        5: "Rows become columns, nothing more: `transpose(1, 2)`.",
        6: "A quarter to the right. `rot90(1, (1, 2))` turns to the left.",
        7: "Exchange rows and columns, then turn by a half.",
        8: "A quarter to the left: `rot90(1, (1, 2))`.",
    }
    return verify(
        "Exercise 01.2",
        [
            Case(
                f"orientation {number}",
                lambda n=number: upright(stored.clone(), n),
                _upright(stored, number),
                hint,
            )
            for number, hint in hints.items()
        ],
    )
