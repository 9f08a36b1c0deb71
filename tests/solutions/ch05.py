"""Right and typical wrong solutions of chapter 05's exercises.

``right_x`` and ``wrong_x_1`` ... belong to ``ch05.check_x``. For ``operators``, whose answer is a
set, the functions return the answer; the others are the answer themselves.
"""

import zipfile
import zlib

import torch
import torch.jit.mobile
import torch.nn.functional as F
from torchvision.transforms import functional


# 05.1: the check takes the returned set -----------------------------------------------------
def right_operators():
    return {
        "aten::dequantize.self",
        "aten::ne.int",
        "aten::quantize_per_tensor",
        "quantized::add",
        "quantized::conv2d.new",
        "quantized::conv2d_relu.new",
        "quantized::linear",
    }


def wrong_operators_1():  # "what is quantized is called quantized"
    return {name for name in right_operators() if name.startswith("quantized::")}


def wrong_operators_2():  # everything that the int8 file needs
    return right_operators() | {
        "aten::adaptive_avg_pool2d",
        "aten::flatten.using_ints",
        "aten::gt.int",
        "aten::len.t",
        "aten::size",
    }


def wrong_operators_3():  # the difference in the other direction
    return {"aten::add.Tensor", "prepacked::conv2d_clamp_run", "prepacked::linear_clamp_run"}


def wrong_operators_4():  # overloads cut off
    return {name.split(".")[0] for name in right_operators()}


# 05.2: the check takes the function ---------------------------------------------------------
def _per_channel(values):
    return torch.tensor(values).view(1, -1, 1, 1)


def right_prepare(raw, max_value, size, mean, std):
    x = raw.float() / max_value
    x = F.interpolate(x, size=(size, size), mode="bilinear", align_corners=False)
    return (x - _per_channel(mean)) / _per_channel(std)


def wrong_prepare_1(raw, max_value, size, mean, std):  # nearest, the default
    x = F.interpolate(raw.float() / max_value, size=(size, size))
    return (x - _per_channel(mean)) / _per_channel(std)


def wrong_prepare_2(raw, max_value, size, mean, std):  # 255, as every tutorial has it
    x = F.interpolate(raw.float() / 255, size=(size, size), mode="bilinear")
    return (x - _per_channel(mean)) / _per_channel(std)


def wrong_prepare_3(raw, max_value, size, mean, std):  # corners aligned
    x = raw.float() / max_value
    x = F.interpolate(x, size=(size, size), mode="bilinear", align_corners=True)
    return (x - _per_channel(mean)) / _per_channel(std)


def wrong_prepare_4(raw, max_value, size, mean, std):  # normalized before scaling
    x = (raw.float() - _per_channel(mean)) / _per_channel(std) / max_value
    return F.interpolate(x, size=(size, size), mode="bilinear")


def wrong_prepare_5(raw, max_value, size, mean, std):  # one mean for all channels
    x = F.interpolate(raw.float() / max_value, size=(size, size), mode="bilinear")
    return (x - mean[0]) / std[0]


def wrong_prepare_6(raw, max_value, size, mean, std):  # the shorter side only
    x = functional.resize(raw.float() / max_value, size, antialias=False)
    return (x - _per_channel(mean)) / _per_channel(std)


# 05.3: the check takes the function ---------------------------------------------------------
def right_verdict(path, newest):
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.testzip() is not None:
                return "damaged"
            if not any(name.endswith("/bytecode.pkl") for name in archive.namelist()):
                return "no bytecode"
    except (zipfile.BadZipFile, zlib.error):
        return "damaged"
    version = torch.jit.mobile._get_model_bytecode_version(str(path))
    return "ok" if version <= newest else "too new"


def wrong_verdict_4(path, newest):  # forgets that unpacking can fail
    try:
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip() is not None
    except zipfile.BadZipFile:
        return "damaged"
    return "damaged" if broken else right_verdict(path, newest)


def wrong_verdict_1(path, newest):  # "if it loads, it is intact"
    try:
        torch.jit.mobile._load_for_lite_interpreter(str(path))
    except RuntimeError as error:
        return "no bytecode" if "bytecode.pkl" in str(error) else "damaged"
    version = torch.jit.mobile._get_model_bytecode_version(str(path))
    return "ok" if version <= newest else "too new"


def wrong_verdict_2(path, newest):  # asks for the version first
    version = torch.jit.mobile._get_model_bytecode_version(str(path))
    if version > newest:
        return "too new"
    with zipfile.ZipFile(path) as archive:
        return "ok" if archive.testzip() is None else "damaged"


def wrong_verdict_3(path, newest):  # trusts the name of the file, and "< newest"
    if not str(path).endswith(".ptl"):
        return "no bytecode"
    try:
        damaged = zipfile.ZipFile(path).testzip()
    except zipfile.BadZipFile:
        return "damaged"
    if damaged:
        return "damaged"
    version = torch.jit.mobile._get_model_bytecode_version(str(path))
    return "ok" if version < newest else "too new"
