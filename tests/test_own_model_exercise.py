"""Assignment 11: the check tells its faults, and plausible wrong work gets nothing."""

import copy
import importlib
import json
import sys
import warnings

import pytest
import torch
from grading import ROOT, SECRET, needs_sandbox
from torch.utils.mobile_optimizer import optimize_for_mobile

from mobilelab.check import compared, diagnosis, roads, work
from mobilelab.check.results import Row
from mobilelab.check.subject import Subject
from mobilelab.core.signature import Example
from mobilelab.grading import trivial
from mobilelab.grading.assignment import Assignment
from mobilelab.grading.checker import ask_here
from mobilelab.grading.sandbox import Sandbox
from mobilelab.grading.scorer import score
from mobilelab.grading.tasks import look

FOLDER = ROOT / "exercises" / "11_your_own_model"
BIRDS = ("heron", "kestrel", "plover", "avocet", "dunlin", "curlew")
ROADS = {road.name: road for road in roads.ROADS}


@pytest.fixture(scope="module")
def assignment():
    return Assignment.load(FOLDER)


@pytest.fixture
def checks(monkeypatch):
    """The file that a student has; TorchScript asks for its source."""
    monkeypatch.syspath_prepend(FOLDER)
    monkeypatch.delitem(sys.modules, "checks", raising=False)
    yield importlib.import_module("checks")
    sys.modules.pop("checks", None)


def walked(subject, road, folder):
    row = Row(road=road, exact=ROADS[road].exact)
    try:
        work.walk(ROADS[road], subject, folder, row, {})
    except Exception as error:
        row.status, row.reasons = "refused", [diagnosis.diagnose(error, road)]
    return row


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("limit", [0.5, 0.35])
@pytest.mark.parametrize("bird", BIRDS)
def test_the_faults_are_those_that_the_check_tells(bird, limit, assignment, checks, tmp_path):
    model, hidden = checks.network_of(bird, limit), assignment.hidden
    examples = [Example.of(one) for one in checks.examples_of(bird, limit)]
    subject = Subject(bird, model, examples)
    subject.reference = compared.answers_of(copy.deepcopy(model), subject)
    loud = walked(subject, "script", tmp_path)
    assert loud.status == "refused"
    assert [reason.cause for reason in loud.reasons] == [hidden.LOUD[bird]]
    where, cause = hidden.SILENTLY[bird]
    for road in ("trace", "freeze", "recipe", "mobile", "lite"):
        row = walked(subject, road, tmp_path)
        told = [reason.cause for reason in row.reasons]
        # on curlew's mobile road no single pass is to blame: other answers, and no name for it
        nameless = (bird, road) == ("curlew", "mobile")
        known = [""] if nameless else [cause] if road in where else []
        assert row.status == "done" and told == known
        assert (row.verdict == "same") == (road not in where or cause.endswith("-frozen"))


# --- wrong work -----------------------------------------------------------------------------


def gained(assignment, key, names, bird, tmp_path):
    """The points of one task for what a notebook defines."""
    task = assignment.exercise.task(key)
    values = {"network": bird, "limit": 0.4}
    _, hidden = assignment.cases(task, values, SECRET, "eve")
    outcomes = look(hidden, lambda question: ask_here(names, question), words=False)
    return task.points * trivial.reached(outcomes, lambda: assignment.guessing(task, values))


def traced(net, example):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.trace(net, example, strict=False, check_trace=False)


def lite(module):
    return optimize_for_mobile(module)._save_to_buffer_for_lite_interpreter()


