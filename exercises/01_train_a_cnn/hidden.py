"""The cases of exercise 01 that give points. Kept back: no student's code ever sees this file."""

import copy
from dataclasses import replace

import torch
from torch import nn

from mobilelab import datasets, models
from mobilelab.grading import Call, Case, Net

from .checks import (
    AXIS,
    BACKWARDS,
    CHANNELS,
    CLEAN,
    CONSTANTS,
    DILATED,
    FLOOR,
    GROUPED,
    HARM,
    MODE,
    PADDED,
    RUNS,
    SCALE,
    STRIDES,
    TRAINED,
    UNEQUAL,
    Again,
    Small,
    Witness,
    delivered_cases,
    left_as_found,
    photos,
)


def pictures(draw, top, *shape):
    """Raw pictures whose channels differ in brightness."""
    raw = draw.integer_tensor(*shape, low=0, high=top)
    for channel in range(1, shape[1]):
        raw[:, channel] = raw[:, channel] // (channel + 1)
    return raw.to(torch.uint8)


def normalized(raw, mean, std, top):
    return (raw.double() / top - mean.reshape(1, -1, 1, 1)) / std.reshape(1, -1, 1, 1)


def normalize(p, draw):
    cases = []
    for name, channels in (("a color camera", 3), ("a gray camera", 1)):
        raw = pictures(draw, p.top, draw.integer(30, 50), channels, 9, 12)
        scaled = raw.double() / p.top
        ask = Call("statistics", (raw, p.top))
        cases += [
            Case(f"means, {name}", ask, scaled.mean((0, 2, 3)), SCALE, 1e-4,
                 pick=lambda r: torch.as_tensor(r[0]).flatten()),
            Case(f"deviations, {name}", ask, scaled.std((0, 2, 3)), CHANNELS, 1e-3,
                 pick=lambda r: torch.as_tensor(r[1]).flatten()),
        ]  # fmt: skip
    other = draw.choice([top for top in (15, 63, 127, 255) if top != p.top])
    for name, top, shape, hint in (
        ("many pictures", p.top, (7, 4, 6, 5), SCALE),
        ("three channels, three pixels wide", p.top, (4, 3, 3, 3), AXIS),
        ("a single picture", other, (1, 2, 8, 8), CONSTANTS),
    ):
        raw = pictures(draw, top, *shape)
        mean = draw.uniform_tensor(shape[1], low=0.1, high=0.6)
        std = draw.uniform_tensor(shape[1], low=0.1, high=0.5)
        ask = Call("normalize", (raw, mean, std, top))
        cases.append(Case(name, ask, normalized(raw, mean, std, top), hint, 1e-3))
    return cases


