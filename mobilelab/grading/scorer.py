"""Judge one submission. No student code runs in this process.

The notebook runs sealed off; this side sends it inputs, receives plain data and compares with
expected values that never leave it. A delivered model is run in a second sealed process, on inputs
that the notebook's process has never seen.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict
from functools import partial
from typing import Any

from mobilelab.grading import notebook, trivial
from mobilelab.grading.assignment import Assignment
from mobilelab.grading.oracle import CellRecord, Oracle, in_words, outcome_of
from mobilelab.grading.sandbox import Limits, Sandbox
from mobilelab.grading.tasks import ENDS, Case, Outcome, Task, look


def fingerprint(content: bytes) -> str:
    """What a submission is known by: its content."""
    return hashlib.sha256(content).hexdigest()


def score(
    assignment: Assignment,
    content: bytes,
    student: str,
    sandbox: Sandbox,
    *,
    secret: bytes | None,
    draws: bytes,
    only: Collection[str] | None = None,
    limits: Limits | None = None,
    parameters: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Grade one submission.

    Args:
        assignment: the exercise.
        content: the submitted file.
        student: whose it is; parameters and hidden inputs depend on it.
        sandbox: where its code runs.
        secret: the class secret; without one everybody has the default parameters.
        draws: what hidden inputs are drawn from (the class secret, or any secret bytes).
        only: keys of the tasks to judge, all by default.
        limits: what it may use, by default what the exercise states.
        parameters: the student's, where they do not follow from the secret.

    Returns:
        Plain data: ``end``, ``message``, ``tasks`` (key to task), ``cells``, ``seconds``, and, if
        it is a notebook, ``killed`` (whether the system ended one of its processes) and ``took``:
        seconds of the ``notebook`` with all questions, of the longest
        ``cell`` and of the longest ``question``.

    Raises:
        NoSandbox: if there is none. Nothing that a submission does raises.
    """
    began = time.monotonic()
    parameters = dict(parameters or assignment.parameters(secret, student))
    wanted = [t for t in assignment.exercise.tasks if only is None or t.key in only]
    result: dict[str, Any] = {"end": "graded", "message": "", "parameters": parameters}
    try:
        cells = notebook.read(content, parameters)
    except notebook.NotANotebook as error:
        tasks = {task.key: _nothing(task, "not a notebook", str(error)) for task in wanted}
        result.update(end="not a notebook", message=str(error), cells=[], tasks=tasks)
        return {**result, "seconds": time.monotonic() - began}
    oracle = Oracle(sandbox, assignment, cells, parameters, limits)
    try:
        oracle.run()
        cases = {t.key: assignment.cases(t, parameters, draws, student) for t in wanted}
        outcomes = _asked(oracle, wanted, cases)
        result["tasks"] = {
            t.key: _task(t, oracle, *outcomes[t.key], partial(assignment.guessing, t, parameters))
            for t in wanted
        }
        result["killed"] = oracle.killed
        result["took"] = {"notebook": time.monotonic() - (oracle.began or began), **oracle.longest}
    finally:
        oracle.close()
    result["end"], result["message"] = _worst(oracle)
    return {**result, "cells": _cells(oracle), "seconds": time.monotonic() - began}


def _cells(oracle: Oracle) -> list[dict[str, Any]]:
    return [
        {**asdict(oracle.records.get(i, CellRecord(i))), "source": cell.source[:20_000]}
        for i, cell in enumerate(oracle.cells)
        if cell.code and cell.source.strip()
    ]


def _asked(
    oracle: Oracle, tasks: Collection[Task], cases: Mapping[str, tuple[list[Case], list[Case]]]
) -> dict[str, tuple[list[Outcome], list[Outcome]]]:
    """Outcomes of the public and of the hidden cases, by task.

    All public cases come before any hidden one: what is shown to the student afterwards was
    answered by a process that had not seen a hidden input yet.
    """

    def looked_at(task: Task, part: int) -> list[Outcome]:
        return look(cases[task.key][part], lambda question: oracle.ask(question, task.key))

    seen = {task.key: looked_at(task, 0) for task in tasks}
    return {task.key: (seen[task.key], looked_at(task, 1)) for task in tasks}


