"""Right and wrong solutions of the exercises of chapter 04."""

import copy

import torch
from torch import nn
from torch.utils.mobile_optimizer import MobileOptimizerType, optimize_for_mobile

# --- 04.1, check_fold ---


def right_fold(conv, norm):
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    bias = 0.0 if conv.bias is None else conv.bias
    return conv.weight * scale.view(-1, 1, 1, 1), norm.bias + (bias - norm.running_mean) * scale


def wrong_fold_1(conv, norm):  # forgets eps
    scale = norm.weight / torch.sqrt(norm.running_var)
    bias = 0.0 if conv.bias is None else conv.bias
    return conv.weight * scale.view(-1, 1, 1, 1), norm.bias + (bias - norm.running_mean) * scale


def wrong_fold_2(conv, norm):  # forgets the running mean: what the optimizer's None amounts to
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    return conv.weight * scale.view(-1, 1, 1, 1), norm.bias


def wrong_fold_3(conv, norm):  # scale along the wrong axis
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    bias = 0.0 if conv.bias is None else conv.bias
    return conv.weight * scale, norm.bias + (bias - norm.running_mean) * scale


def wrong_fold_4(conv, norm):  # variance instead of standard deviation
    scale = norm.weight / (norm.running_var + norm.eps)
    bias = 0.0 if conv.bias is None else conv.bias
    return conv.weight * scale.view(-1, 1, 1, 1), norm.bias + (bias - norm.running_mean) * scale


# --- 04.2, check_mobile ---


def right_mobile(model, example):
    return optimize_for_mobile(torch.jit.script(copy.deepcopy(model).eval()))


def right_mobile_2(model, example):
    calm = copy.deepcopy(model).eval()
    return optimize_for_mobile(torch.jit.freeze(torch.jit.trace(calm, example)))


def wrong_mobile_1(model, example):  # the recipe
    return optimize_for_mobile(torch.jit.trace(model.eval(), example))


def wrong_mobile_2(model, example):  # right answers, nothing optimized
    return torch.jit.freeze(torch.jit.trace(model.eval(), example))


def wrong_mobile_3(model, example):  # right answers, nothing folded
    blocked = {MobileOptimizerType.CONV_BN_FUSION}
    return optimize_for_mobile(torch.jit.trace(model.eval(), example), blocked)


def wrong_mobile_4(model, example):  # forgets eval()
    return optimize_for_mobile(torch.jit.freeze(torch.jit.trace(model, example)))


def wrong_mobile_5(model, example):  # takes the caller's model apart
    model.eval()
    if isinstance(model, nn.Sequential):
        groups = [["0", "1", "2"], ["3", "4", "5"], ["6", "7", "8"]]
        torch.ao.quantization.fuse_modules(model, groups, inplace=True)
    else:
        for part in (model.widen, model.depthwise):
            torch.ao.quantization.fuse_modules(part, ["0", "1", "2"], inplace=True)
    return optimize_for_mobile(torch.jit.trace(model, example))


def wrong_mobile_6(model, example):  # changes the caller's mode
    return optimize_for_mobile(torch.jit.script(model.eval()))


def wrong_mobile_7(model, example):  # spoils the caller's weights
    module = optimize_for_mobile(torch.jit.script(copy.deepcopy(model).eval()))
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(0)
    return module


# --- 04.3, check_guard ---


def right_guard(module, channels):
    def call(x):
        if x.ndim != 4 or x.shape[1] != channels or x.dtype != torch.float32:
            raise ValueError(
                f"expected float32 (n, {channels}, h, w), got {x.dtype} {tuple(x.shape)}"
            )
        return module(x)

    return call


def wrong_guard_1(module, channels):  # looks at the channels only
    def call(x):
        if x.shape[1] != channels:
            raise ValueError("wrong channels")
        return module(x)

    return call


def wrong_guard_2(module, channels):  # fixes the batch size
    def call(x):
        if x.ndim != 4 or tuple(x.shape[:2]) != (1, channels) or x.dtype != torch.float32:
            raise ValueError("wrong input")
        return module(x)

    return call


def wrong_guard_3(module, channels):  # forgets to return
    def call(x):
        if x.ndim != 4 or x.shape[1] != channels or x.dtype != torch.float32:
            raise ValueError("wrong input")
        module(x)

    return call


def wrong_guard_4(module, channels):  # forgets the element type
    def call(x):
        if x.ndim != 4 or x.shape[1] != channels:
            raise ValueError("wrong input")
        return module(x)

    return call


def _refuses(wrong):
    """A guard that refuses what ``wrong(x, channels)`` says."""

    def guarded(module, channels):
        def call(x):
            if wrong(x, channels):
                raise ValueError("wrong input")
            return module(x)

        return call

    return guarded


wrong_guard_5 = _refuses(  # lets too few channels through
    lambda x, channels: x.ndim != 4 or x.shape[1] > channels or x.dtype != torch.float32
)
wrong_guard_6 = _refuses(  # knows one number of channels only
    lambda x, channels: x.ndim != 4 or x.shape[1] != 1 or x.dtype != torch.float32
)
wrong_guard_7 = _refuses(  # a list of what is wrong
    lambda x, channels: x.ndim != 4 or x.shape[1] != channels or x.dtype == torch.float64
)
wrong_guard_8 = _refuses(  # a clip gets through
    lambda x, channels: x.ndim < 4 or x.shape[1] != channels or x.dtype != torch.float32
)


def wrong_guard_9(module, channels):  # says nothing
    def call(x):
        if x.ndim != 4 or x.shape[1] != channels or x.dtype != torch.float32:
            raise ValueError
        return module(x)

    return call
