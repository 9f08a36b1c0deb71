"""What exercise 10 asks, and the cases that you can see. `check("key")` in the notebook runs them.

The grader asks the same about inputs that are not in this file.
"""

import io
import warnings

import torch
import torch.jit.mobile
from torch import Tensor, nn
from torch.ao.quantization import get_default_qconfig_mapping
from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx
from torch.utils.mobile_optimizer import optimize_for_mobile

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
    Run,
    Task,
    Value,
)


class Pocket(nn.Module):
    """16x16 pictures (n, 1, 16, 16) to a few numbers, with a sum in its middle."""

    def __init__(
        self,
        width: int = 6,
        outputs: int = 3,
        bound: float = 0.0,
        stride: int = 2,
        drop: float = 0.2,
    ) -> None:
        super().__init__()
        self.a, self.na = nn.Conv2d(1, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width)
        self.b = nn.Conv2d(width, width, 3, 1, 1, groups=width, bias=False)
        self.nb = nn.BatchNorm2d(width)
        self.act = nn.Hardtanh(-bound / 2, bound) if bound else nn.ReLU()
        self.relu, self.drop = nn.ReLU(), nn.Dropout(drop)
        self.f = nn.Linear(width, outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.na(self.a(x)))
        x = x + self.relu(self.nb(self.b(x)))
        return self.f(self.drop(x.mean([2, 3])))


def lived_in(draw, **size):
    """A Pocket with the statistics of a trained one."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        net = Pocket(**size)
        for part in net.modules():
            if isinstance(part, (nn.Conv2d, nn.Linear)):
                inputs = part.weight[0].numel()
                part.weight.copy_(draw.normal_tensor(*part.weight.shape) / inputs**0.5)
            if isinstance(part, nn.BatchNorm2d):
                many = len(part.weight)
                part.weight.copy_(draw.uniform_tensor(many, low=0.6, high=1.6))
                part.bias.copy_(0.5 * draw.normal_tensor(many))
                part.running_mean.copy_(0.3 * draw.normal_tensor(many))
                part.running_var.copy_(draw.uniform_tensor(many, low=0.5, high=2.0))
        net.f.bias.copy_(draw.normal_tensor(len(net.f.bias)))
    return net.eval()


def traced(net):
    """A trace, without the warnings that chapter 02 explains."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.trace(net, torch.zeros(1, 1, 16, 16), check_trace=False)


def int8(net, draw):
    """Static int8, with QNNPACK's scheme."""
    torch.backends.quantized.engine = "qnnpack"
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        x = draw.normal_tensor(32, 1, 16, 16)
        prepared = prepare_fx(net, get_default_qconfig_mapping("qnnpack"), (x,))
        prepared(x)
        return convert_fx(prepared)