def host_may_be_to_blame(result: Mapping[str, Any]) -> bool:
    """Whether anything in a result of :func:`score` ended for a reason that the host may be.

    Its time was up, or its process was killed from outside, as the kernel does where memory ends.
    """
    cases = [case for task in result["tasks"].values() for case in task["cases"]]
    return (
        result["end"] == ENDS["timeout"]
        or any(cell["outcome"] == "timeout" for cell in result["cells"])
        or any(case["end"] == ENDS["timeout"] for case in cases)
        or result.get("killed", False)
    )


def _worst(oracle: Oracle) -> tuple[str, str]:
    """How the notebook as a whole ended, and at which cell."""
    if oracle.end is not None:
        said = in_words(oracle.end, oracle.limits, oracle.limits.notebook)
        return ENDS[outcome_of(oracle.end)], said
    for outcome in ("died", "nonsense", "large", "memory", "processes", "timeout", "error"):
        for place, record in sorted(oracle.records.items()):
            if record.outcome == outcome:
                return ENDS[outcome], f"Cell {place + 1}: {record.error or ENDS[outcome]}"
    return "graded", ""


def _set_back(oracle: Oracle, task: Task) -> str:
    """Which parameters of a task the notebook gave another value, in words."""
    told = [
        f"cell {place + 1} gives {name} the value {value}, yours is {oracle.parameters[name]!r}"
        for name, (place, value) in sorted(oracle.changed.items())
        if name in task.uses
    ]
    if not told:
        return ""
    said = "; ".join(told)
    return (
        f"{said[0].upper()}{said[1:]}. The grader set it back after that cell. Use another name "
        "for what you try, so that nothing of your answer depends on it."
    )


def _task(
    task: Task,
    oracle: Oracle,
    seen: list[Outcome],
    unseen: list[Outcome],
    guessing: Callable[[], float],
) -> dict[str, Any]:
    end, message = _end(task, oracle, seen, unseen)
    return {
        "title": task.title,
        "points": round(task.points * trivial.reached(unseen, guessing), 2),
        "max": task.points,
        "end": end,
        "message": message,
        "cases": [
            *({**asdict(o), "public": True} for o in seen),
            # what a hidden case expected or got stays here; its name and its hint go out
            *({**asdict(o), "public": False, "expected": "", "got": ""} for o in unseen),
        ],
    }


def _nothing(task: Task, end: str, message: str) -> dict[str, Any]:
    return {
        "title": task.title, "points": 0.0, "max": task.points, "end": end, "message": message,
        "cases": [],
    }  # fmt: skip


_WORST_FIRST = (
    "kernel died", "disturbed messages", "answer too large", "out of memory", "too many processes",
    "timeout", "error", "not done",
)  # fmt: skip


def _end(task: Task, oracle: Oracle, seen: list[Outcome], unseen: list[Outcome]) -> tuple[str, str]:
    """How a task ended as a whole, and the student's own words for it.

    Only the public cases are quoted: an error's text could carry a hidden input out.
    """
    ends = [outcome.end for outcome in [*seen, *unseen] if not outcome.ok]
    if not ends:
        return "right", ""
    # the name is not there: was there a cell that should have made it, and what became of it?
    if "missing task" in ends:
        for places in notebook.makers(oracle.cells, task.names).values():
            for place in places:
                record = oracle.records.get(place)
                if record is not None and record.outcome not in ("ok", "not run"):
                    return ENDS[record.outcome], f"Cell {place + 1}: {record.error}"
        if any(record.outcome == "todo" for record in oracle.records.values()):
            return ENDS["todo"], ""
        return "missing task", f"The notebook has no {' or '.join(task.names)}."
    for end in _WORST_FIRST:
        if end in ends:
            quoted = [o.got for o in seen if o.end == end]
            return end, quoted[0] if quoted else "on a hidden case"
    return "wrong answer", _set_back(oracle, task)
