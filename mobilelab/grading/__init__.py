"""Homework: exercises with instant feedback, and a grader that does not believe what it is told.

An exercise's ``checks.py`` needs only what is named here; ``docs/instructor.md`` shows how.
``tasks`` says what a task is, ``instant`` checks it in the notebook, ``answers`` puts questions to
a student's code, ``inmate`` and ``sandbox`` keep that code in its place, ``scorer`` judges,
``batch`` does so for a class, and ``gradebook``, ``feedback`` and ``lms`` keep and hand out what
was found.
"""

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
