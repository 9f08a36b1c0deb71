"""Checks for the exercises of chapter 02, TorchScript."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from mobilelab.course.checks import Case, Check, verify
from mobilelab.course.checks.scripting import quietly, short
from mobilelab.grading import tasks

# --- 02.1: which of these does a trace get wrong? -----------------------------------------

#: Letter, what the function does, whether a trace is wrong for other inputs, and why.
_FUNCTIONS = (
    ("A", "x - x.mean()", False,
     "The mean is an operation on x, so the trace records it and computes it anew each time."),
    ("B", "if x.mean() > 0", True,
     "The if asks about numbers in x. The trace keeps the branch that the example took."),
    ("C", "a loop over the rows of x", True,
     "The loop ran once for each row of the example. Another batch size needs another number "
     "of rounds, and the trace has no loop in it."),
    ("D", "float(x.abs().max())", True,
     "No if is needed to freeze something: float() takes a number out of the tensor, and the "
     "trace writes down the number of the example."),
    ("E", "torch.where(x > 0, ...)", False,
     "torch.where chooses for every element when it runs. It is an operation, not a Python "
     "branch, so the trace records the choice itself."),
    ("F", "x.reshape(x.shape[0], -1)", False,
     "The tracer records the reading of x.shape[0] as an operation, so the batch size stays "
     "free. Only a Python loop or int() around it would freeze it."),
)  # fmt: skip


#: Answers to 02.1 that this kernel has seen; the first one is not explained.
_tried: set[frozenset[str]] = set()


def check_frozen_by_trace(answer: Iterable[str] | None) -> Check:
    """Exercise 02.1. The first try is only counted; from the second on every line is explained.

    Args:
        answer: the letters of the functions whose trace is wrong for other inputs, as a set.
    """
    letters = None
    if answer is not None:  # the functions themselves will do as well as their names
        letters = frozenset(str(getattr(it, "__name__", it)).upper() for it in answer)
    cases = [
        Case(
            f"{letter}, {what}: does a trace fail other inputs?",
            lambda letter=letter: None if letters is None else letter in letters,
            wrong,
            hint,
        )
        for letter, what, wrong, hint in _FUNCTIONS
    ]
    check = verify("Exercise 02.1", cases, given=True)
    if letters is not None and not check.passed and not _tried - {letters}:
        right = sum(outcome.ok for outcome in check.outcomes)
        check.message = (
            f"{right} of {len(cases)} right. Trace those that you are not sure of, run them "
            "on other images, and change your answer. The second answer is explained line by line."
        )
    if letters is not None:
        _tried.add(letters)
    return check


# --- 02.2: a decision that survives trace and script --------------------------------------

# Softmax of (0, 4, 0) gives class 1 the confidence e^4 / (e^4 + 2) = 0.965; that of
# (1, 0, 0) gives class 0 e / (e + 2) = 0.576; (0, 0, 3) gives class 2 e^3 / (e^3 + 2) = 0.909.
_SURE = torch.tensor([[0.0, 4.0, 0.0]])
_UNSURE = torch.tensor([[1.0, 0.0, 0.0]])
# Two large scores: softmax gives each 0.488, sigmoid would give 0.953.
_BETWEEN = torch.tensor([[3.0, 3.0, 0.0]])
#: Two equal scores: softmax gives each exactly one half.
_EVEN = torch.tensor([[0.0, 0.0]])
_BATCH = torch.tensor([[0.0, 4.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 3.0]])


Reject = Callable[[Tensor, float], Tensor]


def check_reject(reject: Reject) -> Check:
    """Exercise 02.2.

    Args:
        reject: maps scores ``(n, classes)`` and a threshold to the class of each row, int64
            of shape ``(n,)``, or -1 where the softmax confidence is below the threshold.
    """
    return verify("Exercise 02.2", [*_decisions(reject), *_conversions(reject)])


def _decisions(reject: Reject) -> list[tasks.Case]:
    """What the function answers in Python."""
    return [
        Case(
            "a sure row keeps its class",
            lambda: reject(_SURE, 0.9),
            torch.tensor([1]),
            "The confidence is the largest softmax probability of the row, not its largest "
            "score. Return a tensor with one class per row.",
        ),
        Case(
            "an unsure row becomes -1",
            lambda: reject(_UNSURE, 0.9),
            torch.tensor([-1]),
            "Its largest softmax probability is 0.58, below 0.9. Did you compare the raw "
            "score, or turn the comparison around?",
        ),
        Case(
            "with the threshold 0.5 it keeps its class",
            lambda: reject(_UNSURE, 0.5),
            torch.tensor([0]),
            "0.58 is above 0.5: compare with the threshold that you are given.",
        ),
        Case(
            "a row between two classes is unsure",
            lambda: reject(_BETWEEN, 0.9),
            torch.tensor([-1]),
            "Softmax divides one whole among the classes, so two equal ones get less than half "
            "each. Sigmoid looks at every score alone.",
        ),
        Case(
            "a row with just the threshold's confidence keeps its class",
            lambda: reject(_EVEN, 0.5),
            torch.tensor([0]),
            "Softmax of two equal scores is exactly 0.5 each, and -1 is for what is *below* the "
            "threshold.",
        ),
        Case(
            "the classes are whole numbers",
            lambda: str(reject(_SURE, 0.9).dtype),
            "torch.int64",
            "Who looks up a name by the class needs an int64: argmax and the indices of max "
            "give one.",
        ),
        Case(
            "every row of a batch is decided for itself",
            lambda: reject(_BATCH, 0.9),
            torch.tensor([1, -1, 2]),
            "A Python if takes one decision for the whole batch. torch.where takes one for "
            "each row.",
        ),
    ]


def _conversions(reject: Reject) -> list[tasks.Case]:
    """What is left of it after script and after trace."""

    def scripted() -> Tensor:
        try:
            return quietly(torch.jit.script, reject)(_BATCH, 0.9)
        except Exception as error:
            raise RuntimeError(short(error)) from error

    def traced() -> Tensor:
        made = quietly(torch.jit.trace, lambda scores: reject(scores, 0.9), (_SURE,))
        return cast(torch.jit.ScriptFunction, made)(_UNSURE)

    return [
        Case(
            "torch.jit.script compiles it and takes a float threshold",
            scripted,
            torch.tensor([1, -1, 2]),
            "An argument without annotation counts as a Tensor: write threshold: float. "
            "Stay with torch operations, script does not know other libraries.",
        ),
        Case(
            "a trace made with a sure row still rejects an unsure one",
            traced,
            torch.tensor([-1]),
            "The trace recorded what happened to the sure row. Whatever Python decided, with "
            "if, float() or item(), is frozen; only tensor operations are recorded.",
        ),
    ]


# --- 02.3: an export that can be trusted --------------------------------------------------


class _Labelled(nn.Module):
    """Two classes; every part of it catches one careless way to export."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Linear(4, 64)
        self.dropout = nn.Dropout(0.5)  # random unless the network was in eval mode
        self.out = nn.Linear(64, 2)
        self.classes = ["no", "yes"]  # dropped by freeze unless it is told

    def forward(self, x: Tensor) -> Tensor:
        if x.mean() < 0:  # a trace keeps one side of this
            x = 10.0 - x
        return self.out(self.dropout(torch.relu(self.hidden(x))))


