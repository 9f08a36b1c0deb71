"""What exercise 04 asks, and the cases that you can see. `check("key")` in the notebook runs them.

The grader asks the same about inputs that are not in this file.
"""

import torch
from torch import Tensor, nn

from mobilelab import datasets
from mobilelab.grading import (
    Call,
    Case,
    Checker,
    Delivered,
    Draw,
    Exercise,
    Facts,
    Limits,
    Net,
    Run,
    Task,
    accuracy,
)

SCALE = (
    "BatchNorm multiplies input channel i by weight[i] / sqrt(running_var[i] + eps), and that is "
    "the axis of the convolution's weight that runs over its inputs, axis 1, not axis 0."
)
SHIFT = (
    "What BatchNorm adds to an input channel passes through the convolution like any other number: "
    "times every weight that reads this channel, summed up over the kernel as well."
)
NO_BIAS = "No bias in the convolution does not mean no bias after folding: start from zero."
GROUPS = (
    "With groups, axis 1 of the weight counts the inputs of one group only. An output of group 1 "
    "reads the channels behind those of group 0."
)
PLAIN = (
    "affine=False means that BatchNorm has no weight and no bias of its own (both are None): "
    "take 1 and 0. And eps is a setting, not a constant."
)


def norm(weight, bias, mean, var, eps=0.0):
    state = {
        "weight": torch.tensor(weight),
        "bias": torch.tensor(bias),
        "running_mean": torch.tensor(mean),
        "running_var": torch.tensor(var),
        "num_batches_tracked": torch.tensor(1),
    }
    return Net("torch.nn:BatchNorm2d", {"num_features": len(weight), "eps": eps}, state)


def conv(weight, bias=None, groups=1):
    out, inside, kernel, _ = weight.shape
    settings = {
        "in_channels": inside * groups,
        "out_channels": out,
        "kernel_size": kernel,
        "groups": groups,
        "bias": bias is not None,
    }
    state = {"weight": weight} if bias is None else {"weight": weight, "bias": bias}
    return Net("torch.nn:Conv2d", settings, state)


def fold(p):
    # scale 1 and 2, shift 0.5 and -21
    before = norm([2.0, 6.0], [1.0, -1.0], [0.5, 10.0], [4.0, 9.0])
    row = torch.tensor([3.0, 5.0]).view(1, 2, 1, 1)
    column = row.view(2, 1, 1, 1)
    one = Call("fold_before", (before, conv(row)))
    two = Call("fold_before", (before, conv(column, torch.tensor([0.25, 4.0]), groups=2)))
    wide = Call("fold_before", (before, conv(torch.ones(1, 2, 2, 2))))
    return [
        Case("weight, two channels to one", one, torch.tensor([3.0, 10.0]).view(1, 2, 1, 1), SCALE,
             1e-4, pick=lambda r: r[0]),
        Case("bias, two channels to one", one, torch.tensor([-103.5]), SHIFT, 1e-3,
             pick=lambda r: r[1]),
        Case("bias, a kernel of 2x2 ones", wide, torch.tensor([-82.0]), SHIFT, 1e-3,
             pick=lambda r: r[1]),
        Case("weight, two groups", two, torch.tensor([3.0, 10.0]).view(2, 1, 1, 1), GROUPS, 1e-4,
             pick=lambda r: r[0]),
        Case("bias, two groups", two, torch.tensor([1.75, -101.0]), GROUPS, 1e-3,
             pick=lambda r: r[1]),
    ]  # fmt: skip


ROWS = "One error for each image: norms along axis 1, not of the whole tensor."
ZERO = (
    "Dividing by the norm of a row of zeros gives nan or inf. If both rows are zero nothing is "
    "wrong, so the error is 0; if only the reference is zero it is infinite."
)
NAN = (
    "nan compares as False with everything: nan <= limit is False, and so is nan > limit. Decide "
    "yourself what it means, before any comparison: an infinite error."
)
HALF = "float16 ends at 65504, and a norm gets there soon. Widen to float64 before you compute."
WORST = "The worst image decides. A mean over all images hides the one that is broken."
AGREE = "Count the rows whose largest score is at the same place; at least `agree` percent of them."


def parity(p):
    inf, nan = float("inf"), float("nan")
    reference = torch.tensor([[3.0, 4.0], [0.0, 0.0], [0.0, 0.0], [6.0, 8.0]])
    candidate = torch.tensor([[3.0, 4.5], [0.0, 0.0], [0.1, 0.0], [6.0, nan]])
    scores = torch.eye(10).repeat(2, 1) * 5 + torch.arange(10.0) / 10
    upside_down = scores.clone()
    upside_down[7] = -upside_down[7]
    candidates = {"a copy": scores.clone(), "doubled": 2 * scores, "one image": upside_down}
    return [
        Case("errors of four images", Call("row_errors", (reference, candidate)),
             torch.tensor([0.1, 0.0, inf, inf]), ZERO, 1e-5),
        Case("a large score in float16",
             Call("row_errors", (torch.tensor([[6e4, 6e4]]).half(),
                                 torch.tensor([[6e4, 3e4]]).half())),
             torch.tensor([0.35355]), HALF, 1e-3),
        Case("verdicts", Call("verdicts", (scores, candidates)),
             {"a copy": "same", "doubled": "DIFFERENT", "one image": "DIFFERENT"}, WORST),
    ]  # fmt: skip


