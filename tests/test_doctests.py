"""Examples in docstrings: everything public in the vocabulary has one, and all of them hold."""

import doctest
import importlib
import inspect
import pkgutil
import re
from pathlib import Path

import pytest
import torch
from torch import nn

import mobilelab
from mobilelab import core, measure, tasks

ROOMS = (core, tasks, measure)
MODULES = [
    f"{room.__name__}.{found.name}" if found else room.__name__
    for room in ROOMS
    for found in (None, *pkgutil.iter_modules(room.__path__))
    if not found or not found.name.startswith("_")
]
PACKAGE = Path(mobilelab.__file__).parent
#: Modules of other rooms that have examples, too.
OTHERS = sorted(
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
    for path in PACKAGE.rglob("*.py")
    if path.relative_to(PACKAGE).parts[0] not in ("core", "tasks", "measure")
    and re.search(r"^ +>>> ", path.read_text(encoding="utf-8"), re.M)
)
#: What stands in an example without an import: the vocabulary itself.
NAMES = {"torch": torch, "nn": nn, "measure": measure, "tasks": tasks}
#: Modules whose names are no vocabulary: what they hold is for the package itself.
PLUMBING = ("core.errors", "core.pages", "core.terminal", "core.threads",
            "measure.cutting", "measure.state")  # fmt: skip
#: Public, and without an example of its own, with the reason.
WITHOUT = {
    "record": "what makes a Record, whose example shows it",
    "Parity": "what compare gives, whose example shows one",
    "Leaf": "a part of what compare gives",
    "measured": "makes one Leaf for compare",
    "peak_memory": "starts a process, which takes seconds; tests/test_measure.py runs it",
    "peak_memories": "the same", "peak_by_shape": "the same",
    "joined": "for tasks, inside the package", "part_of": "the same", "paths_of": "the same",
    "share": "the same", "watched": "for measuring, inside the package",
}  # fmt: skip


def run(module):
    """Every example of a module: how many there are, and what those said that failed."""
    names = {**NAMES, **vars(core.trees), **vars(core.signature), **vars(tasks), **vars(module)}
    said = []
    runner = doctest.DocTestRunner()
    for test in doctest.DocTestFinder().find(module, globs=names):
        runner.run(test, out=said.append)
    return runner.tries, "".join(said)


def without_example(module):
    """Names of the public classes and functions of a module that have none in their docstring."""
    return [
        name
        for name, found in vars(module).items()
        if (inspect.isclass(found) or inspect.isfunction(found))
        and found.__module__ == module.__name__
        and not name.startswith("_")
        and ">>> " not in (found.__doc__ or "")
    ]


@pytest.mark.parametrize("name", [*MODULES, *OTHERS])
def test_examples_hold(name):
    tries, said = run(importlib.import_module(name))
    assert not said, said
    assert tries or name.split(".", 1)[1] in (*PLUMBING, "core", "measure")


@pytest.mark.parametrize("name", [m for m in MODULES if m.split(".", 1)[1] not in PLUMBING])
def test_everything_public_has_an_example(name):
    lacking = without_example(importlib.import_module(name))
    assert not set(lacking) - set(WITHOUT), "Show in the docstring how it is used."


def test_what_is_left_out_is_there_and_has_none():
    modules = [importlib.import_module(name) for name in MODULES]
    lacking = {name for module in modules for name in without_example(module)}
    assert not set(WITHOUT) - lacking


def test_a_wrong_example_and_a_lacking_one_are_found(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "lesson.py").write_text('def f():\n    """No.\n\n    >>> f()\n    2\n    """\n')
    (tmp_path / "bare.py").write_text('def g():\n    """No."""\n')
    tries, said = run(importlib.import_module("lesson"))
    assert tries == 1 and "Expected:\n    2" in said
    assert without_example(importlib.import_module("bare")) == ["g"]
