"""The cases of exercise 03 that give points. Kept back: no student's code ever sees this file."""

import torch
import torch.nn.functional as F

from mobilelab import datasets
from mobilelab.grading import Call, Case

from .checks import (
    CHANNEL,
    CLAMP,
    EMPTY,
    FEWEST,
    GAPS,
    NONE,
    OFFSET,
    OVERFLOW,
    ROUND,
    SYMMETRIC,
    ZERO,
    delivered_cases,
)


def reference_affine(x, bits):
    low, high = min(float(x.min()), 0.0), max(float(x.max()), 0.0)
    scale = (high - low) / (2**bits - 1)
    return scale, round(-low / scale)


def affine(p, draw):
    cases = []
    for name, shift, hint in (
        ("values on both sides of zero", -0.5, GAPS),
        ("positive values only", 0.2, ZERO),
        ("negative values only", -1.3, ZERO),
    ):
        x = (draw.uniform_tensor(4, 5) + shift) * draw.uniform(0.5, 8.0)
        bits = draw.choice((2, 4, 8, p.bits))
        scale, zero = reference_affine(x, bits)
        ask = Call("affine_parameters", (x, bits))
        cases.append(Case(f"scale, {name}", ask, scale, hint, 1e-5, pick=lambda r: r[0]))
        # on the edge between two marks float32 and float64 may round to different ones
        edge = abs(-min(float(x.min()), 0.0) / scale % 1 - 0.5) < 1e-3
        cases.append(
            Case(f"zero point, {name}", ask, zero, ZERO, 1 if edge else 0, pick=lambda r: r[1])
        )
    scale, zero = draw.uniform(0.05, 0.3), draw.integer(1, 2**p.bits - 2)
    marks = draw.integer_tensor(3, 7, low=0, high=2**p.bits - 1)
    inside = (marks - zero) * scale + scale * 0.4 * (draw.uniform_tensor(3, 7) - 0.5) * 2
    beyond = torch.tensor([-1e4, 1e4, 50.0, -50.0])
    far = torch.tensor([0, 1, 1, 0]) * (2**p.bits - 1)
    cases.append(
        Case("rounds to the nearest", Call("quantize", (inside, scale, zero, p.bits)), marks, ROUND)
    )
    cases.append(Case("clamps", Call("quantize", (beyond, scale, zero, p.bits)), far, CLAMP))
    return cases


def per_channel(p, draw):
    top = 2 ** (p.bits - 1) - 1
    weight = draw.normal_tensor(6, 3, 3, 3) * draw.uniform_tensor(6, 1, 1, 1, low=0.1, high=3.0)
    largest = weight.abs().amax(dim=(1, 2, 3))
    scales = largest / top
    exact = weight / scales.reshape(-1, 1, 1, 1)
    # leave out what lies on the edge between two marks: both answers are honest
    clear = ((exact - exact.floor()) - 0.5).abs() > 1e-3
    marks = torch.where(clear, exact.round(), torch.zeros(()))
    ask = Call("quantize_per_channel", (weight, p.bits))
    flat = Call("quantize_per_channel", (draw.normal_tensor(4, 9), 8))
    with_zero = weight.clone()
    with_zero[2] = 0
    return [
        Case("scales of a convolution", ask, scales, CHANNEL, 1e-5, pick=lambda r: r[1].flatten()),
        Case("marks of a convolution", ask, marks, SYMMETRIC,
             pick=lambda r: torch.where(clear, r[0].double(), 0.0)),
        Case("marks stay symmetric", flat, True, SYMMETRIC,
             pick=lambda r: bool(r[0].abs().amax() == 127) and bool(r[0].amin() >= -127)),
        Case("marks are whole numbers", flat, True, SYMMETRIC,
             pick=lambda r: bool((r[0].double() == r[0].double().round()).all())),
        Case("a channel of zeros", Call("quantize_per_channel", (with_zero, p.bits)),
             torch.zeros(3, 3, 3), EMPTY, pick=lambda r: r[0][2].double()),
    ]  # fmt: skip


def silent(p, draw):
    cases = []
    for name, rows, columns, zero, hint in (
        ("a long sum", 2, 64, 0, OVERFLOW),
        ("with a zero point", 3, 16, draw.integer(20, 200), OFFSET),
        ("many outputs", 5, 40, draw.integer(20, 200), OVERFLOW),
    ):
        x = draw.integer_tensor(rows, columns, low=0, high=255).to(torch.uint8)
        w = draw.integer_tensor(4, columns, low=-127, high=127).to(torch.int8)
        x_scale, w_scale = draw.uniform(0.01, 0.1), draw.uniform(0.001, 0.01)
        y = ((x.long() - zero) @ w.long().T).double() * x_scale * w_scale
        ask = Call("quantized_linear", (x, w, x_scale, zero, w_scale))
        cases.append(Case(name, ask, y.float(), hint, 1e-3))
    return cases


def reference_error(x, bits):
    top = 2 ** (bits - 1) - 1
    scale = x.abs().max() / top
    back = (x / scale).round().clamp(-top, top) * scale
    return float((x - back).norm() / x.norm())


def width(p, draw):
    cases = []
    for name in ("a small tensor", "a large tensor", "a tensor with one far value"):
        x = draw.normal_tensor(12 if name == "a small tensor" else 400)
        if "far" in name:
            x[3] = 12.0
        errors = {bits: reference_error(x, bits) for bits in range(2, 9)}
        bits = draw.integer(3, 8)
        limit = (errors[bits] + min(errors[b] for b in range(2, bits))) / 2
        fewest = next(b for b in range(2, 9) if errors[b] <= limit)
        cases.append(Case(name, Call("fewest_bits", (x, limit)), fewest, FEWEST))
    x = draw.normal_tensor(50)
    cases.append(Case("not even 8 bits", Call("fewest_bits", (x, 1e-9)), 0, NONE))
    return cases


def deliver(p, draw):
    """Test images that were shifted and brightened a little: nobody has seen these."""
    test = datasets.load("digits").test
    chosen = draw.integer_tensor(200, low=0, high=len(test.labels) - 1)
    images, labels = test.images[chosen], test.labels[chosen]
    moved = F.pad(images, (1, 1, 1, 1), mode="replicate")
    right, down = draw.integer(0, 2), draw.integer(0, 2)
    moved = moved[..., down : down + images.shape[2], right : right + images.shape[3]]
    moved = moved + 0.05 * draw.normal_tensor(*moved.shape)
    return delivered_cases(p, moved.contiguous(), labels)
