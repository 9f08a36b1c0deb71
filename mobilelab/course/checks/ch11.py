"""Checks for the exercises of chapter 11, your own model."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from mobilelab.check.diagnosis import told
from mobilelab.check.results import Report, Row
from mobilelab.core.trees import Answers
from mobilelab.course.checks import Case, Check, verify
from mobilelab.tasks import Task

Inputs = tuple[Tensor, Tensor]
Network = Callable[[Tensor, Tensor], Mapping[str, Tensor]]


def _average(tokens: Tensor, sure: Tensor) -> dict[str, Tensor]:
    return {"want": sure.sum(1) / sure.shape[1], "urgent": sure.amax(1)}


def _frozen_length(tokens: Tensor, sure: Tensor) -> dict[str, Tensor]:
    return {"want": sure.sum(1) / 12, "urgent": sure.amax(1)}


def _doubting(tokens: Tensor, sure: Tensor) -> dict[str, Tensor]:
    heard = sure if float(sure.mean()) > 0.3 else sure * 0
    return {"want": heard.sum(1), "urgent": heard.amax(1)}


def _never_doubting(tokens: Tensor, sure: Tensor) -> dict[str, Tensor]:
    return {"want": sure.sum(1), "urgent": sure.amax(1)}


def _rounded(tokens: Tensor, sure: Tensor) -> dict[str, Tensor]:
    return {name: x * (1 + 1e-6) for name, x in _average(tokens, sure).items()}


def _second_leaf(tokens: Tensor, sure: Tensor) -> dict[str, Tensor]:
    return {"want": sure.sum(1) / sure.shape[1], "urgent": sure[:, :12].amax(1)}


def _example() -> Inputs:
    draw = torch.Generator().manual_seed(11)
    return torch.arange(12).view(1, 12), 0.6 + 0.3 * torch.rand(1, 12, generator=draw)


def _apart(one: Network, other: Network, found: Inputs) -> bool:
    """Whether two networks answer an example otherwise, by more than rounding."""
    ours, theirs = (net(*(x.clone() for x in found)) for net in (one, other))
    return any((theirs[k] - x).norm() > 1e-4 * x.norm() for k, x in ours.items())


Search = Callable[[Network, Network, Inputs], "Inputs | None"]


def check_witness(search: Search) -> Check:
    """11.1: ``witness(model, file, example)``, an example on which the two differ, or None."""

    def differs(model: Network, file: Network) -> Callable[[], object]:
        def got() -> object:
            found = search(model, file, _example())
            return "None" if found is None else _apart(model, file, found)

        return got

    return verify(
        "Exercise 11.1",
        [
            Case(
                "a file that divides by twelve, whatever the length",
                differs(_average, _frozen_length),
                True,
                "The values of an example of twelve words cannot show it. Make both inputs longer "
                "or shorter, by the same number of words.",
            ),
            Case(
                "a file that does not know what to do with unsure words",
                differs(_doubting, _never_doubting),
                True,
                "The length cannot show it. Other values of sure can: much smaller ones, as where "
                "somebody mumbles.",
            ),
            Case(
                "a file of which only the second answer goes wrong",
                differs(_average, _second_leaf),
                True,
                "Compare every leaf. It shows where the surest word is not among the first twelve: "
                "a longer sentence with one word at the end that is surer than all others.",
            ),
            Case(
                "a file that differs by rounding",
                differs(_average, _rounded),
                "None",
                "1e-6 of the answer's norm is rounding, which every road brings. Ask for more than "
                "1e-4, and return None where nothing was found.",
            ),
        ],
    )


def check_careful(kind: Callable[[], Task]) -> Check:
    """11.2: ``Careful``, a task that asks again where the network is unsure."""
    sure = torch.tensor([[9.0, 0.0, 0.0, 0.0, 0.0]])
    unsure = torch.tensor([[1.0, 0.9, 0.0, 0.0, 0.0]])
    nothing = torch.tensor([[0.0, 0.0, 0.0, 0.0, 9.0]])
    urgent = torch.tensor([[0.5]])

    def tree(scores: Tensor) -> dict[str, Tensor]:
        return {"want": scores, "urgent": urgent}

    def decided(scores: Tensor) -> Callable[[], object]:
        return lambda: kind().decide(tree(scores))

    def cost(scores: tuple[Tensor, ...], targets: list[int]) -> Callable[[], object]:
        answers = Answers(tree(x) for x in scores)
        return lambda: kind().score(answers, torch.tensor(targets))

    ask = torch.tensor([-1])
    return verify(
        "Exercise 11.2",
        [
            Case("a clear command is acted upon", decided(sure), torch.tensor([0]),
                 "softmax over the scores, the largest probability, and its place."),
            Case("two commands that are nearly as likely: ask again, -1", decided(unsure), ask,
                 "Below a probability of 0.6 the decision is -1. Scores are no probabilities: "
                 "softmax along axis 1 comes first."),
            Case("several sentences in one tensor", decided(torch.cat([sure, unsure, nothing])),
                 torch.tensor([0, -1, 4]), "Each row is a sentence and decides for itself."),
            Case("right, asked, and a wrong act: 0, 1 and 5 points", cost((sure, unsure, sure),
                 [0, 0, 2]), 2.0, "The mean over all sentences: (0 + 1 + 5) / 3.", 1e-4),
            Case("to do nothing where nothing is wanted is right", cost((nothing, nothing), [4, 1]),
                 2.5, "nothing is a decision like the others: right it costs 0, wrong it costs 5.",
                 1e-4),
            Case("fewer points are better", lambda: kind().metric.more_is_better, False,
                 "Quantity(..., more_is_better=False): without it a cost counts as a score."),
        ],
    )  # fmt: skip


def _report(*rows: Row) -> Report:
    return Report(model="made up", versions="", rows=list(rows))


def check_may_ship(may_ship: Callable[[Report, float], list[str]]) -> Check:
    """11.3: ``may_ship(report, max_kb)``, names of the roads whose files may go to a phone."""
    lite = Row(road="lite", verdict="same", file="lite.ptl", file_kb=15)
    mobile = Row(road="mobile", verdict="same", file="mobile.ptl", file_kb=10)
    int8 = Row(road="fx-int8", verdict="close", exact=False, file="fx-int8.ptl", file_kb=6)
    trace = Row(road="trace", verdict="same", file="trace.pt", file_kb=4)
    wrong = Row(road="recipe", verdict="DIFFERENT", file="recipe.ptl", file_kb=5)
    refused = Row(road="et-xnnpack", status="refused")
    frozen = Row(road="lite", verdict="same", file="lite.ptl", file_kb=3,
                 reasons=[told("shape-frozen")])  # fmt: skip
    typed = Row(road="litert", verdict="same", file="litert.tflite", file_kb=8,
                reasons=[told("type-changed")])  # fmt: skip

    def asked(max_kb: float, *rows: Row) -> Callable[[], object]:
        return lambda: may_ship(_report(*rows), max_kb)

    return verify(
        "Exercise 11.3",
        [
            Case("two good files, the smaller one first", asked(20, lite, mobile),
                 ["mobile", "lite"], "Sort by file_kb."),
            Case("one of them is too large", asked(12, lite, mobile), ["mobile"],
                 "file_kb may be max_kb at most."),
            Case("int8 with close answers is welcome, other answers are not",
                 asked(20, wrong, int8), ["fx-int8"], "row.usable asks for both: done, and same or "
                 "close."),
            Case("no phone loads a .pt", asked(20, trace, lite), ["lite"],
                 "A phone loads .ptl, .pte and .tflite. Look at the end of row.file."),
            Case("a refused road has no file", asked(20, refused, lite), ["lite"],
                 "file_kb is None there; ask for the status first."),
            Case("the same answers on the examples, and a frozen size", asked(20, frozen, mobile),
                 ["mobile"], "Look into row.reasons: a file with a cause in advice.GRAVE, or with "
                 "a frozen size that it does not refuse, stays at home."),
            Case("a reason that an app can live with", asked(20, typed), ["litert"],
                 "Not every reason keeps a file back: advice.grave(row) says which do."),
        ],
    )  # fmt: skip
