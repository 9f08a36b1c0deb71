"""What exercise 03 asks, and the cases that you can see. `check("key")` in the notebook runs them.

The grader asks the same about inputs that are not in this file.
"""

import torch

from mobilelab import datasets, models
from mobilelab.grading import (
    Call,
    Case,
    Checker,
    Delivered,
    Exercise,
    Facts,
    Limits,
    Run,
    Task,
    accuracy,
)

GAPS = "Between 2**bits marks lie 2**bits - 1 gaps; the scale is the width of one gap."
ZERO = "Zero has to lie on a mark, or padding gets an error: stretch the range to contain 0."
CLAMP = "A value outside the range lands on the nearest end. Without clamping it wraps around."
ROUND = "Round to the nearest mark; cutting the fraction off moves every value towards zero."


def affine(p):
    x = torch.tensor([-1.0, 0.0, 0.5, 3.0])
    ask = Call("affine_parameters", (x, 8))
    whole = Call("quantize", (torch.tensor([-9.0, -1.0, 0.0, 0.26, 9.0]), 0.2, 5, 4))
    return [
        Case("scale of values from -1 to 3, 8 bits", ask, 4 / 255, GAPS, 1e-6, pick=lambda r: r[0]),
        Case("zero point of the same", ask, 64, ZERO, pick=lambda r: r[1]),
        Case(
            f"scale with {p.bits} bits",
            Call("affine_parameters", (x, p.bits)),
            4 / (2**p.bits - 1),
            GAPS,
            1e-6,
            pick=lambda r: r[0],
        ),
        Case(
            "all values positive: the range starts at 0",
            Call("affine_parameters", (torch.tensor([2.0, 6.0]), 8)),
            [6 / 255, 0],
            ZERO,
            1e-6,
            pick=list,
        ),
        Case("rounding and clamping to 4 bits", whole, torch.tensor([0, 0, 5, 6, 15]), CLAMP),
    ]


CHANNEL = "One scale for each output channel: the largest magnitude is taken inside the channel."
SYMMETRIC = "Symmetric: zero point 0, and the largest magnitude lands on 2**(bits-1) - 1."
EMPTY = "A channel of zeros has no width, and dividing by a scale of 0 gives nan. Use scale 1."


def per_channel(p):
    weight = torch.tensor([[0.5, -1.0], [0.02, 0.01], [0.0, 0.0]])
    top = 2 ** (p.bits - 1) - 1
    ask = Call("quantize_per_channel", (weight, p.bits))
    scales = torch.tensor([1.0 / top, 0.02 / top, 1.0])
    return [
        Case("one scale per channel", ask, scales, CHANNEL, 1e-6, pick=lambda r: r[1]),
        Case(
            "the largest of each channel on the last mark",
            ask,
            torch.tensor([-top, top]),
            SYMMETRIC,
            pick=lambda r: torch.stack([r[0][0, 1], r[0][1, 0]]),
        ),
        Case("a channel of zeros", ask, torch.tensor([0, 0]), EMPTY, pick=lambda r: r[0][2]),
    ]


OVERFLOW = (
    "The sum of many int8 products does not fit int8. It wraps around without an error: "
    "widen to int32 before you multiply."
)
OFFSET = "The zero point of x belongs to every x: take it off before you multiply."


def silent(p):
    x = torch.tensor([[10, 20, 30]], dtype=torch.uint8)
    small = torch.tensor([[1, 1, -1]], dtype=torch.int8)
    large = torch.tensor([[127, 127, 127]], dtype=torch.int8)
    return [
        Case(
            "small numbers, zero point 0",
            Call("quantized_linear", (x, small, 0.5, 0, 0.1)),
            torch.tensor([[0.0]]),
            OVERFLOW,
            1e-5,
        ),
        Case(
            "large numbers, zero point 0",
            Call("quantized_linear", (x, large, 0.5, 0, 0.1)),
            torch.tensor([[381.0]]),
            OVERFLOW,
            1e-3,
        ),
        Case(
            "zero point 10",
            Call("quantized_linear", (x, large, 0.5, 10, 0.1)),
            torch.tensor([[190.5]]),
            OFFSET,
            1e-3,
        ),
    ]


FEWEST = "Try the widths from few to many and stop at the first that is good enough."
NONE = "If even 8 bits are not good enough the answer is 0, not 8."


