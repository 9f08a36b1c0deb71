import pytest
import torch

from mobilelab import datasets, measure, models
from mobilelab.core.errors import DataError, ShapeError
from mobilelab.measure import parity
from mobilelab.models import InvertedResidual, QuantizableTinyMobileNet, TinyMobileNet


def test_bundled_weights_meet_the_accuracy_of_the_budget(data, reference):
    assert measure.accuracy(reference, data.test.labels) >= 0.985


def test_bundled_mobilenet_v2_knows_its_digits(data):
    network, large = models.load_mobilenet_v2(), datasets.enlarged(data, test=60)
    assert large.test.images.shape == (60, 3, 224, 224)
    assert large.train.images.shape == (0, 3, 224, 224)
    right = measure.accuracy(measure.scores(network, large.test.images, 20), large.test.labels)
    assert right >= 0.95


def test_it_is_a_mobile_net(model):
    depthwise = [b.depthwise[0] for b in model.features if isinstance(b, InvertedResidual)]
    assert len(depthwise) == 8
    assert all(conv.groups == conv.in_channels for conv in depthwise)
    assert all(m.bias is None for m in model.modules() if isinstance(m, torch.nn.Conv2d)), (
        "the silent bug of chapter 04 needs convolutions without bias"
    )
    assert sum(p.numel() for p in model.parameters()) == 363754


def test_residual_adds_the_input():
    block = InvertedResidual(8, 8, stride=1, expansion=2).eval()
    torch.nn.init.zeros_(block.project[1].weight)
    torch.nn.init.zeros_(block.project[1].bias)
    x = torch.randn(1, 8, 4, 4)
    assert torch.equal(block(x), x)
    assert InvertedResidual(8, 8, stride=2, expansion=2)(x).shape == (1, 8, 2, 2)


def test_other_channels_and_classes():
    assert TinyMobileNet(3, 7).eval()(torch.zeros(2, 3, 32, 32)).shape == (2, 7)


def test_quantizable_has_the_same_answers(model, data, reference):
    twin = QuantizableTinyMobileNet.from_float(model)
    assert parity.compare(reference, measure.scores(twin, data.test.images)).rel_l2 == 0
    twin.fuse()
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in twin.modules())
    assert parity.compare(reference, measure.scores(twin, data.test.images)).verdict == "same"


def test_fusing_for_training_keeps_batchnorm(model):
    twin = QuantizableTinyMobileNet.from_float(model).train().fuse()
    assert any(isinstance(m, torch.nn.BatchNorm2d) for m in twin.modules())


def test_no_weights_for_other_data(data):
    import dataclasses

    with pytest.raises(DataError, match="no bundled weights for mnist; train first"):
        models.load_trained(dataclasses.replace(data, name="mnist"))


def test_wrong_channels_are_refused_by_fit(data):
    from mobilelab.recipes import training

    with pytest.raises(ShapeError, match="takes 3 image channels but digits has 1"):
        training.fit(TinyMobileNet(3), data, epochs=1)
