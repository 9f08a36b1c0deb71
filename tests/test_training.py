import torch

from mobilelab import measure, training
from mobilelab.training import shifted


def test_retraining_lands_near_the_bundled_weights(data, reference):
    """Another processor rounds otherwise, so it gets other weights: within 1.5 points."""
    epochs = []
    model = training.train(data, seed=0, on_epoch=epochs.append)
    again = measure.accuracy(measure.scores(model, data.test.images), data.test.labels)
    bundled = measure.accuracy(reference, data.test.labels)
    assert abs(again - bundled) <= 0.015
    assert [epoch.number for epoch in epochs] == list(range(1, 11))
    assert epochs[-1].loss < 0.1 * epochs[0].loss
    assert not model.training


def test_quick_training_learns_less_and_enough(data):
    epochs = []
    model = training.train(data, quick=True, on_epoch=epochs.append)
    assert len(epochs) == training.QUICK_EPOCHS
    assert measure.accuracy(measure.scores(model, data.test.images), data.test.labels) > 0.9


def test_shift_moves_all_images_alike_and_loses_nothing():
    torch.manual_seed(3)
    images = torch.arange(2 * 64.0).view(2, 1, 8, 8)
    moved = shifted(images)
    assert torch.equal(moved[1] - moved[0], torch.full((1, 8, 8), 64.0))
    assert moved.sum() == images.sum()
