"""Answers about pixels: masks, boxes, and pictures themselves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, cast

import torch
from torch import Tensor

from mobilelab.core.errors import ShapeError
from mobilelab.core.quantity import Quantity
from mobilelab.core.trees import Tree, identical, plain
from mobilelab.tasks.base import USED, Bounds, Task, each, joined, leaf_of
from mobilelab.tasks.numbers import Classification


@dataclass(frozen=True)
class Segmentation(Task):
    """A class for each pixel: the largest score along the axis of the classes.

    Args:
        classes: how many there are.
        output: path of the scores, shape ``(n, classes, h, w)``.
        ignored: number in the targets that stands for pixels without a label, which do not count.

    >>> scores = torch.tensor([[[[2.0, 0.0]], [[1.0, 3.0]]]])  # one picture of 1 x 2 pixels
    >>> Segmentation(2).decide(scores), Segmentation(2).score(scores, torch.tensor([[[0, 0]]]))
    (tensor([[[0, 1]]]), 0.25)
    """

    classes: int
    output: str = ""
    ignored: int = 255
    metric: ClassVar[Quantity] = Quantity("mIoU", "%")
    decisions: ClassVar[str] = "pixels"

    def decide(self, answers: Tree) -> Tensor:
        """Class numbers, shape ``(n, h, w)``."""
        return Classification(self.output).decide(answers)

    def score(self, answers: Tree, targets: Tensor) -> float:
        """Mean intersection over union of the classes that occur, 0 to 1.

        Over all pixels of all pictures at once, as the benchmarks of segmentation do it.
        ``targets`` are class numbers, shape ``(n, h, w)``.
        """
        from torchmetrics.functional.classification import multiclass_confusion_matrix

        masks, targets = joined(answers, self.decide), torch.as_tensor(targets)
        if masks.shape != targets.shape:
            raise ShapeError(f"Masks {tuple(masks.shape)} and targets {tuple(targets.shape)}.")
        counted = targets != self.ignored
        masks, targets = masks[counted], targets[counted]
        outside = (targets < 0) | (targets >= self.classes)
        if outside.any() or not len(targets):
            raise ShapeError(
                f"Targets are class numbers from 0 to {self.classes - 1}, and {self.ignored} where "
                f"there is no label; here is {targets[outside][:1].tolist() or 'none at all'}."
            )
        # a pixel without a decision (NaN among its scores) is of no class, so it is wrong
        missed = targets[masks < 0].bincount(minlength=self.classes).double()
        table = multiclass_confusion_matrix(masks[masks >= 0], targets[masks >= 0], self.classes)
        table = table.double()
        both = table.diagonal()
        either = table.sum(0) + table.sum(1) - both + missed
        return (both[either > 0] / either[either > 0]).mean().item()


#: Of boxes, nine in ten have to have a partner: a score that crosses the threshold by a rounding
#: makes a box appear or vanish. In int8 that took one box of twenty from lab 03's detector, and
#: nothing from its precision.
SHOWN = Bounds(agree=0.9)


@dataclass(frozen=True)
class Detection(Task):
    """Boxes with a class and a score, in any order and number.

    Args:
        iou: boxes are the same if they overlap by this intersection over union.
        least: boxes with a lower score are not compared with another model's, because no app
            would show them. Precision is computed from all boxes there are, as COCO does it.
        boxes: path of the boxes, shape ``(k, 4)``: x0, y0, x1, y1.
        scores: path of the scores, shape ``(k,)``.
        labels: path of the class numbers, shape ``(k,)``; empty where there is one class.
        bounds: how many boxes have to have a partner.

    >>> ours = {"boxes": torch.tensor([[0.0, 0, 10, 10], [20, 20, 30, 30]]),
    ...         "scores": torch.tensor([0.9, 0.8]), "labels": torch.tensor([1, 2])}
    >>> theirs = {name: leaf.flip(0) for name, leaf in ours.items()}  # in another order
    >>> Detection().agree(ours, theirs)
    (1.0, 2)
    """

    iou: float = 0.5
    least: float = 0.3
    boxes: str = "boxes"
    scores: str = "scores"
    labels: str = "labels"
    bounds: Bounds = SHOWN
    metric: ClassVar[Quantity] = Quantity("mAP", "%")
    decisions: ClassVar[str] = "boxes"
    same_shapes: ClassVar[bool] = False

    def decide(self, answers: Tree) -> list[dict[str, Tensor]]:
        """Boxes, scores and labels of each picture, those with too low a score left out.

        Either the leaves have no axis for pictures, or a tree has a branch for each picture, or
        the leaves have the pictures first.
        """
        if isinstance(answers, (list, tuple)) and all(isinstance(one, Mapping) for one in answers):
            return [found for one in answers for found in self.decide(one)]
        boxes = plain(leaf_of(answers, self.boxes))
        scores = plain(leaf_of(answers, self.scores))
        labels = leaf_of(answers, self.labels).long() if self.labels else scores.long() * 0
        if boxes.ndim == 2:
            boxes, scores, labels = boxes[None], scores[None], labels[None]
        if boxes.ndim != 3 or boxes.shape[-1] != 4 or scores.shape != boxes.shape[:2]:
            raise ShapeError(
                "Boxes have the shape (pictures, k, 4) and their scores (pictures, k), not "
                f"{tuple(boxes.shape)} and {tuple(scores.shape)}."
            )
        return [
            {
                "boxes": b[s >= self.least],
                "scores": s[s >= self.least],
                "labels": k[s >= self.least],
            }
            for b, s, k in zip(boxes, scores, labels, strict=True)
        ]

    def agreement(self, reference: Tree, candidate: Tree) -> tuple[float, int]:
        """Boxes that have a partner of the same class in the other's picture, and all of them.

        Pairs are made once each, the largest overlap first.
        """
        from torchvision.ops import box_iou

        ours, theirs = _corners(self.decide(reference)), self.decide(candidate)
        if len(ours) != len(theirs):
            raise ShapeError(f"{len(ours)} pictures cannot be compared with {len(theirs)}.")
        matched = total = 0
        for a, b in zip(ours, theirs, strict=True):
            total += max(len(a["boxes"]), len(b["boxes"]))
            if identical(a, b):  # a box of NaN is like itself, and overlaps with nothing
                matched += len(a["boxes"])
                continue
            overlap = box_iou(a["boxes"], b["boxes"])
            overlap[a["labels"][:, None] != b["labels"][None]] = 0
            while overlap.numel() and overlap.max() >= self.iou:
                row, column = divmod(int(overlap.argmax()), overlap.shape[1])
                overlap[row], overlap[:, column] = 0, 0
                matched += 1
        return matched, total

    def score(self, answers: Tree, targets: Sequence[Mapping[str, Tensor]]) -> float:
        """COCO's mean average precision over IoU 0.50 to 0.95, 0 to 1 (torchmetrics)."""
        return self.precision(answers, targets)["map"]

    def precision(self, answers: Tree, targets: Sequence[Mapping[str, Tensor]]) -> dict[str, float]:
        """COCO's figures, 0 to 1, by torchmetrics' names.

        ``map`` over IoU 0.50 to 0.95, ``map_50`` and ``map_75`` at one IoU, ``map_small``,
        ``map_medium`` and ``map_large`` by the area of a box in pixels (32 and 96 squared lie
        between), and recalls. -1 where there is nothing of that size.
        """
        return {
            name: value.item()
            for name, value in self._coco(answers, targets).items()
            if value.numel() == 1 and name != "classes"
        }

    def curve(self, answers: Tree, targets: Sequence[Mapping[str, Tensor]]) -> Tensor:
        """Precision at recalls of 0, 0.01 to 1 and an IoU of 0.5, the mean over the classes.

        Shape ``(101,)``; its mean is ``map_50``.
        """
        # IoU x recall x class x area x number of boxes: all areas, and the largest number
        found = self._coco(answers, targets, extended_summary=True)["precision"][0, :, :, 0, -1]
        return torch.stack([column for column in found.T if (column >= 0).all()]).mean(0)

    def _coco(
        self, answers: Tree, targets: Sequence[Mapping[str, Tensor]], **more: Any
    ) -> dict[str, Tensor]:
        from torchmetrics.detection import MeanAveragePrecision

        every = replace(self, least=-math.inf)
        found = [one for tree in each(answers) for one in _corners(every.decide(tree))]
        metric = MeanAveragePrecision(box_format="xyxy", **more)
        metric.update(
            [{k: v.float() if k != "labels" else v for k, v in one.items()} for one in found],
            [dict(one) for one in targets],
        )
        computed = metric.compute()
        if computed["map"] < 0:
            raise ShapeError("There is no box in the targets, so there is nothing to find.")
        return computed


