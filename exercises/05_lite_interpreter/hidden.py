"""The cases of exercise 05 that give points. Kept back: no student's code ever sees this file."""

import io
import warnings

import torch
import torch.jit.mobile
from torch import nn

from mobilelab import datasets
from mobilelab.grading import Call, Case, Net

from .checks import (
    AXES,
    BATCH,
    BEST,
    CHANNELS,
    CLEAR,
    COMMENT,
    COMMON,
    FEW,
    FINITE,
    FULL,
    ORDER,
    OVERLOAD,
    SOFTMAX,
    TYPE,
    UNSURE,
    Pocket,
    clear,
    delivered_cases,
    fleet_cases,
    refused,
)


def needed(**size):
    """The operators of a Pocket, as the lite interpreter lists them."""
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scripted = torch.jit.script(nn.Sequential(*Pocket(**size)).eval())
        content = scripted._save_to_buffer_for_lite_interpreter()
        module = torch.jit.mobile._load_for_lite_interpreter(io.BytesIO(content))
    return set(torch.jit.mobile._export_operator_list(module))


OTHERS = ("aten::mul.Tensor", "aten::cat", "aten::mean.dim", "aten::sigmoid_", "aten::topk")


def operators(p, draw):
    cases = []
    for name, size, hint in (
        ("with BatchNorm", {"pool": draw.choice(("MaxPool2d", "AvgPool2d"))}, FULL),
        ("without BatchNorm", {"norm": False, "last": draw.choice(("Sigmoid", "Tanh"))}, OVERLOAD),
        ("a larger one", {"pool": "MaxPool2d", "last": "LogSigmoid"}, COMMENT),
    ):
        activation = draw.choice(("Hardswish", "SiLU", "GELU", "ELU", "LeakyReLU", "Hardsigmoid"))
        size = {"activation": activation, **size}
        names = needed(**size)
        plain = [n for n in sorted(names) if "." not in n and n.startswith("aten")]
        dotted = [n for n in sorted(names) if "." in n]
        missing = {*draw.sample(plain, 2), *draw.sample(dotted, 2)}
        # names that contain a missing one, or that a missing one contains
        alike = [n + ("_out" if "." in n else "_") for n in sorted(missing)]
        alike += [n.split(".")[0] for n in sorted(missing) if "." in n]
        there = sorted((names - missing) | set(alike) | set(OTHERS) - missing)
        lines = [f"- {n}" for n in there] + ["", "# taken out to save space:"]
        lines += [f"# - {n}" for n in draw.sample(sorted(missing), 2)]
        listing = "\n".join(draw.sample(lines, len(lines))) + "\n"
        ask = Call("missing_operators", (Net("checks:Pocket", size), listing))
        cases.append(Case(name, ask, missing - set(alike), hint, pick=set))
    return cases


WORDS = ("apple", "bread", "cheese", "date", "egg", "fig", "grape", "honey")


def postprocess(p, draw):
    cases = []
    for name, classes, k, size, hint in (
        ("ordinary scores", 8, 3, 1.0, BEST),
        ("very large scores", 6, draw.integer(2, 4), 400.0, SOFTMAX),
        ("more wanted than there are", 4, 6, 1.0, FEW),
        ("the best one only", 7, 1, 1.0, UNSURE),
    ):
        labels = draw.sample(WORDS, classes)
        sure, scores, expected = draw.uniform(0.55, 0.75), [], []
        for number in draw.sample(range(6), 6):
            # three clear images and three close ones, none near the limit
            best, second = draw.sample(range(classes), 2)
            row = draw.uniform_tensor(classes, low=-2.0, high=-1.0)
            row[best] = draw.uniform(3.0, 4.0)
            row[second] = row[best] - (draw.uniform(2.0, 3.0) if number < 3 else 0.05)
            row = row + size - 1
            scores.append(row)
            share, place = torch.softmax(row.double(), dim=0).sort(descending=True)
            pairs = zip(place.tolist()[:k], share.tolist()[:k], strict=True)
            pairs = [[labels[i], s] for i, s in pairs]
            expected.append("not sure" if float(share[0]) < sure else pairs)
        ask = Call("answers", (torch.stack(scores), labels, k, sure))
        cases.append(Case(name, ask, expected, hint, 1e-3))
    return cases


def reference_prepare(frame, camera, mean, std):
    x = frame.permute(2, 0, 1).double() / 255
    x = x[[camera.index(color) for color in "RGB"]]
    mean, std = (torch.tensor(v).double().view(3, 1, 1) for v in (mean, std))
    return ((x - mean) / std).unsqueeze(0)


