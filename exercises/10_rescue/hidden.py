"""The cases of exercise 10 that give points. Kept back: no student's code ever sees this file."""

import torch
from torch import nn

from mobilelab.grading import Call, Case, Value

from .checks import (
    KEYS,
    LIMITS,
    PADDING,
    REPORT,
    WRAPS,
    delivered_cases,
    int8,
    int8_cases,
    int8_question,
    layer_cases,
    lived_in,
    pictures_of,
    rewrite_cases,
    same_int8,
    saved,
    wrong_case,
)


class Wide(nn.Sequential):
    """Another shape of network, with more layers than a Pocket."""

    def __init__(self, net):
        super().__init__(net.a, net.na, net.act, net.b, net.nb, net.relu)
        self.append(nn.AdaptiveAvgPool2d(2)).append(nn.Flatten())
        self.append(nn.Linear(4 * len(net.na.weight), 4))


def contents(p, draw):
    old = draw.choice((5, 6, 7))
    files = [
        ("packed", saved(lived_in(draw), "packed"), 8, 3, 0),
        ("packed, older bytecode", saved(lived_in(draw), "packed", old), old, 3, 0),
        ("the fold bug", saved(lived_in(draw), "faulty"), 8, 3, 0),
        ("plain", saved(lived_in(draw), "plain", 6), 6, 0, 0),
        ("int8", saved(int8(lived_in(draw), draw), "plain"), 8, 0, 3),
        ("int8, by .save()", saved(int8(Wide(lived_in(draw)).eval(), draw), "pt"), 0, 0, 3),
    ]
    hint = "Look into the file for each of the three; the name of it says nothing."
    return [
        Case(name, Call("what_is_in", (content,)), dict(zip(KEYS, answers, strict=True)), hint)
        for name, content, *answers in draw.sample(files, len(files))
    ]


def wrong(p, draw):
    files = [
        ("a trace, optimized", "faulty", "fold bug", {}),
        ("the same with another width", "faulty", "fold bug", {"width": draw.integer(4, 9)}),
        ("optimized after freezing", "packed", "nothing", {}),
        ("the same with another bound", "packed", "nothing", {"bound": draw.uniform(1.0, 3.0)}),
        ("BatchNorm still there", "plain", "nothing", {}),
        ("BatchNorm still there, by .save()", "pt", "nothing", {"stride": 1}),
        ("training mode", "plain", "training", {}),
        ("training mode, by .save()", "pt", "training", {"drop": 0.0}),
    ]
    cases = []
    for name, how, answer, size in draw.sample(files, len(files)):
        net = lived_in(draw, **size).train(answer == "training")
        cases.append(wrong_case(name, saved(net, how), answer))
    return cases


def unpack(p, draw):
    sizes = {"width": draw.integer(3, 9), "outputs": draw.integer(2, 6)}
    return [
        *layer_cases("a ReLU", lived_in(draw, **sizes)),
        *layer_cases("two bounds", lived_in(draw, bound=draw.uniform(1.0, 4.0), **sizes)),
    ]


def shift(p, draw):
    cases = []
    for name in ("a picture", "another"):
        q = draw.integer_tensor(2, 5, low=0, high=255).to(torch.uint8)
        q[0, :2] = torch.tensor([0, 255], dtype=torch.uint8)
        zero = draw.integer(0, 255)
        ask = Call("shifted", (q, zero))
        numbers = (q.int() - 128).tolist()
        cases += [
            Case(f"{name}: numbers", ask, "each less 128, as int8", WRAPS, pick=lambda r: r[0],
                 judge=lambda r, n=numbers: same_int8(r, n)),
            Case(f"{name}: zero point", ask, zero - 128, WRAPS, pick=lambda r: r[1]),
        ]  # fmt: skip
    return [
        *cases,
        int8_cases("a picture", int8_question(draw, draw.integer(5, 9)), PADDING),
        int8_cases("a small one", int8_question(draw, 3), PADDING),
        int8_cases("numbers beyond the range", int8_question(draw, 6, spread=8.0), LIMITS),
    ]


def rewrite(p, draw):
    bound = draw.uniform(0.8, 2.0)
    return [
        *rewrite_cases("a ReLU", lived_in(draw, width=draw.integer(4, 8)), draw),
        *rewrite_cases("two bounds", lived_in(draw, bound=bound), draw),
        *rewrite_cases("stride 1", lived_in(draw, stride=1, outputs=draw.integer(2, 5)), draw),
        *rewrite_cases("another network", Wide(lived_in(draw)).eval(), draw),
    ]


#: File to what is wrong with it, and how many int8 layers it has.
TRUTH = {
    "found_gauge_a.ptl": ("nothing", 0),
    "found_gauge_b.ptl": ("nothing", 4),
    "found_gauge_c.ptl": ("fold bug", 0),
    "found_gauge_d.ptl": ("nothing", 4),
    "found_gauge_e.ptl": ("training", 0),
    "found_gauge_f.ptl": ("nothing", 0),
}


def deliver(p, draw):
    wrong_with_it, layers = TRUTH[p.found]
    return [
        *delivered_cases(p, pictures_of(draw, 12)),
        Case("report", Value("report"), {"wrong": wrong_with_it, "int8": layers}, REPORT, weight=2),
    ]
