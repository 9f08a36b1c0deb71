"""Checks for chapter 04: folding by hand, a recipe that keeps the answers, a guard."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from mobilelab.core.trees import identical
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


def _changed(to_mobile: ToMobile) -> str:
    """What exporting did to the model that it was given, in training mode."""
    model = doorbell().train()
    before = copy.deepcopy(model)
    to_mobile(model, _inputs()[:1])
    if [type(part) for part in model.modules()] != [type(part) for part in before.modules()]:
        return "other layers"
    if not identical(before.state_dict(), model.state_dict()):
        return "other weights or statistics"
    if [part.training for part in model.modules()] != [part.training for part in before.modules()]:
        return "another mode"
    return "nothing"


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
                "the statistics of the batch; trace a copy that is in eval mode.",
                tolerance=1e-4,
            ),
            Case(
                "doorbell in training mode: what changed in the model that you were given",
                lambda: _changed(to_mobile),
                "nothing",
                "model.eval() and fuse_modules(..., inplace=True) act on the caller's model, and "
                "so does training mode on BatchNorm's statistics; work on copy.deepcopy(model).",
            ),
        ],
    )


# --- exercise 04.3 ------------------------------------------------------------------------


def _module(image: Tensor) -> Tensor:
    """Stands for an optimized module: it takes whatever it is given."""
    return 2 * image.flatten(1)[:, :2]


def _outcome(guarded: Guarded, x: Tensor, channels: int = 1) -> str:
    try:
        guarded(_module, channels)(x)
    except ValueError as error:
        return "ValueError" if str(error) else "a ValueError that says nothing"
    return "an answer"


#: Name, input, channels, hint of what must be refused.
_REFUSED = (
    (
        "three channels instead of one", torch.zeros(1, 3, 4, 4), 1,
        "The kernel will not notice a wrong number of channels, so you must: x.shape[1].",
    ),
    (
        "one channel instead of three", torch.zeros(1, 1, 4, 4), 3,
        "Too few channels are the dangerous direction: the kernel reads memory that is not the "
        "image's. Compare with channels, whatever it is, and in both directions.",
    ),
    (
        "float64", torch.zeros(1, 1, 4, 4, dtype=torch.float64), 1,
        "XNNPACK computes in float32 only: compare x.dtype with torch.float32.",
    ),
    (
        "uint8, as a camera gives it", torch.zeros(1, 1, 4, 4, dtype=torch.uint8), 1,
        "Let float32 through and nothing else; a list of what is wrong is never complete.",
    ),
    (
        "no batch axis", torch.zeros(1, 4, 4), 1,
        "(1, 4, 4) has a 4 where the channels should be, or may have a 1 by accident: "
        "check x.ndim == 4 before you look at x.shape[1].",
    ),
    (
        "no batch axis, but axis 1 has the right length", torch.zeros(4, 1, 4), 1,
        "x.shape[1] is only the channel axis if there are four axes: check x.ndim == 4.",
    ),
    (
        "five axes", torch.zeros(1, 1, 4, 4, 4), 1,
        "A batch of clips has five axes and is no batch of images: check x.ndim == 4.",
    ),
)  # fmt: skip


def check_guard(guarded: Guarded) -> Check:
    """Exercise 04.3: ``guarded(module, channels)`` refuses what a packed conv would swallow."""
    good = torch.arange(7 * 16, dtype=torch.float32).view(7, 1, 4, 4)
    photo = torch.arange(48, dtype=torch.float32).view(1, 3, 4, 4)

    def passed(x: Tensor, channels: int) -> Tensor | str:
        answer = guarded(_module, channels)(x)
        return "nothing: the inner function returns None" if answer is None else answer

    right = (
        ("one right image gets the module's answer", good[:1], 1,
         "The inner function must return what module(x) returns, unchanged."),
        ("seven right images get the module's answers", good, 1,
         "The batch size is free; compare x.shape[1] with channels, not the whole shape."),
        ("three channels where three are right", photo, 3,
         "Compare with channels, the argument, not with 1."),
    )  # fmt: skip
    return verify(
        "Exercise 04.3",
        [
            *(
                Case(name, lambda x=x, c=c: passed(x, c), _module(x), hint)
                for name, x, c, hint in right
            ),
            *(
                Case(name, lambda x=x, c=c: _outcome(guarded, x, c), "ValueError", hint)
                for name, x, c, hint in _REFUSED
            ),
        ],
    )
