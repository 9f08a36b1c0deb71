"""What exercise 05 asks, and the cases that you can see. `check("key")` in the notebook runs them.

The grader asks the same about inputs that are not in this file.
"""

import json
import re

import torch
from torch import nn

from mobilelab import datasets, models
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


class Pocket(nn.Sequential):
    """A network for 8x8 pictures (n, 1, 8, 8), small enough to look through."""

    def __init__(
        self, activation: str = "ReLU", pool: str = "", norm: bool = True, last: str = ""
    ) -> None:
        super().__init__(nn.Conv2d(1, 4, 3, padding=1, bias=not norm))
        if norm:
            self.append(nn.BatchNorm2d(4))
        self.append(getattr(nn, activation)())
        if pool:
            self.append(getattr(nn, pool)(2))
        self.append(nn.AdaptiveAvgPool2d(1)).append(nn.Flatten()).append(nn.Linear(4, 3))
        if last:
            self.append(getattr(nn, last)())


FULL = (
    "Compare full names, one with one. 'aten::relu' is contained in the text 'aten::relu_', and "
    "yet a runtime with the second does not have the first."
)
OVERLOAD = (
    "What stands behind the dot is part of the name: aten::add.int adds two integers and "
    "aten::add.Tensor two tensors, and a runtime may have one without the other."
)
COMMENT = "A line that begins with # is a remark: the operator in it was taken out of the runtime."


def operators(p):
    listing = """# vision, built last year
- aten::conv2d
- aten::batch_norm
- aten::hardswish_
# - aten::hardswish
- aten::flatten.using_ints

- aten::linear
- aten::relu
- aten::len.t
- aten::gt.Scalar
"""
    plain = Call("missing_operators", (Net("checks:Pocket", {"norm": False}), listing))
    hard = Call("missing_operators", (Net("checks:Pocket", {"activation": "Hardswish"}), listing))
    return [
        Case("the pooling is missed by both, 1", plain, ["aten::adaptive_avg_pool2d"], FULL,
             pick=lambda r: [n for n in r if "pool" in n]),
        Case("the pooling is missed by both, 2", hard, ["aten::adaptive_avg_pool2d"], FULL,
             pick=lambda r: [n for n in r if "pool" in n]),
        Case("hardswish, but not hardswish_", hard, ["aten::hardswish"], COMMENT,
             pick=lambda r: [n for n in r if "hardswish" in n]),
        Case("the comparison of two integers", hard, ["aten::gt.int"], OVERLOAD,
             pick=lambda r: [n for n in r if "::gt" in n]),
    ]  # fmt: skip


SOFTMAX = (
    "A score is no probability: softmax along the classes, axis 1, so that each image's add up to "
    "one. torch.softmax also survives scores of 1000; exp() alone gives inf there."
)
BEST = "The best comes first, and the label of class i is labels[i]."
FEW = "There may be fewer classes than k. Then all of them are given."
UNSURE = (
    "Only the largest probability decides whether the app is sure; then the answer for this image "
    "is the text 'not sure' in place of the list."
)


def postprocess(p):
    scores = torch.tensor([[0.0, 3.0, 1.0], [1.0, 1.1, 1.05], [1000.0, 0.0, 999.0]])
    labels = ["cat", "dog", "owl"]
    ask = Call("answers", (scores, labels, 2, 0.6))
    return [
        Case("labels of the first image", ask, ["dog", "owl"], BEST,
             pick=lambda r: [label for label, _ in r[0]]),
        Case("probabilities of the first image", ask, [0.843795, 0.114195], SOFTMAX, 1e-4,
             pick=lambda r: [share for _, share in r[0]]),
        Case("nearly equal scores", ask, "not sure", UNSURE, pick=lambda r: r[1]),
        Case("scores of 1000", ask, [["cat", 0.731059], ["owl", 0.268941]], SOFTMAX, 1e-4,
             pick=lambda r: r[2]),
        Case("five wanted, three there", Call("answers", (scores[:1], labels, 5, 0.5)),
             ["dog", "owl", "cat"], FEW, pick=lambda r: [label for label, _ in r[0]]),
    ]  # fmt: skip


