"""Instant checks for the exercises in the chapters and labs.

One module per chapter (``ch00``) and lab (``lab03``), one function per task;
``doorbell`` has chapter 04's networks. A check runs the learner's function, or looks at the answer,
on named cases and shows for each what was expected, what came, and the misconception behind a
typical wrong answer.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from mobilelab.grading import tasks
from mobilelab.grading.tasks import Here, Outcome, Question, Reply


def Case(
    name: str, got: Callable[[], object], expected: object, hint: str, tolerance: float = 0.0
) -> tasks.Case:
    """One thing that an answer must get right: a case of the grader's, asked in this process.

    Args:
        name: what is looked at, in words: ``"0.0 lands on the zero point"``.
        got: runs the learner's code and returns what it gives.
        expected: the right value: number, string, set, tuple, bool or tensor.
        hint: what to think about when this case fails.
        tolerance: largest absolute difference that counts as equal, for numbers and tensors.
    """
    return tasks.Case(name, Here(got), expected, hint, tolerance)


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


def verify(task: str, cases: Iterable[tasks.Case], *, given: bool = False) -> Check:
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
        reply = _ask(case.ask)
        if reply.outcome == "todo":
            return Check(task, [], "not done yet. Write your code in the cell above and run both.")
        nothing = reply.outcome == "ok" and reply.value is None
        if nothing and given:
            return Check(task, [], "not done yet. Replace None in the cell above and run both.")
        (outcome,) = tasks.look([case], lambda _, reply=reply: reply)
        outcomes.append(replace(outcome, hint=NOTHING_RETURNED) if nothing else outcome)
    return Check(task, outcomes)


def _ask(question: Question) -> Reply:
    assert isinstance(question, Here)  # as Case() makes them
    try:
        return Reply("ok", question.got())
    except NotImplementedError:
        return Reply("todo")
    except Exception as error:  # the learner's code may raise anything; it is the answer
        if _used_nothing(error):
            return Reply("ok", None)
        return Reply("error", error=f"{type(error).__name__}: {error}".splitlines()[0])


#: The room whose code uses what a learner's function returned.
_HERE = str(Path(__file__).parent)


def _used_nothing(error: Exception) -> bool:
    """Whether a check went on with the ``None`` that a function without ``return`` gave it.

    Then the error is raised in the check itself: no code of the learner's is under it.
    """
    frames = [frame.f_code.co_filename for frame, _ in traceback.walk_tb(error.__traceback__)]
    ours = all(name.startswith(_HERE) for name in frames)
    return ours and isinstance(error, (TypeError, AttributeError)) and "NoneType" in str(error)
