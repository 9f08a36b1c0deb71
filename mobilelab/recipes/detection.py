"""Training of lab 03's detector."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import box_iou, generalized_box_iou_loss

from mobilelab.datasets.letterbox import Letterbox
from mobilelab.datasets.scenes import Scene
from mobilelab.models import Detector
from mobilelab.tasks.boxes import centres, decode


def assigned(boxes: Tensor, middle: Tensor, stride: int) -> Tensor:
    """Which box each cell is to find: its number, or -1 for none, ``(cells,)``.

    A cell answers for a box if its centre lies in it, and within one and a half strides of its
    middle; of several boxes, for the smallest (the centre sampling of FCOS).
    """
    if not len(boxes):
        return torch.full((len(middle),), -1)
    x, y = middle[:, None, 0], middle[:, None, 1]
    inside = torch.stack([x - boxes[:, 0], y - boxes[:, 1], boxes[:, 2] - x, boxes[:, 3] - y])
    mid = (boxes[:, :2] + boxes[:, 2:]) / 2
    far = torch.stack([(x - mid[:, 0]).abs(), (y - mid[:, 1]).abs()]).amax(0)
    near = (inside.amin(0) > 0) & (far < 1.5 * stride)
    # The middle of a box smaller than a cell may see no cell's centre: the nearest one takes it.
    nearest = far.argmin(0)
    near[nearest, torch.arange(len(boxes))] = True
    area = ((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])).expand_as(near)
    best = area.masked_fill(~near, float("inf")).min(1)
    return best.indices.masked_fill(best.values.isinf(), -1)


def loss(scores: Tensor, raw: Tensor, targets: Sequence[dict[str, Tensor]], stride: int) -> Tensor:
    """How wrong raw outputs are, a number.

    Boxes by their generalized IoU (Rezatofighi et al. 2019). Classes by the quality focal loss (Li
    et al. 2020): a cell's score is to be the IoU that its box reaches, so that scores rank boxes.

    Args:
        scores: logits ``(n, classes, grid, grid)``.
        raw: see :func:`mobilelab.tasks.boxes.decode`.
        targets: ``boxes`` in pixels of the square and ``labels`` of each picture.
        stride: pixels from one cell to the next.
    """
    found = decode(raw, stride)
    logits = scores.flatten(2).transpose(1, 2)
    wanted, pairs = torch.zeros_like(logits), []
    middle = centres(raw.shape[2], stride)
    for i, target in enumerate(targets):
        owner = assigned(target["boxes"], middle, stride)
        cells = (owner >= 0).nonzero()[:, 0]
        ours, theirs = found[i, cells], target["boxes"][owner[cells]]
        pairs.append((ours, theirs))
        if len(cells):
            quality = box_iou(ours.detach(), theirs).diagonal()
            wanted[i, cells, target["labels"][owner[cells]]] = quality
    ours, theirs = (torch.cat(side) for side in zip(*pairs, strict=True))
    weight = (wanted - logits.sigmoid()).abs().pow(2)
    classes = (weight * F.binary_cross_entropy_with_logits(logits, wanted, reduction="none")).sum()
    boxes = generalized_box_iou_loss(ours, theirs, reduction="sum")
    return (classes + 2 * boxes) / max(1, len(ours))


Batch = tuple[Tensor, list[dict[str, Tensor]]]


def prepared(scenes: Sequence[Scene], letterbox: Letterbox) -> Batch:
    """Network inputs ``(n, 3, size, size)``, and targets in pixels of the square."""
    inputs = torch.stack([letterbox(scene.photo) for scene in scenes])
    targets = [
        {"boxes": letterbox.forth(s.boxes, *s.photo.shape[1:]), "labels": s.labels} for s in scenes
    ]
    return inputs, targets


def varied(inputs: Tensor, targets: list[dict[str, Tensor]]) -> Batch:
    """Half of the time mirrored, and in another light: a batch as training sees it."""
    light = 1 + 0.3 * (2 * torch.rand(len(inputs), 3, 1, 1) - 1)
    inputs = inputs * light + 0.3 * (2 * torch.rand(len(inputs), 1, 1, 1) - 1)
    if torch.rand(()) < 0.5:
        size = inputs.shape[3]
        inputs = inputs.flip(3)
        targets = [
            {**t, "boxes": torch.stack(
                [size - t["boxes"][:, 2], t["boxes"][:, 1], size - t["boxes"][:, 0],
                 t["boxes"][:, 3]], 1)} for t in targets
        ]  # fmt: skip
    return inputs, targets


def train(
    model: Detector,
    data: Batch,
    *,
    steps: int,
    batch: int = 16,
    learning_rate: float = 4e-3,
    seed: int = 0,
    on_step: Callable[[int, float], None] = lambda step, loss: None,
) -> Detector:
    """Train a detector in place: AdamW, one-cycle learning rate, mirrored scenes in other light.

    Args:
        model: is trained; in channels_last, which is what makes it quick.
        data: from :func:`prepared`.
        steps: of the optimizer; a training is stopped by steps, so that no host gets another one.
        batch: scenes in each.
        learning_rate: the highest rate that the schedule reaches.
        seed: for the order and the light.
        on_step: told the number of each step, from 1, and its loss.

    Returns:
        The same model, in eval mode.
    """
    torch.manual_seed(seed)
    model.to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, learning_rate, total_steps=steps)
    inputs, targets = data
    order = torch.empty(0, dtype=torch.long)
    for step in range(1, steps + 1):
        if len(order) < batch:
            order = torch.randperm(len(inputs))
        chosen, order = order[:batch], order[batch:]
        x, wanted = varied(inputs[chosen], [targets[i] for i in chosen.tolist()])
        scores, raw = model(x.contiguous(memory_format=torch.channels_last))
        now = loss(scores, raw, wanted, model.stride)
        optimizer.zero_grad()
        now.backward()
        optimizer.step()
        schedule.step()
        on_step(step, now.item())
    return model.to(memory_format=torch.contiguous_format).eval()  # type: ignore[call-overload]