AXES = (
    "reshape keeps the order of the numbers in memory, and that is pixel by pixel here. To make "
    "channels of it the axes have to be exchanged: permute."
)
ORDER = (
    "The network was trained on red, green, blue. Your camera gives its three numbers in the order "
    "of `camera`: look up where in it each of R, G, B stands."
)
CHANNELS = (
    "Each color has its own mean and std, in the order that the network wants: shape (3, 1, 1)."
)


def silent(p):
    grey = torch.arange(6, dtype=torch.uint8).view(2, 3, 1).expand(2, 3, 3).contiguous() * 51
    flat = torch.tensor([51, 102, 204], dtype=torch.uint8).expand(4, 5, 3).contiguous()
    level = dict(zip(p.camera, (0.2, 0.4, 0.8), strict=True))
    steps = (torch.arange(6.0) * 51 / 255).view(1, 1, 2, 3).expand(1, 3, 2, 3)
    none = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    own = ((0.2, 0.1, 0.0), (0.5, 0.25, 1.0))
    pixel = [(level[c] - m) / s for c, m, s in zip("RGB", *own, strict=True)]
    return [
        Case("six shades of grey", Call("prepare", (grey, *none)), steps, AXES, 1e-4),
        Case(f"one color, {p.camera} = 51, 102, 204", Call("prepare", (flat, *none)),
             torch.tensor([level[c] for c in "RGB"]).view(1, 3, 1, 1).expand(1, 3, 4, 5), ORDER,
             1e-4),
        Case("the same, one pixel, with mean and std", Call("prepare", (flat, *own)),
             torch.tensor(pixel), CHANNELS, 1e-4, pick=lambda r: r[0, :, 1, 2]),
    ]  # fmt: skip


BATCH = (
    "Any number of images is fine, but there has to be an axis for it: compare the whole shape "
    "behind the first axis, and count the axes."
)
TYPE = "Packed convolutions take float32 and nothing else, neither float64 nor float16."
FINITE = "A tensor with nan has the right shape and the right dtype. Ask torch.isnan(x).any()."
CLEAR = (
    "Whoever reads the sentence has to see what was expected and what came: both shapes with all "
    "their numbers, or both dtypes."
)


def refused(texts):
    if not all(isinstance(text, str) for text in texts):
        raise TypeError("texts are wanted")
    return [bool(text.strip()) for text in texts]


def clear(texts, tensors, expected):
    """Whether every refusal names what was expected and what came."""
    for text, x in zip(texts, tensors, strict=True):
        # a sentence, not everything that could be looked for
        numbers = re.findall(r"(?<![a-z\d])\d+", text)
        if len(numbers) > len(expected) + x.ndim + 6 or len(re.findall(r"int\d|oat\d", text)) > 4:
            return False
        if tuple(x.shape[1:]) != expected or x.ndim != 4:
            wanted = {str(n) for n in (*expected, *x.shape)}
            if not wanted <= set(re.findall(r"\d+", text)):
                return False
        elif x.dtype != torch.float32:
            if not all(re.search(rf"\b{t}\b", text) for t in _names(x.dtype)):
                return False
        elif bool(x.isnan().any()) and "nan" not in text.lower():
            return False
    return True


def _names(dtype):
    return "float32", str(dtype).removeprefix("torch.")


def guard(p):
    x = torch.zeros(2, 1, 8, 6)
    broken = x.clone()
    broken[1, 0, 3, 3] = torch.nan
    tensors = [x, x[:, :, :, :5], x.double(), x[0], broken, x[:1]]
    ask = Call("refusals", (tensors, (1, 8, 6)))
    return [
        Case("which are refused", ask, [False, True, True, True, True, False], BATCH, pick=refused),
        Case("the sentences name what was expected and what came", ask,
             "(n, 1, 8, 6) and the shape that came; float32 and float64; nan", CLEAR,
             judge=lambda texts: all(refused(texts)[1:5]) and clear(texts, tensors, (1, 8, 6)),
             show=lambda texts: " | ".join(map(str, texts))),
    ]  # fmt: skip


