"""Checks for the exercises of chapter 07, on a device."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from mobilelab.course.checks import Case, Check, verify
from mobilelab.phone.counter import Cost


def check_density(density: Mapping[str, float], costs: Mapping[tuple[str, str], Cost]) -> Check:
    """07.1: multiply-accumulates per instruction on the Cortex-A53, by file."""
    counted = {name: cost for (core, name), cost in costs.items() if core == "cortex-a53"}
    hints = {
        "mobile": "Products over all instructions, those that multiply and those that do not.",
        "mobile-nhwc": "The products are those of `mobile`; the instructions are fewer.",
        "mobile-int8": "Look up this file's own two counts. The key has the core first.",
        "mobile-pruned": "Both of its counts are smaller than `mobile`'s: divide its own two.",
    }
    return verify(
        "Exercise 07.1",
        [
            Case(
                name,
                lambda name=name: None if density is None else float(density[name]),
                cost.multiply_accumulates / cost.instructions,
                hints.get(name, hints["mobile"]),
                tolerance=0.005,
            )
            for name, cost in counted.items()
        ],
        given=True,
    )


def _screens() -> tuple[tuple[str, tuple[Tensor, Tensor, Tensor, Tensor], str, str], ...]:
    """Name, what was recorded and what was seen, the right word, hint."""
    generator = torch.Generator().manual_seed(7)
    inputs = torch.rand(3, 1, 8, 8, generator=generator)
    inputs[0, 0, 1, 1] = 1.8
    scores = 10 * torch.rand(3, 4, generator=generator)
    off = torch.zeros_like(scores)
    off[0, 0] = 1.0
    nan = torch.full_like(scores, math.nan)
    one_nan, doubled = scores.clone(), scores.clone()
    one_nan[1, 1] = math.nan
    scores[2, 3] = doubled[2, 3] = one_nan[2, 3] = 0.005 * scores.norm()
    doubled[2, 3] *= 2
    one_pixel = inputs.clone()
    one_pixel[2, 0, 7, 7] += 1e-3
    slightly, nudged, no_number = inputs.clone(), inputs.clone(), inputs.clone()
    nudged[0, 0, 1, 1] += 2e-5
    slightly[1, 0, 2, 3] += 1.5e-5
    no_number[0, 0, 0, 0] = math.nan
    cases = (
        ("everything as recorded", inputs, scores, "ok", "Equal tensors differ by nothing."),
        ("rounding", inputs + 1e-6, scores * 1.001, "ok",
         "Both bounds leave room for rounding: 1e-5 for inputs, one hundredth for scores."),
        ("one pixel of one image", one_pixel, scores, "preprocessing",
         "The bound is for the largest difference. A mean over all pixels would hide one."),
        ("one pixel, by a little more than the bound", slightly, scores, "preprocessing",
         "0.000015 is more than 1e-5. Which bound did you write?"),
        ("an input is not a number", no_number, scores, "preprocessing",
         "Every comparison with nan is false: ask whether it is within the bound, not beyond."),
        ("broken scores", inputs, scores + 5 * off, "model",
         "The inputs are right and the scores are not, so it is the file or the runtime."),
        ("scores that are off by 1.2 hundredths", inputs, scores * 1.012, "model",
         "A relative error of 0.012 is more than one hundredth."),
        ("scores that are off by 0.8 hundredths", inputs, scores * 1.008, "ok",
         "A relative error of 0.008 is less than one hundredth. Divide by what was recorded."),
        ("one score is not a number", inputs, one_nan, "model",
         "One nan makes the norm nan: ask whether the error is within the bound, not beyond."),
        ("a small score that is doubled", inputs, doubled, "ok",
         "The norm is over all scores: one small one, doubled, is less than a hundredth of it."),
        ("one row of scores for three images", inputs, scores[:1], "model",
         "Compare the shapes first: torch repeats a single row for the subtraction."),
        ("a broken input and broken scores", 1.01 * inputs, scores + 5 * off, "preprocessing",
         "Look at the inputs first: with wrong inputs, wrong scores say nothing new."),
        ("scores are not numbers", inputs, nan, "model",
         "Every comparison with nan is false, so `error > bound` lets it through."),
        ("large scores, small relative error", inputs, scores + 0.001 * scores.norm() * off, "ok",
         "The bound is relative: the norm of the difference over the norm of what was recorded."),
        ("a large value, by a little more than the bound", nudged, scores, "preprocessing",
         "torch.allclose adds a share of the value to the bound unless rtol=0; 1e-5 is meant."),
        ("scores that are 1.005 hundredths larger", inputs, scores * 1.01005, "model",
         "Divide by the norm of what was recorded, not of what was seen."),
        ("another shape", inputs[:, :, :4], scores, "preprocessing",
         "Compare the shapes before the numbers; subtracting other shapes raises or repeats."),
    )  # fmt: skip
    alike = (inputs[:1].repeat(3, 1, 1, 1), scores, inputs[:1], scores)
    hint = "Compare the shapes before the numbers: torch repeats one image to subtract it."
    return (
        *((name, (inputs, scores, seen, got), word, why) for name, seen, got, word, why in cases),
        ("one image for three that are alike", alike, "preprocessing", hint),
    )


def check_first_screen(first_screen: Callable[[Tensor, Tensor, Tensor, Tensor], str]) -> Check:
    """07.2: what an app's first screen says about recorded and seen tensors."""
    return verify(
        "Exercise 07.2",
        [
            Case(name, lambda given=given: first_screen(*given), expected, hint)
            for name, given, expected, hint in _screens()
        ],
    )


