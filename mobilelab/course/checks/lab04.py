"""Checks for the exercises of lab 04, a vision transformer."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from mobilelab.course.checks import Case, Check, verify


def _resized(places: Tensor, grid: int) -> Tensor:
    """Positions ``(1, 1 + g * g, width)`` for ``grid`` by ``grid`` patches."""
    g = round((places.shape[1] - 1) ** 0.5)
    picture = places[:, 1:].transpose(1, 2).reshape(1, -1, g, g)
    picture = F.interpolate(picture, (grid, grid), mode="bilinear", align_corners=False)
    return torch.cat([places[:, :1], picture.flatten(2).transpose(1, 2)], 1)


def check_resized(resized: Callable[[Tensor, int], Tensor]) -> Check:
    """04.1: learned positions for another number of patches."""
    drawn = torch.rand(1, 65, 6, generator=torch.Generator().manual_seed(0))
    small = torch.rand(1, 10, 4, generator=torch.Generator().manual_seed(1))
    rows = torch.arange(8.0).repeat_interleave(8)
    ramp = torch.cat([torch.full((1, 1, 2), -5.0), torch.stack([rows, rows], 1)[None]], 1)
    cases = (
        ("the same size", drawn, 8, "Where nothing changes, the positions come back as they were."),
        ("a larger picture", drawn, 12, "48 x 48 pixels have 12 x 12 patches of 4."),
        ("a smaller picture", drawn, 5, "The grid may become smaller, too."),
        ("down the rows", ramp, 16,
         "These positions count the rows. Row by row means: the column changes first."),
        ("other numbers of patches", small, 6,
         "Nine patches are a grid of 3 x 3: read it off the tensor, it is not always 8."),
    )  # fmt: skip
    return verify(
        "Exercise 04.1",
        [
            Case(
                name,
                lambda p=places, g=grid: resized(p.clone(), g),
                _resized(places, grid),
                hint,
                tolerance=1e-5,
            )
            for name, places, grid, hint in cases
        ],
    )


def _products(size: int, patch: int, width: int, depth: int, classes: int) -> int:
    """Multiply-accumulates of lab 04's transformer for one gray picture."""
    patches = (size // patch) ** 2
    tokens = patches + 1
    block = 8 * tokens * width**2 + 2 * tokens**2 * width
    return depth * block + patches * patch**2 * width + width * classes


def check_products(products: Callable[[int, int, int, int, int], float]) -> Check:
    """04.2: what a picture costs, in multiply-accumulates."""
    cases = (
        ("the network of this lab", (32, 4, 48, 3, 10),
         "Section 2 has its figure; the counter gave it for attention written out."),
        ("no block at all", (32, 4, 48, 0, 10),
         "The convolution makes 64 patches of 16 pixels into `width` numbers each, and the head "
         "makes 10 scores of one token."),
        ("twice the size", (64, 4, 32, 3, 10),
         "256 patches and a class token: the pairs are 257 x 257."),
        ("larger patches", (32, 8, 32, 3, 10), "16 patches, each of 64 pixels."),
        ("a size that does not divide", (35, 4, 48, 3, 10),
         "What is left over at the edge is in no patch."),
        ("wider and deeper", (32, 4, 64, 6, 10),
         "The linear layers grow with the square of the width, the pairs with the width."),
        ("more classes", (32, 4, 32, 3, 1000), "Only the head has to do with the classes."),
    )  # fmt: skip
    return verify(
        "Exercise 04.2",
        [
            Case(name, lambda s=sizes: float(products(*s)), float(_products(*sizes)), hint, 0.5)
            for name, sizes, hint in cases
        ],
    )