COMMON = (
    "A version is good if it lies in every runtime's range, both ends included, and torch writes "
    "nothing older than 4 and nothing newer than 8. The newest of the good ones, or 0."
)
VERSION = (
    "_save_to_buffer_for_lite_interpreter always writes version 8; _backport_for_mobile writes it "
    "again in an older one. The version is the newest that all runtimes of the fleet read."
)
EIGHT = (
    "A fleet that reads version 8 needs no backport. Asked for 8, _backport_for_mobile gives "
    "False, raises nothing, and leaves a file without bytecode."
)
ANSWERS = "Another version of the file is still the same network: the same answers, in eval mode."


def pocket(draw, **size):
    """A Pocket with drawn weights, in eval mode."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        net = Pocket(**size).eval()
        for module in net:
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                module.weight.copy_(draw.normal_tensor(*module.weight.shape))
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.copy_(draw.normal_tensor(4))
                module.running_var.copy_(draw.uniform_tensor(4, low=0.3, high=3.0))
                module.bias.copy_(draw.normal_tensor(4))
    return net


def fleet_cases(name, draw, runtimes, version, **size):
    """Questions about one network for one fleet of apps."""
    net = pocket(draw, **size)
    state = {key: value.clone() for key, value in net.state_dict().items()}
    x = draw.normal_tensor(6, 1, 8, 8)
    with torch.no_grad():
        y = net(x)
    ask = Call("export_for", (Net("checks:Pocket", size, state), runtimes))

    def right(seen):
        names = seen["operators"]
        packed = "prepacked::conv2d_clamp_run" in names and "aten::batch_norm" not in names
        return packed and seen["bytecode_version"] == version

    def words(seen):
        convs = sorted(n for n in seen["operators"] if "conv" in n)
        return f"version {seen['bytecode_version']}, {', '.join(convs)}"

    return [
        Case(f"{name}: version, packed", Facts(ask),
             f"version {version}, prepacked::conv2d_clamp_run", EIGHT if version == 8 else VERSION,
             judge=right, show=words, weight=1 if version == 8 else 2),
        Case(f"{name}: answers", Run(ask, (x,)), [y], ANSWERS, 1e-3),
    ]  # fmt: skip


def backport(p):
    fleets = [[(3, 5)], [(3, 7), (4, 9)], [(3, 5), (6, 9)], [(4, 9), (4, 9), (3, 8)], [(4, 9)]]
    return [
        Case("five fleets", Call("newest_common", (fleets,)), [5, 7, 0, 8, 8], COMMON),
        *fleet_cases("runtimes 3 to 7 and 4 to 9", Draw(5), [(3, 7), (4, 9)], 7),
        *fleet_cases("a runtime 4 to 9", Draw(6), [(4, 9)], 8),
    ]


LITE = "Save with _save_for_lite_interpreter; .save() writes no bytecode."
READS = (
    "Save first, then write it again with _backport_for_mobile; look at what it returns. The "
    "extra files come along."
)
LABELS = (
    "labels.json holds a JSON list of texts, the names of your classes in your order: "
    "json.dumps(list(classes))."
)
FACTS = (
    "The constants stand in datasets.load('digits').preprocessing. mean and std are lists, as "
    "another data set would have three numbers there."
)
CUT = (
    "Output i of the file is the score of digit classes[i]. A linear layer has one row of weights "
    "and one bias for each class: take those rows, in your order."
)
KEYS = ("max_value", "mean", "std", "size", "mode")
APP = Delivered("app.ptl")


def delivered_cases(p, images):
    seen = Facts(APP)
    chosen = [int(digit) for digit in p.classes]
    facts = datasets.load("digits").preprocessing
    constants = {k: list(v) if isinstance(v := getattr(facts, k), tuple) else v for k in KEYS}
    with torch.no_grad():
        scores = models.load_trained()(images)[:, chosen]

    def extra(name):
        return lambda f: json.loads(f["extra"][name])

    def right(f):
        names = f["operators"]
        packed = "prepacked::conv2d_clamp_run" in names and "aten::batch_norm" not in names
        return packed and f["bytecode_version"] == p.reads

    def preprocessing(f):
        found = extra("preprocessing.json")(f)
        return {k: found[k] for k in KEYS}

    return [
        Case(f"packed, in bytecode version {p.reads}", seen, f"version {p.reads}, packed", READS,
             judge=right, show=lambda f: f"{f['loads']}, version {f.get('bytecode_version')}"),
        Case("labels.json", seen, list(p.classes), LABELS, pick=extra("labels.json")),
        Case("preprocessing.json", seen, constants, FACTS, 1e-6, pick=preprocessing),
        Case("scores of your classes, in your order", Run(APP, (images,)), [scores], CUT, 1e-2,
             weight=2),
    ]  # fmt: skip


def deliver(p):
    loads = Case("the lite interpreter loads it", Facts(APP), "lite", LITE,
                 pick=lambda f: f["loads"])  # fmt: skip
    return [loads, *delivered_cases(p, datasets.load("digits").calibration.images[:20])]


EXERCISE = Exercise(
    "Exercise 05: the lite interpreter",
    parameters={
        "camera": ("BGR", "GBR", "RBG", "GRB", "BRG"),
        "classes": ("3170", "8256", "94017", "20581", "6193", "75804", "1369", "40872"),
        "reads": (7, 5, 6),
    },
    tasks=(
        Task(
            "operators", "1. What an older runtime lacks", 3, 15, ("missing_operators",), operators,
            "Script the network, save it to a buffer for the lite interpreter, load that from "
            "io.BytesIO, and ask _export_operator_list: the operators that are needed, as a set. "
            "The runtime's are the lines that begin with '- ', without these two characters, as "
            "another set. What is missing is the difference.",
        ),
        Task(
            "postprocess", "2. After the model", 3, 15, ("answers",), postprocess,
            "torch.softmax(scores, dim=1), then topk(min(k, classes)) for values and places, best "
            "first. For each image: if the first value is below `sure` it is 'not sure', "
            "otherwise the pairs (labels[place], value).",
        ),
        Task(
            "silent", "3. Find the silent bugs", 4, 20, ("prepare",), silent,
            "Three bugs. A reshape from (h, w, 3) to (3, h, w) shuffles pixels, permute(2, 0, 1) "
            "does not. The colors stay in the camera's order, although the network wants RGB. "
            "And mean and std are averaged over the colors instead of used one by one.",
            uses=("camera",),
        ),
        Task(
            "guard", "4. Refuse, and say why", 2, 15, ("refusals",), guard,
            "For each tensor, in this order: four axes and shape[1:] as expected, dtype float32, "
            "no nan. The first that fails makes the sentence, with what was expected and what "
            "came in it. If nothing fails the text is empty.",
        ),
        Task(
            "backport", "5. One file for a fleet", 4, 30, ("newest_common", "export_for"), backport,
            "The common range is from the largest lower end to the smallest upper end, and within "
            "4 to 8. Export: eval, script, optimize_for_mobile, save. If the version is 8, done. "
            "Otherwise _backport_for_mobile(from, to, version), and read the bytes of the result.",
        ),
        Task(
            "deliver", "6. A file that explains itself", 4, 35, ("app.ptl",), deliver,
            "Copy rows of classifier.weight and classifier.bias, in the order of your classes, "
            "into a new nn.Linear(512, len(classes)). Script, optimize, save with _extra_files="
            "{name: text}, and backport the file to your version.",
            uses=("classes", "reads"),
        ),
    ),
    limits=Limits(cell=60, notebook=180),
)  # fmt: skip

check = Checker(EXERCISE)
