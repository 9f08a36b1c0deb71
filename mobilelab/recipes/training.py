"""Training as chapter 01 spells it out, for the chapters that come after it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mobilelab.core.errors import ShapeError
from mobilelab.datasets import Dataset
from mobilelab.measure import accuracy, scores
from mobilelab.models import TinyMobileNet, load_trained

EPOCHS = 10
QUICK_EPOCHS = 3
#: Larger data sets are cut to this many training images, so that a chapter stays a chapter.
MOST_IMAGES = 5000


@dataclass(frozen=True)
class Epoch:
    """What one pass over the training images ended with."""

    number: int
    """Counted from 1."""
    loss: float
    """Mean cross-entropy over the epoch, in nats."""
    accuracy: float
    """Share of right predictions on the calibration images, which training never sees."""


def shifted(images: Tensor, pixels: int = 3) -> Tensor:
    """The images moved by up to ``pixels`` in both directions, all by the same random amount."""
    dy, dx = torch.randint(-pixels, pixels + 1, (2,)).tolist()
    return torch.roll(images, (dy, dx), dims=(2, 3))


def fit(
    model: nn.Module,
    data: Dataset,
    *,
    epochs: int = EPOCHS,
    learning_rate: float = 4e-3,
    batch: int = 64,
    seed: int = 0,
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
) -> nn.Module:
    """Train a classifier in place: AdamW, one-cycle learning rate, shifted images.

    Chapter 01 writes this loop out and says why each line is there.

    Args:
        model: maps ``(n, channels, 32, 32)`` to logits ``(n, classes)``.
        data: trains on ``data.train`` (its first 5,000 images), watches ``data.calibration``.
        epochs: passes over the training images.
        learning_rate: the highest rate that the schedule reaches.
        batch: images per step.
        seed: for the order and the shifts; the model's own weights are up to the caller.
        on_epoch: called after each epoch, for a live curve or a progress bar.

    Returns:
        The same model, in eval mode.

    Raises:
        ShapeError: if the model does not accept the images' channels.
    """
    torch.manual_seed(seed)
    images, labels = data.train.images[:MOST_IMAGES], data.train.labels[:MOST_IMAGES]
    first = next(m for m in model.modules() if isinstance(m, nn.Conv2d))
    if first.in_channels != data.channels:
        raise ShapeError(
            f"The model takes {first.in_channels} image channels but {data.name} has "
            f"{data.channels}; build it with TinyMobileNet(channels={data.channels})."
        )
    batches = (len(images) + batch - 1) // batch
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, learning_rate, total_steps=epochs * batches
    )
    for number in range(1, epochs + 1):
        model.train()
        total = 0.0
        for index in torch.randperm(len(images)).split(batch):
            loss = F.cross_entropy(model(shifted(images[index])), labels[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item() * len(index)
        model.eval()
        watched = accuracy(scores(model, data.calibration.images), data.calibration.labels)
        on_epoch(Epoch(number, total / len(images), watched))
    return model.eval()


def train(
    data: Dataset,
    *,
    seed: int = 0,
    quick: bool = False,
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
) -> TinyMobileNet:
    """A ``TinyMobileNet`` trained from scratch on ``data``, as chapter 01 does.

    Args:
        data: what to train on.
        seed: for the first weights, the order and the shifts.
        quick: three epochs instead of ten, for a workshop that is short of time.
        on_epoch: called after each epoch.
    """
    torch.manual_seed(seed)
    model = TinyMobileNet(data.channels, len(data.classes))
    epochs = QUICK_EPOCHS if quick else EPOCHS
    fit(model, data, epochs=epochs, seed=seed, on_epoch=on_epoch)
    return model


def starting_model(
    data: Dataset,
    *,
    seed: int = 0,
    quick: bool = False,
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
) -> TinyMobileNet:
    """The float model that chapters 02 to 05 start from.

    The bundled weights for the bundled digits; for any other data set, :func:`train`.
    """
    if data.name == "digits":
        return load_trained(data)
    return train(data, seed=seed, quick=quick, on_epoch=on_epoch)