def reference_size(size, layers):
    for kernel, stride, padding, dilation in layers:
        size = (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
    return size


def divides(size, layers):
    """Whether no layer leaves a rest, so that rounding makes no difference."""
    for k, layer in enumerate(layers):
        kernel, stride, padding, dilation = layer
        before = reference_size(size, layers[:k])
        if (before + 2 * padding - dilation * (kernel - 1) - 1) % stride:
            return False
    return True


def reference_sees(position, layers):
    first = last = position
    for kernel, stride, padding, dilation in reversed(layers):
        first = first * stride - padding
        last = last * stride - padding + dilation * (kernel - 1)
    return [first, last]


def stack(draw, dilations):
    layers = [
        (draw.integer(2, 5), draw.integer(1, 3), draw.integer(0, 2), d) for d in dilations[:-1]
    ]
    # at least one stride before the last layer, and one that is its own
    kernel, _, padding, dilation = layers[0]
    layers[0] = (kernel, draw.integer(2, 3), padding, dilation)
    return [*layers, (draw.integer(3, 5), 2, draw.integer(1, 2), dilations[-1])]


def sees(p, draw):
    cases = []
    for name, dilations, hint in (
        ("a plain stack", (1, 1, 1), FLOOR),
        ("a dilated stack", (1, 3, 2), DILATED),
        ("a long stack", (1, 1, 2, 1, 1), FLOOR),
    ):
        layers = stack(draw, dilations)
        size = draw.integer(900, 1000)
        while divides(size, layers):
            size += 1
        expected = reference_size(size, layers)
        cases.append(
            Case(f"outputs of {name}", Call("output_size", (size, layers)), expected, hint)
        )
    for name, dilations, first, hint in (
        ("the first output of a plain stack", (1, 1), True, PADDED),
        ("an output in the middle of a plain stack", (1, 1, 1), False, STRIDES),
        ("an output of a dilated stack", (2, 1, 3), False, DILATED),
        ("an output of a long stack", (1, 2, 1, 1, 1), False, BACKWARDS),
    ):
        layers = stack(draw, dilations)
        position = 0 if first else draw.integer(5, 40)
        expected = reference_sees(position, layers)
        ask = Call("sees", (position, layers))
        cases.append(Case(f"what is seen by {name}", ask, expected, hint, pick=list))
    return cases


def drawn_state(net, draw):
    """Weights for a Witness; its running averages are far from those of any batch."""
    state = {}
    for name, tensor in net.state_dict().items():
        if not tensor.is_floating_point():
            state[name] = torch.zeros_like(tensor)
        elif "running_var" in name:
            state[name] = draw.uniform_tensor(*tensor.shape, low=0.3, high=3.0)
        else:
            state[name] = draw.normal_tensor(*tensor.shape)
    return state


def share(said, labels):
    return float((said == labels).double().mean())


@torch.no_grad()
def evaluation(draw, count, batch, classes=5, channels=2):
    """State, images, labels and the right share; wrong ways come to other shares."""
    for _ in range(200):
        net = Witness(channels, classes)
        state = drawn_state(net, draw)
        net.load_state_dict(state)
        images = draw.normal_tensor(4 * count, channels, 8, 8) + 2 * draw.normal_tensor(
            4 * count, channels, 1, 1
        )
        scores = net.eval()(images)
        top = scores.topk(2).values
        clear = (top[:, 0] - top[:, 1] > 0.05).nonzero().flatten()[:count]
        if len(clear) < count:
            continue
        images, said = images[clear], scores[clear].argmax(1)
        # the whole batches at the front are mostly right, the small one at the end is wrong
        wrong = torch.arange(count) >= count - count % batch
        wrong[draw.integer(0, batch - 1)] = True
        labels = torch.where(wrong, (said + draw.integer(1, classes - 1)) % classes, said)
        right = share(said, labels)
        busy = copy.deepcopy(net).train()
        parts = [
            share(busy(x).argmax(1), y)
            for x, y in zip(images.split(batch), labels.split(batch), strict=True)
        ]
        if abs(sum(parts) / len(parts) - right) > 0.03:
            noisy = torch.cat([busy(x).argmax(1) for x in images.split(batch)])
            if abs(share(noisy, labels) - right) > 0.03 and len(set(said.tolist())) > 1:
                break
    return state, images, labels, right


def silent(p, draw):
    cases = []
    arguments = {"channels": 2, "classes": 5, "p": 0.5}
    for name, training, count, batch, hint in (
        ("a small last batch", False, 11, 4, UNEQUAL),
        ("a last batch of one", False, 25, 8, UNEQUAL),
        ("a network in training mode", True, 12, 4, MODE),
        ("training mode and a small last batch", True, 20, 6, MODE),
    ):
        state, images, labels, right = evaluation(draw, count, batch)
        net = Net("checks:Witness", arguments, state, training)
        ask = Call("evaluate", (net, images, labels, batch))
        cases.append(Case(name, ask, right, hint, 1e-5))
    busy = Net("checks:Witness", arguments, state, True)
    quiet = Net("checks:Witness", arguments, state, False)
    first = left_as_found(
        "a network in training mode stays as it was",
        Call("evaluate", (busy, images, labels, batch), back=True), "training", HARM,
    )  # fmt: skip
    stayed = [False]  # who does nothing about the mode leaves eval mode alone by luck

    def unchanged(text):
        stayed[0] = first.judge(text)
        return stayed[0]

    second = left_as_found(
        "and so does one in eval mode",
        Call("evaluate", (quiet, images, labels, batch), back=True), "eval", HARM,
    )  # fmt: skip
    return [
        *cases,
        replace(first, judge=unchanged),
        replace(second, judge=lambda text: stayed[0] and second.judge(text)),
    ]


@torch.no_grad()
def reference_cost(net, images):
    total = 0

    def work(layer, _, output):
        nonlocal total
        total += output.numel() * layer.weight[0].numel()

    for module in net.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            module.register_forward_hook(work)
    net.eval()(images)
    return sum(p.numel() for p in net.parameters()), total


def cost(p, draw):
    cases = []
    width = 2 * draw.integer(3, 8)
    tiny = {"channels": draw.choice((1, 3)), "classes": draw.integer(5, 20)}
    small = {
        "channels": draw.integer(2, 4), "width": width, "classes": draw.integer(3, 12),
        "kernel": draw.choice((3, 5, 7)), "dilation": draw.choice((2, 3)), "groups": 2,
    }  # fmt: skip
    again = {"width": draw.integer(3, 9), "times": draw.integer(3, 6)}
    for name, where, build, arguments, channels, hint in (
        ("a grouped and dilated network", "checks:Small", Small, small, small["channels"], GROUPED),
        ("the course's network", "mobilelab.models:TinyMobileNet", models.TinyMobileNet, tiny,
         tiny["channels"], GROUPED),
    ):  # fmt: skip
        images = draw.normal_tensor(1, channels, 4 * draw.integer(4, 6), 4 * draw.integer(7, 9))
        parameters, macs = reference_cost(build(**arguments), images)
        ask = Call("cost", (Net(where, arguments), images))
        cases.append(Case(f"parameters of {name}", ask, parameters, TRAINED, pick=lambda r: r[0]))
        cases.append(
            Case(f"multiply-accumulates of {name}", ask, macs, hint, pick=lambda r: r[1], weight=2)
        )
    images = draw.normal_tensor(1, again["width"], 5, draw.integer(6, 9))
    expected = list(reference_cost(Again(**again), images))
    ask = Call("cost", (Net("checks:Again", again), images))
    cases.append(Case("a convolution that is used again and again", ask, expected, RUNS, pick=list))
    witness = Net("checks:Witness", {"channels": 2}, training=True)
    ask = Call("cost", (witness, draw.normal_tensor(1, 2, 8, 8)), back=True)
    cases.append(left_as_found("the network stays as it was", ask, "training", CLEAN))
    return cases


def deliver(p, draw):
    """Photos of test digits, each hundred of them moved by another few pixels."""
    test = datasets.load("digits").test
    chosen = torch.tensor(draw.sample(range(len(test.labels)), 300))
    parts = [
        photos(
            images, p, draw.integer(-3, 3), draw.integer(-3, 3), draw.normal_tensor(100, 1, 32, 32)
        )
        for images in test.images[chosen].split(100)
    ]
    return delivered_cases(p, parts, test.labels[chosen])
