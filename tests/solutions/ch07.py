"""Right and wrong solutions to the exercises of chapter 07."""

from statistics import mean, median

import torch


def right_density(costs):
    return {
        name: cost.multiply_accumulates / cost.instructions
        for (core, name), cost in costs.items()
        if core == "cortex-a53"
    }


def wrong_density_1(costs):
    return {
        name: cost.multiply_accumulates / cost.mac_instructions
        for (core, name), cost in costs.items()
        if core == "cortex-a53"
    }


def wrong_density_2(costs):
    return {
        name: cost.multiply_accumulates / cost.instructions
        for (core, name), cost in costs.items()
        if core == "cortex-a76"
    }


def right_first_screen(inputs, scores, seen_inputs, seen_scores):
    if seen_inputs.shape != inputs.shape or not (seen_inputs - inputs).abs().max() <= 1e-5:
        return "preprocessing"
    if seen_scores.shape != scores.shape:
        return "model"
    return "ok" if (seen_scores - scores).norm() / scores.norm() <= 1e-2 else "model"


def wrong_first_screen_1(inputs, scores, seen_inputs, seen_scores):
    if (seen_scores - scores).norm() / scores.norm() > 1e-2:  # scores first, and nan gets through
        return "model"
    return "preprocessing" if (seen_inputs - inputs).abs().max() > 1e-5 else "ok"


def wrong_first_screen_2(inputs, scores, seen_inputs, seen_scores):
    if seen_inputs.shape != inputs.shape or (seen_inputs - inputs).abs().mean() > 1e-5:
        return "preprocessing"
    return "ok" if torch.equal(seen_scores.argmax(1), scores.argmax(1)) else "model"


def _split(calls, warm_s):
    rest = sorted(calls)[1:]
    return [ms for s, ms in rest if s < warm_s], [ms for s, ms in rest if s >= warm_s]


def right_sustained(calls, warm_s):
    return tuple(median(side) if side else None for side in _split(calls, warm_s))


def wrong_sustained_1(calls, warm_s):
    return tuple(mean(side) if side else None for side in _split(calls, warm_s))


def wrong_sustained_2(calls, warm_s):
    rest = calls[1:]
    return (
        median([ms for s, ms in rest if s <= warm_s] or [0]),
        median([ms for s, ms in rest if s > warm_s] or [0]),
    )


def wrong_sustained_3(calls, warm_s):  # the slowest call instead of the first
    rest = sorted(calls, key=lambda call: call[1])[:-1]
    sides = [ms for s, ms in rest if s < warm_s], [ms for s, ms in rest if s >= warm_s]
    return tuple(median(side) if side else None for side in sides)


def wrong_sustained_4(calls, warm_s):
    return right_sustained(calls, 5.0)  # not what was given


def wrong_first_screen_3(inputs, scores, seen_inputs, seen_scores):
    if seen_inputs.shape != inputs.shape or not (seen_inputs - inputs).abs().max() <= 5e-4:
        return "preprocessing"  # another bound
    if seen_scores.shape != scores.shape:
        return "model"
    return "ok" if (seen_scores - scores).norm() / scores.norm() <= 1e-2 else "model"


def wrong_first_screen_4(inputs, scores, seen_inputs, seen_scores):
    if seen_inputs.shape != inputs.shape or (seen_inputs - inputs).abs().max() > 1e-5:
        return "preprocessing"  # nan gets through
    if seen_scores.shape != scores.shape:
        return "model"
    return "ok" if (seen_scores - scores).norm() / scores.norm() <= 1e-2 else "model"


def wrong_first_screen_5(inputs, scores, seen_inputs, seen_scores):
    if seen_inputs.shape != inputs.shape or not (seen_inputs - inputs).abs().max() <= 1e-5:
        return "preprocessing"
    return "ok" if (seen_scores - scores).norm() / scores.norm() <= 0.2 else "model"


def wrong_first_screen_6(inputs, scores, seen_inputs, seen_scores):
    one_shape = seen_inputs.shape[1:] == inputs.shape[1:]
    if not one_shape or not (seen_inputs - inputs).abs().max() <= 1e-5:
        return "preprocessing"  # one image is repeated for three
    if seen_scores.shape != scores.shape:
        return "model"
    return "ok" if (seen_scores - scores).norm() / scores.norm() <= 1e-2 else "model"


def wrong_first_screen_7(inputs, scores, seen_inputs, seen_scores):
    if seen_inputs.shape != inputs.shape or not torch.allclose(seen_inputs, inputs, atol=1e-5):
        return "preprocessing"  # rtol is added to the bound
    if seen_scores.shape != scores.shape:
        return "model"
    return "ok" if (seen_scores - scores).norm() / scores.norm() <= 1e-2 else "model"


def wrong_first_screen_8(inputs, scores, seen_inputs, seen_scores):
    if seen_inputs.shape != inputs.shape or not (seen_inputs - inputs).abs().max() <= 1e-5:
        return "preprocessing"
    if seen_scores.shape != scores.shape:
        return "model"  # and then divides by what was seen
    return "ok" if (seen_scores - scores).norm() / seen_scores.norm() <= 1e-2 else "model"