def saved(net, how, version=8):
    """A model file: ``plain``, ``packed`` (optimized), ``faulty`` (the fold bug), ``pt``."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = traced(net)
        if how == "packed":
            module = optimize_for_mobile(torch.jit.freeze(module))
        if how == "faulty":
            module = optimize_for_mobile(module)
        buffer = io.BytesIO()
        if how == "pt":
            torch.jit.save(module, buffer)
            return buffer.getvalue()
        content = module._save_to_buffer_for_lite_interpreter()
        if version == 8:
            return content
        return torch.jit.mobile._backport_for_mobile_to_buffer(io.BytesIO(content), version)


BYTECODE = (
    "A file that .save() wrote has no record bytecode.pkl: that is 0. For the others, "
    "torch.jit.mobile._get_model_bytecode_version takes a path or io.BytesIO(content)."
)
PACKED = (
    "Count nodes whose kind begins with 'prepacked::' in module.forward.inlined_graph. Their "
    "inputs were packed when the file was made; a plain 'aten::_convolution' was not."
)
QUANTIZED = (
    "int8 layers are the nodes quantized::conv..., quantized::linear... An addition or "
    "quantize_per_tensor has no weights and is no layer."
)


KEYS = ("bytecode", "packed", "int8")


def content_cases(files):
    """Three questions about each file: name, content, bytecode version, packed, int8."""
    cases = []
    for name, content, *answers in files:
        ask = Call("what_is_in", (content,))
        for key, answer, hint in zip(KEYS, answers, (BYTECODE, PACKED, QUANTIZED), strict=True):
            cases.append(Case(f"{name}: {key}", ask, answer, hint, pick=lambda r, k=key: r[k]))
    return cases


def contents(p):
    net = lived_in(Draw(1))
    return content_cases([
        ("an optimized file", saved(net, "packed"), 8, 3, 0),
        ("a file made by .save()", saved(net, "pt"), 0, 0, 0),
        ("an int8 file", saved(int8(net, Draw(2)), "plain"), 8, 0, 3),
    ])  # fmt: skip


BUG = (
    "Folding a BatchNorm gives its convolution a bias. No BatchNorm left and not one convolution "
    "with a bias: the biases were lost on the way, and the file answers otherwise than its network."
)
TRAINING = (
    "A file saved without eval() still says so: module.training. A frozen or optimized file has no "
    "such attribute, so ask with getattr(module, 'training', False)."
)
NOTHING = (
    "Convolutions without a bias are no fault as long as the BatchNorm behind them is still there. "
    "And a linear layer's bias says nothing about the convolutions."
)
WORDS = ("fold bug", "training", "nothing")


def wrong_case(name, content, answer):
    """What is wrong with one file?"""
    hint = {"fold bug": BUG, "training": TRAINING, "nothing": NOTHING}[answer]
    return Case(name, Call("what_is_wrong", (content,)), answer, hint)


def wrong(p):
    net = lived_in(Draw(3))
    cases = [
        wrong_case("optimized after freezing", saved(net, "packed"), "nothing"),
        wrong_case("a trace, optimized", saved(net, "faulty"), "fold bug"),
        wrong_case("not optimized, BatchNorm still there", saved(net, "plain"), "nothing"),
    ]
    return [*cases, wrong_case("saved in training mode", saved(net.train(), "plain"), "training")]


STATE = (
    "packed.__getstate__()[0] begins with weight and bias and ends with the lower and the upper "
    "bound; `packed` is the second input of the node, as .toIValue()."
)
BOUND = "A bound of None is none. A ReLU is a lower bound of 0 and no upper one."
SEVERAL = "One entry for each packed layer, in the order of the graph's nodes."


def layers_of(net):
    """What :func:`unpacked` should give for a Pocket that was packed, computed from the network."""
    found = []
    for conv, norm in ((net.a, net.na), (net.b, net.nb)):
        scale = norm.weight / (norm.running_var + norm.eps).sqrt()
        weight = conv.weight * scale.view(-1, 1, 1, 1)
        found.append([weight.detach(), (norm.bias - norm.running_mean * scale).detach()])
    found.append([net.f.weight.detach(), net.f.bias.detach()])
    first = net.act
    low, high = (first.min_val, first.max_val) if isinstance(first, nn.Hardtanh) else (0.0, None)
    bounds = [(low, high), (0.0, None), (None, None)]
    kinds = ("conv", "conv", "linear")
    return [(k, w, b, *limit) for k, (w, b), limit in zip(kinds, found, bounds, strict=True)]


def layer_cases(name, net):
    """The questions about one packed file."""
    ask, answer = Call("unpacked", (saved(net, "packed"),)), layers_of(net)
    return [
        Case(f"{name}: how many layers", ask, len(answer), SEVERAL, pick=len, weight=0),
        Case(f"{name}: kinds, weights, biases", ask, [one[:3] for one in answer], STATE, 1e-4,
             pick=lambda r: [one[:3] for one in r], weight=2),
        Case(f"{name}: bounds", ask, [one[3:] for one in answer], BOUND, 1e-6,
             pick=lambda r: [one[3:] for one in r]),
    ]  # fmt: skip


def unpack(p):
    return layer_cases("a ReLU", lived_in(Draw(4), width=4))


WRAPS = (
    "int8 has no 200: q.to(torch.int8) alone reads the same eight bits as -56. Take 128 off every "
    "number, as .int() first and .to(torch.int8) last, and off the zero point, too."
)
PADDING = (
    "What stands around a picture is the number 0.0. Among int8 numbers that is the zero point, "
    "not the integer 0: dequantize, and then let conv2d pad."
)
LIMITS = "Numbers below -128 and above 127 do not exist in int8: clamp after rounding."


def layer_numbers(q, scale, zero, weight, weight_scale, bias, out_scale, out_zero):
    """The answer of ``int8_conv`` in double precision, before it is rounded."""
    x = (q.double() - zero) * scale
    y = torch.conv2d(x, weight.double() * weight_scale, bias.double(), padding=1)
    return (y / out_scale + out_zero - 128).clamp(-128, 127)


def int8_question(draw, size=6, spread=1.0):
    """Arguments of one call of ``int8_conv``."""
    q = draw.integer_tensor(1, 2, size, size, low=0, high=255).to(torch.uint8)
    weight = draw.integer_tensor(3, 2, 3, 3, low=-90, high=90).to(torch.int8)
    bias = draw.normal_tensor(3)
    zero, out_zero = draw.integer(60, 200), draw.integer(90, 160)
    return q, 0.02, zero, weight, 0.005, bias, 0.03 / spread, out_zero


def int8_cases(name, arguments, hint):
    """All within one step, and nearly all equal: at a half, rounding may go both ways."""
    exact = layer_numbers(*arguments)

    def right(got):
        off = (got.double() - exact).abs()
        return got.dtype == torch.int8 and got.shape == exact.shape and bool((off < 0.501).all())

    return Case(f"{name}: the layer's int8 numbers", Call("int8_conv", arguments),
                "int8 numbers, each the nearest", hint, judge=right, weight=2)  # fmt: skip


def shift(p):
    q = torch.tensor([0, 1, 127, 128, 129, 255], dtype=torch.uint8)
    return [
        Case("the numbers", Call("shifted", (q, 131)),
             torch.tensor([-128, -127, -1, 0, 1, 127], dtype=torch.int8), WRAPS,
             pick=lambda r: r[0], judge=lambda r: same_int8(r, [-128, -127, -1, 0, 1, 127])),
        Case("the zero point", Call("shifted", (q, 131)), 3, WRAPS, pick=lambda r: r[1]),
        int8_cases("a small picture", int8_question(Draw(6)), PADDING),
    ]  # fmt: skip


def same_int8(got, numbers):
    """Whether these are exactly the numbers, as int8."""
    return got.dtype == torch.int8 and got.tolist() == list(numbers)


PLAIN = (
    "The new file must hold plain operators only. Calling the old module from a new one keeps "
    "prepacked:: or quantized:: in it: run the graph's nodes yourself, and trace that."
)
SAME = (
    "The answers differ. Compare node by node: the bounds of a packed layer are the ReLUs, stride "
    "and groups stand in its state, and an addition has a third input, alpha."
)
NOT_LOST = "It has to be a file for the lite interpreter: _save_to_buffer_for_lite_interpreter()."
FOREIGN = ("prepacked::", "quantized::")


def plain(facts):
    """Whether a file holds plain operators only."""
    return facts["loads"] == "lite" and not any(
        name.startswith(FOREIGN) for name in facts["operators"]
    )


def operators(facts):
    """In words, what was found."""
    foreign = [name for name in facts.get("operators", ()) if name.startswith(FOREIGN)]
    return f"{facts['loads']}; {', '.join(sorted(foreign)) or 'plain operators only'}"


def rewrite_cases(name, net, draw):
    """The questions about one packed file."""
    content, x = saved(net, "packed"), 3 * draw.normal_tensor(5, 1, 16, 16)
    with torch.no_grad():
        answers = net(x)
    ask = Call("rewritten", (content,))
    return [
        Case(f"{name}: plain operators", Facts(ask), "plain operators only", PLAIN, judge=plain,
             show=operators, gate=True),
        Case(f"{name}: the same answers", Run(ask, (x,)), [answers], SAME, 1e-3, weight=3),
    ]  # fmt: skip


def rewrite(p):
    return rewrite_cases("a ReLU", lived_in(Draw(7), width=4), Draw(8))


RAW = (
    "Raw pixels go in, 0 to 255. The app divided by 255, took off `mean` and divided by `std`; now "
    "the file has to do it, before the first node."
)
KEPT = (
    "An int8 file keeps its weights as int8 numbers: a float copy is four times as large. Hold "
    "weight.int_repr() and multiply by its scale while the network runs."
)
REPORT = (
    "Ask your own functions about the file: 'wrong' is what_is_wrong's word, 'int8' the number of "
    "int8 layers."
)
MINE = Delivered("rescued.ptl")
#: File to the bytes of its int8 weights.
FOUND = {
    "found_gauge_a.ptl": 0,
    "found_gauge_b.ptl": 320,
    "found_gauge_c.ptl": 0,
    "found_gauge_d.ptl": 420,
    "found_gauge_e.ptl": 0,
    "found_gauge_f.ptl": 0,
}
#: Steps of the old file's last rounding by which an int8 answer may be off: at a half, a float and
#: an integer kernel may round to different sides, in every layer.
STEPS = 3


def old_answers(p, pictures):
    """What the found file says about raw pictures, in eval mode, and what may be off."""
    torch.backends.quantized.engine = "qnnpack"
    module = torch.jit.load(str(datasets.verified(p.found))).eval()
    with torch.no_grad():
        answers = module((pictures / 255 - p.mean) / p.std)
    if not FOUND[p.found]:
        return answers, 1e-3
    apart = answers.flatten().sort().values.diff()
    return answers, STEPS * float(apart[apart > 1e-5].min()) + 1e-4


def delivered_cases(p, pictures):
    """The questions about a student's own file."""
    answers, tolerance = old_answers(p, pictures)
    seen, held = Facts(MINE), FOUND[p.found]
    cases = [
        Case("plain operators", seen, "plain operators only", PLAIN, judge=plain, show=operators,
             gate=True),
        Case("raw pictures, the old file's answers", Run(MINE, (pictures,)), [answers], RAW,
             tolerance, weight=4),
    ]  # fmt: skip
    if held:
        cases.append(
            Case("int8 weights stay int8", seen, f"{held} bytes of int8 weights", KEPT, gate=True,
                 judge=lambda f: f["dtypes"].get("int8", 0) >= held,
                 show=lambda f: f"{f['dtypes'].get('int8', 0)} bytes")
        )  # fmt: skip
    return cases


