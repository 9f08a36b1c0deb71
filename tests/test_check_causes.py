"""Every cause is raised for real and told by its name, and no other is told in its place."""

import copy
import re
import warnings
from pathlib import Path

import pytest
import torch
from faulty import FAULTS, LOSES, RAISED, SILENT, UNKNOWN, Fault
from networks import NETWORKS

from mobilelab.check import advice, compared, diagnosis, examples, faults, roads, work
from mobilelab.check.results import Report, Row
from mobilelab.check.subject import Subject
from mobilelab.core.errors import ModelWarning
from mobilelab.core.signature import Example
from mobilelab.core.trees import Answers
from mobilelab.measure import parity

ROADS = {road.name: road for road in roads.ROADS}
#: Told of a process that did not come to its end: raised in test_check.py.
ENDED = {"endless", "memory", "crash"}
#: Told of answers that are compared, below.
COMPARED = {"outputs-dropped", "outputs-reordered", "drawn-examples"}


def subject_of(fault):
    torch.manual_seed(0)
    model = fault.build().eval()
    given = [Example.of(one).positional(model.forward) for one in fault.examples()]
    return Subject("net", model, given)


def error_of(name, tmp_path):
    """What a faulty network raises on its road, and the road."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            if name in RAISED:
                RAISED[name](tmp_path)
                return None, ""
            fault = FAULTS.get(name) or UNKNOWN[name]
            subject = subject_of(fault)
            road = ROADS[fault.road]
            path = tmp_path / f"net{road.suffix}"
            start = subject.model
            if road.after:
                start = tmp_path / f"before{ROADS[road.after].suffix}"
                roads.walk(ROADS[road.after], subject.model, subject.examples, start)
            roads.walk(road, start, subject.examples, path)
            compared.answers_of(compared.opened(path), subject)
        except Exception as error:
            return error, "" if name in RAISED else fault.road
    return None, ""


def test_every_cause_has_a_network_and_every_network_a_cause():
    known = set(diagnosis.causes())
    assert known == {*FAULTS, *RAISED, *SILENT, *LOSES} | ENDED | COMPARED
    assert len(known) >= 60
    loud = {name for name, cause in diagnosis.causes().items() if not cause.silent}
    assert loud == {*FAULTS, *RAISED} and len(loud) >= 40


@pytest.mark.parametrize("name", [*FAULTS, *RAISED])
def test_a_cause_is_told_by_its_name(name, tmp_path):
    error, road = error_of(name, tmp_path)
    assert error is not None, "nothing was raised"
    reason = diagnosis.diagnose(error, road)
    assert reason.cause == name, diagnosis.last_sentence(error)
    assert reason.error and reason.fix and reason.source.startswith("https://")


@pytest.mark.parametrize("name", UNKNOWN)
def test_no_cause_is_told_for_another_reason(name, tmp_path):
    error, road = error_of(name, tmp_path)
    assert error is not None
    reason = diagnosis.diagnose(error, road)
    assert reason.cause == "" and reason.fix == ""
    assert road in reason.says and "torch " in reason.says and reason.error in reason.says
    assert "Traceback" not in reason.says


def test_the_confusion_table(tmp_path):
    """Which patterns fit which errors: a wrong one may only stand behind the right one.

    Printed with ``-s``: a line for each pair that is not on the diagonal.
    """
    order = list(diagnosis.causes())
    for name in [*FAULTS, *RAISED, *UNKNOWN]:
        if FAULTS.get(name) and FAULTS[name].road.startswith(("et-", "litert")):
            continue  # told by name above; exporting them once is enough
        error, _ = error_of(name, tmp_path)
        text = diagnosis.text(error)
        fits = [
            cause.name
            for cause in diagnosis.causes().values()
            if any(re.search(pattern, text) for pattern in cause.patterns)
        ]
        for other in set(fits) - {name}:
            print(f"{name}: {other} fits, too")
            assert name not in UNKNOWN and order.index(name) < order.index(other)
        assert len(fits) <= 2


@pytest.mark.parametrize("name", [n for n in FAULTS if n.startswith(("script-i", "script-u"))])
def test_the_persons_line_is_named(name, tmp_path):
    error, road = error_of(name, tmp_path)
    assert re.match(r"faulty\.py:\d+: ", diagnosis.diagnose(error, road).line)


def test_our_own_lines_and_pythons_are_not_the_persons():
    try:
        roads.named(["nowhere"])
    except Exception as error:
        assert "test_check_causes.py" in diagnosis.own_line(error)
        assert not diagnosis.is_own(roads.__file__) and not diagnosis.is_own(torch.__file__)


# --- silent faults ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SILENT)
def test_a_silent_fault_is_found(name):
    fault = SILENT[name]
    torch.manual_seed(0)
    model = fault.build()
    if name != "training-mode":
        model.eval()
    given = [Example.of(one) for one in fault.examples()]
    before = {key: value.clone() for key, value in model.state_dict().items()}
    found = faults.of_network(model, given)
    assert [reason.cause for reason in found] == [name]
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    if name in ("dropout-on", "random-in-forward"):
        assert found[0].line.startswith("faulty.py:")


#: Networks without a fault, apart from those that their test says.
EXPECTED = {
    "a state in a buffer": ["state-in-buffer"],
    "writes into its input": ["inputs-modified"],
    "an output object": ["answer-object"],
    "a named tuple": ["answer-object"],
}


@pytest.mark.parametrize("name", NETWORKS)
def test_no_silent_fault_is_found_where_there_is_none(name):
    torch.manual_seed(0)
    brought = NETWORKS[name]
    model = brought.build().eval()
    given = [Example.of(one).positional(model.forward) for one in brought.examples()]
    found = faults.of_network(model, given)
    assert [reason.cause for reason in found] == EXPECTED.get(name, [])


@pytest.mark.parametrize("name", NETWORKS)
def test_nothing_is_said_of_a_trace_where_it_is_right(name, tmp_path):
    brought = NETWORKS[name]
    state = name == "a state in a buffer"
    row = walked(Fault(brought.build, brought.examples, "trace"), tmp_path)
    assert [reason.cause for reason in row.reasons] == ["state-lost"] * state
    assert row.verdict == ("DIFFERENT" if state else "same")


def walked(fault, tmp_path, road=""):
    """The row of one road."""
    subject = subject_of(fault)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = faults.of_network(subject.model, subject.examples)
        subject.reference = compared.answers_of(copy.deepcopy(subject.model), subject)
        row = Row(road=road or fault.road)
        state = any(reason.cause.startswith("state-in-") for reason in found)
        work.walk(ROADS[row.road], subject, tmp_path, row, {"state": state})
    return row


@pytest.mark.parametrize("name", LOSES)
def test_a_silent_fault_of_a_file_is_found(name, tmp_path):
    row = walked(LOSES[name], tmp_path)
    assert row.status == "done" and name in [reason.cause for reason in row.reasons]


@pytest.mark.parametrize(
    "name, road",
    [
        ("fold-bug", "mobile"),
        ("fold-bug", "trace"),
        ("fold-bug", "fx-int8"),
        ("in-place-head", "script"),
        ("branch-frozen", "script"),
        ("quantized-nothing", "fx-int8"),
    ],
)
def test_on_another_road_the_fault_is_not_there(name, road, tmp_path):
    row = walked(LOSES[name], tmp_path, road)
    assert row.verdict in ("same", "close") and row.reasons == []


@pytest.mark.parametrize("road", ["freeze", "recipe", "mobile", "lite"])
def test_a_trace_in_place_of_a_refused_script_freezes_the_same(road, tmp_path):
    fault = LOSES["branch-frozen"]

    def build():
        model = fault.build()
        model.unused = lambda x: x  # and forward calls it, so that script refuses
        kind = type(model)
        inner = kind.forward
        model.__class__ = type("Net", (kind,), {"forward": lambda s, x: s.unused(inner(s, x))})
        return model

    row = walked(Fault(build, fault.examples, road), tmp_path)
    assert row.how in ("traced", "") and row.verdict == "same"
    assert [reason.cause for reason in row.reasons] == ["branch-frozen"]
    assert advice.unmet(Report(model="m", versions="", rows=[row]), "same") == [
        f"{road}: expected same, is same, but branch-frozen."
    ]


def test_equal_scores_that_change_places_are_no_frozen_branch():
    want, got = torch.tensor([[1.0, 1.0]]), torch.tensor([[1.0, 1.0 + 1e-6]])
    assert parity.compare(want, got).verdict == "DIFFERENT"
    assert compared._apart(want, got) == ""
    assert compared._apart(want, 2 * got) and compared._apart(want, got * torch.nan)


def test_dropped_and_reordered_answers():
    one, two = torch.rand(1, 3), torch.rand(1, 3)
    subject = Subject("net", torch.nn.Identity(), [], reference=Answers([{"a": one, "b": two}]))
    for answer, cause in (((two, one), "outputs-reordered"), ((one,), "outputs-dropped")):
        _, reasons = compared.same(subject, Answers([answer]))
        assert [reason.cause for reason in reasons] == [cause]
    assert compared.same(subject, Answers([(one, two)]))[1] == []


class Counting(torch.nn.Module):
    """Cuts patches, counts its calls, and fails where a picture is too small."""

    def __init__(self):
        super().__init__()
        self.patches = torch.nn.Conv2d(3, 4, 4, 4)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x):
        self.calls += 1
        return self.patches(x)


@pytest.mark.parametrize("side", [13, 2])
def test_looking_for_dropped_pixels_leaves_the_network_as_it_was(side):
    net = Counting().eval()
    try:
        found = faults.dropped(net, Example.of(torch.rand(1, 3, side, side)))
    except RuntimeError:
        found = []
    assert [reason.cause for reason in found] == (["pixels-dropped"] if side == 13 else [])
    assert net.calls == 0 and not net.patches._forward_pre_hooks


def test_drawn_examples_are_told():
    embedding = torch.nn.Embedding(7, 3)
    found, drawn = examples.read(["2,5:int64", "1,3:float32"], None, embedding)
    assert drawn and len(found) == examples.DRAWN
    tokens, numbers = found[0].args
    assert tokens.max() < 7 and tokens.shape == (2, 5) and numbers.dtype == torch.float32
    assert diagnosis.told("drawn-examples").says


def test_a_network_with_state_warns_nobody_of_ours():
    with warnings.catch_warnings():
        warnings.simplefilter("error", ModelWarning)
        faults.of_network(SILENT["state-in-buffer"].build().eval(), [Example.of(torch.ones(1, 4))])


def test_the_page_of_causes_is_found_by_the_error():
    text = (Path(__file__).parent.parent / "docs" / "causes.md").read_text(encoding="utf-8")
    assert text == diagnosis.page(), "python scripts/write_causes.py writes it anew"
    assert all(f"## {name}" in text for name in diagnosis.causes())
    assert "is not in Core ATen opset" in text
    fixes = [cause.fix.strip() for cause in diagnosis.causes().values()]
    assert all(fix and len(fix.splitlines()) <= 2 for fix in fixes)
