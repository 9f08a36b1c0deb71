"""Right and typical wrong solutions of chapter 10's exercises.

``right_x`` and ``wrong_x_1`` ... belong to ``ch10.check_x``; the functions are the answers.
"""

import torch
import torch.nn.functional as F


# 10.1 ---------------------------------------------------------------------------------------
def right_lost(states, kinds):
    normed = any("norm" in kind for kind in kinds)
    return bool(states) and not normed and all(bias is None for _, bias, *_ in states)


def wrong_lost_1(states, kinds):  # one is enough
    return any(state[1] is None for state in states)


def wrong_lost_2(states, kinds):  # BatchNorm is not asked for, and all() of nothing is True
    return all(state[1] is None for state in states)


def wrong_lost_3(states, kinds):  # asks a tensor whether it is true
    return bool(states) and not any(state[1] for state in states)


# 10.2 ---------------------------------------------------------------------------------------
def right_layer(x, state):
    weight, bias, *settings, low, high = state
    x = torch.conv2d(x, weight, bias, *settings) if settings else F.linear(x, weight, bias)
    return x if low is None and high is None else torch.clamp(x, low, high)


def wrong_layer_1(x, state):  # as the converter does it
    weight, bias, *settings, _, _ = state
    return torch.conv2d(x, weight, bias, *settings) if settings else F.linear(x, weight, bias)


def wrong_layer_2(x, state):  # every activation is a ReLU
    return torch.relu(wrong_layer_1(x, state))


def wrong_layer_3(x, state):  # stride and padding exchanged
    if len(state) == 4:
        return right_layer(x, state)
    weight, bias, stride, padding, *rest = state
    return right_layer(x, (weight, bias, padding, stride, *rest))


def wrong_layer_4(x, state):  # knows convolutions only
    _weight, _bias, _stride, _padding, _dilation, _groups, _low, _high = state
    return right_layer(x, state)


# 10.3 ---------------------------------------------------------------------------------------
def right_signed(x):
    shift = 128 if x.dtype == torch.quint8 else 0
    numbers = (x.int_repr().int() - shift).to(torch.int8)
    if x.qscheme() == torch.per_tensor_affine:
        return numbers, x.q_scale(), x.q_zero_point() - shift
    shape = [1] * x.ndim
    shape[x.q_per_channel_axis()] = -1
    scales, zeros = x.q_per_channel_scales(), x.q_per_channel_zero_points()
    return numbers, scales.float().view(shape), zeros.view(shape) - shift


def wrong_signed_1(x):  # a cast is no shift
    return x.int_repr().to(torch.int8), x.q_scale(), x.q_zero_point()


def wrong_signed_2(x):  # shifts signed numbers, too, and one scale for all
    return (x.int_repr().int() - 128).to(torch.int8), x.q_scale(), x.q_zero_point() - 128


def wrong_signed_3(x):  # by channel, always along axis 0
    if x.qscheme() == torch.per_tensor_affine:
        return right_signed(x)
    shift = 128 if x.dtype == torch.quint8 else 0
    numbers = (x.int_repr().int() - shift).to(torch.int8)
    scales = x.q_per_channel_scales().view(-1, 1, 1, 1)
    return numbers, scales, x.q_per_channel_zero_points().view(-1, 1, 1, 1) - shift