STORED = (
    "is_contiguous() asks whether the numbers lie one behind the other as NCHW; "
    "is_contiguous(memory_format=torch.channels_last) asks the same for NHWC. Both, one or "
    "neither may be true."
)
LABEL = (
    "Where a tensor's numbers lie and what a convolution makes of its strides are two things. "
    "Do not work it out: run a convolution and look at the strides of what comes out."
)


def layout(p):
    tensors = [
        ((1, 1, 32, 32), (1024, 1024, 32, 1)),
        ((1, 1, 32, 32), (1024, 1, 32, 1)),
        ((2, 3, 4, 5), (60, 20, 5, 1)),
        ((2, 3, 4, 5), (60, 1, 15, 3)),
        ((1, 3, 4, 4), (192, 1, 24, 3)),
    ]
    ask = Call("layouts", (tensors,))
    return [
        Case("stored as", ask, ["both", "both", "NCHW", "NHWC", "neither"], STORED,
             pick=lambda r: [pair[0] for pair in r]),
        Case("a convolution makes of it", ask, ["NCHW", "NHWC", "NCHW", "NHWC", "NHWC"], LABEL,
             pick=lambda r: [pair[1] for pair in r]),
    ]  # fmt: skip


LOST = (
    "A large error on every picture, and nothing raised: the biases that folding computed were "
    "lost. Chapter 04, section 3, says why, and section 4 how to get them back."
)
BRANCH = (
    "Right for pictures like the example and wrong for the others: a trace writes down the one way "
    "that the example took through an `if`. Which of the two ways into TorchScript keeps it?"
)
MODE = "The network may come straight from training: put it into eval mode before anything else."
PACKED = (
    "Right answers alone are not the goal: the file shall hold packed convolutions, no BatchNorm, "
    "and with every convolution the bias that folding has made."
)


