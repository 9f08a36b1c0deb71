"""Checks for the exercises of lab 03, object detection."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from mobilelab.course.checks import Case, Check, verify
from mobilelab.datasets.letterbox import Letterbox


def check_back(back: Callable[[Tensor, int, int, int], Tensor]) -> Check:
    """03.1: boxes in the square, back on the photograph."""
    whole = torch.tensor([[0.0, 0.0, 128.0, 128.0]])
    inside = torch.tensor([[40.0, 50.0, 60.0, 90.0], [20.0, 30.0, 100.0, 70.0]])
    cases = (
        ("a wide photograph", inside, 180, 240, 128,
         "The bar lies above the photograph: take it off the y before you scale."),
        ("a tall photograph", inside, 240, 180, 128,
         "Here the bar lies at the left: take it off the x. Which side is longer decides."),
        ("a square photograph", inside, 100, 100, 128,
         "No bars at all, and the photograph was made larger: divide by 1.28."),
        ("a box that reaches into the bars", whole, 180, 240, 128,
         "Cut off what lies outside of the photograph: x at its width, y at its height."),
        ("a larger square", 2 * inside, 180, 240, 256,
         "`size` is an argument: the square is not always 128."),
        ("no box", torch.zeros(0, 4), 180, 240, 128,
         "Where nothing was found, the answer has the shape (0, 4)."),
        ("sizes that do not divide", inside, 100, 333, 128,
         "The photograph takes 38 rows of the square, a whole number, and so do the bars."),
    )  # fmt: skip
    return verify(
        "Exercise 03.1",
        [
            Case(
                name,
                lambda b=boxes, h=height, w=width, s=size: back(b.clone(), h, w, s),
                Letterbox(size=size).back(boxes, height, width),
                hint,
                tolerance=1e-2,
            )
            for name, boxes, height, width, size, hint in cases
        ],
    )


_TRUTH = torch.tensor([[0.0, 0, 10, 10], [20, 0, 30, 10]])


def check_hits(hits: Callable[[Tensor, Tensor, float], list[bool]]) -> Check:
    """03.2: which of the boxes that were found count as right."""
    box = torch.tensor
    none = torch.zeros(0, 4)
    cases = (
        ("one each", box([[0.0, 0, 10, 10], [21, 0, 30, 10]]), _TRUTH, 0.5, [True, True],
         "Both overlap their partner by 0.9 and more."),
        ("the same article twice", box([[0.0, 0, 10, 10], [0, 0, 10, 9]]), _TRUTH, 0.5,
         [True, False], "A true box is taken once, by the better of the two."),
        ("beside everything", box([[40.0, 40, 50, 50]]), _TRUTH, 0.5, [False],
         "It overlaps with nothing."),
        ("an overlap of exactly a half", box([[0.0, 0, 10, 5]]), _TRUTH, 0.5, [True],
         "COCO counts an overlap that reaches the threshold: at least, not more than."),
        ("a stricter threshold", box([[0.0, 0, 10, 8]]), _TRUTH, 0.9, [False],
         "The threshold is an argument. Here the overlap is 0.8."),
        ("the nearer of two", box([[2.0, 0, 12, 10]]),
         box([[0.0, 0, 10, 10], [2, 0, 12, 9]]), 0.5, [True], "It overlaps with both."),
        ("the nearer of two, and then the other", box([[2.0, 0, 12, 10], [0, 0, 10, 10]]),
         box([[0.0, 0, 10, 10], [2, 0, 12, 9]]), 0.65, [True, True],
         "The first box overlaps both true ones enough and takes its nearest, the second; so the "
         "first is left for the other box."),
        ("nothing to find", box([[0.0, 0, 10, 10]]), none, 0.5, [False],
         "Without a true box every box is wrong."),
        ("nothing found", none, _TRUTH, 0.5, [], "No box, no hit: an empty list."),
    )  # fmt: skip
    return verify(
        "Exercise 03.2",
        [
            Case(
                name,
                lambda f=found, t=truth, i=iou: [
                    bool(hit) for hit in hits(f.clone(), t.clone(), i)
                ],
                expected,
                hint,
            )
            for name, found, truth, iou, expected, hint in cases
        ],
    )