def silent(p, draw):
    none = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    cases = []
    for name, kind, hint in (
        ("a grey picture", "grey", AXES),
        ("one color all over", "flat", ORDER),
        ("a color picture, mean and std given", "all", CHANNELS),
        ("a color picture, upright", "all", CHANNELS),
    ):
        h, w = draw.integer(3, 6), draw.integer(7, 9)
        h, w = (w, h) if "upright" in name else (h, w)
        frame = draw.integer_tensor(h, w, 3, low=0, high=255)
        constants = none
        if kind == "grey":
            frame = frame[..., :1].expand(h, w, 3)
        if kind == "flat":
            levels = draw.sample(range(0, 250, 25), 3)
            frame = torch.tensor(levels).expand(h, w, 3)
        if kind == "all":
            mean = draw.sample((0.2, 0.35, 0.45, 0.6), 3)
            constants = (tuple(mean), tuple(draw.sample((0.15, 0.22, 0.3, 0.4), 3)))
        frame = frame.to(torch.uint8).contiguous()
        expected = reference_prepare(frame, p.camera, *constants)
        cases.append(Case(name, Call("prepare", (frame, *constants)), expected, hint, 1e-3))
    return cases


def guard(p, draw):
    cases = []
    for name, hint in (("shapes", BATCH), ("dtypes", TYPE), ("nan", FINITE)):
        c, (h, w) = draw.choice((1, 3)), draw.sample((16, 20, 24, 28), 2)
        x = draw.normal_tensor(draw.integer(1, 4), c, h, w)
        first, last = x.clone(), x.clone()
        first[0, 0, draw.integer(0, h - 1), draw.integer(0, w - 1)] = torch.nan
        last[-1, -1, -1, -1] = torch.nan
        wrong = {
            "shapes": [x[0], x.transpose(2, 3), x.permute(0, 2, 3, 1), x[..., 1:], x.unsqueeze(0)],
            "dtypes": [x.double(), x.half(), (x * 9).to(torch.uint8), x.long()],
            "nan": [first, last],
        }[name]
        fine = [x, x[:1], torch.cat([x, x])]
        made = [(t.contiguous(), True) for t in wrong] + [(t, False) for t in fine]
        tensors, answers = map(list, zip(*draw.sample(made, len(made)), strict=True))
        ask = Call("refusals", (tensors, (c, h, w)))

        def told(texts, tensors=tensors, expected=(c, h, w), answers=answers):
            return refused(texts) == answers and clear(texts, tensors, expected)

        cases += [
            Case(f"{name}: which are refused", ask, answers, hint, pick=refused),
            Case(f"{name}: the sentences", ask, "what was expected and what came", CLEAR,
                 judge=told),
        ]  # fmt: skip
    return cases


def common(runtimes):
    good = [v for v in range(4, 9) if all(low <= v <= high for low, high in runtimes)]
    return max(good, default=0)


def some_runtimes(draw):
    lows = [draw.integer(1, 6) for _ in range(draw.integer(1, 4))]
    return [(low, low + draw.integer(1, 5)) for low in lows]


def backport(p, draw):
    fleets = [some_runtimes(draw) for _ in range(8)]
    fleets += [[(1, 3)], [(3, 5), (6, 9)], [(9, 11)], [(4, 4), (3, 9)], [(4, 12)]]
    fleets = draw.sample(fleets, len(fleets))
    answers = [common(fleet) for fleet in fleets]
    cases = [Case("thirteen fleets", Call("newest_common", (fleets,)), answers, COMMON, weight=2)]
    old, middle = draw.integer(4, 5), draw.integer(6, 7)
    for name, runtimes, version, size in (
        ("an old runtime", [(3, old), (4, 9)], old, {"activation": "ReLU"}),
        ("a middle one", [(3, 8), (5, middle), (4, 9)], middle, {"pool": "MaxPool2d"}),
        ("new runtimes", [(3, 8), (4, 9)], 8, {"activation": "Hardswish"}),
    ):
        runtimes = draw.sample(runtimes, len(runtimes))
        cases += fleet_cases(name, draw, runtimes, version, **size)
    return cases


def deliver(p, draw):
    images = datasets.load("digits").test.images
    chosen = draw.integer_tensor(40, low=0, high=len(images) - 1)
    return delivered_cases(p, images[chosen])
