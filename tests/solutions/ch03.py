"""Right and typical wrong solutions of chapter 03's exercises.

``right_x`` and ``wrong_x_1`` ... belong to ``ch03.check_x``; the check takes the function.
"""

import copy

import torch
from torch.ao.quantization import convert, get_default_qconfig, prepare

from mobilelab import measure


# 03.1: scale and zero point -----------------------------------------------------------------
def right_scale_zero_point(low, high, bits=8):
    low, high = min(low, 0.0), max(high, 0.0)
    if low == high:
        return 1.0, 0
    scale = (high - low) / (2**bits - 1)
    return scale, round(-low / scale)


def wrong_scale_zero_point_1(low, high, bits=8):  # marks instead of gaps
    low, high = min(low, 0.0), max(high, 0.0)
    scale = ((high - low) or 1.0) / 2**bits
    return scale, round(-low / scale)


def wrong_scale_zero_point_2(low, high, bits=8):  # zero may fall off the ruler
    if low == high:
        return 1.0, 0
    scale = (high - low) / (2**bits - 1)
    return scale, round(-low / scale)


def wrong_scale_zero_point_3(low, high, bits=8):  # always 8 bits, zero point not whole
    low, high = min(low, 0.0), max(high, 0.0)
    if low == high:
        return 1.0, 0
    scale = (high - low) / 255
    return scale, -low / scale


# 03.1: there and back -----------------------------------------------------------------------
def right_fake_quantize(x, scale, zero_point, bits=8):
    q = ((x / scale).round() + zero_point).clamp(0, 2**bits - 1)
    return (q - zero_point) * scale


def wrong_fake_quantize_1(x, scale, zero_point, bits=8):  # the ruler has no ends
    return (x / scale).round() * scale


def wrong_fake_quantize_2(x, scale, zero_point, bits=8):  # cuts off instead of rounding
    q = ((x / scale).floor() + zero_point).clamp(0, 2**bits - 1)
    return (q - zero_point) * scale


def wrong_fake_quantize_3(x, scale, zero_point, bits=8):  # a byte wraps around before the clamp
    q = ((x / scale).round() + zero_point).to(torch.int64).remainder(256).clamp(0, 2**bits - 1)
    return (q - zero_point) * scale


def wrong_fake_quantize_4(x, scale, zero_point, bits=8):  # always 8 bits
    q = ((x / scale).round() + zero_point).clamp(0, 255)
    return (q - zero_point) * scale


# 03.2: repair a recipe ----------------------------------------------------------------------
def _int8(network, images, *, fuse=True, qconfig=True):
    torch.backends.quantized.engine = "qnnpack"
    network = copy.deepcopy(network)
    if fuse:
        network.fuse()
    if qconfig:
        network.qconfig = get_default_qconfig("qnnpack")
    prepared = prepare(network)
    network.qconfig = get_default_qconfig("qnnpack")
    measure.scores(prepared, images)
    return convert(prepared)


def right_repaired_recipe(network, data):
    return _int8(network, data.calibration.images)


def wrong_repaired_recipe_1(network, data):  # calibrated on noise from 0 to 1
    return _int8(network, torch.rand(data.calibration.images.shape))


def wrong_repaired_recipe_2(network, data):  # qconfig set after prepare
    return _int8(network, data.calibration.images, qconfig=False)


def wrong_repaired_recipe_3(network, data):  # BatchNorm not folded
    return _int8(network, data.calibration.images, fuse=False)


def wrong_repaired_recipe_4(network, data):  # calibrated on the test split, which is hidden
    return _int8(network, data.test.images)


def wrong_repaired_recipe_5(network, data):  # gives the float network back
    return network


# 03.3: what is half of a block? -------------------------------------------------------------
def right_block_weights(cin, cout, hidden, keep=1.0):
    left = round(keep * hidden)
    return cin * left + 9 * left + left * cout


def wrong_block_weights_1(cin, cout, hidden, keep=1.0):  # depthwise taken for a full convolution
    left = round(keep * hidden)
    return cin * left + 9 * left * left + left * cout


def wrong_block_weights_2(cin, cout, hidden, keep=1.0):  # half of the channels, a quarter left
    return round((cin * hidden + 9 * hidden + hidden * cout) * keep * keep)


def wrong_block_weights_3(cin, cout, hidden, keep=1.0):  # cin and cout get smaller as well
    left = round(keep * hidden)
    return round(cin * keep) * left + 9 * left + left * round(cout * keep)
