"""The cases of exercise 02 that give points. Kept back: no student's code ever sees this file."""

from collections import Counter

import torch
import torch.nn.functional as F

from mobilelab.grading import Call, Case, Net, Run

from .checks import (
    BLOCKS,
    COPIED,
    COUNTED,
    EVAL,
    EXPORTED,
    FAILS,
    FROZEN,
    GAIN,
    HEADS,
    INLINED,
    LOST,
    LOUD,
    MOST,
    NUMBER,
    OTHER_ROAD,
    REBOUND,
    RULE,
    SHAPE,
    SIGNATURE,
    SKIPPED,
    TRAINING,
    UNSURE,
    Digits,
    Gate,
    Tower,
    frozen,
    program,
)


def drawn_state(net, draw, size=1.0):
    """Weights for a network, positive where they have to be."""
    state = {}
    for name, tensor in net.state_dict().items():
        if not tensor.is_floating_point():
            state[name] = torch.zeros_like(tensor)
        elif "running_var" in name:
            state[name] = draw.uniform_tensor(*tensor.shape, low=0.3, high=2.0)
        else:
            state[name] = size * draw.normal_tensor(*tensor.shape)
    return state


def faithful(p, draw):
    width = draw.integer(3, 6)
    state = {
        "layer.weight": draw.normal_tensor(3, width),
        "layer.bias": draw.normal_tensor(3) + 3,
    }

    taken = []

    def case(name, net, example, good, bad, hint):
        """Good inputs and bad ones in a drawn order; no two cases have the same answer."""
        inputs = [(x, False) for x in good] + [(x, True) for x in bad]
        wrong = taken[0] if taken else None
        while wrong is None or wrong in taken:
            inputs = draw.sample(inputs, len(inputs))
            wrong = [i for i, (_, is_bad) in enumerate(inputs) if is_bad]
        taken.append(wrong)
        built = Net(f"checks:{net}", {"width": width}, state)
        ask = Call("unfaithful", (built, example, [x for x, _ in inputs]))
        return Case(name, ask, wrong, hint, pick=lambda r: sorted(r))

    def bright(rows):
        return draw.uniform_tensor(rows, width, low=0.5, high=2.0)

    def peak(of):
        x = draw.uniform_tensor(3, width, low=-0.5, high=0.5)
        x[draw.integer(0, 2), draw.integer(0, width - 1)] = of
        return x

    def rows(count):
        return draw.normal_tensor(count, width)

    def length(count):
        return draw.uniform_tensor(2, width, count, low=0.5, high=2.0)

    return [
        case("a decision", "Mirror", -bright(2), [-bright(3), -bright(1)],
             [bright(2), bright(4), bright(1)], OTHER_ROAD),
        case("a loop over rows", "Rows", rows(3), [rows(3), rows(3)], [rows(2), rows(5)], FAILS),
        case("a number from the input", "Peak", peak(2.0), [peak(2.0), peak(-2.0)],
             [peak(4.0), peak(0.7), peak(-6.0)], NUMBER),
        case("a length from the input", "Window", length(4), [length(4), length(4)],
             [length(2), length(9)], NUMBER),
        case("rows that are cut off", "Crop", rows(3), [rows(1), rows(3), rows(2)],
             [rows(5), rows(4)], SHAPE),
        case("one row or many alike", "Crop", rows(1), [rows(1)],
             [rows(1).repeat(4, 1), rows(1).repeat(3, 1), rows(2)], SHAPE),
    ]  # fmt: skip


def kinds(block):
    for node in block.nodes():
        yield node.kind()
        for inner in node.blocks():
            yield from kinds(inner)


def counts(graph):
    return dict(Counter(kind for kind in kinds(graph) if kind.startswith("aten::")))


