"""Scenes for the labs: articles of Fashion-MNIST on parts of real photographs, with exact boxes.

A scene is put together while a lab runs, from ``data/articles.npz`` and ``data/photos``: both are
real pictures, and what is artificial is that one lies on the other. That is why boxes and masks are
exact, and why a score on scenes says little about a wardrobe.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mobilelab.core.errors import DataError
from mobilelab.datasets import data_root, verified

CLASSES = ("t-shirt", "trouser", "sneaker", "bag", "ankle boot")
#: Photographs that training sees behind the articles, and those that it never sees.
BEHIND = {
    "train": ("astronaut", "brick", "coffee", "coins", "grass", "hubble", "rocket", "temple"),
    "test": ("camera", "cat", "flower", "gravel", "motorcycle"),
}
HEIGHT, WIDTH = 180, 240
#: Longest side of an article in pixels of the scene: from, to. Small ones are as frequent.
SIDES = (24.0, 110.0)
#: Pixels of an article are brighter than that, of 255; the rest of its picture is empty.
_INK = 13


@dataclass(frozen=True)
class Scene:
    """One photograph with articles on it."""

    photo: Tensor
    """uint8, shape ``(3, height, width)``, RGB."""
    boxes: Tensor
    """float32, shape ``(k, 4)``: x0, y0, x1, y1 in pixels of the photograph."""
    labels: Tensor
    """int64, shape ``(k,)``: numbers of :data:`CLASSES`."""
    mask: Tensor
    """int64, shape ``(height, width)``: 0 where the photograph is seen, class number + 1 else."""

    @property
    def target(self) -> dict[str, Tensor]:
        """Boxes and labels, as :class:`mobilelab.tasks.Detection` takes them."""
        return {"boxes": self.boxes, "labels": self.labels}


@cache
def photo(name: str) -> Tensor:
    """A bundled photograph, uint8, shape ``(3, height, width)``, RGB.

    Raises:
        DataError: if there is none of that name, or the file is damaged.
    """
    from torchvision.io import ImageReadMode, decode_image

    known = sorted(path.stem for path in (data_root() / "photos").glob("*.jpg"))
    if name not in known:
        raise DataError(f"There is no photograph {name!r}; choose one of {', '.join(known)}.")
    content = verified(f"photos/{name}.jpg").read_bytes()
    stored = torch.frombuffer(bytearray(content), dtype=torch.uint8)
    return decode_image(stored, mode=ImageReadMode.RGB)


@cache
def articles(part: str) -> tuple[Tensor, Tensor]:
    """Articles of the part ``train`` or ``test``: uint8 ``(n, 28, 28)`` and their class numbers.

    Raises:
        DataError: if the file is missing or damaged.
    """
    with np.load(verified("articles.npz"), allow_pickle=False) as stored:
        images = torch.from_numpy(stored[f"{part}_images"])
        return images, torch.from_numpy(stored[f"{part}_labels"]).long()


def scenes(part: str, count: int, seed: int = 0) -> list[Scene]:
    """The first ``count`` scenes of :func:`stream`."""
    endless = stream(part, seed)
    return [next(endless) for _ in range(count)]


def stream(part: str, seed: int = 0) -> Iterator[Scene]:
    """Scenes without end, each with one to four articles; the same ones for the same seed.

    Args:
        part: ``train`` or ``test``. They share no photograph and no article.
        seed: for everything that is drawn.
    """
    draw = random.Random(f"{part} {seed}")
    images, labels = articles(part)
    while True:
        scene = _behind(draw, photo(draw.choice(BEHIND[part])))
        mask = torch.zeros(HEIGHT, WIDTH, dtype=torch.long)
        boxes: list[tuple[int, int, int, int]] = []
        numbers: list[int] = []
        for _ in range(draw.randint(1, 4)):
            chosen = draw.randrange(len(images))
            colours, alpha = _article(draw, images[chosen])
            place = _free(draw, boxes, *alpha.shape)
            if place is None:
                continue
            x0, y0, x1, y1 = place
            part_of = scene[:, y0:y1, x0:x1]
            scene[:, y0:y1, x0:x1] = alpha * colours + (1 - alpha) * part_of
            mask[y0:y1, x0:x1][alpha > 0.5] = int(labels[chosen]) + 1
            boxes.append(place)
            numbers.append(int(labels[chosen]))
        yield Scene(
            scene.mul(255).round().clamp(0, 255).byte(), torch.tensor(boxes).float(),
            torch.tensor(numbers), mask,
        )  # fmt: skip


def _behind(draw: random.Random, whole: Tensor) -> Tensor:
    """A part of a photograph in other light, float32 ``(3, HEIGHT, WIDTH)``, 0 to 1."""
    _, height, width = whole.shape
    largest = min(height, width * HEIGHT // WIDTH)
    tall = draw.randint(min(110, largest), largest)
    wide = tall * WIDTH // HEIGHT
    top, left = draw.randint(0, height - tall), draw.randint(0, width - wide)
    part = whole[:, top : top + tall, left : left + wide].float() / 255
    if draw.random() < 0.5:
        part = part.flip(2)
    part = F.interpolate(part[None], size=(HEIGHT, WIDTH), mode="bilinear", align_corners=False)[0]
    light = torch.tensor([draw.uniform(0.6, 1.15) for _ in range(3)]).view(3, 1, 1)
    return (part * light).clamp(0, 1)


def _article(draw: random.Random, image: Tensor) -> tuple[Tensor, Tensor]:
    """An article in a colour and size of its own: colours ``(3, h, w)``, and how much it covers."""
    ink = image > _INK
    rows, columns = ink.any(1).nonzero()[:, 0], ink.any(0).nonzero()[:, 0]
    inside = slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
    grey, cover = image[inside].float() / 255, _filled(ink[inside])
    side = SIDES[0] * (SIDES[1] / SIDES[0]) ** draw.random()
    scale = side / max(grey.shape)
    size = max(6, round(grey.shape[0] * scale)), max(6, round(grey.shape[1] * scale))
    both = torch.stack([grey, cover])[None]
    both = F.interpolate(both, size=size, mode="bilinear", align_corners=False)[0]
    if draw.random() < 0.5:
        both = both.flip(2)
    dye = torch.tensor([draw.uniform(0.25, 1.0) for _ in range(3)]).view(3, 1, 1)
    return (0.1 + 0.9 * both[0]) * dye, both[1]


def _filled(ink: Tensor) -> Tensor:
    """1 where there is ink, or ink on all four sides, so that a dark print is no hole."""
    x = ink.float()
    sides = (x.cummax(0)[0], x.flip(0).cummax(0)[0].flip(0), x.cummax(1)[0],
             x.flip(1).cummax(1)[0].flip(1))  # fmt: skip
    return torch.stack(sides).min(0)[0]


def _free(
    draw: random.Random, boxes: list[tuple[int, int, int, int]], tall: int, wide: int
) -> tuple[int, int, int, int] | None:
    """A place that covers at most a fifth of any other article and is covered as little."""
    for _ in range(20):
        x0, y0 = draw.randint(0, WIDTH - wide), draw.randint(0, HEIGHT - tall)
        new = x0, y0, x0 + wide, y0 + tall
        if all(_shared(new, old) <= 0.2 for old in boxes):
            return new
    return None


def _shared(a: tuple[int, int, int, int], b: tuple[int, int, int, int]) -> float:
    wide, tall = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    smaller = min((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b))
    return max(0, wide) * max(0, tall) / smaller
