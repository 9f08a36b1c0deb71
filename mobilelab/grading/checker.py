"""The check after each task of an exercise: what was expected, what came, and the next hint."""

from __future__ import annotations

import contextlib
import hashlib
import inspect
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from IPython import get_ipython

from mobilelab.core.errors import ProgressError
from mobilelab.grading import questions, run_model
from mobilelab.grading.serialize import File, decode, encode
from mobilelab.grading.tasks import Exercise, Facts, Here, Outcome, Question, Reply, Run, Task, look
from mobilelab.jupyter import progress

#: Honest tries after which a task is explained.
TRIES = 3


class Answer:
    """How a task stands. Shown as text when it is the last line of a cell."""

    def __init__(self, task: Task, outcomes: list[Outcome], tries: int = 0, todo: str = "") -> None:
        self.task, self.outcomes, self.tries, self.todo = task, outcomes, tries, todo

    @property
    def passed(self) -> bool:
        """Whether there was something to look at and all of it was right."""
        return not self.todo and bool(self.outcomes) and all(o.ok for o in self.outcomes)

    def __repr__(self) -> str:
        if self.todo:
            return f"{self.task.title}: {self.todo}"
        right = sum(outcome.ok for outcome in self.outcomes)
        lines = [f"{self.task.title}: {right} of {len(self.outcomes)} public cases right."]
        hinted = False
        for outcome in self.outcomes:
            lines.append(f"  {'ok   ' if outcome.ok else 'WRONG'} {outcome.name}")
            if not outcome.ok:
                lines.append(f"        expected {outcome.expected}")
                lines.append(f"        got      {outcome.got}")
                if not hinted and outcome.hint:
                    lines.append(f"        hint     {outcome.hint}")
                    hinted = True
        if self.passed:
            lines.append("Well done. The grader asks the same about other inputs.")
        elif self.tries >= TRIES:
            lines += ["", f"After {self.tries} honest tries, the idea behind it:"]
            lines.append(self.task.explanation)
        elif self.tries:
            left = TRIES - self.tries
            lines.append(f"Try {self.tries}; the explanation comes after {left} more.")
        return "\n".join(lines)


class Checker:
    """``check("key")`` in an exercise's notebook.

    It looks the answer up by name, so the line after a task needs nothing but the task's key.
    """

    def __init__(self, exercise: Exercise) -> None:
        self.exercise = exercise
        self._tries: dict[str, set[str]] = {}

    def __call__(self, key: str, names: Mapping[str, Any] | None = None) -> Answer:
        """Check one task.

        Args:
            key: the task's key.
            names: where the answer is looked up; the notebook's own names by default.

        Raises:
            KeyError: if there is no such task.
        """
        task = self.exercise.task(key)
        known = _of_the_notebook() if names is None else names
        parameters = SimpleNamespace(
            **{k: known.get(k, options[0]) for k, options in self.exercise.parameters.items()}
        )
        outcomes = look(task.public(parameters), lambda question: ask_here(known, question))
        for end, text in (
            ("not done", "not done yet. Write your code in the cell above and run both."),
            ("missing task", f"nothing to check: define {' and '.join(task.names)} first."),
        ):
            if outcomes and all(outcome.end == end for outcome in outcomes):
                return Answer(task, outcomes, todo=text)
        return Answer(task, outcomes, self._count(task, outcomes, known))

    def _count(self, task: Task, outcomes: list[Outcome], names: Mapping[str, Any]) -> int:
        """The number of different wrong answers so far; the same one again is no new try."""
        key = f"{self.exercise.title}: {task.key}"
        tries = self._tries.setdefault(key, set())
        if not all(outcome.ok for outcome in outcomes):
            seen = [o.got for o in outcomes] + [_source(names.get(name)) for name in task.names]
            tries.add(hashlib.sha256(repr(seen).encode()).hexdigest()[:16])
        with contextlib.suppress(ProgressError):  # they count here, until the kernel restarts
            tries |= progress.tried(key, tries)
        return len(tries)


def _of_the_notebook() -> Mapping[str, Any]:
    shell = get_ipython()
    return shell.user_ns if shell is not None else {}


def _source(value: object) -> str:
    try:
        return inspect.getsource(value)  # type: ignore[arg-type]
    except (OSError, TypeError):
        return ""


def ask_here(names: Mapping[str, Any], question: Question) -> Reply:
    """Put a question to names of this process, through the same plain data as the grader."""
    if isinstance(question, (Facts, Run)):
        reply = ask_here(names, question.source)
        if reply.outcome != "ok":
            return reply
        if not isinstance(reply.value, File):
            return Reply("error", error="a model file is wanted")
        try:
            if isinstance(question, Facts):
                value = run_model.facts(reply.value)
            else:
                value = run_model.run(reply.value, decode(*encode(list(question.inputs))))
            return Reply("ok", decode(*encode(value)))
        except Exception as error:  # whatever a delivered model raises
            return Reply("error", error=f"{type(error).__name__}: {error}".splitlines()[0])
    assert not isinstance(question, Here)  # chapters ask those, exercises do not
    try:
        value = questions.answer(names, *questions.to_message(question))
        return Reply("ok", decode(*encode(value)))
    except questions.Missing as error:
        return Reply("missing", error=str(error))
    except NotImplementedError:
        return Reply("todo")
    except Exception as error:  # the learner's code may raise anything; it is the answer
        return Reply("error", error=f"{type(error).__name__}: {error}".splitlines()[0])