def operators(p, draw):
    width = 2 * draw.integer(2, 6)
    normed = {
        "depth": p.depth, "width": width, "dropout": draw.choice(("", "single numbers")),
    }  # fmt: skip
    plain = {
        "depth": draw.integer(2, 6), "width": width, "norm": False, "dropout": "whole channels",
    }  # fmt: skip
    cases = []
    for name, arguments in (("with BatchNorm", normed), ("without BatchNorm", plain)):
        module = program(**arguments)
        count = counts(module.inlined_graph)
        net = Net("checks:program", arguments)
        ask = Call("operators", (net,))
        cases.append(
            Case(f"how often each operator stands in a network {name}", ask, count,
                 BLOCKS if "norm" not in arguments else INLINED, pick=dict, weight=2)
        )  # fmt: skip
        gone = set(count) - set(counts(torch.jit.freeze(module).graph))
        ask = Call("gone", (net,))
        cases.append(Case(f"what freeze takes out {name}", ask, gone, FROZEN, pick=set))
    return cases


def change_of(rule, difference):
    size = difference.abs()
    return float({"largest": size.max, "mean": size.mean, "total": size.sum}[rule]())


def settled(kernel, most, rule, x, limit):
    rounds, change = 0, limit
    while rounds < most and change >= limit:
        new = F.conv1d(x, kernel.reshape(1, 1, -1), padding=len(kernel) // 2)
        change = change_of(rule, new - x)
        x, rounds = new, rounds + 1
    return x, rounds


def loop(p, draw):
    most = draw.integer(14, 18)
    kernel = draw.uniform_tensor(draw.choice((3, 5)), low=0.2, high=1.0)
    kernel = kernel * (0.75 / kernel.sum())
    signals, limits, expected = [], [], []
    for rounds in draw.sample(range(2, 11), 4):
        x = draw.normal_tensor(draw.integer(1, 3), 1, draw.integer(8, 20))
        changes, now = [], x
        for _ in range(rounds):
            new = settled(kernel, 1, p.rule, now, 0.0)[0]
            changes.append(change_of(p.rule, new - now))
            now = new
        signals.append(x)
        limits.append((changes[-1] * changes[-2]) ** 0.5)
        expected.append(settled(kernel, most, p.rule, x, limits[-1]))
    source = Call("settler", (kernel, most))
    ask = Run(source, tuple(zip(signals, limits, strict=True)))
    cases = [
        Case("rounds for four signals", ask, [rounds for _, rounds in expected], RULE,
             pick=lambda outputs: [rounds for _, rounds in outputs]),
        Case("the settled signals", ask, [x for x, _ in expected], COUNTED, 1e-4,
             pick=lambda outputs: [x for x, _ in outputs]),
    ]  # fmt: skip
    few = draw.integer(3, 6)
    x = draw.normal_tensor(2, 1, 12)
    end = settled(kernel, few, p.rule, x, 1e-9)
    cases.append(
        Case(f"no more than {few} rounds", Run(Call("settler", (kernel, few)), ((x, 1e-9),)),
             list(end), MOST, 1e-4, pick=lambda outputs: list(outputs[0]))
    )  # fmt: skip
    return cases


@torch.no_grad()
def gated(state, mean, threshold, draw):
    """Inputs and outputs of a Gate; no output lies on the threshold."""
    net = Gate(len(mean), threshold)
    net.load_state_dict(state)
    net.mean = mean
    x = draw.normal_tensor(60, len(mean))
    far = ((net.eval().layer(x - mean) - threshold).abs() > 1e-3).all(1)
    x = x[far][:20].contiguous()
    return x, net(x)


def silent(p, draw):
    width = draw.integer(4, 8)
    cases = []
    for name, with_mean, with_threshold, training, hint in (
        ("a new mean", True, False, False, REBOUND),
        ("a new threshold", False, True, False, COPIED),
        ("all of it", True, True, True, COPIED),
    ):
        state = drawn_state(Gate(width), draw)
        mean = 2 * draw.normal_tensor(width) if with_mean else torch.zeros(width)
        threshold = draw.uniform(0.4, 0.9) if with_threshold else -0.2
        x, y = gated(state, mean, threshold, draw)
        net = Net("checks:Gate", {"width": width, "threshold": -0.2}, training=training)
        arguments = (net, state, mean, threshold)
        cases.append(Case(name, Run(Call("release", arguments), (x,)), y, hint, 1e-4,
                          pick=lambda r: r[0]))  # fmt: skip
    ask = Call("release", arguments, then=((x,),))
    cases.append(Case("a network that arrives in training mode", ask, y, TRAINING, 1e-4))
    return cases


NAMES = ("ant", "bee", "cat", "dog", "eel", "fox", "gnu", "hen", "ibis", "jay")


@torch.no_grad()
def keep(p, draw):
    classes = draw.sample(NAMES, 4)
    arguments = {"width": draw.integer(5, 8), "classes": 4}
    net = Digits(**arguments).eval()
    names = []
    while names.count("?") < 2 or len(set(names)) < 4:
        state = drawn_state(net, draw, 2.0)
        net.load_state_dict(state)
        images = draw.normal_tensor(80, 1, 9, 9) * draw.uniform_tensor(80, 1, 1, 1, high=4.0)
        confidence, best = net(images).softmax(1).max(1)
        clear = (confidence - p.doubt).abs() > 0.02
        images, confidence, best = images[clear][:12], confidence[clear][:12], best[clear][:12]
        names = [
            classes[i] if c >= p.doubt else "?"
            for i, c in zip(best.tolist(), confidence.tolist(), strict=True)
        ]
    images = images.contiguous()
    arrives = Net("checks:Digits", arguments, state, training=True)
    source = Call("export", (arrives, classes))
    app = Call("app", (arrives, classes, images))
    return [
        Case("the scores of the network", Run(source, (images,)), net(images), EVAL, 1e-3,
             pick=lambda r: r[0]),
        frozen(source),
        Case("the names of the classes in the app", app, classes, LOST, pick=lambda r: list(r[0])),
        Case("what the app reads where it is sure", app, [n for n in names if n != "?"], EXPORTED,
             pick=lambda r: [n for n, right in zip(r[1], names, strict=True) if right != "?"]),
        Case("what the app reads where it is not", app, names, UNSURE, pick=lambda r: list(r[1])),
    ]  # fmt: skip


@torch.no_grad()
def scriptable(p, draw):
    width, depth = draw.integer(4, 7), draw.integer(4, 6)
    heads = tuple(draw.sample(("digit", "parity", "slant", "ink", "size"), 3))
    arguments = {
        "width": width, "depth": depth, "heads": heads, "activation": p.activation,
        "ceiling": draw.uniform(2.0, 4.0),
    }  # fmt: skip
    tower = Tower(**arguments)
    state = drawn_state(tower, draw, 0.4)
    tower.load_state_dict(state)
    source = Call("scriptable", (Net("checks:Tower", arguments, state),))

    def quiet():
        return draw.uniform_tensor(draw.integer(1, 4), width, low=-1.8, high=1.8)

    def loud():
        x = quiet()
        x[0, draw.integer(0, width - 1)] = draw.choice((-1, 1)) * draw.uniform(6.0, 20.0)
        return x

    def skips():
        return draw.sample(range(depth), draw.integer(1, 3))

    def case(name, hint, *calls):
        expected = [tower(x, head, skip=skip, gain=gain) for x, head, skip, gain in calls]
        return Case(name, Run(source, calls), expected, hint, 1e-3)

    def gain():
        return draw.uniform_tensor(width, low=0.5, high=2.0)

    some = draw.choice(heads)
    return [
        case("every head for itself", SIGNATURE, *[(quiet(), head, [], None) for head in heads]),
        case("blocks that are skipped", SKIPPED, (quiet(), some, skips(), None),
             (quiet(), some, list(range(depth)), None)),
        case("with a gain and without", GAIN, (quiet(), some, [], gain()),
             (quiet(), some, [], None)),
        case("above the ceiling and below", LOUD, (loud(), some, [], None),
             (quiet(), some, [], None), (loud(), some, skips(), gain())),
        case("all heads together", HEADS, (quiet(), "all", [], None),
             (loud(), "all", skips(), gain())),
    ]  # fmt: skip
