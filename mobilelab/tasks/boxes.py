"""Boxes out of a detector's raw outputs: decoding and non-maximum suppression.

This is the part of a detection app that is not the network. Lab 03 writes it out, and every app has
it in its own language (``apps/templates``): the same steps in the same order, in float32.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from mobilelab.core.errors import ShapeError, StructureError
from mobilelab.core.trees import Tree, leaves, plain
from mobilelab.tasks.pictures import Detection


def centres(grid: int, stride: int) -> Tensor:
    """Where a grid's cells lie, in pixels of the square: x, y of each, ``(grid * grid, 2)``.

    >>> centres(grid=2, stride=8).tolist()
    [[4.0, 4.0], [12.0, 4.0], [4.0, 12.0], [12.0, 12.0]]
    """
    along = (torch.arange(grid) + 0.5) * stride
    y, x = torch.meshgrid(along, along, indexing="ij")
    return torch.stack([x.flatten(), y.flatten()], 1)


def decode(raw: Tensor, stride: int) -> Tensor:
    """Boxes of all cells, from logarithms of distances.

    Args:
        raw: ``(n, 4, grid, grid)``; e to its power are the distances from a cell's centre to the
            box's left, upper, right and lower edge, in strides.
        stride: pixels of the square from one cell to the next.

    Returns:
        ``(n, grid * grid, 4)``: x0, y0, x1, y1 in pixels of the square.

    Raises:
        ShapeError: if ``raw`` has another shape.

    >>> decode(torch.zeros(1, 4, 1, 1), stride=8)  # e to the 0 is one stride to each side
    tensor([[[-4., -4., 12., 12.]]])
    """
    if raw.ndim != 4 or raw.shape[1] != 4 or raw.shape[2] != raw.shape[3]:
        raise ShapeError(f"Raw boxes have the shape (n, 4, grid, grid), not {tuple(raw.shape)}.")
    distances = raw.flatten(2).transpose(1, 2).exp() * stride
    middle = centres(raw.shape[2], stride)
    return torch.cat([middle - distances[..., :2], middle + distances[..., 2:]], dim=2)


def nms(boxes: Tensor, scores: Tensor, iou: float) -> Tensor:
    """Numbers of the boxes that stay, best first: of boxes that overlap, the better one.

    The same as ``torchvision.ops.nms``, in plain steps that any language has. Of equal scores the
    box that comes first is the better one.

    Args:
        boxes: ``(k, 4)``: x0, y0, x1, y1.
        scores: ``(k,)``.
        iou: a box is dropped if it overlaps a better one by more than this intersection over union.

    >>> boxes = torch.tensor([[0.0, 0, 10, 10], [1, 1, 11, 11], [50, 50, 60, 60]])
    >>> nms(boxes, torch.tensor([0.8, 0.9, 0.7]), iou=0.5)
    tensor([1, 2])
    """
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    corner = boxes[:, None, :2].maximum(boxes[:, :2]), boxes[:, None, 2:].minimum(boxes[:, 2:])
    shared = (corner[1] - corner[0]).clamp(min=0).prod(2)
    too_near = (shared / (area[:, None] + area - shared) > iou).tolist()
    kept: list[int] = []
    for i in scores.argsort(descending=True, stable=True).tolist():
        if not any(too_near[better][i] for better in kept):
            kept.append(i)
    return torch.tensor(kept, dtype=torch.long)


@dataclass(frozen=True)
class Chooser:
    """From raw outputs to boxes: decode, drop what scores low, suppress class by class.

    >>> logits, raw = torch.tensor([[[[2.0]], [[-9.0]]]]), torch.zeros(1, 4, 1, 1)
    >>> Chooser()(logits, raw)[0]["labels"]  # two classes, one cell
    tensor([0])
    """

    stride: int = 8
    least: float = 0.05
    """Boxes with a lower score are dropped. An app shows those above 0.3 or so; precision and
    recall are computed from all."""
    iou: float = 0.5
    most: int = 50
    """Boxes that stay at most, the best ones."""

    def __call__(self, scores: Tensor, raw: Tensor) -> list[dict[str, Tensor]]:
        """Boxes of each picture, best first, in pixels of the square.

        Args:
            scores: logits, ``(n, classes, grid, grid)``.
            raw: see :func:`decode`.

        Returns:
            For each picture ``boxes`` ``(k, 4)``, ``scores`` ``(k,)`` from 0 to 1 and ``labels``
            ``(k,)``, as :class:`mobilelab.tasks.Detection` reads them.
        """
        boxes, likely = decode(raw, self.stride), scores.flatten(2).sigmoid()
        return [self.chosen(b, s) for b, s in zip(boxes, likely, strict=True)]

    def chosen(self, boxes: Tensor, likely: Tensor) -> dict[str, Tensor]:
        """The same for one picture whose boxes ``(k, 4)`` and scores ``(classes, k)`` are decoded.

        The order of the result is by score; of equal ones, the lower class and cell first.
        """
        found: list[tuple[float, int, int]] = []
        for label, row in enumerate(likely):
            cells = (row >= self.least).nonzero()[:, 0]
            kept = cells[nms(boxes[cells], row[cells], self.iou)]
            found += [(float(row[cell]), label, int(cell)) for cell in kept]
        found.sort(key=lambda one: (-one[0], one[1], one[2]))
        best = found[: self.most]
        return {
            "boxes": boxes[[cell for _, _, cell in best]].reshape(-1, 4),
            "scores": torch.tensor([score for score, _, _ in best]),
            "labels": torch.tensor([label for _, label, _ in best], dtype=torch.long),
        }


@dataclass(frozen=True)
class RawDetection(Detection):
    """A detector's raw outputs, read as the boxes that an app would choose of them.

    The answers are two leaves, logits and raw boxes, as :class:`Chooser` takes them. Unlike chosen
    boxes they have their places, so they are compared number by number as well. Targets are boxes
    in pixels of the square.

    Args:
        chooser: how boxes are chosen. Precision is computed from all that it chooses; two models
            are compared by the boxes with a score of ``least`` or more, which an app shows.

    >>> logits, raw = torch.full((1, 1, 2, 2), -9.0), torch.zeros(1, 4, 2, 2)
    >>> logits[0, 0, 1, 0] = 2.0  # one class, and something in one of four cells
    >>> (found,) = RawDetection().decide((logits, raw))
    >>> found["labels"], found["boxes"].shape
    (tensor([0]), torch.Size([1, 4]))
    """

    chooser: Chooser = Chooser()
    same_shapes: ClassVar[bool] = True

    def decide(self, answers: Tree) -> list[dict[str, Tensor]]:
        """Boxes, scores and labels of each picture.

        Raises:
            StructureError: if the answers are not two leaves.
        """
        found = list(leaves(answers).values())
        if len(found) != 2:
            raise StructureError(
                f"A detector's raw answers are two tensors, logits and boxes, and here are "
                f"{len(found)}; for boxes that were chosen already use tasks.Detection."
            )
        chooser = replace(self.chooser, least=max(self.least, self.chooser.least))
        return chooser(*map(plain, found))