@pytest.fixture
def wrong(checks):
    """Plausible wrong work: the task, the bird, and what the notebook defines."""

    def usual(bird):
        return checks.examples_of(bird, 0.4)[0]

    def absolute(example):
        model = checks.network_of("kestrel", 0.4)
        file = traced(copy.deepcopy(model), usual("kestrel"))
        ours, theirs = model(*example), file(*example)
        return {name: (theirs[name] - x).norm().item() for name, x in ours.items()}

    def fresh_trace(example):
        model = checks.network_of("kestrel", 0.4)
        return checks.errors(model(*example), traced(copy.deepcopy(model), example)(*example))

    def careless(text):
        return [
            r["road"] for r in json.loads(text)["rows"] if r["verdict"] not in ("same", "close")
        ]

    def trusting(text):
        rows = json.loads(text)["rows"]
        rows = [r for r in rows if not r["status"].startswith("not ")]
        good = {True: ("same",), False: ("same", "close")}
        return [r["road"] for r in rows if r["verdict"] not in good[r["exact"]]]

    x, aid = usual("heron")
    nan = (x, torch.full_like(aid, torch.nan))
    return {
        "another bird's faults": ("faults", "heron", lambda: ("script-try", ("trace", "fold-bug"))),
        "the right cause on a road that is right": (
            "faults", "dunlin", lambda: ("script-lambda", ("mobile", "fold-bug"))),
        "a fault of the network for one of a road": (
            "faults", "curlew", lambda: ("script-try", ("recipe", "inputs-modified"))),
        "an ordinary example": ("witness", "kestrel", lambda: usual("kestrel")),
        "not a number": ("witness", "heron", lambda: nan),
        "an example that does not fit": (
            "witness", "plover", lambda: (torch.ones(1, 9), torch.ones(1, 2))),
        "numbers too large for floats": (
            "witness", "avocet", lambda: (torch.full((1, 21, 4), 3e38), torch.ones(1, 21))),
        "no error at all": ("how_far", "kestrel", lambda e: {"score": 0.0, "peak": 0.0}),
        "absolute, not relative": ("how_far", "kestrel", absolute),
        "a new trace for each example": ("how_far", "kestrel", fresh_trace),
        "the network as it came": ("mend", "kestrel", lambda net: net),
        "a trace, frozen": ("mend", "kestrel", lambda net: traced(net, usual("kestrel"))),
        "a trace of the other branch": (
            "mend", "heron", lambda net: traced(net, (x, torch.ones_like(aid)))),
        "a trace with as many loops as usual": (
            "mend", "plover", lambda net: traced(net, usual("plover"))),
        "the printed recipe": (
            "app", "dunlin", lambda net: lite(traced(net, usual("dunlin")))),
        "the same, normalized in place": (
            "app", "curlew", lambda net: lite(traced(net, usual("curlew")))),
        "not optimized": (
            "app", "avocet",
            lambda net: traced(net, usual("avocet"))._save_to_buffer_for_lite_interpreter()),
        "a gate that looks at verdicts only": ("gate", "heron", careless),
        "a gate that trusts the same answers": ("gate", "heron", trusting),
    }  # fmt: skip


def test_plausible_wrong_work_gets_nothing(assignment, wrong, tmp_path):
    assert len(wrong) >= 5
    got = {
        name: gained(assignment, key, {key: function}, bird, tmp_path)
        for name, (key, bird, function) in wrong.items()
    }
    assert {name: points for name, points in got.items() if points} == {}


def test_right_work_gets_all_where_wrong_work_gets_nothing(assignment, checks, tmp_path):
    def witness():
        return torch.ones(1, 40, 4), torch.ones(1, 40)

    assert gained(assignment, "witness", {"witness": witness}, "kestrel", tmp_path) == 3

    def how_far(example):
        return checks.far("kestrel", 0.4, example)

    assert gained(assignment, "how_far", {"how_far": how_far}, "kestrel", tmp_path) == 3

    def faults():
        return "script-numpy", ("recipe", "fold-bug")

    assert gained(assignment, "faults", {"faults": faults}, "dunlin", tmp_path) == 4


ASKED = """
from mobilelab.check import check as check_roads
from mobilelab.check.runner import Limits

few = Limits(seconds=0.02)
report = check_roads(model, EXAMPLES, names=("trace", "script", "recipe"), limits=few)


def faults():
    loud = report.row("script").reasons[0].cause
    silent = [(row.road, reason.cause) for row in report.rows if row.status == "done"
              for reason in row.reasons]
    return loud, silent[0]
"""


@needs_sandbox
def test_a_notebook_that_asks_the_check_itself_loses_nothing(assignment):
    book = json.loads(assignment.files["solution.ipynb"])
    book["cells"].append({"cell_type": "code", "id": "asked", "metadata": {}, "source": ASKED,
                          "outputs": [], "execution_count": None})  # fmt: skip
    with Sandbox(("torchvision",)) as sandbox:
        content = json.dumps(book).encode()
        result = score(assignment, content, "ada", sandbox, secret=SECRET, draws=SECRET)
    lost = {key: task for key, task in result["tasks"].items() if task["points"] < task["max"]}
    assert not lost, [cell["error"] for cell in result["cells"] if cell["error"]]
