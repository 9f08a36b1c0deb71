"""The cases of exercise 08 that give points. Kept back: no student's code ever sees this file."""

import torch

from .checks import (
    LEFT,
    chain_cases,
    delivered_cases,
    grid_cases,
    grid_of,
    harmless_cases,
    loss_cases,
    ported_cases,
    seen_cases,
    shots,
    whole_cases,
)


def who(p, draw):
    """A chain with two or three parts, which end and begin at drawn places."""
    odd = [draw.choice(list(LEFT)) for _ in range(4)]
    steps = ["conv", odd[0], odd[1], "add", *(["conv"] if draw.choice((True, False)) else [])]
    steps += [odd[2], *(["add"] if draw.choice((True, False)) else [odd[3]])]
    if draw.choice((True, False)):
        steps = [draw.choice(list(LEFT)), *steps]
    return chain_cases("a longer chain", tuple(steps))


def whole(p, draw):
    return whole_cases("another network", draw, width=draw.integer(4, 9), scores=draw.integer(3, 6))


def clip(p, draw):
    def batches(count, spread, shift=0.0):
        return [spread * draw.uniform(0.5, 1.0) * draw.normal_tensor(4, 9) + shift
                for _ in range(count)]  # fmt: skip

    cases, loud = [], [*batches(3, 1.0), *batches(1, 9.0)]
    for name, numbers, momentum in (
        ("one loud batch", loud, None),
        ("one loud batch, with your momentum", loud, p.momentum),
        ("many batches, with your momentum", batches(7, 2.0), p.momentum),
        ("numbers above 0 only", [x.abs() + 0.3 for x in batches(3, 1.0)], None),
        ("numbers below 0 only", [-x.abs() - 0.3 for x in batches(3, 1.0)], p.momentum),
    ):
        cases += grid_cases(name, numbers, momentum)
    x = torch.cat(loud)
    for name, momentum in (("all in range", None), ("clipped", p.momentum)):
        scale, zero = grid_of(loud, momentum)
        cases += loss_cases(name, x, scale, zero)
    scale, zero = draw.uniform(0.001, 0.01), draw.integer(-90, 90)
    return [*cases, *loss_cases("a narrow range", x, scale, zero)]


def ported(p, draw):
    return ported_cases(p, "another network", draw)


def memory(p, draw):
    a, b, c = draw.sample(range(2, 7), 3)
    numbers = draw.normal_tensor(a * b * c * 2)
    step = draw.integer(2, 3)
    return [
        *seen_cases("turned", numbers, (a, b, c), (1, a, a * b)),
        *seen_cases("one axis in steps", numbers, (a, b), (b * step, step)),
        *seen_cases("as it should be", numbers, (c, a * b), (a * b, 1)),
        *harmless_cases(
            ("channels first", (a, b, c, c), (b * c * c, c * c, c, 1)),
            ("channels last", (a, b, c, c), (b * c * c, 1, b * c, b)),
            ("channels last, one channel", (a, 1, b, c), (b * c, 1, c, 1)),
            ("one picture, its batch axis has any stride", (1, a, b, c), (7, b * c, c, 1)),
            ("a row in between is left out", (a, b), (b + 1, 1)),
            ("repeated along an axis", (a, b), (0, 1)),
            ("a plain list", (a * b,), (1,)),
        ),
    ]  # fmt: skip


def deliver(p, draw):
    return delivered_cases(p, *shots(draw))