def width(p):
    steps = torch.tensor([-3.0, -1.0, 1.0, 2.0, 3.0])
    rough = torch.tensor([1.0, 0.34, -0.7, 0.12])
    return [
        Case("whole numbers up to 3 need 3 bits", Call("fewest_bits", (steps, 1e-6)), 3, FEWEST),
        Case("ten percent of error", Call("fewest_bits", (rough, 0.1)), 3, FEWEST),
        Case("no error at all", Call("fewest_bits", (rough, 0.0)), 0, NONE),
    ]


SIZE = "Float weights take four bytes each. Is the file made from the converted network?"
FLOATS = "No quantized operator in the file: convert() comes after calibration, before scripting."
NOISE = (
    "An int8 network that answers much worse was usually calibrated on the wrong images, or on "
    "too few. Use real training images, normalized as the network expects them."
)


def images_and_labels():
    data = datasets.load("digits")
    return data.calibration.images, data.calibration.labels


def deliver(p):
    images, labels = images_and_labels()
    return delivered_cases(p, images, labels)


def delivered_cases(p, images, labels):
    with torch.no_grad():
        float_accuracy = accuracy(models.load_trained()(images), labels)
    file = Delivered("int8.ptl")
    seen, answers = Facts(file), Run(file, tuple(images.split(64)))
    least = float_accuracy - 2.0
    return [
        Case(
            "the lite interpreter loads it", seen, "lite",
            "Save with _save_for_lite_interpreter; .save() writes no bytecode.",
            pick=lambda f: f["loads"],
        ),
        Case(
            "size", seen, f"at most {p.budget_kb} kB", SIZE, pick=lambda f: f["size"],
            judge=lambda size: size <= p.budget_kb * 1000, show=lambda n: f"{n / 1000:.0f} kB",
        ),
        Case(
            "its convolutions are quantized", seen, "quantized::conv2d... among the operators",
            FLOATS, pick=lambda f: sorted(o for o in f["operators"] if "conv" in o),
            judge=lambda names: bool(names) and all("quantized::" in n for n in names), gate=True,
        ),
        Case(
            "accuracy", answers, f"at least {least:.1f} % (two points below float)", NOISE,
            judge=lambda scores: accuracy(scores, labels) >= least, weight=3,
            show=lambda scores: f"{accuracy(scores, labels):.1f} %",
        ),
    ]  # fmt: skip


EXERCISE = Exercise(
    "Exercise 03: quantization",
    parameters={
        "bits": (4, 3, 5, 6),
        "budget_kb": (445, 440, 450, 455),
        "seed": range(1000),
    },
    tasks=(
        Task(
            "affine", "1. Affine quantization", 4, 10, ("affine_parameters", "quantize"), affine,
            "Stretch the range so that it contains 0. The scale is (high - low) / (2**bits - 1), "
            "the zero point is round(-low / scale): the mark at which 0.0 lies. A value x lands "
            "on round(x / scale) + zero_point, clamped to 0 ... 2**bits - 1.",
            uses=("bits",),
        ),
        Task(
            "per_channel", "2. Weights, one scale per channel", 4, 15, ("quantize_per_channel",),
            per_channel,
            "For each output channel take the largest magnitude m. The scale is m / top with "
            "top = 2**(bits-1) - 1; the weights are round(w / scale), between -top and top. "
            "Give scales a shape that broadcasts: (channels, 1, 1, ...).",
            uses=("bits",),
        ),
        Task(
            "silent", "3. Find the silent bug", 4, 15, ("quantized_linear",), silent,
            "Two bugs. int8 times uint8 summed in int8 wraps around above 127; hardware widens "
            "to int32 first. And q stands for (q - zero_point) * scale, so the zero point has to "
            "come off x before the product.",
        ),
        Task(
            "width", "4. How many bits does a tensor need?", 3, 15, ("fewest_bits",), width,
            "Quantize symmetrically with 2, 3, ... 8 bits; for each compare what comes back with "
            "the original: norm(x - back) / norm(x). The first that is at most the limit wins.",
        ),
        Task(
            "deliver", "5. An int8 network within a budget", 5, 45, ("int8.ptl",), deliver,
            "Chapter 03, section by section: QuantizableTinyMobileNet.from_float, fuse(), a "
            "qconfig for qnnpack, prepare, calibrate on training images, convert; then script "
            "and _save_for_lite_interpreter. Set torch.backends.quantized.engine first.",
            uses=("budget_kb",),
        ),
    ),
    limits=Limits(cell=60, notebook=180),
)  # fmt: skip

check = Checker(EXERCISE)