def pictures_of(draw, count):
    """Raw pictures (count, 1, 16, 16) of different contrast, 0 to 255, as float32."""
    contrast = draw.uniform_tensor(count, 1, 1, 1, low=0.3, high=1.0)
    return (255 * contrast * draw.uniform_tensor(count, 1, 16, 16)).round()


def deliver(p):
    told = Case("report: a word and a number", Value("report"), f"'wrong': one of {WORDS}, 'int8'",
                REPORT, judge=lambda r: r["wrong"] in WORDS and r["int8"] >= 0)  # fmt: skip
    return [*delivered_cases(p, pictures_of(Draw(9), 6)), told]


EXERCISE = Exercise(
    "Exercise 10: rescue",
    parameters={
        "found": tuple(FOUND),
        "mean": (0.5, 0.45, 0.4, 0.55, 0.35),
        "std": (0.25, 0.2, 0.3, 0.28),
    },
    tasks=(
        Task(
            "contents", "1. What is in a file", 3, 20, ("what_is_in",), contents,
            "zipfile.ZipFile(io.BytesIO(content)).namelist() says whether a record ends with "
            "bytecode.pkl. torch.jit.load(io.BytesIO(content)).forward.inlined_graph.nodes() gives "
            "the nodes; count kinds that begin with 'prepacked::', and with 'quantized::conv' or "
            "'quantized::linear'.",
        ),
        Task(
            "wrong", "2. What is wrong with it", 3, 25, ("what_is_wrong",), wrong,
            "First training mode, from the module. Then look for a node whose kind contains "
            "'norm': with one left, nothing is wrong. Otherwise take the state of every packed "
            "convolution: if all have None in place of their bias, it is the fold bug.",
        ),
        Task(
            "unpack", "3. Unpack what was packed", 4, 20, ("unpacked",), unpack,
            "For each node prepacked::*: state = list(node.inputs())[1].toIValue()"
            ".__getstate__()[0]. Its first two are weight and bias, its last two the bounds; the "
            "kind is 'conv' if the node's kind holds conv2d.",
        ),
        Task(
            "shift", "4. From unsigned to signed", 3, 20, ("shifted", "int8_conv"), shift,
            "shifted: (q.int() - 128).to(torch.int8), zero - 128. int8_conv: floats from both, "
            "(q.float() - zero) * scale and weight.float() * weight_scale, torch.conv2d with "
            "padding=1, then y / out_scale, round, plus out_zero - 128, clamp, .to(torch.int8).",
        ),
        Task(
            "rewrite", "5. Write a packed file anew", 4, 40, ("rewritten",), rewrite,
            "A module whose forward walks the nodes with a dict from debugName to value: constants "
            "by toIValue, lists as lists, packed layers as conv2d or linear and a clamp, anything "
            "else through torch.ops.aten by the overload of node.schema(). Trace it, and save the "
            "trace to a buffer.",
        ),
        Task(
            "deliver", "6. Your own file", 3, 40, ("rescued.ptl", "report"), deliver,
            "Load, .eval(), freeze if it has an attribute training. For int8, each quantized "
            "operator is its float one and torch.fake_quantize_per_tensor_affine(y, scale, zero - "
            "128, -128, 127); a mean or a reshape of such a value is rounded with the same scale. "
            "The preprocessing comes first, in forward.",
            uses=("found", "mean", "std"),
        ),
    ),
    limits=Limits(cell=60, notebook=180),
)  # fmt: skip

check = Checker(EXERCISE)
