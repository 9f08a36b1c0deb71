"""What exercise 07 asks, and the cases that you can see. `check("key")` in the notebook runs them.

The grader asks the same about inputs that are not in this file. No phone is asked here: the
figures in COUNTED are those that chapters 07 and 09 printed on their emulated cores.
"""

import io
import math
import warnings

import torch
import torch.jit.mobile
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

#: Millions of instructions, of products, and of instructions that multiply, for one image of the
#: bundled digits: emulated cores of qemu, torch 2.1.0, as chapter 07 prints them; the files of
#: ExecuTorch and LiteRT as chapter 09 does. One of them was not counted on the A53.
COUNTED = {
    "cortex-a53": {
        "mobile": (25.0, 28.0, 7.3),
        "mobile-nhwc": (17.6, 28.0, 7.3),
        "mobile-pruned": (15.1, 16.2, 4.2),
        "mobile-int8": (11.9, 27.3, 6.8),
        "mobile-small": (7.3, 15.9, 4.0),
        "et-fp32": (17.2, 27.9, 7.3),
        "litert-fp32": (17.2, 27.9, 7.3),
        "litert-int8": (11.4, 26.5, 6.5),
    },
    "cortex-a76": {
        "mobile": (18.3, 28.0, 7.0),
        "mobile-nhwc": (11.0, 28.0, 7.0),
        "mobile-pruned": (11.4, 16.2, 4.1),
        "mobile-int8": (11.9, 27.3, 6.8),
        "mobile-small": (7.3, 15.9, 4.0),
        "et-fp32": (10.5, 27.9, 7.0),
        "litert-fp32": (10.5, 27.9, 7.0),
        "et-int8": (4.1, 27.0, 1.7),
        "litert-int8": (4.0, 27.0, 1.7),
    },
}
#: Their sizes in kB, as chapters 07 to 09 print them.
SIZES = {
    "mobile": 1465, "mobile-nhwc": 1466, "mobile-pruned": 890, "mobile-int8": 419,
    "mobile-small": 271, "et-fp32": 1461, "et-int8": 445,
}  # fmt: skip


def cost_of(core, name):
    """The counts of one file, as whole numbers."""
    instructions, products, multiplying = COUNTED[core][name]
    return {
        "instructions": round(instructions * 1e6),
        "products": round(products * 1e6),
        "mac_instructions": round(multiplying * 1e6),
    }


# --- 1. one inference ---------------------------------------------------------------------------

EMPTY = (
    "A request costs something before the network begins. What an empty request adds to a sum is "
    "the median of the empty requests; it is taken off each other request, before dividing."
)
WARM = (
    "The first request that asks for inferences packs weights and fills caches: it is left out. "
    "The first in the list may be an empty one."
)
EACH = (
    "The requests ask for different numbers of inferences. Divide each by its own number first, "
    "then take the median; the sum of all, divided by all, is moved by the one that was disturbed."
)
SPREAD = (
    "The largest distance of a request's instructions from their median, divided by the median: of "
    "the requests that count, so without the warm-up."
)
SUMS = ("instructions", "mac_instructions", "products")


def log_of(*requests):
    """A log, from pairs of a number of inferences and what the request added to the sums."""
    sums, log = (40_000, 700, 2_000), []
    for inferences, added in requests:
        after = tuple(a + b for a, b in zip(sums, added, strict=True))
        log.append({"inferences": inferences, "before": sums, "after": after})
        sums = tuple(a + 9 for a in after)  # the counter goes on between two requests
    return log


def inference_cases(name, log, expected):
    """Two questions about one log."""
    ask = Call("one_inference", (log,))
    return [
        Case(f"{name}: the three counts", ask, [float(expected[k]) for k in SUMS], EACH, 1.01,
             pick=lambda r: [r[k] for k in SUMS], weight=2),
        Case(f"{name}: the spread", ask, float(expected["spread"]), SPREAD, 1e-4,
             pick=lambda r: r["spread"]),
    ]  # fmt: skip