class Meter(nn.Module):
    """Reads the first digit of a water meter. A photo taken by day is bright: it is inverted."""

    def __init__(self, width: int = 8, blocks: int = 2, classes: int = 5) -> None:
        super().__init__()
        layers = [nn.Conv2d(1, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
        for _ in range(blocks):
            layers += [
                nn.Conv2d(width, width, 3, stride=2, padding=1, groups=width, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(),
                nn.Conv2d(width, width, 1, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(),
            ]
        self.features = nn.Sequential(*layers)
        self.dropout = nn.Dropout(0.3)
        self.head = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        if bool(x.mean() > 0.5):
            x = 1 - x
        return self.head(self.dropout(self.features(x).mean(dim=[2, 3])))


def pictures(draw, count, bright):
    """`count` pictures (count, 1, 16, 16) of one brightness, each with another contrast."""
    contrast = draw.uniform_tensor(count, 1, 1, 1, low=0.2, high=0.7)
    dark = contrast * draw.uniform_tensor(count, 1, 16, 16)
    return 1 - dark if bright else dark


def lived_in(draw, **size):
    """A meter whose BatchNorms have the statistics of pictures, not those of a fresh network."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        meter = Meter(**size)
        for module in meter.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                inputs = module.weight[0].numel()
                module.weight.copy_(draw.normal_tensor(*module.weight.shape) / inputs**0.5)
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = None
                module.weight.copy_(draw.uniform_tensor(len(module.weight), low=0.6, high=1.6))
                module.bias.copy_(draw.uniform_tensor(len(module.bias), low=-0.3, high=0.7))
        meter.head.weight.mul_(3)
        meter.head.bias.copy_(draw.normal_tensor(len(meter.head.bias)))
        meter.train().features(pictures(draw, 32, bright=False))
    return meter.eval()


def meter_cases(name, draw, **size):
    """The questions about one meter: asked with its weights, answered by the network itself."""
    meter = lived_in(draw, **size)
    state = {name: value.clone() for name, value in meter.state_dict().items()}
    day, night = (pictures(draw, 5, bright) for bright in (True, False))
    with torch.no_grad():
        by_day, by_night = meter(day), meter(night)
    quiet = Call("export", (Net("checks:Meter", size, state), night[:1]))
    eager = Call("export", (Net("checks:Meter", size, state, training=True), day[:1]))
    layers = [m for m in meter.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    numbers = sum(m.weight.numel() + len(m.weight) for m in layers)

    def complete(seen):
        names = seen["operators"]
        packed = "prepacked::conv2d_clamp_run" in names and "aten::batch_norm" not in names
        return packed and seen["dtypes"]["float32"] >= 4 * numbers

    def words(seen):
        convs = sorted(n for n in seen["operators"] if "conv" in n or "norm" in n)
        return f"{', '.join(convs)}; {seen['dtypes'].get('float32', 0) // 4} numbers"

    return [
        Case(f"{name}: pictures like the example", Run(quiet, (night,)), [by_night], LOST, 1e-3),
        Case(f"{name}: pictures unlike the example", Run(quiet, (day,)), [by_day], BRANCH, 1e-3),
        Case(f"{name}: a network in training mode", Run(eager, (day, night)), [by_day, by_night],
             MODE, 1e-3),
        Case(f"{name}: packed, with every bias", Facts(quiet),
             f"prepacked::conv2d_clamp_run, no batch_norm; {numbers} numbers", PACKED,
             judge=complete, show=words, weight=2),
    ]  # fmt: skip


def silent(p):
    return meter_cases("a small meter", Draw(4), width=6, blocks=1, classes=3)


LITE = "Save with _save_for_lite_interpreter; .save() writes no bytecode."
SIZE = (
    "Count: a float32 weight takes four bytes, and a 3x3 convolution from 32 to 64 channels has "
    "18432 of them. Halving every width makes a quarter of it. Some kB are always there."
)
FUSED = (
    "What the interpreter calls one by one was not optimized: count the operators before you "
    "save. Module.eval() first, then script, then optimize_for_mobile."
)
WEAK = (
    "Guessing (10 %) means that something was lost on the way: compare the file with your network "
    "first. Somewhat too low: train longer, and on images that you have moved by a pixel or two."
)
#: operators that are gone when everything was folded and packed
LOOSE = {"aten::batch_norm", "aten::conv2d", "aten::_convolution", "aten::linear", "aten::dropout"}
LEAST = 90.0
MINE = Delivered("mine.ptl")


def packed(names):
    return "prepacked::conv2d_clamp_run" in names and not LOOSE & set(names)


def accuracy_case(images, labels):
    return Case(
        "accuracy",
        Run(MINE, tuple(images.split(50))),
        f"at least {LEAST:.0f} %",
        WEAK,
        judge=lambda scores: accuracy(scores, labels) >= LEAST,
        show=lambda scores: f"{accuracy(scores, labels):.1f} %",
    )


def deliver(p):
    data, seen = datasets.load("digits").calibration, Facts(MINE)
    return [
        Case("the lite interpreter loads it", seen, "lite", LITE, pick=lambda f: f["loads"]),
        Case("size", seen, f"at most {p.budget_kb} kB", SIZE, pick=lambda f: f["size"],
             judge=lambda size: size <= p.budget_kb * 1000, show=lambda n: f"{n / 1000:.1f} kB"),
        Case("folded and packed", seen, "prepacked convolutions, no loose layers", FUSED,
             pick=lambda f: sorted(f["operators"]), judge=packed),
        accuracy_case(data.images, data.labels),
    ]  # fmt: skip


EXERCISE = Exercise(
    "Exercise 04: optimize for mobile",
    parameters={
        "agree": (90, 80, 85, 95),
        "budget_kb": (36, 32, 40, 30),
        "seed": range(1000),
    },
    tasks=(
        Task(
            "fold", "1. Fold the other way round", 4, 15, ("fold_before",), fold,
            "BatchNorm turns input channel i into scale[i] * x + shift[i], with scale = weight / "
            "sqrt(running_var + eps) and shift = bias - running_mean * scale. So every weight that "
            "reads channel i is multiplied by scale[i], and the bias grows by the sum of weight * "
            "shift over inputs and kernel. With groups, output o reads the inputs of group "
            "o // (outputs / groups); write scale and shift out to the shape (outputs, "
            "inputs per group, 1, 1) first.",
        ),
        Task(
            "layout", "2. Stored as, taken for", 3, 15, ("layouts",), layout,
            "torch.empty_strided(shape, stride).zero_() builds the tensor. is_contiguous, without "
            "and with memory_format=torch.channels_last, says how it is stored. For the second "
            "answer run nn.Conv2d(shape[1], 8, 1) on it: if the stride of axis 1 of the result "
            "is 1, the channels of a pixel lie together, NHWC.",
        ),
        Task(
            "parity", "3. A verdict that cannot be fooled", 4, 20, ("row_errors", "verdicts"),
            parity,
            "Widen both to float64. Norm of the difference along axis 1, divided by the norm of "
            "the reference. Then three repairs: 0 where the difference is 0, inf where only the "
            "reference is 0, inf where anything is not finite. The verdict looks at the largest "
            "of these errors and at the share of equal argmax.",
            uses=("agree",),
        ),
        Task(
            "silent", "4. Find the silent bugs", 4, 20, ("export",), silent,
            "Three bugs, and one cure for two of them. On a trace the optimizer loses the bias of "
            "every folded convolution; a trace also writes down one branch of the `if`. "
            "torch.jit.script keeps both. The third is the mode: network.eval() comes first.",
        ),
        Task(
            "deliver", "5. Your own recipe", 5, 50, ("mine.ptl",), deliver,
            "Three or four convolutions with BatchNorm and ReLU, the first with a stride, then a "
            "mean over height and width and a linear layer. With about 5000 weights it keeps every "
            "budget. Train it for some ten epochs or more with AdamW on randomly moved training "
            "images; then eval, script, optimize_for_mobile, _save_for_lite_interpreter.",
            uses=("budget_kb",),
        ),
    ),
    limits=Limits(cell=60, notebook=180),
)  # fmt: skip

check = Checker(EXERCISE)