def _network() -> _Labelled:
    """As the learner gets it: in training mode, the same weights at every call."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return _Labelled().train()


def _saved(export: Callable[[nn.Module, Path], object]) -> torch.jit.ScriptModule:
    """What the learner's function saves of it, loaded again."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.pt"
        try:
            quietly(export, _network(), path)
        except NotImplementedError:
            raise
        except Exception as error:
            raise RuntimeError(short(error)) from error
        if not path.is_file():
            raise FileNotFoundError("export saved no file at the path that it was given")
        try:
            return quietly(torch.jit.load, str(path))
        except RuntimeError as error:
            raise RuntimeError(
                "torch.jit.load finds no program in the file; torch.save writes weights, the "
                "save method of a TorchScript module writes the program too"
            ) from error


def check_export(export: Callable[[nn.Module, Path], object]) -> Check:
    """Exercise 02.3.

    Args:
        export: given a network and a path, saves a frozen TorchScript file there that answers
            as the network does in eval mode and keeps its attribute ``classes``.
    """
    generator = torch.Generator().manual_seed(0)
    above = torch.rand(5, 4, generator=generator)
    below = -above

    def saved() -> torch.jit.ScriptModule:
        return _saved(export)

    def same_twice() -> bool:
        file = saved()
        return torch.equal(file(above), file(above))

    with torch.no_grad():
        right_above, right_below = _network().eval()(above), _network().eval()(below)
    return verify(
        "Exercise 02.3",
        [
            Case(
                "the file answers as the network does in eval mode",
                lambda: saved()(above).detach(),
                right_above,
                "The network arrives in training mode, where dropout drops half of the hidden "
                "values. Put it in eval mode before you convert, not after.",
                1e-5,
            ),
            Case(
                "the file gives the same answer twice",
                same_twice,
                True,
                "Something in it is still random: dropout from training mode was written down.",
            ),
            Case(
                "inputs with a negative mean take the other branch of its if",
                lambda: saved()(below).detach(),
                right_below,
                "A trace keeps the branch that its example took. Compile the source instead.",
                1e-5,
            ),
            Case(
                "the labels are in the file",
                lambda: list(saved().classes),
                ["no", "yes"],
                "freeze keeps forward and what forward needs. Name what else has to stay, in "
                "preserved_attrs.",
            ),
            Case(
                "the weights are constants (parameters left in the file)",
                lambda: len(list(saved().parameters())),
                0,
                "The file still has parameters, so it was not frozen before it was saved. "
                "torch.jit.freeze returns a new module: save that one.",
            ),
        ],
    )
