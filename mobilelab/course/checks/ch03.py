"""Checks for the exercises of chapter 03, quantization and pruning."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor, nn

from mobilelab import datasets, measure
from mobilelab.course.checks import Case, Check, verify
from mobilelab.datasets import Dataset, Split
from mobilelab.grading import tasks
from mobilelab.measure.parity import compare
from mobilelab.models import QuantizableTinyMobileNet, load_trained

#: Relative error that 03.2 allows. Calibrated with the images it is 0.03; with images of another
#: brightness, or with noise that does not fit, 0.2 and more.
NEAR = 0.1

# --- 03.1: affine quantization ------------------------------------------------------------


def check_scale_zero_point(function: Callable[[float, float, int], tuple[float, int]]) -> Check:
    """Exercise 03.1, first half.

    Args:
        function: maps the ends of a range and a number of bits to scale and zero point.
    """
    gaps = "Between 2**bits levels lie 2**bits - 1 gaps; the scale is the width of one gap."
    stretch = "Zero has to be a level, or padding gets an error: min(low, 0), max(high, 0)."
    where = "The zero point is the level at which 0.0 lies: how many gaps is low below zero?"

    def part(index: int, low: float, high: float, bits: int = 8) -> Callable[[], object]:
        return lambda: function(low, high, bits)[index]

    return verify(
        "Exercise 03.1, scale and zero point",
        [
            Case("scale of -1 to 3 with 8 bits", part(0, -1.0, 3.0), 4 / 255, gaps, 1e-6),
            Case("zero point of -1 to 3 with 8 bits", part(1, -1.0, 3.0), 64, where),
            Case("zero point of -1 to 2.9 with 8 bits", part(1, -1.0, 2.9), 65, where),
            Case("scale of -1 to 2 with 4 bits", part(0, -1.0, 2.0, 4), 0.2, gaps, 1e-6),
            Case("zero point of -1 to 2 with 4 bits", part(1, -1.0, 2.0, 4), 5, where),
            Case("scale of 2 to 6, zero left out", part(0, 2.0, 6.0), 6 / 255, stretch, 1e-6),
            Case("zero point of 2 to 6, zero left out", part(1, 2.0, 6.0), 0, stretch),
            Case("scale of -3 to -1, zero left out", part(0, -3.0, -1.0), 3 / 255, stretch, 1e-6),
            Case("zero point of -3 to -1, zero left out", part(1, -3.0, -1.0), 255, stretch),
            Case(
                "a range that is only zero",
                lambda: tuple(float(v) for v in function(0.0, 0.0, 8)),
                (1.0, 0.0),
                "A tensor that is all zero has no width, and a scale of 0 cannot be divided by. "
                "The task names what to return.",
            ),
            Case(
                "the zero point is a whole number",
                lambda: isinstance(function(-1.0, 3.0, 8)[1], int),
                True,
                "q is a whole number, so the zero point has to be one: round it to an int.",
            ),
        ],
    )


def check_fake_quantize(function: Callable[[Tensor, float, int, int], Tensor]) -> Check:
    """Exercise 03.1, second half.

    Args:
        function: maps a float tensor, scale, zero point and bits to the tensor after int.
    """

    def case(name: str, values: list[float], expected: list[float], hint: str) -> tasks.Case:
        # whole numbers 0 to 15 at 0.2 each, zero at 5: the range from -1 to 2 of the chapter
        return Case(
            name, lambda: function(torch.tensor(values), 0.2, 5, 4), torch.tensor(expected), hint,
            1e-5,
        )  # fmt: skip

    image = torch.linspace(-0.7, 4, 60).reshape(2, 1, 5, 6) + 0.003
    expected = torch.fake_quantize_per_tensor_affine(image, 0.0104, 78, 0, 255)
    return verify(
        "Exercise 03.1, there and back",
        [
            case(
                "levels stay where they are",
                [-1.0, 0.0, 0.2, 2.0],
                [-1.0, 0.0, 0.2, 2.0],
                "On the way back, subtract the zero point first and multiply then.",
            ),
            case(
                "between two levels, the nearer one",
                [0.07, 0.13, 0.55, -0.33],
                [0.0, 0.2, 0.6, -0.4],
                "Round to the nearest level. int(), floor and // always go down or towards zero, "
                "which makes the error up to twice as large.",
            ),
            case(
                "beyond the range, its end",
                [5.0, -3.0],
                [2.0, -1.0],
                "Clamp the whole numbers to 0 and 2**bits - 1 after adding the zero point. Bytes "
                "wrap around, so clamp before any cast; and 4 bits end at 15, not at 255.",
            ),
            Case(
                "8 bits and the shape of images, as torch does it",
                lambda: function(image, 0.0104, 78, 8),
                expected,
                "The end of the range depends on bits, and the shape of x stays.",
                1e-5,
            ),
        ],
    )


# --- 03.2: repair a recipe ----------------------------------------------------------------


Recipe = Callable[[nn.Module, Dataset], nn.Module]


@cache
def _digits() -> tuple[Dataset, Dataset, Tensor]:
    """The digits, the digits with a hidden test split, and the float model's answers."""
    data = datasets.load("digits")
    # A blank test split: whoever calibrates on it learns the range of white paper.
    blank = torch.full_like(data.test.images, data.test.images.min().item())
    hidden = Split(torch.zeros_like(data.test.raw), blank, torch.zeros_like(data.test.labels))
    reference = measure.scores(load_trained(data), data.test.images)
    return data, dataclasses.replace(data, test=hidden), reference


