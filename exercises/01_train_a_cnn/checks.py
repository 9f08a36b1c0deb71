"""What exercise 01 asks, and the cases that you can see. `check("key")` in the notebook runs them.

The grader asks the same about inputs that are not in this file.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mobilelab import datasets
from mobilelab.grading import (
    Call,
    Case,
    Checker,
    Exercise,
    Facts,
    Limits,
    Net,
    Run,
    Task,
    accuracy,
)

SCALE = "Divide by the largest value that the camera can give before you take mean and deviation."
CHANNELS = "One mean and one deviation for each channel: average over all images and positions."
AXIS = (
    "The channels are the second axis. A vector of three broadcasts along the last axis, and in a "
    "picture three pixels wide nobody complains. Give it the shape (1, channels, 1, 1)."
)
CONSTANTS = "Use the constants that you are given. A phone has one picture and no training split."


def normalize(p):
    raw = torch.tensor([[[[0, 2], [4, 6]], [[10, 10], [20, 20]]]], dtype=torch.uint8)
    ask = Call("statistics", (raw, 20))
    grey = torch.tensor([[[[0, p.top]]]], dtype=torch.uint8)
    wide = torch.full((1, 3, 1, 3), 10, dtype=torch.uint8)
    means, stds = torch.tensor([0.0, 1.0, 2.0]), torch.tensor([1.0, 0.5, 0.25])
    lines = torch.tensor([1.0, 0.0, -4.0]).reshape(1, 3, 1, 1).expand(1, 3, 1, 3)
    return [
        Case("mean of each channel", ask, torch.tensor([0.15, 0.75]), CHANNELS, 1e-5,
             pick=lambda r: torch.as_tensor(r[0]).flatten()),
        Case("a picture from black to white",
             Call("normalize", (grey, torch.tensor([0.5]), torch.tensor([0.25]), p.top)),
             torch.tensor([[[[-2.0, 2.0]]]]), SCALE, 1e-5),
        Case("three channels, three pixels wide", Call("normalize", (wide, means, stds, 10)),
             lines, AXIS, 1e-5),
    ]  # fmt: skip


FLOOR = "A filter that does not fit any more is left out: the division is rounded down."
DILATED = "Dilation d spreads k taps over d * (k - 1) + 1 pixels. It does not change their number."
BACKWARDS = (
    "Go backwards, from the last layer to the first: which positions of its input does a range of "
    "positions of its output need?"
)
STRIDES = (
    "A step in a late layer is worth the product of all strides before it. The layer's own stride "
    "does not widen what one of its outputs sees."
)
PADDED = "Padding moves everything to the left: position 0 begins `padding` pixels before pixel 0."


def sees(p):
    one = [(3, 2, 1, 1)]
    two = [(3, 2, 1, 1), (5, 1, 2, 1)]
    far = [(3, 1, 0, 4)]
    return [
        Case("outputs of one layer with stride 2", Call("output_size", (32, one)), 16, FLOOR),
        Case("outputs of a dilated layer", Call("output_size", (20, far)), 12, DILATED),
        Case("what output 0 of one layer sees", Call("sees", (0, one)), [-1, 1], PADDED, pick=list),
        Case("what output 3 of two layers sees", Call("sees", (3, two)), [1, 11], STRIDES,
             pick=list),
        Case("what output 0 of a dilated layer sees", Call("sees", (0, far)), [0, 8], DILATED,
             pick=list),
    ]  # fmt: skip


class Witness(nn.Module):
    """A small classifier with dropout, and averages that training moves."""

    def __init__(self, channels: int = 1, classes: int = 4, p: float = 0.0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, 6, 3, stride=2, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(6)
        self.dropout = nn.Dropout(p)
        self.classifier = nn.Linear(6, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.norm(self.conv(x))).mean((2, 3))
        return self.classifier(self.dropout(x))


def as_found(net: dict) -> str:
    """What a network looks like after the call, in words."""
    modes = set(net["training"])
    mode = "mixed" if len(modes) > 1 else "training" if modes.pop() else "eval"
    averages = "moved" if int(net["state"]["norm.num_batches_tracked"]) else "untouched"
    return f"mode: {mode}; running averages: {averages}; hooks left: {net['hooks']}"


def left_as_found(name, ask, mode, hint, weight=1.0):
    """Whether the first argument, a Witness, is after the call what it was before.

    It counts as far as the answers are right: a function that does nothing leaves all as it was.
    """
    wanted = f"mode: {mode}; running averages: untouched; hooks left: 0"
    return Case(
        name, ask, wanted, hint, pick=lambda after: as_found(after[0]),
        judge=lambda text: text == wanted, show=str, weight=weight,
    )  # fmt: skip


MODE = (
    "In training mode BatchNorm normalizes with the batch in front of it, and dropout is at work. "
    "A figure for the phone needs eval mode."
)
UNEQUAL = (
    "The last batch is often smaller. A mean of the batches' shares counts its images more than "
    "the others: count the right answers and divide once."
)
HARM = (
    "In training mode every batch moves BatchNorm's running averages; and a network that stays in "
    "eval mode is trained on in eval mode. Note the mode, switch, count, switch back."
)


def silent(p):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        net = Witness()
    state = net.state_dict()
    state["norm.running_mean"] = torch.tensor([0.5, -0.5, 0.1, 0.0, -0.2, 0.3])
    images = torch.linspace(-2, 2, 6 * 64).sin().reshape(6, 1, 8, 8) * torch.arange(1, 7).reshape(
        6, 1, 1, 1
    )
    net.load_state_dict(state)
    with torch.no_grad():
        said = net.eval()(images).argmax(1)
    labels = torch.where(torch.arange(6) < 4, said, (said + 1) % 4)
    quiet, busy = Net("checks:Witness", {}, state), Net("checks:Witness", {}, state, training=True)
    return [
        Case("eval mode, two batches of 3", Call("evaluate", (quiet, images, labels, 3)), 4 / 6,
             MODE, 1e-5),
        Case("eval mode, batches of 4 and 2", Call("evaluate", (quiet, images, labels, 4)), 4 / 6,
             UNEQUAL, 1e-5),
        left_as_found("a network in training mode stays as it was",
                      Call("evaluate", (busy, images, labels, 3), back=True), "training", HARM),
    ]  # fmt: skip


class Small(nn.Module):
    """A stem, a depthwise and a pointwise convolution, a classifier."""

    def __init__(
        self, channels: int = 1, width: int = 8, classes: int = 10, kernel: int = 5,
        dilation: int = 1, groups: int = 1,
    ) -> None:  # fmt: skip
        super().__init__()
        self.stem = nn.Conv2d(channels, width, 3, stride=2, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(width)
        padding = dilation * (kernel - 1) // 2
        self.depthwise = nn.Conv2d(
            width, width, kernel, padding=padding, dilation=dilation, groups=width, bias=False
        )
        self.pointwise = nn.Conv2d(width, 2 * width, 1, groups=groups)
        self.classifier = nn.Linear(2 * width, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.norm(self.stem(x)))
        x = torch.relu(self.pointwise(self.depthwise(x)))
        return self.classifier(x.mean((2, 3)))


class Again(nn.Module):
    """One convolution that is used `times` times, with the same weights."""

    def __init__(self, width: int = 4, times: int = 2) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1)
        self.times = times

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(self.times):
            x = torch.relu(self.conv(x))
        return x


TRAINED = (
    "BatchNorm's running averages are stored, but nobody trains them: they are buffers, not "
    "parameters. Its weight and bias are parameters, and so is the bias of a convolution."
)
GROUPED = (
    "Every number that comes out of a convolution costs one filter: cin / groups * k * k "
    "multiply-accumulates. weight.shape knows the groups already. Count no bias and no BatchNorm."
)
RUNS = (
    "A layer that is used twice works twice, with one set of weights. Count the work when the "
    "layer runs, not when you meet it in a list."
)
CLEAN = (
    "Take your hooks off again, also in their own network. The forward run needs eval mode, or "
    "BatchNorm learns from it; afterwards the mode has to be what it was."
)


def cost(p):
    small = Call("cost", (Net("checks:Small"), torch.ones(1, 1, 16, 12)))
    again = Call("cost", (Net("checks:Again"), torch.ones(1, 4, 5, 6)))
    witness = Net("checks:Witness", training=True)
    return [
        Case("parameters of Small", small, 602, TRAINED, pick=lambda r: r[0]),
        Case("multiply-accumulates of Small, 16 by 12 pixels", small, 19360, GROUPED,
             pick=lambda r: r[1]),
        Case("one convolution, used twice", again, [148, 8640], RUNS, pick=list),
        left_as_found("a network in training mode stays as it was",
                      Call("cost", (witness, torch.ones(1, 1, 8, 8)), back=True), "training",
                      CLEAN),
    ]  # fmt: skip


#: Percent of the photos that have to be right.
LEAST = 90.0

HEAVY = "Each weight takes four bytes. Where are most of them? Make the late layers narrower."
TURNED = (
    "Far below the goal: does the network know this camera? Train on pictures that went through "
    "`camera`, moved by up to three pixels in both directions, and with grain of a strength up to "
    "0.4. And train for long enough."
)
COMPANY = (
    "The scores of a picture depend on the pictures beside it: something in the file is still in "
    "training mode. eval() comes before the conversion."
)


def camera(images: Tensor, turn: int, mirrored: bool) -> Tensor:
    """The images as a camera delivers them: turned by quarter turns, then perhaps mirrored."""
    images = torch.rot90(images, turn, (2, 3))
    return images.flip(3) if mirrored else images


def photos(images: Tensor, p, right: int, down: int, noise: Tensor) -> Tensor:
    """What the camera makes of images that are moved by up to 3 pixels, with grain."""
    wide = F.pad(camera(images, p.turn, p.mirrored), (3, 3, 3, 3), mode="replicate")
    return wide[..., 3 + down : 35 + down, 3 + right : 35 + right] + 0.4 * noise


def deliver(p):
    calibration = datasets.load("digits").calibration
    grain = torch.Generator().manual_seed(1)
    parts = [
        photos(calibration.images, p, right, down, torch.randn(100, 1, 32, 32, generator=grain))
        for right, down in ((0, 0), (2, -1), (-1, 3))
    ]
    return delivered_cases(p, parts, calibration.labels.repeat(3))


def delivered_cases(p, parts, labels):
    file = Call("deliver")
    seen, answers = Facts(file), Run(file, (*parts, parts[0][:1]))
    best = [0.0]  # a network that only guesses gets nothing for being small

    def enough(scores):
        best[0] = accuracy(scores[:-1], labels)
        return best[0] >= LEAST

    def apart(scores):
        one, other = scores[0][:1], scores[-1]
        # (n, 1) and (1, n) would fill the grader's memory
        return float((one - other).abs().max()) if one.shape == other.shape else float("inf")

    def alone(scores):
        return apart(scores) <= 1e-3 and best[0] > 50

    return [
        Case(
            "accuracy on photos of this camera", answers, f"at least {LEAST} %", TURNED,
            judge=enough, show=lambda scores: f"{accuracy(scores[:-1], labels):.1f} %", weight=3,
        ),
        Case(
            "a picture alone and in company", answers, "the same scores", COMPANY, judge=alone,
            show=lambda scores: (
                f"a difference of up to {apart(scores):.2g} and {best[0]:.1f} % right"
            ),
        ),
        Case(
            "size, of a network that does better than guessing", seen,
            f"at most {p.budget_kb} kB, and more than half right", HEAVY,
            judge=lambda f: f["loads"] == "torchscript" and f["size"] <= p.budget_kb * 1000
            and best[0] > 50,
            show=lambda f: f"{f['size'] / 1000:.1f} kB and {best[0]:.1f} % right",
        ),
    ]  # fmt: skip


EXERCISE = Exercise(
    "Exercise 01: a CNN of your own",
    parameters={
        "top": (255, 63, 127, 15),
        "turn": (1, 2, 3),
        "mirrored": (False, True),
        "budget_kb": (90, 95, 85, 100),
        "seed": range(1000),
    },
    tasks=(
        Task(
            "normalize", "1. Raw pictures, per channel", 3, 10, ("statistics", "normalize"),
            normalize,
            "Divide by top, then average over the axes 0, 2 and 3: what is left is one number for "
            "each channel. To normalize, give mean and std the shape (1, channels, 1, 1); then "
            "(raw / top - mean) / std pairs each channel with its own constants.",
            uses=("top",),
        ),
        Task(
            "sees", "2. What a stack of convolutions sees", 4, 20, ("output_size", "sees"), sees,
            "Size: (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1, layer by "
            "layer. What is seen, from the last layer to the first: output i begins at "
            "i * stride - padding, and its filter reaches dilation * (kernel - 1) further. Do "
            "this with both ends of the range.",
        ),
        Task(
            "silent", "3. Find the silent bug", 4, 20, ("evaluate",), silent,
            "Note net.training, call net.eval(), count right answers under torch.no_grad(), "
            "divide by the number of images, and restore the mode with net.train(noted).",
        ),
        Task(
            "cost", "4. What a whole network costs", 4, 30, ("cost",), cost,
            "Register a forward hook on every Conv2d and Linear. In it, add the number of "
            "elements of the output times the work for one of them: weight[0].numel(), for both "
            "kinds. Run once in eval mode without gradients, remove the hooks, restore the mode. "
            "Parameters: the sum of numel() over net.parameters().",
        ),
        Task(
            "deliver", "5. A network of your own, for one camera", 5, 60, ("deliver",), deliver,
            "Three or four bricks of convolution, BatchNorm, ReLU, two or three of them with "
            "stride 2, from 8 or 10 up to 40 channels, then AdaptiveAvgPool2d(1), Flatten and "
            "Linear. The training loop of chapter 01, on camera(images, turn, mirrored), with "
            "moved pictures and grain, for 20 to 30 epochs at a highest rate of 1e-2.",
            uses=("turn", "mirrored", "budget_kb"),
        ),
    ),
    limits=Limits(cell=60, notebook=180),
)  # fmt: skip

check = Checker(EXERCISE)
