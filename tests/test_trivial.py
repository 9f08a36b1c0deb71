"""Answers that nobody had to think about are worth nothing, in every task of every exercise."""

import sys
import warnings

import pytest
import torch
from grading import ROOT, TINY
from rich.console import Console
from rich.table import Table

from mobilelab import models
from mobilelab.grading import trivial
from mobilelab.grading.assignment import Assignment
from mobilelab.grading.checker import ask_here
from mobilelab.grading.tasks import Case, Outcome, Reply, look

FOLDERS = [*sorted(p.parent for p in (ROOT / "exercises").glob("*/checks.py")), TINY]
#: Those of ``trivial.WAYS`` that are tried as functions of a notebook.
SOME = (
    "constant None", "constant 0", "constant 1", "constant True", "constant (1.0, 0)",
    "constant []", "argument 1", "argument 2", "zeros", "zeros and one 127",
    "one 127, and no scales", "as many times yes", "as many texts with all numbers",
)  # fmt: skip


def float_model():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.script(models.load_trained())


def answers_by_name(assignment):
    """What a lazy notebook defines, and the content of the files that it delivers."""
    network = float_model()
    copied = trivial.copy_file()
    for name in SOME:
        yield name, (lambda *args, way=trivial.WAYS[name], **_: way(args)), copied
    yield "an empty file", (lambda *args, **_: b""), b""
    yield "any bytes", (lambda *args, **_: b"PK" * 500), b"PK" * 500
    yield (
        "the float network as it is", (lambda *args, **_: network),
        network._save_to_buffer_for_lite_interpreter(),
    )  # fmt: skip
    yield (
        "a network that copies", (lambda *args, **_: torch.jit.script(trivial.Copy())), copied
    )  # fmt: skip


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_trivial_answers_are_worth_nothing(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assignment = Assignment.load(folder)
    for name, content in assignment.handed_out.items():
        (tmp_path / name).write_bytes(content)
    monkeypatch.syspath_prepend(tmp_path)  # networks are built from checks.py
    monkeypatch.delitem(sys.modules, "checks", raising=False)
    parameters = assignment.parameters(None, "nobody")
    tasks = assignment.exercise.tasks
    table = Table("answer", *(task.key for task in tasks), title=assignment.exercise.title)
    cases = {t.key: assignment.cases(t, parameters, b"test", "eve")[1] for t in tasks}
    gained = {}
    for name, function, content in answers_by_name(assignment):
        row = []
        for task in tasks:
            for file in task.names:
                if "." in file:
                    (tmp_path / file).write_bytes(content)
            names = {n: function for n in task.names if "." not in n}
            outcomes = look(cases[task.key], lambda q, n=names: ask_here(n, q), words=False)
            share = trivial.reached(outcomes, lambda t=task: assignment.guessing(t, parameters))
            row.append(f"{task.points * share:.2f}")
            if share:
                gained[name, task.key] = task.points * share
        table.add_row(name, *row)
    Console(width=160).print(table)
    monkeypatch.delitem(sys.modules, "checks", raising=False)
    assert not gained


def outcome(ok, weight=1.0, *, gate=False, around=False):
    return Outcome("", ok, "right" if ok else "wrong answer", "", "", "", weight, gate, around)


@pytest.mark.parametrize(
    ("outcomes", "guessing", "share"),
    [
        ([outcome(True), outcome(True)], 0.5, 1.0),
        ([outcome(False), outcome(True)], 0.0, 0.5),
        ([outcome(False), outcome(True)], 0.5, 0.0),
        ([outcome(False), outcome(True), outcome(True), outcome(True)], 0.5, 0.5),
        ([outcome(True, 3), outcome(False)], 0.0, 0.75),
        ([outcome(True), outcome(False, gate=True)], 0.0, 0.0),
        ([outcome(True), outcome(False, 0, gate=True)], 0.0, 0.0),
        ([outcome(False, 2), outcome(True, 2, around=True)], 0.0, 0.0),
        ([outcome(True), outcome(False), outcome(True, 2, around=True)], 0.0, 0.5),
        ([outcome(True, around=True), outcome(False, around=True)], 0.0, 0.5),
        ([], 0.0, 0.0),
    ],
)
def test_where_points_begin(outcomes, guessing, share):
    assert trivial.reached(outcomes, lambda: guessing) == share


def test_guessing_is_asked_for_only_where_it_matters():
    def never():
        raise AssertionError

    for all_right in (True, False):
        assert trivial.reached([outcome(all_right)], never) == all_right


def test_what_guessing_gives_is_found():
    from mobilelab.grading import Call

    zero = Case("zero", Call("f", (3,)), 0)
    same = Case("the same", Call("f", (7,)), 7)
    other = Case("another", Call("f", (2,)), 40)
    assert trivial.share([], [zero, other]) == 0.5
    assert trivial.share([], [same, other]) == 0.5
    assert trivial.share([], [other]) == 0.0
    assert trivial.share([Case("shown", Call("f", (1,)), 40)], [other, same, zero]) == 1 / 3
    back = Case("left alone", Call("f", (2,), back=True), (2,))
    assert trivial.share([], [other, back]) == 0.0


def test_it_is_the_same_for_everybody(monkeypatch):
    assignment = Assignment.load(ROOT / "exercises" / "03_quantization")
    task = assignment.exercise.task("width")
    first = assignment.guessing(task, assignment.parameters(b"x" * 20, "ada"))
    assert first == 0.25  # "not even 8 bits" is 0
    again = Assignment.load(ROOT / "exercises" / "03_quantization")
    monkeypatch.setattr(trivial, "share", lambda *_: pytest.fail("computed twice"))
    assert assignment.guessing(task, assignment.parameters(b"y" * 20, "bob")) == first
    assert not again._guessing


def test_without_words_the_verdicts_are_the_same():
    assignment = Assignment.load(TINY)
    public, hidden = assignment.cases(assignment.exercise.tasks[0], {"seed": 3}, b"x", "ada")
    for value in (torch.zeros(2), torch.tensor([2.0, 4.0]), None, 1):
        asked = lambda q, v=value: Reply("ok", v)  # noqa: E731
        loud, quiet = look(public + hidden, asked), look(public + hidden, asked, words=False)
        assert [(o.ok, o.end) for o in loud] == [(o.ok, o.end) for o in quiet]
