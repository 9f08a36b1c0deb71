"""What exercise 08 asks, and the cases that you can see. `check("key")` in the notebook runs them.

The grader asks the same about inputs that are not in this file. Nothing in here needs ExecuTorch:
the right answers are PyTorch's, and files are looked at in a process of their own.
"""

import math
from itertools import groupby

import torch
from torch import Tensor, nn
from torch.nn import functional as F

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
)


def drawn(net, draw):
    """A network with drawn weights, in eval mode."""
    with torch.no_grad():
        for part in net.modules():
            if isinstance(part, (nn.Conv2d, nn.Linear)):
                inputs = part.weight[0].numel()
                part.weight.copy_(draw.normal_tensor(*part.weight.shape) / inputs**0.5)
                if part.bias is not None:
                    part.bias.copy_(draw.normal_tensor(len(part.bias)) / 3)
    return net.eval()


def made(kind, draw, **size):
    """A network of this file with drawn weights, and how the grader sends it."""
    with torch.random.fork_rng(devices=[]):
        net = drawn(kind(**size), draw)
    state = {name: x.clone() for name, x in net.state_dict().items()}
    return net, Net(f"checks:{kind.__name__}", size, state)


# --- 1. who does the work -----------------------------------------------------------------------

#: Steps that XNNPACK leaves over, and what ExecuTorch calls them; everything else it takes.
LEFT = {"cumsum": "aten_cumsum_default", "erf": "aten_erf_default", "flip": "aten_flip_default"}


