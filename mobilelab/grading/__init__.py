"""Homework: exercises with instant feedback, and a grader that does not believe what it is told.

An exercise's ``checks.py`` needs only what is named here; ``docs/instructor.md`` shows how.
``tasks`` says what a task is, ``checker`` checks it in the notebook, ``questions`` puts questions
to a student's code, ``sandbox`` keeps that code in its place, ``scorer`` judges,
``batch`` does so for a class, and ``gradebook``, ``feedback`` and ``lms`` keep and hand out what
was found.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mobilelab.grading.checker import Checker
    from mobilelab.grading.questions import Call, Delivered, Net, Value
    from mobilelab.grading.run_model import accuracy
    from mobilelab.grading.sandbox import Limits
    from mobilelab.grading.tasks import Case, Draw, Exercise, Facts, Run, Task

__all__ = [
    "Call",
    "Case",
    "Checker",
    "Delivered",
    "Draw",
    "Exercise",
    "Facts",
    "Limits",
    "Net",
    "Run",
    "Task",
    "Value",
    "accuracy",
]

#: Where each name lives. They are fetched when they are asked for, because most need torch, and a
#: sandbox is started before torch is imported, so that both imports run side by side.
_HOMES = {
    "questions": ("Call", "Delivered", "Net", "Value"),
    "checker": ("Checker",),
    "run_model": ("accuracy",),
    "sandbox": ("Limits",),
    "tasks": ("Case", "Draw", "Exercise", "Facts", "Run", "Task"),
}


def __getattr__(name: str) -> object:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