def inference(p):
    plain = log_of(
        (2, (9000, 900, 3600)), (0, (500, 0, 0)), (2, (4500, 820, 3280)), (0, (500, 0, 0)),
        (4, (8580, 1640, 6560)), (2, (4500, 820, 3280)),
    )  # fmt: skip
    first_empty = log_of(
        (0, (300, 6, 6)), (1, (8000, 700, 900)), (0, (340, 8, 8)), (1, (2300, 408, 808)),
        (0, (320, 7, 7)), (1, (9920, 1007, 1207)), (2, (4320, 807, 1607)),
    )  # fmt: skip
    found = {"instructions": 2000, "mac_instructions": 410, "products": 1640, "spread": 0.01}
    other = {"instructions": 2000, "mac_instructions": 401, "products": 801, "spread": 3.8}
    return [
        *inference_cases("a warm-up, then requests", plain, found),
        *inference_cases("it begins with an empty request", first_empty, other),
    ]


# --- 2. multiply-accumulates --------------------------------------------------------------------


class Camera(nn.Module):
    """Pictures (n, channels, height, width) to three scores for each of their corners."""

    def __init__(
        self,
        channels: int = 3,
        width: int = 8,
        groups: int = 1,
        stride: int = 2,
        dilation: int = 1,
        again: bool = False,
    ) -> None:
        super().__init__()
        self.stem = nn.Conv2d(channels, width, 3, stride, 1)
        self.body = nn.Conv2d(width, 2 * width, (3, 5), padding="same", dilation=dilation,
                              groups=groups)  # fmt: skip
        self.mix = nn.Conv2d(2 * width, 2 * width, 1, bias=False)
        self.pixel = nn.Linear(2 * width, 6)
        self.last = nn.Linear(6 * 4, 3)
        self.again = again

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.body(torch.relu(self.stem(x))))
        for _ in range(2 if self.again else 1):
            x = torch.relu(self.mix(x))
        x = self.pixel(x.permute(0, 2, 3, 1))  # for each pixel
        return self.last(F.adaptive_avg_pool2d(x.permute(0, 3, 1, 2), 2).flatten(1))


GROUPS = (
    "In a convolution with groups an output channel sees only in_channels / groups channels: that "
    "is what weight.shape[1] says. A depthwise one has as many groups as channels."
)
PLACES = (
    "Each weight of a convolution is used once for every place of the output, so the output's "
    "height and width count, and with a stride they are smaller than the input's."
)
PIXELS = "A linear layer works for each row: its input here is (n, height, width, features)."
TWICE = "A layer that is called twice works twice. Count when it is called, not when it is listed."
ONE = "The count is for one picture: a batch of four does the work four times."


