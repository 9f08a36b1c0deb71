"""Checks for the exercises of chapter 10, rescue."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from mobilelab.course.checks import Case, Check, verify
from mobilelab.grading import tasks

State = tuple[Any, ...]


def _state(bias: bool, low: float | None = None, high: float | None = None) -> State:
    """The state of a packed convolution from two channels to three."""
    draw = torch.Generator().manual_seed(3)
    weight = torch.randn(3, 2, 3, 3, generator=draw)
    values = torch.randn(3, generator=draw) if bias else None
    return weight, values, [2, 1], [1, 0], [1, 1], 1, low, high


def check_lost(lost: Callable[[list[State], set[str]], bool]) -> Check:
    """10.1: ``lost(states, kinds)``, the fingerprint of the fold bug."""
    packed, add = "prepacked::conv2d_clamp_run", "aten::add"
    bare, whole = _state(False), _state(True)
    return verify(
        "Exercise 10.1",
        [
            Case(
                "three packed convolutions, none with a bias, and no BatchNorm",
                lambda: lost([bare] * 3, {packed, add}),
                True,
                "This is release 1 of the chapter: every bias is None, and nothing is left that "
                "could add what the biases would have added.",
            ),
            Case(
                "three packed convolutions, all with a bias",
                lambda: lost([whole] * 3, {packed, add}),
                False,
                "This is release 2 of the chapter, which answers as its network did.",
            ),
            Case(
                "one of three has a bias",
                lambda: lost([bare, whole, bare], {packed}),
                False,
                "The faulty pass loses all of them. A network may have layers without a bias and "
                "without a BatchNorm behind them.",
            ),
            Case(
                "none has a bias, but a BatchNorm is still in the file",
                lambda: lost([bare] * 2, {packed, "aten::batch_norm"}),
                False,
                "Nothing was folded here, so nothing was lost: the shifts are in the BatchNorm.",
            ),
            Case(
                "no packed convolution at all",
                lambda: lost([], {"aten::linear"}),
                False,
                "all() of nothing is True. Ask whether there is a convolution first.",
            ),
        ],
    )


def check_layer(layer: Callable[[Tensor, State], Tensor]) -> Check:
    """10.2: ``layer(x, state)``, what a packed layer computes."""
    draw = torch.Generator().manual_seed(5)
    picture = torch.randn(2, 2, 6, 7, generator=draw)
    rows = torch.randn(4, 5, generator=draw)
    weight, bias = torch.randn(3, 5, generator=draw), torch.randn(3, generator=draw)

    def plain(with_bias: bool) -> Tensor:
        held, values, stride, padding, dilation, groups, *_ = _state(with_bias)
        return torch.conv2d(picture, held, values, stride, padding, dilation, groups)

    def conv(name: str, *limits: float | None, hint: str, with_bias: bool = True) -> tasks.Case:
        low, high = limits
        expected = plain(with_bias)
        expected = expected if low is None else expected.clamp(min=low)
        expected = expected if high is None else expected.clamp(max=high)
        state = _state(with_bias, low, high)
        return Case(f"a convolution, {name}", lambda: layer(picture, state), expected, hint, 1e-4)

    order = (
        "Stride, padding, dilation and groups stand in the state in the order in which "
        "torch.conv2d takes them after the bias; stride and padding differ by side here."
    )
    dense = (weight, bias, 0.0, None)
    return verify(
        "Exercise 10.2",
        [
            conv("without bounds", None, None, hint=order),
            conv(
                "a ReLU", 0.0, None,
                hint="A lower bound and no upper one. This is what the converter forgot.",
            ),
            conv(
                "from -1 to 0.5", -1.0, 0.5,
                hint="Both bounds count, and neither of them has to be 0.",
            ),
            conv(
                "at most 0.25", None, 0.25,
                hint="There may be an upper bound alone: min=None, max=0.25.",
            ),
            conv(
                "without a bias", 0.0, 6.0, with_bias=False,
                hint="None is what torch.conv2d wants in the place of a bias that is not there.",
            ),
            Case(
                "a linear layer with a ReLU",
                lambda: layer(rows, dense),
                torch.relu(rows @ weight.T + bias),
                "A state of four elements belongs to a linear layer: weight, bias, two bounds.",
                1e-4,
            ),
        ],
    )  # fmt: skip


def check_signed(signed: Callable[[Tensor], tuple[Tensor, Any, Any]]) -> Check:
    """10.3: ``signed(x)``, a quantized tensor as int8 numbers, scale and zero point."""
    draw = torch.Generator().manual_seed(7)
    x = 3 * torch.randn(4, 3, 2, 2, generator=draw)
    scales = torch.tensor([0.02, 0.05, 0.11])
    zeros = torch.tensor([3, 120, 250])
    tensors = {
        "activations (quint8)": torch.quantize_per_tensor(x, 0.05, 131, torch.quint8),
        "weights (qint8)": torch.quantize_per_tensor(x, 0.05, -4, torch.qint8),
        "weights by channel, axis 0": torch.quantize_per_channel(
            x, torch.tensor([0.02, 0.03, 0.04, 0.05]), torch.tensor([0, 0, 0, 0]), 0, torch.qint8
        ),
        "quint8 by channel, axis 1": torch.quantize_per_channel(x, scales, zeros, 1, torch.quint8),
    }
    hints = {
        "activations (quint8)": "Subtract 128 from the numbers and from the zero point, both.",
        "weights (qint8)": "These are signed already: neither number nor zero point moves.",
        "weights by channel, axis 0": "One scale for each channel. View them with a 1 for every "
        "other dimension, so that they meet the axis that q_per_channel_axis names.",
        "quint8 by channel, axis 1": "Unsigned, so numbers and zero points move by 128; and the "
        "axis is 1 here, so the view is (1, 3, 1, 1).",
    }

    def kind(held: Tensor) -> Callable[[], object]:
        return lambda: str(signed(held)[0].dtype)

    def back(held: Tensor) -> Callable[[], object]:
        def values() -> Tensor:
            numbers, scale, zero = signed(held)
            return (numbers.float() - zero) * scale

        return values

    cases = [
        Case(
            "the numbers are int8",
            kind(tensors["activations (quint8)"]),
            "torch.int8",
            "Widen with .int() before you subtract, and end with .to(torch.int8).",
        )
    ]
    for name, held in tensors.items():
        cases.append(Case(f"values of {name}", back(held), held.dequantize(), hints[name], 1e-5))
    return verify("Exercise 10.3", cases)
