import copy
from dataclasses import replace
from pathlib import Path

import nbformat
import torch

from mobilelab import datasets, measure, models
from mobilelab.recipes import training
from mobilelab.recipes.training import shifted

CHAPTER = Path(__file__).resolve().parent.parent / "notebooks" / "01_train_a_cnn.ipynb"


def test_the_loop_of_chapter_01_gives_the_same_weights(data):
    """To the last bit. What nbval finds out about the chapter's network is true of ours: that it
    lands within 1.5 points of the bundled weights is a claim in ``claims.py``."""
    [loop] = [c.source for c in nbformat.read(CHAPTER, 4).cells if "def train_one" in c.source]
    chapter = {"torch": torch}
    exec(loop, chapter)
    few = datasets.Split(*(part[:160] for part in vars(data.train).values()))
    ours = models.TinyMobileNet()
    theirs = copy.deepcopy(ours)
    training.fit(ours, replace(data, train=few), epochs=2, seed=5)

    optimizer = torch.optim.AdamW(theirs.parameters(), lr=4e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=4e-3, total_steps=6)
    torch.manual_seed(5)
    for _ in range(2):
        chapter["train_one_epoch"](theirs, few.images, few.labels, optimizer, schedule)
    for name, value in theirs.state_dict().items():
        assert torch.equal(value, ours.state_dict()[name]), name


def test_quick_training_learns_less_and_enough(data):
    epochs = []
    model = training.train(data, quick=True, on_epoch=epochs.append)
    assert [epoch.number for epoch in epochs] == list(range(1, training.QUICK_EPOCHS + 1))
    assert epochs[-1].loss < 0.5 * epochs[0].loss
    assert not model.training
    assert measure.accuracy(measure.scores(model, data.test.images), data.test.labels) > 0.9


def test_shift_moves_all_images_alike_and_loses_nothing():
    torch.manual_seed(3)
    images = torch.arange(2 * 64.0).view(2, 1, 8, 8)
    moved = shifted(images)
    assert torch.equal(moved[1] - moved[0], torch.full((1, 8, 8), 64.0))
    assert moved.sum() == images.sum()