_CALLS = [(0.0, 90.0), (0.2, 5.0), (0.3, 7.0), (0.4, 6.0), (9.0, 11.0), (9.5, 13.0)]
#: Name, calls (when each began, in s, and what it took, in ms), ``warm_s``, medians, hint.
_SUSTAINED = (
    ("cold and warm", _CALLS, 5.0, (6.0, 12.0), "Leave out the first call, split at `warm_s`."),
    (
        "in any order",
        [_CALLS[i] for i in (5, 2, 0, 4, 1, 3)],
        5.0,
        (6.0, 12.0),
        "The first call is the one that began first, not the one that stands first.",
    ),
    (
        "a call that begins exactly then",
        [(0.0, 50.0), (1.0, 4.0), (5.0, 8.0)],
        5.0,
        (4.0, 8.0),
        "From `warm_s` on means that a call at exactly `warm_s` is a warm one.",
    ),
    (
        "one outlier",
        [(0.0, 50.0), (1.0, 4.0), (2.0, 4.0), (3.0, 400.0), (6.0, 8.0)],
        5.0,
        (4.0, 8.0),
        "A median asks for the middle call. A mean would answer for the outlier.",
    ),
    (
        "a first call that is not the slowest",
        [(0.0, 5.0), (1.0, 9.0), (2.0, 3.0), (8.0, 6.0)],
        5.0,
        (6.0, 6.0),
        "Leave out the call that began first, not the one that took longest.",
    ),
    (
        "a phone that is warm earlier",
        [(0.0, 90.0), (0.5, 5.0), (1.5, 7.0), (2.5, 9.0), (6.0, 20.0)],
        2.0,
        (6.0, 14.5),
        "`warm_s` is an argument: here a phone is warm after two seconds.",
    ),
    (
        "a first call on a warm phone",
        [(7.0, 90.0), (8.0, 6.0), (9.0, 8.0)],
        5.0,
        (None, 7.0),
        "The first call is left out wherever it lies; nothing remains before `warm_s`.",
    ),
    (
        "never warm",
        [(0.0, 50.0), (1.0, 4.0)],
        5.0,
        (4.0, None),
        "Where there is no call there is no median: say None.",
    ),
    (
        "only the first call",
        [(0.0, 50.0)],
        5.0,
        (None, None),
        "The first call is left out, so nothing remains on either side.",
    ),
)


def check_sustained(
    sustained: Callable[[Sequence[tuple[float, float]], float], tuple[float | None, float | None]],
) -> Check:
    """07.3: medians of the calls before and after a phone is warm."""

    def answer(given: list[tuple[float, float]], warm: float) -> list[float | None]:
        cold, hot = sustained(list(given), warm)
        return [cold, hot]

    return verify(
        "Exercise 07.3",
        [
            Case(name, lambda g=given, w=warm: answer(g, w), list(expected), hint)
            for name, given, warm, expected, hint in _SUSTAINED
        ],
    )
