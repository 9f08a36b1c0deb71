"""The cases of exercise 04 that give points. Kept back: no student's code ever sees this file."""

import torch
import torch.nn.functional as F
from torch import nn

from mobilelab import datasets
from mobilelab.grading import Call, Case, Facts, Net

from .checks import (
    AGREE,
    FUSED,
    GROUPS,
    HALF,
    LABEL,
    MINE,
    NAN,
    NO_BIAS,
    PLAIN,
    ROWS,
    SCALE,
    SHIFT,
    SIZE,
    STORED,
    WORST,
    ZERO,
    accuracy_case,
    conv,
    meter_cases,
    packed,
)


def reference_fold(weight, bias, groups, scale, shift):
    out, inside = weight.shape[:2]
    reads = torch.arange(out).view(-1, 1) // (out // groups) * inside + torch.arange(inside)
    scale, shift = (v[reads].view(out, inside, 1, 1) for v in (scale, shift))
    own = torch.zeros(out) if bias is None else bias
    return (weight * scale).float(), (own + (weight * shift).sum(dim=(1, 2, 3))).float()


def fold(p, draw):
    cases = []
    for name, inputs, outputs, kernel, groups, has_bias, affine, hint in (
        ("with a bias", 3, 5, 3, 1, True, True, SCALE),
        ("without a bias", 5, 3, draw.choice((1, 2, 3)), 1, False, True, NO_BIAS),
        ("two groups", 6, 4, 3, 2, True, True, GROUPS),
        ("depthwise, two outputs for each channel", 4, 8, 3, 4, False, True, GROUPS),
        ("BatchNorm without weight and bias", 4, 5, 2, 1, True, False, PLAIN),
    ):
        eps = draw.choice((1e-5, 1e-3, 0.1)) if affine else 0.5
        state = {
            "running_mean": draw.normal_tensor(inputs),
            "running_var": draw.uniform_tensor(inputs, low=0.2, high=3.0),
            "num_batches_tracked": torch.tensor(1),
        }
        if affine:
            state["weight"] = draw.uniform_tensor(inputs, low=0.5, high=2.0)
            state["bias"] = draw.normal_tensor(inputs)
        scale = state.get("weight", torch.ones(inputs)).double()
        scale = scale / (state["running_var"].double() + eps).sqrt()
        shift = state.get("bias", torch.zeros(inputs)) - state["running_mean"] * scale
        settings = {"num_features": inputs, "eps": eps, "affine": affine}
        before = Net("torch.nn:BatchNorm2d", settings, state)
        weight = draw.normal_tensor(outputs, inputs // groups, kernel, kernel)
        bias = draw.normal_tensor(outputs) if has_bias else None
        ask = Call("fold_before", (before, conv(weight, bias, groups)))
        new_weight, new_bias = reference_fold(weight, bias, groups, scale, shift)
        cases.append(Case(f"weight, {name}", ask, new_weight, hint, 1e-3, pick=lambda r: r[0]))
        hint = SHIFT if hint is SCALE else hint
        cases.append(Case(f"bias, {name}", ask, new_bias, hint, 1e-3, pick=lambda r: r[1]))
    return cases


def stored_as(x):
    nchw, nhwc = x.is_contiguous(), x.is_contiguous(memory_format=torch.channels_last)
    return {(1, 1): "both", (1, 0): "NCHW", (0, 1): "NHWC", (0, 0): "neither"}[nchw, nhwc]


def taken_for(x):
    with torch.no_grad():
        return "NHWC" if nn.Conv2d(x.shape[1], 8, 1)(x).stride(1) == 1 else "NCHW"


def some_layouts(draw, channels):
    """Tensors of one number of channels, as an app's code makes them."""
    n, h, w = draw.integer(1, 3), draw.integer(4, 9), draw.integer(10, 16)
    last = torch.channels_last
    x, large = torch.zeros(n, channels, h, w), torch.zeros(n, channels, 2 * h, 2 * w)
    made = [
        x,
        x.to(memory_format=last),
        x.contiguous(memory_format=last),
        torch.zeros(n, h, w, channels).permute(0, 3, 1, 2),
        x.transpose(2, 3),
        large[..., :h, :w],
        large.to(memory_format=last)[..., :h, :w],
        large[..., ::2, ::2],
        torch.zeros(n, 2 * channels, h, w)[:, ::2],
    ]
    return draw.sample(made, len(made))


def layout(p, draw):
    cases = []
    for name, channels in (("one channel", 1), ("three channels", 3), ("many channels", 12)):
        made = some_layouts(draw, channels)
        ask = Call("layouts", ([(tuple(x.shape), tuple(x.stride())) for x in made],))
        stored, taken = [stored_as(x) for x in made], [taken_for(x) for x in made]
        cases += [
            Case(f"stored as, {name}", ask, stored, STORED, pick=lambda r: [a for a, _ in r]),
            Case(f"a convolution makes of it, {name}", ask, taken, LABEL,
                 pick=lambda r: [b for _, b in r]),
        ]  # fmt: skip
    return cases


def reference_errors(reference, candidate):
    reference, candidate = reference.double(), candidate.double()
    distance, norm = (candidate - reference).norm(dim=1), reference.norm(dim=1)
    errors = torch.where(distance == 0, 0.0, distance / norm)
    return torch.where(torch.isfinite(candidate).all(dim=1), errors, torch.inf)


def parity(p, draw):
    reference = draw.normal_tensor(12, 10) * draw.uniform(0.5, 20)
    noise = draw.uniform_tensor(12, 1, low=0.01, high=0.8) * reference.std()
    candidate = reference + noise * draw.normal_tensor(12, 10)
    ask = Call("row_errors", (reference, candidate))
    cases = [Case("errors of ordinary images", ask, reference_errors(reference, candidate), ROWS,
                  1e-4)]  # fmt: skip
    awkward, other = reference.clone(), candidate.clone()
    order = draw.sample(range(12), 5)
    awkward[order[0]] = other[order[0]] = 0
    awkward[order[1]] = 0
    other[order[2]] = awkward[order[2]]
    for name, value, row in (("nan", torch.nan, order[3]), ("an infinity", torch.inf, order[4])):
        other_row = other.clone()
        other_row[row, draw.integer(0, 9)] = value
        hint = NAN if name == "nan" else ZERO
        cases.append(Case(f"rows of zeros, equal rows, {name}",
                          Call("row_errors", (awkward, other_row)),
                          reference_errors(awkward, other_row), hint, 1e-4))  # fmt: skip
    large = draw.uniform_tensor(5, 8, low=3e4, high=6e4).half()
    changed = (large * draw.uniform_tensor(5, 8, low=0.6, high=1.0)).half()
    ask = Call("row_errors", (large, changed))
    cases.append(Case("large scores in float16", ask, reference_errors(large, changed), HALF, 1e-3))
    for number in (1, 2):
        scores, candidates, expected = some_candidates(p, draw)
        hint = WORST if number == 1 else AGREE
        ask = Call("verdicts", (scores, candidates))
        cases.append(Case(f"verdicts, {number}", ask, expected, hint, weight=1.5))
    return cases


def some_candidates(p, draw):
    """40 rows of scores whose two best are close together, and six candidates with a verdict."""
    scores = draw.normal_tensor(40, 10)
    best = [draw.sample(range(10), 2) for _ in range(40)]
    for row, (first, second) in enumerate(best):
        scores[row, first], scores[row, second] = 6.0, 5.8
    allowed = 40 * (100 - p.agree) // 100

    def swapped(count):
        answers = scores + 1e-3 * draw.normal_tensor(40, 10)
        for row in draw.sample(range(40), count):
            first, second = best[row]
            answers[row, first], answers[row, second] = 5.8, 6.0
        return answers

    broken, with_nan = scores.clone(), scores.clone()
    broken[draw.integer(0, 39)] *= draw.choice((0.0, 2.0, -1.0))
    with_nan[draw.integer(0, 39), draw.integer(0, 9)] = torch.nan
    made = [
        (scores * (1 + 1e-6), "same"),
        (swapped(max(0, allowed - 1)), "close"),
        (swapped(allowed + 2), "DIFFERENT"),
        (broken, "DIFFERENT"),
        (with_nan, "DIFFERENT"),
        (scores * draw.uniform(1.8, 3.0), "DIFFERENT"),
    ]
    made = draw.sample(made, len(made))
    candidates = {f"file {i}": answers for i, (answers, _) in enumerate(made)}
    return scores, candidates, {f"file {i}": verdict for i, (_, verdict) in enumerate(made)}


def silent(p, draw):
    few, many = draw.integer(4, 7), draw.integer(8, 12)
    return [
        *meter_cases("a small meter", draw, width=few, blocks=1, classes=draw.integer(3, 6)),
        *meter_cases("a larger meter", draw, width=many, blocks=2, classes=4),
    ]


def deliver(p, draw):
    """Test images, moved by up to two pixels and a little noisy: nobody has seen these."""
    test = datasets.load("digits").test
    chosen = draw.integer_tensor(300, low=0, high=len(test.labels) - 1)
    images, moved = F.pad(test.images[chosen], (2, 2, 2, 2), mode="replicate"), []
    for part in images.split(20):
        right, down = draw.integer(0, 4), draw.integer(0, 4)
        moved.append(part[..., down : down + 32, right : right + 32])
    images = torch.cat(moved) + 0.05 * draw.normal_tensor(300, 1, 32, 32)

    def small_and_packed(seen):
        small = seen["size"] <= p.budget_kb * 1000
        return seen["loads"] == "lite" and small and packed(seen["operators"])

    file = Facts(MINE)
    return [
        Case("a file for the lite interpreter with packed convolutions", file, "one that is packed",
             FUSED, judge=lambda seen: seen["loads"] == "lite" and packed(seen["operators"]),
             weight=0, gate=True),
        Case("a packed file within the budget", file,
             f"a .ptl with packed convolutions and no loose layers, at most {p.budget_kb} kB",
             f"{SIZE} {FUSED}", judge=small_and_packed),
        accuracy_case(images, test.labels[chosen]),
    ]  # fmt: skip