def camera_macs(shape, width=8, groups=1, stride=2, again=False, **_):
    """The right answer for a Camera, by arithmetic."""
    channels = shape[1]
    places = math.prod((n - 1) // stride + 1 for n in shape[2:])
    return {
        "stem": places * 9 * channels * width,
        "body": places * 15 * width * 2 * width // groups,
        "mix": places * 4 * width**2 * (1 + again),
        "pixel": places * 2 * width * 6,
        "last": 24 * 3,
    }


def macs_case(name, shape, hint, weight=1.0, **size):
    """One network and one shape of input."""
    net = Net("checks:Camera", {"channels": shape[1], **size})
    return Case(name, Call("macs", (net, shape)), camera_macs(shape, **size), hint, weight=weight)


def macs(p):
    return [
        macs_case("no groups, stride 1", (1, 3, 8, 8), PIXELS, stride=1),
        macs_case("stride 2 on a picture with odd sides", (1, 3, 9, 11), PLACES),
        macs_case("four groups", (1, 3, 8, 8), GROUPS, groups=4),
        macs_case("a layer that is called twice", (1, 1, 8, 6), TWICE, again=True),
        macs_case("a batch of four", (4, 1, 6, 6), ONE, width=4),
    ]


# --- 3. what a count says -----------------------------------------------------------------------

PRODUCTS = (
    "Products divided by the instructions that multiply: 4 where a register of 128 bits holds four "
    "numbers of 32 bits, up to 16 where the core has a dot product of int8."
)
REST = "The share of *all* instructions that does not multiply: 1 minus multiplying over all."
PRICES = (
    "Three parts: macs at the price of a multiply and an add, every instruction at 70 pJ, and "
    "in the upper estimate each number's bits from main memory at 2600 pJ for 64. The lower one "
    "has no memory at all. A microjoule is a million picojoules."
)
OVERLAP = (
    "Two estimates can be told apart only if the upper end of one lies below the lower end of the "
    "other. If they overlap, or touch, nothing is known."
)
FIRST = "Compare both ways: it may be the second that takes less."


def costs(p):
    mine, other = cost_of(p.core, p.file), cost_of(p.core, "mobile-int8")
    small = {"instructions": 1_000_000, "mac_instructions": 400_000, "products": 1_600_000}
    return [
        Case(f"{p.file}: products per multiplying instruction", Call("density", (mine,)),
             mine["products"] / mine["mac_instructions"], PRODUCTS, 1e-6, pick=lambda r: r[0]),
        Case("mobile-int8: the share that does not multiply", Call("density", (other,)),
             1 - other["mac_instructions"] / other["instructions"], REST, 1e-6,
             pick=lambda r: r[1]),
        Case("energy, float32", Call("energy_uj", (small, 1_500_000, 8000, 32)), [76.9, 87.3],
             PRICES, 1e-6, pick=list),
        Case("energy, int8", Call("energy_uj", (small, 1_500_000, 8000, 8)), [70.45, 73.05],
             PRICES, 1e-6, pick=list),
        Case("clearly less", Call("less", ((10.0, 20.0), (21.0, 50.0))), "first", OVERLAP),
        Case("the other way round", Call("less", ((30.0, 40.0), (5.0, 6.0))), "second", FIRST),
        Case("one inside of the other", Call("less", ((10.0, 50.0), (20.0, 30.0))), "cannot say",
             OVERLAP),
    ]  # fmt: skip


# --- 4. will the phone take it? -----------------------------------------------------------------


class Enlarge(nn.Sequential):
    """Pictures (n, 2, 8, 8), three channels made of them, `factor` times as large."""

    def __init__(self, mode: str = "bilinear", factor: float = 2.0) -> None:
        super().__init__(
            nn.Conv2d(2, 3, 3), nn.ReLU(), nn.Dropout(), nn.Upsample(scale_factor=factor, mode=mode)
        )


MODES = ("bilinear", "nearest", "bicubic")


def enlarge_of(draw, mode, factor):
    """An Enlarge with drawn weights, and how the grader sends it."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        net = Enlarge(mode, factor).eval()
        net[0].weight.copy_(draw.normal_tensor(*net[0].weight.shape) / 4)
        net[0].bias.copy_(draw.normal_tensor(3))
    state = {name: x.clone() for name, x in net.state_dict().items()}
    return net, Net("checks:Enlarge", {"mode": mode, "factor": factor}, state)


def lite_file(net, version=8, frozen=True):
    """The bytes of a file for the lite interpreter."""
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")
        module = torch.jit.script(nn.Sequential(*net).eval())  # torch's own source, not this
        module = torch.jit.freeze(module) if frozen else module
        content = module._save_to_buffer_for_lite_interpreter()
        if version == 8:
            return content
        return torch.jit.mobile._backport_for_mobile_to_buffer(io.BytesIO(content), version)


def needed(content):
    """The operators that a file asks for."""
    module = torch.jit.mobile._load_for_lite_interpreter(io.BytesIO(content))
    return set(torch.jit.mobile._export_operator_list(module))


#: A phone's library, built with a selected list: what this task's networks need once they were
#: frozen, traced or optimized, and a few more. A '#' begins a remark.
LIBRARY = """# photo app, built with a selected list
- aten::Float.Scalar
- aten::Int.Tensor
- aten::__getitem__.t
- aten::_convolution
- aten::adaptive_avg_pool1d
- aten::adaptive_avg_pool2d
- aten::adaptive_avg_pool3d
- aten::add.Tensor
- aten::add.int
- aten::append.t
- aten::conv2d
- aten::detach
- aten::dim
- aten::dropout
- aten::eq.int
- aten::floor
- aten::floor.float
- aten::format
- aten::gt.int
- aten::len.t
- aten::mul.Tensor
- aten::mul.float
- aten::relu
- aten::relu_
- aten::size
- aten::size.int
- aten::sub.int
- aten::to.device
- aten::to.dtype
- aten::upsample_bicubic2d.vec
- aten::upsample_bilinear2d.vec
- aten::upsample_nearest1d.vec
- aten::upsample_nearest2d.vec
- aten::upsample_nearest3d.vec
- prepacked::conv2d_clamp_run
- prepacked::linear_clamp_run
- prim::NumToTensor.Scalar
- prim::RaiseException
- prim::Uninitialized
"""


def listed(library):
    """The names in a library's list."""
    lines = [line.strip() for line in library.splitlines()]
    return {line[2:].strip() for line in lines if line.startswith("- ")}


LACKS = (
    "_export_operator_list of the loaded module gives the names that a file needs, overloads "
    "included. What is missing are those that stand in no line '- name' of the library's list; a "
    "line that begins with # is a remark."
)
WAY = (
    "Operators come first: a backport adds none, so with one missing it heals nothing. Only if all "
    "are there and the version is newer than the phone reads, a backport is the way out."
)
FREEZE = (
    "torch.jit.script compiles what forward calls, questions about arguments included, and those "
    "need operators that this library was built without. In a frozen module the settings are "
    "constants, and what they decide is gone. (optimize_for_mobile freezes; a trace never had it.)"
)
NEWEST = (
    "_save_to_buffer_for_lite_interpreter writes version 8. _backport_for_mobile_to_buffer writes "
    "it again in an older one; asked for 8 or more it has nothing to do, so do not ask."
)
SAME = "The file has to answer as the network does in eval mode, dropout switched off."
WAYS = ("ship", "backport", "operators")


def refusal_cases(name, content, library, newest):
    """Two questions about one file."""
    version = torch.jit.mobile._get_model_bytecode_version(io.BytesIO(content))
    missing = sorted(needed(content) - listed(library))
    way = "operators" if missing else "backport" if version > newest else "ship"
    ask = Call("refusal", (content, library, newest))
    return [
        Case(f"{name}: the version, and what to do", ask, [version, way], WAY,
             pick=lambda r: [r["version"], r["way"]]),
        Case(f"{name}: what the library lacks", ask, missing, LACKS,
             pick=lambda r: sorted(r["missing"])),
    ]  # fmt: skip


def mended_cases(name, draw, mode, factor, newest):
    """The questions about one mended network."""
    net, sent = enlarge_of(draw, mode, factor)
    x = draw.normal_tensor(2, 2, 8, 8)
    with torch.no_grad():
        answers = net(x)
    ask = Call("mended", (sent, LIBRARY, newest))

    def taken(seen):
        fits = seen["loads"] == "lite" and seen["bytecode_version"] <= newest
        return fits and set(seen["operators"]) <= listed(LIBRARY)

    def words(seen):
        missing = sorted(set(seen.get("operators", ())) - listed(LIBRARY))
        return f"{seen['loads']}, version {seen.get('bytecode_version')}, lacks {missing[:3]}"

    return [
        Case(f"{name}: the phone takes it", Facts(ask),
             f"version {min(8, newest)} or older, no operator missing",
             FREEZE if newest >= 8 else NEWEST, judge=taken, show=words, weight=2),
        Case(f"{name}: answers", Run(ask, (x,)), [answers], SAME, 1e-3, weight=2),
    ]  # fmt: skip


def takes(p):
    bilinear = enlarge_of(Draw(71), "bilinear", 2.0)[0]
    poor = LIBRARY.replace("- aten::upsample_bilinear2d.vec", "# - aten::upsample_bilinear2d.vec")
    return [
        *refusal_cases("as it was scripted", lite_file(bilinear, frozen=False), LIBRARY, 5),
        *refusal_cases("frozen, for a new phone", lite_file(bilinear), LIBRARY, 9),
        *refusal_cases("frozen, for an old phone", lite_file(bilinear), LIBRARY, 5),
        *refusal_cases("its operator was taken out", lite_file(bilinear, 5), poor, 7),
        *mended_cases(f"bilinear, a phone that reads {p.reads}", Draw(72), "bilinear", 2.0,
                      p.reads),
    ]  # fmt: skip


# --- 5. choose ----------------------------------------------------------------------------------

UNCOUNTED = (
    "A file that was not counted on your core has no figure, and a figure that is missing keeps no "
    "budget. The same for None."
)
WITHIN = "At most: a figure exactly at its limit keeps it. What the budget does not name is free."
NOISE = (
    "Counts of the same file moved by up to 2 % in chapter 07. So all candidates with at most 1.02 "
    "times the fewest instructions are equal, and the smallest of these files is taken."
)
NAMES = "Where the sizes are equal too, the name that comes first in the alphabet."
NOBODY = "Without a candidate there is no choice: None, and an empty list."
LIMITED = ("instructions", "size_kb", "memory_mb")


def real_table():
    """The files of COUNTED that are read here, with the instructions on each core."""
    return [
        {"variant": name, "size_kb": size,
         "instructions": {core: cost_of(core, name)["instructions"]
                          for core, counts in COUNTED.items() if name in counts}}
        for name, size in SIZES.items()
    ]  # fmt: skip


def chosen(table, core, budget):
    """What :func:`choose` should say."""

    def figure(row, quantity):
        return row["instructions"].get(core) if quantity == "instructions" else row.get(quantity)

    def fits(row):
        figures = [(figure(row, quantity), limit) for quantity, limit in budget.items()]
        counted = figure(row, "instructions") is not None
        return counted and all(f is not None and f <= limit for f, limit in figures)

    able = [row for row in table if fits(row)]
    if not able:
        return {"choice": None, "equal": []}
    fewest = min(row["instructions"][core] for row in able)
    equal = [row for row in able if row["instructions"][core] <= 1.02 * fewest]
    best = min(equal, key=lambda row: (row["size_kb"], row["variant"]))
    return {"choice": best["variant"], "equal": sorted(row["variant"] for row in equal)}


def choice_cases(name, table, core, budget, hint):
    """The questions about one table."""
    ask, right = Call("choose", (table, core, budget)), chosen(table, core, budget)
    return [
        Case(f"{name}: the choice", ask, right["choice"], hint, pick=lambda r: r["choice"]),
        Case(f"{name}: who is equal", ask, right["equal"], NOISE, weight=0.5,
             pick=lambda r: sorted(r["equal"])),
    ]  # fmt: skip


def row(name, size, memory, a53, a76):
    """A row of a table; a count that is None was not taken."""
    counts = {"cortex-a53": a53, "cortex-a76": a76}
    taken = {core: count for core, count in counts.items() if count is not None}
    return {"variant": name, "size_kb": size, "memory_mb": memory, "instructions": taken}


def choose(p):
    near = [
        row("a", 500, 9.0, 10_000_000, 10_000_000), row("b", 400, 9.0, 10_200_000, 10_200_000),
        row("c", 100, 9.0, 10_300_000, 10_300_000), row("d", 400, None, 10_100_000, 10_100_000),
    ]  # fmt: skip
    return [
        *choice_cases("the chapters' files, 500 kB", real_table(), p.core, {"size_kb": 500},
                      UNCOUNTED),
        *choice_cases("the chapters' files, no limit on the size", real_table(), p.core,
                      {"instructions": 17_600_000}, WITHIN),
        *choice_cases("made up, nearly equal", near, p.core, {"size_kb": 600}, NAMES),
        *choice_cases("made up, one memory unknown", near, p.core, {"memory_mb": 9.0}, UNCOUNTED),
        *choice_cases("made up, nothing fits", near, p.core, {"size_kb": 50}, NOBODY),
    ]  # fmt: skip


# --- 6. deliver ---------------------------------------------------------------------------------

BENDS = {
    "hardswish": F.hardswish,
    "silu": F.silu,
    "mish": F.mish,
    "gelu": F.gelu,
    "selu": F.selu,
}
#: What this library was built without: every kind of bend that torch has a name for.
LEFT_OUT = ("hardswish", "hardsigmoid", "silu", "mish", "gelu", "glu", "elu", "selu", "celu",
            "softplus", "log_sigmoid")  # fmt: skip
#: The most numbers that the file may hold. Each is used once for an answer, in one multiplication
#: or one addition.
MOST = 20_000
SENSOR = Delivered("sensor.ptl")


class Sensor(nn.Module):
    """Forty-eight readings (n, 48) to four scores (n, 4)."""

    def __init__(self, bend: str = "hardswish") -> None:
        super().__init__()
        self.first, self.wide = nn.Linear(48, 192), nn.Linear(192, 192)
        self.last, self.bend = nn.Linear(192, 4), bend

    def forward(self, x: Tensor) -> Tensor:
        bend = BENDS[self.bend]
        return self.last(bend(self.wide(bend(self.first(x)))))


def network_of(bend: str, rank: int) -> Sensor:
    """Your network, with its weights."""
    draw = Draw(73 + rank)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        net = Sensor(bend).eval()
        for part in (net.first, net.last):
            part.weight.copy_(draw.normal_tensor(*part.weight.shape) / part.in_features**0.5)
            part.bias.copy_(draw.normal_tensor(len(part.bias)) / 2)
        # what training with a strong decay leaves: most directions are gone
        up, down = draw.normal_tensor(192, rank), draw.normal_tensor(rank, 192)
        net.wide.weight.copy_(up @ down / (192 * rank) ** 0.5)
        net.wide.bias.copy_(draw.normal_tensor(192) / 2)
    return net


WITHOUT = (
    "Look the function up in torch's documentation and write its formula with operators that are "
    "left: clamp, sigmoid, tanh, exp, log, erf, where, and arithmetic."
)
NUMBERS = (
    "Look at torch.linalg.svdvals of the large layer's weight: most are zero. A matrix of rank r "
    "is the product of two thin ones, and two thin layers do its work with far fewer products."
)
OLDER = "Your phone reads versions up to `reads`: write the file again with a backport."
EXACT = "Fewer products, and not other answers: they may differ by rounding, not by more."
WIDTHS = {"float64": 8, "int64": 8, "float32": 4, "int32": 4, "float16": 2, "bfloat16": 2}


def held(seen):
    """How many numbers a file holds."""
    return sum(size // WIDTHS.get(dtype, 1) for dtype, size in seen["dtypes"].items())


def foreign(seen):
    """Operators in a file that the library was built without."""
    names = {f"aten::{name}{end}" for name in LEFT_OUT for end in ("", "_")}
    return sorted(op for op in seen["operators"] if op.split(".")[0] in names)


def delivered_cases(p, x):
    """The questions about a student's own file."""
    with torch.no_grad():
        answers = network_of(p.bend, p.rank)(x)
    seen = Facts(SENSOR)
    return [
        Case("no operator that the library lacks", seen, "nothing that was left out", WITHOUT,
             judge=lambda f: f["loads"] == "lite" and not foreign(f), gate=True,
             show=lambda f: f"{f['loads']}, {foreign(f) or 'nothing that was left out'}"),
        Case(f"at most {MOST} numbers", seen, f"at most {MOST} numbers", NUMBERS, gate=True,
             judge=lambda f: 0 < held(f) <= MOST, show=lambda f: f"{held(f)} numbers"),
        Case(f"the phone reads up to version {p.reads}", seen, f"at most version {p.reads}", OLDER,
             judge=lambda f: f["bytecode_version"] <= p.reads,
             show=lambda f: f"version {f['bytecode_version']}"),
        Case("your network's answers", Run(SENSOR, (x,)), [answers], EXACT, 2e-3, weight=4),
    ]  # fmt: skip


def deliver(p):
    return delivered_cases(p, 1.5 * Draw(74).normal_tensor(7, 48))


EXERCISE = Exercise(
    "Exercise 07: on a device",
    parameters={
        "core": ("cortex-a53", "cortex-a76"),
        "file": ("mobile-nhwc", "mobile-small", "mobile", "litert-int8", "mobile-pruned"),
        "reads": (7, 5, 6),
        "bend": ("hardswish", "silu", "mish", "gelu", "selu"),
        "rank": (8, 12, 6, 10),
    },
    tasks=(
        Task(
            "inference", "1. One inference out of a counter", 3, 25, ("one_inference",), inference,
            "What each request added is after minus before. Of the empty ones (inferences 0) take "
            "the median, for each of the three sums by itself. Of the others leave out the first, "
            "take the empty request off, divide by the request's own inferences, and take the "
            "median over the requests.",
        ),
        Task(
            "macs", "2. The multiply-accumulates of a layer", 3, 25, ("macs",), macs,
            "A forward hook on every Conv2d and Linear sees each call with its output. A "
            "convolution does weight[0].numel() products for each number of its output, a linear "
            "layer in_features. Add to the layer's sum at each call, and divide by the batch.",
        ),
        Task(
            "costs", "3. What a count says", 3, 20, ("density", "energy_uj", "less"), costs,
            "density: products / mac_instructions, and 1 - mac_instructions / instructions. "
            "energy_uj: lower = (macs * price + instructions * 70) / 1e6 with price 4.6 or 0.3, "
            "upper = lower + numbers * bits / 64 * 2600 / 1e6. less: 'first' if first[1] < "
            "second[0], 'second' if second[1] < first[0], otherwise 'cannot say'.",
            uses=("core", "file"),
        ),
        Task(
            "takes", "4. Will the phone take it?", 4, 30, ("refusal", "mended"), takes,
            "Load the bytes from io.BytesIO for _export_operator_list, and ask "
            "_get_model_bytecode_version with another io.BytesIO. Mend: eval, script, freeze, "
            "save to a buffer, and if the phone reads less than 8, "
            "_backport_for_mobile_to_buffer(io.BytesIO(content), newest).",
            uses=("reads",),
        ),
        Task(
            "choose", "5. Choose within a budget of instructions", 3, 20, ("choose",), choose,
            "Candidates have a count on the core and keep every limit of the budget. Equal are "
            "those with at most 1.02 times the fewest instructions. Among these min with the key "
            "(size_kb, variant).",
            uses=("core",),
        ),
        Task(
            "deliver", "6. A file within its budget", 4, 35, ("sensor.ptl",), deliver,
            "u, s, v = torch.linalg.svd(weight); keep the r singular values that are not nearly "
            "zero. The thin layers are Linear(192, r, bias=False) with s * v and Linear(r, 192) "
            "with u and the old bias. Write the bend's formula in forward, script, save, backport.",
            uses=("bend", "rank", "reads"),
        ),
    ),
    limits=Limits(cell=60, notebook=180),
)  # fmt: skip

check = Checker(EXERCISE)
