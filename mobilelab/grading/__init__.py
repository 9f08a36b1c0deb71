"""Homework: exercises with instant feedback, and a grader that does not believe what it is told.

An exercise's ``checks.py`` needs only what is named here; ``docs/instructor.md`` shows how.
``tasks`` says what a task is, ``instant`` checks it in the notebook, ``answers`` puts questions to
a student's code, ``inmate`` and ``sandbox`` keep that code in its place, ``scorer`` judges,
``batch`` does so for a class, and ``gradebook``, ``feedback`` and ``lms`` keep and hand out what
was found.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mobilelab.grading.answers import Call, Delivered, Net, Value
    from mobilelab.grading.instant import Checker
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
    "answers": ("Call", "Delivered", "Net", "Value"),
    "instant": ("Checker",),
    "run_model": ("accuracy",),
    "sandbox": ("Limits",),
    "tasks": ("Case", "Draw", "Exercise", "Facts", "Run", "Task"),
}


def __getattr__(name: str) -> object:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
