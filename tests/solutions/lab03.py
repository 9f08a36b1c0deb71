"""Right and wrong solutions to the exercises of lab 03."""

import torch
from torchvision.ops import box_iou


def _places(height, width, size):
    longest = max(height, width)
    tall, wide = (int((side * size) / longest + 0.5) for side in (height, width))  # halves upwards
    return (size - tall) // 2, (size - wide) // 2, tall, wide


def right_back(boxes, height, width, size):
    top, left, tall, wide = _places(height, width, size)
    out = boxes.clone()
    out[:, 0::2] = ((boxes[:, 0::2] - left) * width / wide).clamp(0, width)
    out[:, 1::2] = ((boxes[:, 1::2] - top) * height / tall).clamp(0, height)
    return out


def wrong_back_1(boxes, height, width, size):  # as if the photograph had been stretched
    return boxes * torch.tensor([width / size, height / size] * 2)


def wrong_back_2(boxes, height, width, size):  # the bars stay in
    scale = max(height, width) / size
    return (boxes * scale).minimum(torch.tensor([width, height] * 2))


def wrong_back_3(boxes, height, width, size):  # nothing is cut off
    top, left, tall, wide = _places(height, width, size)
    moved = boxes - torch.tensor([left, top] * 2)
    return moved * torch.tensor([width / wide, height / tall] * 2)


def wrong_back_4(boxes, height, width, size):  # always a square of 128
    return right_back(boxes, height, width, 128)


def wrong_back_5(boxes, height, width, size):  # the bar always lies above
    scale = max(height, width) / size
    moved = boxes - torch.tensor([0, (size - height / scale) / 2] * 2)
    return (moved * scale).clamp(min=0).minimum(torch.tensor([width, height] * 2))


def wrong_back_6(boxes, height, width, size):  # no whole numbers
    scale = max(height, width) / size
    bars = torch.tensor([(size - width / scale) / 2, (size - height / scale) / 2] * 2)
    return ((boxes - bars) * scale).clamp(min=0).minimum(torch.tensor([width, height] * 2))


def right_hits(found, truth, iou):
    free, hits = list(range(len(truth))), []
    overlap = box_iou(found, truth)
    for row in overlap:
        best = max(free, key=lambda j, row=row: row[j], default=None)
        hit = best is not None and bool(row[best] >= iou)
        if hit:
            free.remove(best)
        hits.append(hit)
    return hits


def wrong_hits_1(found, truth, iou):  # a true box is taken as often as it is found
    return [bool((row >= iou).any()) for row in box_iou(found, truth)]


def wrong_hits_2(found, truth, iou):  # more than, and not at least
    return right_hits(found, truth, iou + 1e-6)


def wrong_hits_3(found, truth, iou):  # the first that overlaps enough, not the nearest
    free, hits = list(range(len(truth))), []
    for row in box_iou(found, truth):
        fitting = [j for j in free if row[j] >= iou]
        hits.append(bool(fitting))
        if fitting:
            free.remove(fitting[0])
    return hits


def wrong_hits_4(found, truth, iou):  # always a half
    return right_hits(found, truth, 0.5)