def _corners(pictures: list[dict[str, Tensor]]) -> list[dict[str, Tensor]]:
    """The same boxes, if they are written as corners.

    Raises:
        ShapeError: if they are not.
    """
    if any((one["boxes"][:, :2] > one["boxes"][:, 2:]).any() for one in pictures):
        raise ShapeError(
            "Boxes are read as x0, y0, x1, y1, and here an x1 is left of its x0, or a y1 above its "
            "y0; convert them with torchvision.ops.box_convert."
        )
    return pictures


@dataclass(frozen=True)
class ImageToImage(Task):
    """A picture as the answer.

    Args:
        peak: the largest value that a picture can have, 1 or 255.
        output: path of the picture.

    >>> ImageToImage().agree(torch.tensor([0.5, 0.5]), torch.tensor([0.51, 0.6]))
    (0.5, 2)
    """

    peak: float = 1.0
    output: str = ""
    metric: ClassVar[Quantity] = Quantity("PSNR", "dB")
    decisions: ClassVar[str] = "values as an 8-bit screen shows them"
    measures_integers: ClassVar[bool] = True
    bounds: Bounds = USED

    def decide(self, answers: Tree) -> Tensor:
        """Values as a screen shows them, 0 to 255."""
        return self._shown(answers).round()

    def agreement(self, reference: Tree, candidate: Tree) -> tuple[float, int]:
        """Values that differ by at most 4 of 255 steps, which few eyes see."""
        near = (self._shown(reference) - self._shown(candidate)).abs() <= 4
        return near.sum().item(), near.numel()

    def _shown(self, answers: Tree) -> Tensor:
        return (plain(leaf_of(answers, self.output)) / self.peak * 255).clamp(0, 255)

    def score(self, answers: Tree, targets: Tree) -> float:
        """Peak signal-to-noise ratio in dB (torchmetrics)."""
        from torchmetrics.functional.image import peak_signal_noise_ratio

        ours = joined(answers, lambda tree: plain(leaf_of(tree, self.output)))
        wanted = joined(targets, lambda tree: plain(leaf_of(tree, "")))
        return peak_signal_noise_ratio(ours, wanted, data_range=self.peak).item()

    def similarity(self, answers: Tree, targets: Tree) -> float:
        """Structural similarity, 0 to 1 (SSIM, torchmetrics); pictures ``(n, channels, h, w)``."""
        from torchmetrics.functional.image import structural_similarity_index_measure

        ours = joined(answers, lambda tree: plain(leaf_of(tree, self.output)))
        wanted = joined(targets, lambda tree: plain(leaf_of(tree, "")))
        found = structural_similarity_index_measure(ours, wanted, data_range=self.peak)
        return cast(Tensor, found).item()
