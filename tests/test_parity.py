import pytest
import torch
from torch.utils.mobile_optimizer import MobileOptimizerType, optimize_for_mobile

from mobilelab import measure, tasks
from mobilelab.core.errors import ShapeError, StructureError
from mobilelab.core.trees import Answers
from mobilelab.measure import parity
from mobilelab.models import QuantizableTinyMobileNet


def test_values_worked_out_by_hand():
    reference = torch.tensor([[3.0, 4.0], [0.0, 0.0]])
    candidate = torch.tensor([[3.0, 1.0], [0.0, 0.0]])
    result = parity.compare(reference, candidate)
    assert result.max_abs == 3.0
    assert result.rel_l2 == pytest.approx(3 / 5)
    assert result.agreement == 0.5
    assert result.inputs == 2
    assert result.verdict == "DIFFERENT"


def test_equal_outputs_are_the_same():
    scores = torch.randn(10, 5)
    assert parity.compare(scores, scores.clone()).verdict == "same"
    assert parity.compare(scores, scores * (1 + 1e-6)).verdict == "same"


def test_small_error_with_equal_predictions_is_close_not_same():
    scores = torch.eye(10) * 10
    assert parity.compare(scores, scores * 1.01).verdict == "close"


def test_equal_predictions_do_not_excuse_a_large_error():
    scores = torch.eye(10) * 10
    assert parity.compare(scores, scores * 1.6).verdict == "DIFFERENT"


def test_tiny_error_that_flips_a_prediction_is_not_the_same():
    reference = torch.tensor([[1.0, 1.0 + 1e-7, 0.0]])
    candidate = torch.tensor([[1.0 + 1e-6, 1.0, 0.0]])
    assert parity.compare(reference, candidate).verdict == "DIFFERENT"


@pytest.mark.parametrize("poison", [float("nan"), float("inf")])
def test_nan_and_infinity_are_different(poison):
    reference = torch.randn(4, 3)
    candidate = reference.clone()
    candidate[1, 0] = poison
    result = parity.compare(reference, candidate)
    assert result.rel_l2 == float("inf")
    assert result.agreement == 0.75
    assert result.verdict == "DIFFERENT"


def test_zero_reference():
    zero = torch.zeros(2, 3)
    assert parity.compare(zero, zero).verdict == "same"
    assert parity.compare(zero, zero + 1).rel_l2 == float("inf")


@pytest.mark.parametrize(
    ("left", "right"), [((3, 4), (3, 5)), ((3, 4), (2, 4)), ((3,), (3, 1)), ((3, 4), (0, 4))]
)
def test_wrong_shapes_are_refused(left, right):
    with pytest.raises(ShapeError, match="one shape"):
        parity.compare(torch.zeros(left), torch.zeros(right))


@pytest.mark.parametrize("shape", [(0, 4), (4, 0)])
def test_nothing_is_not_the_same(shape):
    with pytest.raises(ShapeError, match=r"nothing to compare in answers of shape"):
        parity.compare(torch.zeros(shape), torch.zeros(shape))


def test_red_on_the_silent_bug_of_the_official_recipe(model, data, reference):
    traced = torch.jit.trace(model, data.test.images[:1])
    scores = measure.scores(optimize_for_mobile(traced), data.test.images)
    result = parity.compare(reference, scores)
    assert result.verdict == "DIFFERENT"
    assert result.rel_l2 > 0.5
    assert result.agreement < 0.5


def scripted(model, image):
    return optimize_for_mobile(torch.jit.script(model))


def frozen_first(model, image):
    return optimize_for_mobile(torch.jit.freeze(torch.jit.trace(model, image)))


def fused_first(model, image):
    fused = QuantizableTinyMobileNet.from_float(model).fuse()
    return optimize_for_mobile(torch.jit.trace(fused, image))


def blocklisted(model, image):
    traced = torch.jit.trace(model, image)
    return optimize_for_mobile(traced, {MobileOptimizerType.CONV_BN_FUSION})


@pytest.mark.parametrize("way_out", [scripted, frozen_first, fused_first, blocklisted])
def test_green_on_the_four_ways_out(model, data, reference, way_out):
    scores = measure.scores(way_out(model, data.test.images[:1]), data.test.images)
    assert parity.compare(reference, scores).verdict == "same"


# --- a quiet example beside a loud one ----------------------------------------------------


def two(quiet, wrong):
    """A loud example that is right, and a quiet one whose answers are off by a share of them."""
    torch.manual_seed(0)
    truth = torch.randn(2, 32) * torch.tensor([[1.0], [quiet]])
    return truth, truth + wrong * truth * torch.tensor([[0.0], [1.0]])


@pytest.mark.parametrize("as_list", [False, True])
@pytest.mark.parametrize(
    ("quiet", "wrong", "verdict"),
    [
        (0.03, 1.0, "DIFFERENT"),  # 0.03 of all together
        (0.03, 0.3, "close"),
        (0.03, 0.002, "close"),  # 6e-5 of all together
        (0.03, 0.0005, "same"),
        (1e-4, 1.0, "close"),  # quieter than int8 can say
        (1e-9, 1.0, "same"),  # silence, and rounding in it
    ],
)
def test_an_error_of_a_quiet_example_does_not_hide_behind_a_loud_one(
    as_list, quiet, wrong, verdict
):
    truth, found = two(quiet, wrong)
    if as_list:
        truth, found = (Answers({"y": row} for row in side) for side in (truth, found))
    result = parity.compare(truth, found, tasks.Regression())
    assert result.verdict == verdict and result.rel_l2 < 0.05
    assert ("of one example alone 1.0e+00" in repr(result)) == (verdict == "DIFFERENT")


def test_a_few_numbers_near_zero_are_no_example_to_judge():
    truth = torch.tensor([[1.0], [1e-3], [-1.0]])
    assert parity.compare(truth, truth + 0.002, tasks.Regression()).verdict == "close"


def test_answers_without_numbers_are_one_sentence():
    with pytest.raises(StructureError, match="The answer is on the device meta .* real inputs"):
        parity.compare(torch.ones(2, device="meta"), torch.ones(2))
    jagged = torch.nested.nested_tensor([torch.ones(1), torch.ones(2)], layout=torch.jagged)
    with pytest.raises(StructureError, match="The leaf 'y' is a nested tensor"):
        parity.compare({"y": jagged}, {"y": jagged})
