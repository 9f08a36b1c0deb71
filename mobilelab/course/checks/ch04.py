"""Checks for chapter 04: folding by hand, a recipe that keeps the answers, a guard."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from mobilelab.course.checks import Case, Check, verify
from mobilelab.course.checks.doorbell import doorbell, residual

Fold = Callable[[nn.Conv2d, nn.BatchNorm2d], tuple[Tensor, Tensor]]
ToMobile = Callable[[nn.Module, Tensor], torch.jit.ScriptModule]
Guarded = Callable[[Callable[[Tensor], Tensor], int], Callable[[Tensor], Tensor]]


# --- exercise 04.1 ------------------------------------------------------------------------


def _conv(weight: Tensor, bias: list[float] | None = None) -> nn.Conv2d:
    conv = nn.Conv2d(weight.shape[1], weight.shape[0], 1, bias=bias is not None)
    conv.weight.data = weight
    if bias is not None:
        assert conv.bias is not None
        conv.bias.data = torch.tensor(bias)
    return conv


def _norm(
    scale: list[float], shift: list[float], mean: list[float], var: list[float], eps: float = 1e-5
) -> nn.BatchNorm2d:
    norm = nn.BatchNorm2d(len(scale), eps=eps).eval()
    norm.weight.data, norm.bias.data = torch.tensor(scale), torch.tensor(shift)
    norm.running_mean, norm.running_var = torch.tensor(mean), torch.tensor(var)
    return norm


def check_fold(fold: Fold) -> Check:
    """Exercise 04.1: ``fold(conv, norm)`` gives the weight and bias of one folded convolution.

    The numbers are chosen so that every expected value can be worked out in the head.
    """
    filters = torch.tensor([3.0, 5.0]).view(2, 1, 1, 1)
    norm = _norm([2.0, 6.0], [1.0, -1.0], [0.5, 10.0], [4.0, 9.0])
    wide_eps = _norm([2.0, 6.0], [1.0, -1.0], [0.5, 10.0], [3.0, 8.0], eps=1.0)
    three = _norm([1.0, 2.0, 3.0], [0.0] * 3, [0.0] * 3, [1.0] * 3)
    return verify(
        "Exercise 04.1",
        [
            Case(
                "weight of a convolution without bias",
                lambda: fold(_conv(filters), norm)[0],
                torch.tensor([3.0, 10.0]).view(2, 1, 1, 1),
                "BatchNorm divides by the standard deviation, the square root of the variance, "
                "and multiplies by its own weight: scale = weight / sqrt(running_var + eps), one "
                "for each output channel (axis 0 of the weight).",
                tolerance=1e-3,
            ),
            Case(
                "bias of a convolution without bias",
                lambda: fold(_conv(filters), norm)[1],
                torch.tensor([0.5, -21.0]),
                "No bias in the convolution does not mean no bias after folding: BatchNorm "
                "subtracts the running mean (scaled) and adds its own bias.",
                tolerance=1e-3,
            ),
            Case(
                "bias of a convolution that has the bias [0.25, 4]",
                lambda: fold(_conv(filters, [0.25, 4.0]), norm)[1],
                torch.tensor([0.75, -13.0]),
                "The convolution's own bias passes through BatchNorm as well: take the running "
                "mean from it, scale the difference, then add BatchNorm's bias.",
                tolerance=1e-3,
            ),
            Case(
                "weight where eps is 1",
                lambda: fold(_conv(filters), wide_eps)[0],
                torch.tensor([3.0, 10.0]).view(2, 1, 1, 1),
                "eps is a setting of each BatchNorm, not a constant of nature: use norm.eps, "
                "under the square root.",
                tolerance=1e-3,
            ),
            Case(
                "weight of a convolution from 2 to 3 channels",
                lambda: fold(_conv(torch.ones(3, 2, 1, 1)), three)[0],
                torch.tensor([[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]]).view(3, 2, 1, 1),
                "There is one scale for each output channel, and the output channel is axis 0 "
                "of the weight: scale.view(-1, 1, 1, 1).",
                tolerance=1e-3,
            ),
        ],
    )


# --- exercise 04.2 ------------------------------------------------------------------------


def _inputs() -> Tensor:
    return torch.randn(8, 1, 16, 16, generator=torch.Generator().manual_seed(6))


def _error(to_mobile: ToMobile, model: nn.Module, training: bool = False) -> float:
    """Relative L2 error of the optimized model, against the model in eval mode."""
    x = _inputs()
    with torch.no_grad():
        expected = copy.deepcopy(model).eval()(x)
    optimized = to_mobile(model.train(training), x[:1])
    with torch.no_grad():
        got = optimized(x)
    return ((got - expected).norm() / expected.norm()).item()


def _count(to_mobile: ToMobile, kind: str) -> int:
    module = to_mobile(doorbell(), _inputs()[:1])
    return sum(node.kind() == kind for node in module.inlined_graph.nodes())


def _norms_after(to_mobile: ToMobile) -> int:
    model = doorbell()
    to_mobile(model, _inputs()[:1])
    return sum(isinstance(module, nn.BatchNorm2d) for module in model.modules())


def check_mobile(to_mobile: ToMobile) -> Check:
    """Exercise 04.2: ``to_mobile(model, example)`` optimizes and keeps the answers."""
    lost = (
        "A large error without any message is the lost bias of section 3: the optimizer was given "
        "a plain trace. Script the model, or freeze the trace first."
    )
    return verify(
        "Exercise 04.2",
        [
            Case(
                "doorbell: relative error",
                lambda: _error(to_mobile, doorbell()),
                0.0,
                lost,
                tolerance=1e-4,
            ),
            Case(
                "doorbell: packed convolutions in the graph",
                lambda: _count(to_mobile, "prepacked::conv2d_clamp_run"),
                3,
                "Right answers alone do not make it mobile: return what optimize_for_mobile gives.",
            ),
            Case(
                "doorbell: BatchNorms left in the graph",
                lambda: _count(to_mobile, "aten::batch_norm"),
                0,
                "Blocking CONV_BN_FUSION gives right answers, but leaves every BatchNorm to be "
                "computed at run time; choose a way that still folds.",
            ),
            Case(
                "a network with an addition: relative error",
                lambda: _error(to_mobile, residual()),
                0.0,
                lost,
                tolerance=1e-4,
            ),
            Case(
                "doorbell left in training mode: relative error",
                lambda: _error(to_mobile, doorbell(), training=True),
                0.0,
                "If the first case is wrong too, mend that first. Then: a trace records what "
                "happens in the mode that the model is in, and in training mode BatchNorm uses "
                "the statistics of the batch; call model.eval() before you trace.",
                tolerance=1e-4,
            ),
            Case(
                "doorbell: BatchNorms of the model that you were given",
                lambda: _norms_after(to_mobile),
                3,
                "fuse_modules(..., inplace=True) has taken the caller's model apart; work on "
                "copy.deepcopy(model).",
            ),
        ],
    )


# --- exercise 04.3 ------------------------------------------------------------------------


def _outcome(guarded: Guarded, x: Tensor) -> str:
    call = guarded(lambda image: 2 * image.flatten(1)[:, :2], 1)
    try:
        call(x)
    except ValueError:
        return "ValueError"
    return "an answer"


def check_guard(guarded: Guarded) -> Check:
    """Exercise 04.3: ``guarded(module, channels)`` refuses what a packed conv would swallow."""
    good = torch.arange(7 * 16, dtype=torch.float32).view(7, 1, 4, 4)

    def passed(x: Tensor) -> Tensor | str:
        answer = guarded(lambda image: 2 * image.flatten(1)[:, :2], 1)(x)
        return "nothing: the inner function returns None" if answer is None else answer

    return verify(
        "Exercise 04.3",
        [
            Case(
                "one right image gets the module's answer",
                lambda: passed(good[:1]),
                torch.tensor([[0.0, 2.0]]),
                "The inner function must return what module(x) returns, unchanged.",
            ),
            Case(
                "seven right images get the module's answers",
                lambda: passed(good),
                2 * good.flatten(1)[:, :2],
                "The batch size is free; compare x.shape[1] with channels, not the whole shape.",
            ),
            Case(
                "three channels instead of one",
                lambda: _outcome(guarded, torch.zeros(1, 3, 4, 4)),
                "ValueError",
                "The kernel will not notice a wrong number of channels, so you must: x.shape[1].",
            ),
            Case(
                "float64",
                lambda: _outcome(guarded, good[:1].double()),
                "ValueError",
                "XNNPACK computes in float32 only: compare x.dtype with torch.float32.",
            ),
            Case(
                "no batch axis",
                lambda: _outcome(guarded, good[0]),
                "ValueError",
                "(1, 4, 4) has a 4 where the channels should be, or may have a 1 by accident: "
                "check x.ndim == 4 before you look at x.shape[1].",
            ),
            Case(
                "no batch axis, but axis 1 has the right length",
                lambda: _outcome(guarded, torch.zeros(4, 1, 4)),
                "ValueError",
                "x.shape[1] is only the channel axis if there are four axes: check x.ndim == 4.",
            ),
        ],
    )
