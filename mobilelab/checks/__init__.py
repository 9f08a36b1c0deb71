"""Instant checks for the exercises in the chapters.

One module per chapter (``ch00`` to ``ch08``), one function per task. A check runs the
learner's function, or looks at the answer, on named cases and shows for each what was
expected, what came, and the misconception behind a typical wrong answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Case:
    """One thing that an answer must get right."""

    name: str
    """What is looked at, in words: ``"0.0 lands on the zero point"``."""
    got: Callable[[], object]
    """Runs the learner's code and returns what it gives."""
    expected: object
    """The right value: number, string, set, tuple, bool or tensor."""
    hint: str
    """What to think about when this case fails."""
    tolerance: float = 0.0
    """Largest absolute difference that still counts as equal, for numbers and tensors."""


@dataclass(frozen=True)
class Outcome:
    """How one case went."""

    name: str
    ok: bool
    expected: str
    got: str
    hint: str


class Check:
    """The outcome of a task. Shown as text when it is the last line of a cell."""

    def __init__(self, task: str, outcomes: list[Outcome], message: str = "") -> None:
        self.task = task
        self.outcomes = outcomes
        self.message = message

    @property
    def passed(self) -> bool:
        """Whether there was something to look at and all of it was right."""
        return bool(self.outcomes) and all(outcome.ok for outcome in self.outcomes)

    def __repr__(self) -> str:
        if self.message:
            return f"{self.task}: {self.message}"
        right = sum(outcome.ok for outcome in self.outcomes)
        end = " Well done." if self.passed else ""
        lines = [f"{self.task}: {right} of {len(self.outcomes)} cases right.{end}"]
        for outcome in self.outcomes:
            lines.append(f"  {'ok   ' if outcome.ok else 'WRONG'} {outcome.name}")
            if not outcome.ok:
                lines.append(f"        expected {outcome.expected}")
                lines.append(f"        got      {outcome.got}")
                lines.append(f"        hint     {outcome.hint}")
        return "\n".join(lines)


#: What to tell a function that gives back nothing.
NOTHING_RETURNED = "The function returns nothing. Does it end with return?"


def verify(task: str, cases: Iterable[Case], *, given: bool = False) -> Check:
    """Run the cases of a task.

    A ``NotImplementedError`` from the learner's code means that the task was not begun; any other
    exception is shown as what that case gave.

    Args:
        task: the task's name.
        cases: what is looked at, in the order in which it is shown.
        given: the answer is a value in a cell. There ``None`` stands for "not begun"; a function
            that returns ``None`` is wrong.
    """
    outcomes = []
    for case in cases:
        try:
            got = case.got()
        except NotImplementedError:
            return Check(task, [], "not done yet. Write your code in the cell above and run both.")
        except Exception as error:  # the learner's code may raise anything; it is the answer
            text = f"{type(error).__name__}: {error}".splitlines()[0]
            outcomes.append(Outcome(case.name, False, _show(case.expected), text, case.hint))
            continue
        if got is None and given:
            return Check(task, [], "not done yet. Replace None in the cell above and run both.")
        hint = case.hint if got is not None else NOTHING_RETURNED
        ok = _equal(case.expected, got, case.tolerance)
        outcomes.append(Outcome(case.name, ok, *_side_by_side(case, got), hint))
    return Check(task, outcomes)


def _equal(expected: object, got: object, tolerance: float) -> bool:
    if isinstance(expected, Tensor):
        return (
            isinstance(got, Tensor)
            and got.shape == expected.shape
            and torch.allclose(got.double(), expected.double(), rtol=0, atol=tolerance)
        )
    if (isinstance(got, Tensor) and got.numel() == 1) or isinstance(got, np.generic):
        got = got.item()
    if isinstance(expected, bool) or isinstance(got, bool):
        return expected is got
    if isinstance(expected, (int, float)):
        return isinstance(got, (int, float)) and abs(got - expected) <= tolerance
    return type(got) is type(expected) and got == expected


def _side_by_side(case: Case, got: object) -> tuple[str, str]:
    """Expected and got as text; of two tensors, the first element in which they differ."""
    if isinstance(case.expected, Tensor) and isinstance(got, Tensor):
        expected = case.expected
        if got.shape == expected.shape:
            near = torch.isclose(got.double(), expected.double(), rtol=0, atol=case.tolerance)
            for place in (~near).nonzero().tolist()[:1]:
                where = f" at position {place}" if place else ""
                at = tuple(place)
                return f"{expected[at].item():.6g}{where}", f"{got[at].item():.6g}{where}"
    return _show(case.expected), _show(got)


def _show(value: object) -> str:
    if isinstance(value, Tensor):
        return f"tensor of shape {tuple(value.shape)}, {value.flatten()[:6].tolist()}"
    if isinstance(value, (set, frozenset)):
        return "{" + ", ".join(repr(v) for v in sorted(value, key=repr)) + "}"
    text = repr(value)
    return text if len(text) <= 200 else text[:200] + "..."