class Chain(nn.Module):
    """Pictures (n, 3, 8, 8), through one step after the other."""

    def __init__(self, steps: tuple[str, ...] = ("conv",)) -> None:
        super().__init__()
        self.steps = tuple(steps)
        for place, step in enumerate(self.steps):
            if step == "conv":
                setattr(self, f"conv{place}", nn.Conv2d(3, 3, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        for place, step in enumerate(self.steps):
            if step == "conv":
                x = torch.relu(getattr(self, f"conv{place}")(x))
            elif step == "cumsum":
                x = torch.cumsum(x, 3)
            elif step == "flip":
                x = torch.flip(x, (2,))
            else:
                x = torch.erf(x) if step == "erf" else x + 0.5 * x
        return x


PARTS = (
    "get_delegation_info(program.exported_program().graph_module).num_delegated_subgraphs. Each "
    "time that XNNPACK is left and entered again, there is one more part."
)
OVER = (
    "delegation_by_operator has, for each operator, how often it was delegated and how often not. "
    "Those with non_delegated above 0 are left over; getitem takes a result out and is none."
)


def chain_cases(name, steps):
    """Two questions about one chain."""
    runs = [taken for taken, _ in groupby(steps, lambda step: step not in LEFT)]
    left = {LEFT[step]: steps.count(step) for step in LEFT if step in steps}
    net, x = Net("checks:Chain", {"steps": steps}), Draw(81).normal_tensor(1, 3, 8, 8)
    ask = Call("who", (net, x))
    return [
        Case(f"{name}: the parts", ask, sum(runs), PARTS, pick=lambda r: r["parts"]),
        Case(f"{name}: what is left over, and how often", ask, left, OVER,
             pick=lambda r: r["left"]),
    ]  # fmt: skip


def who(p):
    return chain_cases("five steps", ("conv", "cumsum", "erf", "add", "cumsum"))


# --- 2. one part --------------------------------------------------------------------------------


class Levels(nn.Module):
    """Pictures (1, 2, 16, 16) to scores that add up: each is the sum of those before it."""

    def __init__(self, width: int = 6, scores: int = 4) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, width, 3, padding=1)
        self.linear = nn.Linear(width, scores)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(torch.relu(self.conv(x)), 2)
        x = x.mean((2, 3))
        return torch.cumsum(self.linear(x), 1)


POOL = (
    "It has to be a .pte. If the partitioner ended in an IndexError: it asks the pooling for a "
    "stride, which is not written out."
)
WHOLE = (
    "Something was left over, so XNNPACK is left on the way. A mean keeps its axes with "
    "keepdim=True, flatten takes them away. A sum of scores up to each is a product with a "
    "triangular matrix: the weights and the bias of the last layer can hold it."
)
SAME = "The same answers as the network that came, for every picture."


def one_part(seen):
    """Whether all of a file was handed to XNNPACK, in one piece."""
    return seen["parts"] == {"XnnpackBackend": 1} and not seen["operators"]


def in_words(seen):
    """What was found in a file."""
    return f"{seen['loads']}, parts {seen.get('parts')}, left over {seen.get('operators')}"


def whole_cases(name, draw, **size):
    """The questions about one network."""
    net, sent = made(Levels, draw, **size)
    inputs = tuple(draw.normal_tensor(1, 2, 16, 16) for _ in range(3))
    with torch.no_grad():
        answers = [net(x) for x in inputs]
    ask = Call("whole", (sent,))
    return [
        Case(f"{name}: a program of ExecuTorch", Facts(ask), "executorch", POOL, gate=True,
             pick=lambda f: f["loads"]),
        Case(f"{name}: one part, nothing left over", Facts(ask), "one part, nothing left over",
             WHOLE, judge=one_part, show=in_words, gate=True),
        Case(f"{name}: answers", Run(ask, inputs), answers, SAME, 1e-3, weight=2),
    ]  # fmt: skip


def whole(p):
    return whole_cases("six channels", Draw(82))


# --- 3. a calibration that clips ----------------------------------------------------------------

RANGE = (
    "Without a momentum the range is from the smallest to the largest number of all batches. With "
    "one, it begins with the first batch's, and each further batch moves it: "
    "low = low + momentum * (its smallest - low)."
)
ZERO = (
    "0.0 has to be among the numbers that int8 can say, exactly: the range is widened to hold it, "
    "and low / scale is rounded. scale = (high - low) / 255, zero = -128 - round(low / scale)."
)
BEYOND = (
    "A number is clipped if round(x / scale) + zero is below -128 or above 127. Those exactly at "
    "the end are not."
)
WORST = (
    "The largest |x - back|, where back = (q - zero) * scale of the clamped q. Inside the range it "
    "is half a step; what was clipped is off by its distance from the end."
)


def grid_of(batches, momentum):
    """The right scale and zero point."""
    low, high = (float(f(batches[0])) for f in (torch.min, torch.max))
    for batch in batches[1:]:
        smallest, largest = float(batch.min()), float(batch.max())
        if momentum is None:
            low, high = min(low, smallest), max(high, largest)
        else:
            low, high = low + momentum * (smallest - low), high + momentum * (largest - high)
    low, high = min(low, 0.0), max(high, 0.0)
    scale = (high - low) / 255
    return scale, -128 - round(low / scale)


def loss_of(x, scale, zero):
    """The right share of clipped numbers, and the largest error."""
    exact = torch.round(x.double() / scale) + zero
    kept = exact.clamp(-128, 127)
    return float((exact != kept).double().mean()), float((x - (kept - zero) * scale).abs().max())


def grid_cases(name, batches, momentum, weight=1.0):
    """Two questions about one range."""
    ask, (scale, zero) = Call("grid", (batches, momentum)), grid_of(batches, momentum)
    return [
        Case(f"{name}: scale", ask, scale, RANGE, 1e-5 * scale, pick=lambda r: r[0], weight=weight),
        Case(f"{name}: zero point", ask, zero, ZERO, pick=lambda r: r[1], weight=weight),
    ]  # fmt: skip


def loss_cases(name, x, scale, zero):
    """Two questions about what a range does to numbers."""
    ask, (share, worst) = Call("lost", (x, scale, zero)), loss_of(x, scale, zero)
    return [
        Case(f"{name}: share of clipped numbers", ask, share, BEYOND, 1e-6, pick=lambda r: r[0]),
        Case(f"{name}: largest error", ask, worst, WORST, 1e-4 * max(1.0, worst),
             pick=lambda r: r[1]),
    ]  # fmt: skip


def clip(p):
    quiet = [torch.tensor([-1.0, 0.5, 1.55]), torch.tensor([-0.5, 0.0, 1.0])]
    loud = [*quiet, torch.tensor([-4.0, 2.0, 12.0])]
    high = [torch.tensor([2.0, 5.1]), torch.tensor([3.0, 4.0])]
    numbers = torch.tensor([-2.0, -1.28, 0.0, 0.333, 1.27, 1.28, 9.0, -1.28])
    return [
        *grid_cases("two batches, smallest and largest", quiet, None),
        *grid_cases("a loud third, smallest and largest", loud, None),
        *grid_cases(f"a loud third, momentum {p.momentum}", loud, p.momentum),
        *grid_cases("numbers above 2 only", high, None),
        *loss_cases("eight numbers", numbers, 0.01, 0),
    ]


# --- 4. a branch and a batch --------------------------------------------------------------------


class Gate(nn.Module):
    """One picture (1, 1, 8, 8) to six scores; a dark one is made brighter first."""

    def __init__(self, limit: float = 0.3) -> None:
        super().__init__()
        self.conv, self.limit = nn.Conv2d(1, 4, 3, padding=1), limit
        self.linear = nn.Linear(4 * 16, 6)

    def forward(self, x: Tensor) -> Tensor:
        if x.mean() < self.limit:
            x = torch.sqrt(x) + 0.1
        x = F.max_pool2d(torch.relu(self.conv(x)), 2, 2)
        return self.linear(x.view(1, -1))


BRANCH = (
    "Each picture decides for itself: a mean of shape (n, 1, 1, 1), and torch.where(dark, one, "
    "other) chooses picture by picture."
)
BATCH = (
    "The file says the largest batch that it takes. A size is free with dynamic_shapes and a Dim, "
    "and an example whose batch is not 1. With XNNPACK, mind on which side of 16 the example is: "
    "the range is cut to that side (chapter 09)."
)
KEPT = "view(1, -1) keeps a batch of one. flatten(1) keeps whatever the batch is."


def pictures(draw, count, limit):
    """Pictures (count, 1, 8, 8), 0 to 1, in turn darker and lighter than the limit."""
    x = draw.uniform_tensor(count, 1, 8, 8)
    wanted = torch.tensor([limit * (0.5 if i % 2 else 1.5) for i in range(count)])
    return x * (wanted / x.mean((1, 2, 3))).view(-1, 1, 1, 1)


def ported_cases(p, name, draw):
    """The questions about one network."""
    net, sent = made(Gate, draw, limit=p.limit)
    batches = [pictures(draw, n, p.limit) for n in (1, 2, p.most)]
    with torch.no_grad():
        scores = [torch.cat([net(x[None]) for x in batch]) for batch in batches]
    (one, two, many), (single, other, all_of_them) = batches, scores
    ask = Call("ported", (sent, p.most))

    def largest(seen):
        return seen["inputs"][0][1][0]

    return [
        Case(f"{name}: a program of ExecuTorch", Facts(ask), "executorch", BATCH, gate=True,
             pick=lambda f: f["loads"]),
        Case(f"{name}: batches up to {p.most}", Facts(ask), f"{p.most} or more", BATCH,
             judge=lambda f: largest(f) >= p.most, show=lambda f: f"up to {largest(f)}"),
        Case(f"{name}: one picture", Run(ask, (one,)), [single], KEPT, 1e-3, gate=True),
        Case(f"{name}: a lighter and a darker one", Run(ask, (two,)), [other], BRANCH, 1e-3,
             weight=2),
        Case(f"{name}: {p.most} at once", Run(ask, (many,)), [all_of_them], BATCH, 1e-3),
    ]  # fmt: skip


def ported(p):
    return ported_cases(p, "your limit", Draw(83))


# --- 5. memory as it lies -----------------------------------------------------------------------

STRIDES = (
    "PyTorch finds the element [i, j] at i * strides[0] + j * strides[1] in memory: "
    "torch.as_strided(memory, shape, strides)."
)
LIES = (
    "ExecuTorch takes the shape and reads memory from its begin, one number after the other: "
    "memory[:numbers].reshape(shape)."
)
HARMLESS = (
    "Both see the same if each axis' stride is the product of the sizes behind it. The stride of "
    "an axis of size 1 is never used, so it may be anything."
)


def seen_cases(name, memory, shape, strides):
    """Two questions about one tensor."""
    ask = Call("seen", (memory, shape, strides))
    count = math.prod(shape)
    return [
        Case(f"{name}: what PyTorch sees", ask, torch.as_strided(memory, shape, strides), STRIDES,
             1e-6, pick=lambda r: r[0]),
        Case(f"{name}: what ExecuTorch sees", ask, memory[:count].reshape(shape), LIES, 1e-6,
             pick=lambda r: r[1]),
    ]  # fmt: skip


def same_for_both(shape, strides):
    """The right answer of ``harmless``."""
    expected = [math.prod(shape[i + 1 :]) for i in range(len(shape))]
    return all(n == 1 or a == b for n, a, b in zip(shape, strides, expected, strict=True))


def harmless_cases(*questions, weight=0.5):
    """Whether both see the same, for names with shapes and strides."""
    return [
        Case(name, Call("harmless", (shape, strides)), same_for_both(shape, strides), HARMLESS,
             weight=weight)
        for name, shape, strides in questions
    ]  # fmt: skip


def memory(p):
    numbers = torch.arange(12.0)
    return [
        *seen_cases("two rows of three, turned", numbers, (3, 2), (1, 3)),
        *seen_cases("every second number", numbers, (2, 3), (6, 2)),
        *harmless_cases(
            ("channels first", (1, 3, 4, 4), (48, 16, 4, 1)),
            ("channels last", (1, 3, 4, 4), (48, 1, 12, 3)),
            ("channels last, one channel", (1, 1, 4, 4), (16, 1, 4, 1)),
        ),
    ]


# --- 6. deliver ---------------------------------------------------------------------------------


class Gauge(nn.Module):
    """Pictures (1, 1, 16, 16) to three numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(1, 8, 3, 2, 1), nn.Conv2d(8, 16, 3, 2, 1)
        self.linear = nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.b(torch.relu(self.a(x))))
        return self.linear(x.mean((2, 3)))


def network_of(dial: int) -> Gauge:
    """Your network, with its weights."""
    net, _ = made(Gauge, Draw(840 + dial))
    with torch.no_grad():  # channels of very different size, as training leaves them
        net.b.weight.mul_(2.0 ** Draw(850 + dial).uniform_tensor(16, 1, 1, 1, low=-5, high=1))
        net.linear.bias.zero_()
    return net


def photos(draw, count):
    """Pictures (count, 1, 16, 16): the first are faint, the last ten times as bright."""
    bright = torch.linspace(0.0, 1.0, count) ** 3
    return (0.2 + 1.8 * bright).view(-1, 1, 1, 1) * draw.normal_tensor(count, 1, 16, 16)


def calibration_of(dial: int) -> Tensor:
    """Twenty pictures (20, 1, 16, 16) to calibrate with, as your camera took them."""
    return photos(Draw(860 + dial), 20)


#: Bytes of the network's weights, if each is one: 8 * 9 + 16 * 8 * 9 + 3 * 16.
INT8_BYTES = 8 * 9 + 16 * 8 * 9 + 3 * 16
GAUGE = Delivered("gauge.pte")
BYTES = (
    "int8 with a scale for each channel is called qcint8 in the file: is_per_channel=True, "
    "prepare_pt2e, calibrate, convert_pt2e, and only then lower."
)
LOOSE = (
    "int8 may be off by a few hundredths of the largest answer. If bright pictures are off by much "
    "more, the calibration has not seen one: the pictures are in the order in which they came."
)
#: The largest relative L2 error of an int8 file. Calibrated with all pictures it was below 0.05 for
#: every network here, and above 0.3 with the first half of them.
CLOSE = 0.15


def apart(answers, got):
    """The relative L2 error of all answers together."""
    there = torch.cat([one.double() for one in got])
    return float((there - answers).norm() / answers.norm()) if there.shape == answers.shape else 9.9


def delivered_cases(p, faint, bright):
    """The questions about a student's own file."""
    net, seen = network_of(p.dial), Facts(GAUGE)
    cases = [
        Case("one part, nothing left over", seen, "one part, nothing left over", WHOLE,
             judge=one_part, show=in_words, gate=True),
        Case("int8 weights, a scale for each channel", seen, f"{INT8_BYTES} bytes of qcint8", BYTES,
             judge=lambda f: f["dtypes"]["qcint8"] == INT8_BYTES and "fp32" not in f["dtypes"],
             show=lambda f: str(f["dtypes"]), gate=True),
    ]  # fmt: skip
    for name, images, weight in (("faint", faint, 1), ("bright", bright, 3)):
        with torch.no_grad():
            answers = net(images).double()
        cases.append(
            Case(f"answers for {name} pictures", Run(GAUGE, tuple(images.split(1))),
                 f"a relative error of at most {CLOSE}", LOOSE, weight=weight,
                 judge=lambda got, answers=answers: apart(answers, got) <= CLOSE,
                 show=lambda got, answers=answers: f"{apart(answers, got):.2g}")
        )  # fmt: skip
    return cases


def shots(draw):
    """Eight pictures of the middle of the range, and eight that are as bright as there are."""
    return draw.normal_tensor(8, 1, 16, 16), 2.0 * draw.normal_tensor(8, 1, 16, 16)


def deliver(p):
    return delivered_cases(p, *shots(Draw(87)))


EXERCISE = Exercise(
    "Exercise 08: ExecuTorch",
    parameters={
        "momentum": (0.1, 0.25),
        "limit": (0.3, 0.5),
        "most": (20, 32),
        "dial": (1, 2),
    },
    tasks=(
        Task(
            "who", "1. Who does the work", 3, 25, ("who",), who,
            "Lower, ask get_delegation_info, take num_delegated_subgraphs, and from "
            "delegation_by_operator the names with non_delegated above 0, without getitem.",
        ),
        Task(
            "whole", "2. In one part", 4, 35, ("whole",), whole,
            "A class of your own with the network's layers: max_pool2d(x, 2, 2), "
            "mean((2, 3), keepdim=True).flatten(1), and a linear layer with weight "
            "torch.tril(torch.ones(n, n)) @ weight, and the same for the bias. No cumsum.",
        ),
        Task(
            "clip", "3. A calibration that clips", 3, 25, ("grid", "lost"), clip,
            "low and high of the batches, min(low, 0) and max(high, 0), scale = (high - low) / "
            "255, zero = -128 - round(low / scale). Lost: q = round(x / scale) + zero, clamped to "
            "-128 and 127; the share where clamping changed q, and the largest "
            "|x - (q - zero) * scale|.",
            uses=("momentum",),
        ),
        Task(
            "ported", "4. A branch and a batch", 4, 35, ("ported",), ported,
            "dark = x.mean((1, 2, 3), keepdim=True) < limit; x = torch.where(dark, sqrt(x) + 0.1, "
            "x); flatten(1). Export with dynamic_shapes={'x': {0: Dim('batch', min=1, max=most)}} "
            "and an example of several pictures.",
            uses=("limit", "most"),
        ),
        Task(
            "memory", "5. Memory as it lies", 2, 20, ("seen", "harmless"), memory,
            "seen: torch.as_strided(memory, shape, strides), and memory[:count].reshape(shape). "
            "harmless: for each axis whose size is not 1, is the stride the product of the sizes "
            "behind it?",
        ),
        Task(
            "deliver", "6. An int8 file of your own", 4, 30, ("gauge.pte",), deliver,
            "mean with keepdim=True in a class of your own; XNNPACKQuantizer with "
            "get_symmetric_quantization_config(is_per_channel=True); prepare_pt2e, all pictures of "
            "calibration_of one by one, convert_pt2e, lower for XNNPACK, write the buffer.",
            uses=("dial",),
        ),
    ),
    limits=Limits(cell=240, notebook=900),
    runtimes=("executorch",),
)  # fmt: skip

check = Checker(EXERCISE)