def _quantized(module: nn.Module) -> bool:
    return type(module).__module__.startswith(
        ("torch.ao.nn.quantized", "torch.ao.nn.intrinsic.quantized")
    )


def _made(recipe: Recipe, network: nn.Module, data: Dataset) -> nn.Module | Exception:
    """What a recipe makes of a network, or what it raises; only "not begun" goes on rising."""
    engine = torch.backends.quantized.engine
    try:
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return recipe(network, data)
    except NotImplementedError as error:
        if "Could not run" not in str(error):  # torch says it of a missing kernel
            raise
        return RuntimeError(str(error).split(". ")[0])
    except Exception as error:
        return error
    finally:
        torch.backends.quantized.engine = engine


def check_repaired_recipe(recipe: Recipe) -> Check:
    """Exercise 03.2.

    Args:
        recipe: maps a float network with stubs, in eval mode, and a data set to an int8 network.
    """
    data, hidden, reference = _digits()
    made: list[nn.Module | Exception] = []

    def network() -> nn.Module:
        if not made:
            start = QuantizableTinyMobileNet.from_float(load_trained(data))
            made.append(_made(recipe, start, hidden))
        if isinstance(made[0], Exception):
            raise made[0]
        return made[0]

    def left(kinds: tuple[type[nn.Module], ...]) -> int | None:
        if network() is None:
            return None
        return sum(isinstance(m, kinds) and not _quantized(m) for m in network().modules())

    def norms() -> int:
        names = [type(m).__name__ for m in network().modules()]
        return sum(name in ("BatchNorm2d", "BNReLU2d") for name in names)

    def agrees() -> bool:
        try:
            scores = measure.scores(network(), data.test.images)
        except NotImplementedError as error:
            raise RuntimeError(str(error).split(". ")[0]) from error
        found = compare(reference, scores)
        return found.verdict.ok and found.rel_l2 <= NEAR

    return verify(
        "Exercise 03.2",
        [
            Case(
                "float convolutions and linear layers left",
                lambda: left((nn.Conv2d, nn.Linear)),
                0,
                "prepare reads the qconfig when it is called. Set it before; and convert last.",
            ),
            Case(
                "BatchNorms left",
                norms,
                0,
                "A BatchNorm of its own rounds once more and costs time. Fuse the network, in eval "
                "mode, before prepare.",
            ),
            Case(
                f"answers as the float network, to a relative error of {NEAR}",
                agrees,
                True,
                "The ranges do not fit. torch.rand never goes below 0, the images do, and a test "
                "split that is hidden has nothing to observe: let data.calibration.images pass.",
            ),
        ],
    )


# --- 03.3: what is half of a block? -------------------------------------------------------


def _counted(cin: int, cout: int, hidden: int) -> int:
    layers = (
        nn.Conv2d(cin, hidden, 1, bias=False),
        nn.Conv2d(hidden, hidden, 3, groups=hidden, bias=False),
        nn.Conv2d(hidden, cout, 1, bias=False),
    )
    return sum(layer.weight.numel() for layer in layers)


def check_block_weights(function: Callable[[int, int, int, float], int]) -> Check:
    """Exercise 03.3.

    Args:
        function: maps input channels, output channels, hidden channels and the share of hidden
            channels that stays to the number of convolution weights.
    """
    depthwise = "The depthwise weight has the shape (hidden, 1, 3, 3): 9 for each channel."
    once = "Only the hidden channels are cut. cin and cout stay, so no term has keep in it twice."
    return verify(
        "Exercise 03.3",
        [
            Case(
                "32 to 32 channels, 128 hidden, all kept",
                lambda: function(32, 32, 128, 1.0),
                _counted(32, 32, 128),
                depthwise,
            ),
            Case(
                "the same with half of the hidden channels",
                lambda: function(32, 32, 128, 0.5),
                _counted(32, 32, 64),
                once,
            ),
            Case(
                "64 to 128 channels, 256 hidden, a quarter kept",
                lambda: function(64, 128, 256, 0.25),
                _counted(64, 128, 64),
                "The expansion reads cin, the projection writes cout. " + once,
            ),
        ],
    )
