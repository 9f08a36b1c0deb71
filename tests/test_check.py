"""``mobilelab check``: roads in processes of their own, rows that are kept, what comes out."""

import importlib.util
import json
import os
import re
import signal
import sys
import threading
import time
import types
import warnings
from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from mobilelab import measure, runtimes
from mobilelab.check import advice, diagnosis, launcher, page, results, roads, work
from mobilelab.check.diagnosis import Reason
from mobilelab.check.results import Report, Row
from mobilelab.check.runner import Limits, check
from mobilelab.check.subject import Subject, SubjectError
from mobilelab.cli import checking
from mobilelab.cli.main import app
from mobilelab.core.errors import MeasureError, MobileLabError
from mobilelab.core.signature import Example
from mobilelab.core.terminal import Terminal
from mobilelab.course.widgets import checked
from mobilelab.measure.report import Budget

FEW = ("trace", "script", "lite")


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.c, self.f = nn.Conv2d(3, 8, 3), nn.Linear(8, 10)

    def forward(self, x):
        return self.f(torch.relu(self.c(x)).mean((2, 3)))


class Trap(Small):
    """Does something bad, but only where it is traced."""

    def __init__(self, kind):
        super().__init__()
        self.kind = kind

    @torch.jit.unused
    def bad(self):
        if self.kind == "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        if self.kind == "endless":
            time.sleep(3600)
        if self.kind == "memory":
            self.hoard = [torch.ones(2**28) for _ in range(100)]
            time.sleep(3600)

    def forward(self, x):
        if torch._C._is_tracing():
            self.bad()
        return self.f(torch.relu(self.c(x)).mean((2, 3)))


PICTURES = list(torch.rand(3, 3, 16, 16).split(1))


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """One check of a network without faults."""
    rows = []
    out = tmp_path_factory.mktemp("check")
    found = check(
        Small().eval(), PICTURES, targets=torch.zeros(3).long(), names=FEW, out=out,
        limits=Limits(seconds=0.02), on_row=rows.append, budget=Budget(file_kb=100),
    )  # fmt: skip
    return found, rows, out


def test_a_network_without_faults(report):
    found, rows, _ = report
    assert [row.road for row in found.rows] == list(FEW)
    assert all(row.status == "done" and row.verdict == "same" for row in found.rows)
    assert all(row.times_eager and row.file_kb and row.cpu_seconds for row in found.rows)
    assert found.reasons == [] and found.task == "Classification" and found.examples == 3
    assert found.score is not None and found.row("lite").score_loss == 0
    assert found.advice.startswith("Take lite (lite.ptl")
    assert found.row("trace").peak_added_mib is not None
    assert sorted(row.road for row in rows[:3]) == sorted(FEW)  # two at a time
    assert [row.road for row in rows[3:]] == list(FEW)  # each once more when it was timed


def test_the_json_keeps_its_schema(report):
    found, _, _ = report
    plain = json.loads(found.json())
    assert plain["schema"] == results.SCHEMA == 1
    definition = results.json_schema()["$defs"]["Report"]["properties"]
    assert set(plain) == set(definition)
    assert plain["rows"][0]["road"] == "trace"


def test_the_page_needs_nothing_from_outside(report):
    text = page.page(report[0])
    assert "<script" not in text and not re.search(r"(src|@import|url\()", text)
    assert all(row.road in text for row in report[0].rows)
    hostile = Report(model="<b>x</b>", versions="", rows=[Row(road="a", how="<i>")])
    assert "<b>" not in page.page(hostile)


@pytest.mark.parametrize("name", ["cause", "says", "line", "error", "fix", "source", "chapter"])
def test_no_text_of_a_reason_becomes_a_tag(name):
    texts = {"cause": "c", "says": "s", "error": "e", "fix": "f", "source": "s", "chapter": "0"}
    reason = Reason(**{**texts, name: "'><b>bold\x1b[31m\u202e"})
    text = page.page(Report(model="m", versions="", rows=[Row(road="a", reasons=[reason])]))
    assert "<b>" not in text and "&#39;&gt;&lt;b&gt;bold" in text
    assert "\x1b" not in text and "\u202e" not in text


def test_the_page_holds_the_explorer_of_the_files_that_were_timed(report):
    found, _, _ = report
    text = checked.page(found, Budget(file_kb=100))
    assert 'class="mobilelab-stored"' in text and not re.search(r"(src=.http|@import|url\()", text)
    drawn = checked.records(found)
    assert [r.variant for r in drawn] == list(FEW)
    lite = drawn[-1]
    row = found.row("lite")
    assert (lite.file_kb, lite.median_ms, lite.iqr_ms, lite.p95_ms, lite.times_float) == (
        row.file_kb, row.median_ms, row.iqr_ms, row.p95_ms, row.times_eager
    )  # fmt: skip
    assert lite.iqr_ms <= lite.p95_ms and lite.host.torch == torch.__version__
    assert lite.metric.name == "accuracy" and lite.accuracy == found.score
    shown = checked.explorer(found, Budget(file_kb=0.1))
    assert shown.size.value == 0.1 and "nothing" in shown.view().alt
    assert 'names=["lite"]' in shown.cells["lite"]
    best = checked.explorer(found, Budget(file_kb=100))
    assert best.selected.value == "lite" and found.advice.startswith("Take lite")


def rows_of(report, *rows):
    """The report with other rows, all timed like its lite file."""
    lite = report.row("lite")
    return msgspec.structs.replace(
        report, rows=[msgspec.structs.replace(lite, **row) for row in rows]
    )


def test_the_explorer_says_which_file_is_wrong_although_it_answers_the_examples(report):
    frozen = [diagnosis.told("branch-frozen")]
    made = rows_of(
        report[0], {}, {"road": "trace", "reasons": frozen}, {"road": "x", "verdict": ""}
    )
    drawn = checked.records(made)
    assert [str(r.verdict) for r in drawn] == ["same", "DIFFERENT", "DIFFERENT"]
    assert [r.variant for r in drawn] == ["lite", "trace (branch-frozen)", "x"]
    assert "trace (branch-frozen) misses the budget: answers differ" in checked.page(made)


def test_without_targets_the_explorer_judges_by_agreement(report):
    made = msgspec.structs.replace(rows_of(report[0], {"agreement": 0.75}), score=None)
    (one,) = checked.records(made)
    assert (one.metric.name, one.accuracy) == ("agreement", 0.75)
    assert "agreement 75.0%" in one.quality
    assert "agreement" in measure.report.Results([one]).cells()[0]


def test_a_report_without_times_has_a_page_and_no_explorer(report):
    for made in (rows_of(report[0]), rows_of(report[0], {"iqr_ms": None})):
        assert "mobilelab-stored" not in checked.page(made)
        with pytest.raises(MeasureError, match="No file of Small was timed"):
            checked.explorer(made)


def test_no_name_of_a_road_or_model_leaves_the_explorer(report):
    made = rows_of(report[0], {"file": "</script><b>x.ptl"}, {"road": "<i>y"})
    text = checked.page(msgspec.structs.replace(made, model="<b>m</b>"))
    assert "<b>x" not in text and "<i>y" not in text and "<b>m" not in text


@pytest.mark.parametrize(("more", "loss"), [(True, -0.25), (False, 0.25)])
def test_a_loss_counts_in_the_direction_of_the_metric(more, loss):
    assert results.loss(score=0.75, own=0.5, more_is_better=more) == loss


def test_a_road_that_was_not_walked_is_no_unknown_failure():
    after = Row(road="litert-int8", status="needs another road", reasons=[Reason("", "After.")])
    failed = Row(road="litert", status="refused", reasons=[Reason("", "No.")])
    found = page.reasons(Report(model="m", versions="", rows=[failed, after]))
    said = [line for where, reason in found for line in page.words(where, reason)]
    assert said == ["not known (litert): No.", "needs another road (litert-int8): After."]


def test_a_second_call_goes_on_and_another_model_begins_anew(report, monkeypatch):
    _, _, out = report
    before = {path.name: path.stat().st_mtime_ns for path in (out / "files").iterdir()}
    again = check(Small().eval(), PICTURES, names=FEW, out=out, limits=Limits(seconds=0.02))
    assert before == {path.name: path.stat().st_mtime_ns for path in (out / "files").iterdir()}
    assert [row.verdict for row in again.rows] == ["same"] * 3
    with (out / "rows.jsonl").open("a") as file:
        file.write('{"road": "cut off')
    other = Small().eval()
    with torch.no_grad():
        other.f.bias += 1
    check(other, PICTURES, names=["script"], out=out, limits=Limits(seconds=0.02))
    lines = (out / "rows.jsonl").read_text().splitlines()
    assert {json.loads(line)["road"] for line in lines[1:]} == {"script"}
    assert (out / "files" / "script.pt").stat().st_mtime_ns != before["script.pt"]


@pytest.mark.parametrize(
    "kind, status, cause, limits",
    [
        ("crash", "crashed", "crash", Limits(seconds=0.02)),
        ("endless", "too long", "endless", Limits(deadline=5, seconds=0.02)),
        ("memory", "too much memory", "memory", Limits(memory_mib=2500, seconds=0.02)),
    ],
)
def test_what_goes_wrong_costs_one_row(monkeypatch, kind, status, cause, limits):
    """The short deadline is the bad road's alone: what ends needs its time on a slow host."""
    run = launcher.Launcher.run

    def patient(self, name, job, deadline, memory_mib):
        return run(self, name, job, deadline if name == "trace" else 600, memory_mib)

    monkeypatch.setattr(launcher.Launcher, "run", patient)
    found = check(Trap(kind).eval(), PICTURES, names=["trace", "script"], limits=limits)
    trace, script = found.rows
    assert trace.status == status and [r.cause for r in trace.reasons] == [cause]
    assert script.status in ("done", "refused")  # walked after it


def test_a_class_of_this_cell_needs_no_module():
    scope = {"nn": nn, "torch": torch}
    source = "class Cell(nn.Module):\n    def forward(self, x):\n        return x * 2\n"
    import linecache

    linecache.cache["<ipython-input-1>"] = (len(source), None, source.splitlines(True), "")
    exec(compile(source, "<ipython-input-1>", "exec"), scope)
    scope["Cell"].__module__ = "__main__"
    found = check(scope["Cell"]().eval(), [torch.rand(1, 3)], names=["trace", "script"])
    assert [row.verdict for row in found.rows] == ["same", "same"]


def test_a_module_that_was_made_while_the_program_ran(monkeypatch):
    made = types.ModuleType("made_here")
    source = (
        "from torch import nn\nclass Net(nn.Module):\n    def forward(self, x):\n        return -x"
    )
    exec(source, vars(made))
    monkeypatch.setitem(sys.modules, "made_here", made)
    assert made.Net.__module__ == "made_here"
    found = check(made.Net().eval(), [torch.rand(1, 3)], names=["trace", "script"])
    assert found.row("trace").verdict == "same"
    assert [reason.cause for reason in found.row("script").reasons] == ["script-source"]


def test_no_such_road():
    with pytest.raises(MobileLabError, match=r"No road is called 'lit'; the roads are trace, "):
        roads.named(["lit"])
    assert [road.name for road in roads.named(["bytecode-5"])] == ["lite", "bytecode-5"]


def test_what_is_not_installed_is_one_sentence(monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if "tosa" in name else found(name)
    )
    row = check(Small().eval(), PICTURES, names=["npu"]).row("npu")
    assert row.status == "not installed"
    assert [reason.says for reason in row.reasons] == ["tosa_serializer: make npu brings it."]


def test_what_cannot_be_copied_is_said():
    model = Small().eval()
    model.lock = threading.Lock()
    with pytest.raises(SubjectError, match="cannot be copied to another process"):
        check(model, PICTURES, names=["script"])


# --- the recommendation ---------------------------------------------------------------------


def rows(**changes):
    """A report with a float file, a faster one of about the size, and an int8 one."""
    found = {
        "mobile": Row(road="mobile", verdict="same", file="m.ptl", file_kb=100, times_eager=1.0),
        "et-xnnpack": Row(road="et-xnnpack", verdict="same", file="x.pte", file_kb=101,
                          times_eager=0.3),
        "fx-int8": Row(road="fx-int8", verdict="close", file="i.ptl", file_kb=30, exact=False,
                       times_eager=0.5),
        "trace": Row(road="trace", verdict="same", file="t.pt", file_kb=10, times_eager=0.1),
    }  # fmt: skip
    for name, change in changes.items():
        for field, value in change.items():
            setattr(found[name.replace("_", "-")], field, value)
    return Report(model="m", versions="", rows=list(found.values()))


def test_the_same_answers_come_before_a_smaller_file():
    text = advice.advise(rows(), Budget())
    assert (
        text.startswith("Take et-xnnpack")
        and "fx-int8 is 30 kB with answers that are close" in text
    )


def test_only_what_meets_the_budget_is_recommended():
    assert advice.advise(rows(), Budget(file_kb=50)).startswith("Take fx-int8 (i.ptl, 30 kB)")
    none = advice.advise(rows(), Budget(file_kb=20))
    assert none.startswith("No file can be recommended (at most 20 kB).")
    refused = rows(mobile={"status": "refused"}, trace={"verdict": "DIFFERENT"})
    none = advice.advise(refused, Budget(file_kb=20))
    assert "The nearest is et-xnnpack" in none or "The nearest is fx-int8" in none


@pytest.mark.parametrize(
    "change, why",
    [
        ({"verdict": "DIFFERENT"}, "its answers are DIFFERENT"),
        ({"status": "refused"}, "refused"),
        ({"reasons": [diagnosis.told("state-lost")]}, "state-lost"),
        ({"file_kb": 5000}, "4900 kB too large"),
        ({"times_eager": 9.0}, "9.00x the model's own time on this host"),
    ],
)
def test_what_is_wrong_is_not_recommended(change, why):
    report = rows(et_xnnpack=change)
    budget = Budget(file_kb=100 if "file_kb" in change else 101, times_float=2)
    assert why in advice.misses(report.row("et-xnnpack"), budget)
    assert advice.advise(report, budget).startswith("Take mobile")


def test_two_jobs_run_at_once(tmp_path):
    """Each waits for the other: one behind the other, neither would end."""
    for mine, other in (("a", "b"), ("b", "a")):
        (tmp_path / f"{mine}.py").write_text(
            "import pathlib, time\nfrom torch import nn\nhere = pathlib.Path(__file__).parent\n"
            f"(here / '{mine}.there').touch()\nMODEL = nn.Linear(4, 2)\n"
            f"while not (here / '{other}.there').exists():\n    time.sleep(0.02)\n"
        )
    job = {"kind": "prepare", "examples": ["1,4:float32"], "folder": str(tmp_path)}
    job["memory_mib"] = 4000
    with launcher.Launcher(tmp_path) as one, ThreadPoolExecutor(2) as pool:
        found = list(
            pool.map(
                lambda name: one.run(
                    name, {**job, "target": f"{tmp_path / name}.py:MODEL"}, 120, 4000
                ),
                ("a", "b"),
            )
        )
    assert [outcome.status for outcome in found] == ["done", "done"]
    assert all("error" not in outcome.answer for outcome in found)


def test_how_many_at_once_is_a_matter_of_cores_and_memory(tmp_path, monkeypatch):
    one = launcher.Launcher(tmp_path)
    memory = types.SimpleNamespace(available=8000 * 2**20)
    monkeypatch.setattr(launcher.psutil, "virtual_memory", lambda: memory)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    assert (one.at_once(3999), one.at_once(4000)) == (2, 1)
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    assert one.at_once(100) == 1


def test_an_interrupt_ends_what_runs(monkeypatch):
    ended = {}
    run = launcher.Launcher.run

    def noted(self, name, *rest):
        ended[name] = run(self, name, *rest)
        return ended[name]

    def interrupt(row):
        raise KeyboardInterrupt

    monkeypatch.setattr(launcher.Launcher, "run", noted)
    monkeypatch.setattr(launcher.Launcher, "at_once", lambda *_: 2)
    with pytest.raises(KeyboardInterrupt):  # script ends, trace never would
        check(
            Trap("endless").eval(), PICTURES, names=["trace", "script"],
            limits=Limits(deadline=60, seconds=0.02), on_row=interrupt,
        )  # fmt: skip
    assert (ended["script"].status, ended["trace"].status) == ("done", "crashed")
    assert "SIGKILL" in ended["trace"].detail


def test_a_server_that_ends_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(launcher, "_command", lambda *_: [sys.executable, "-c", "exit(3)"])
    with launcher.Launcher(tmp_path) as one, pytest.raises(MeasureError, match="exit code 3"):
        one.run("a", {}, 5, 1000)


def prepared(folder, source):
    """A job that imports a module of this source."""
    (folder / "m.py").write_text(source)
    job = {"kind": "prepare", "target": f"{folder / 'm'}.py:MODEL", "examples": ["1,4:float32"]}
    return {**job, "folder": str(folder), "memory_mib": 4000}


def test_what_a_library_prints_is_no_answer(tmp_path, monkeypatch):
    serve = "print('hello', flush=True); from mobilelab.check import server; server._serve([])"
    monkeypatch.setattr(launcher, "_command", lambda *_: [sys.executable, "-c", serve])
    job = prepared(tmp_path, "from torch import nn\nMODEL = nn.Linear(4, 2)\n")
    with launcher.Launcher(tmp_path) as one:
        assert one.run("a", job, 120, 4000).status == "done"


def test_nothing_begins_after_the_stop(tmp_path):
    job = prepared(tmp_path, "import time\ntime.sleep(3600)\n")
    with launcher.Launcher(tmp_path) as one:
        one.stop()
        ended = one.run("a", job, 60, 4000)
    assert ended.status == "crashed" and "SIGKILL" in ended.detail


# --- the command ----------------------------------------------------------------------------

MODULE = """
import torch
from torch import nn

def make():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 3))

def branches():
    return Branches()

class Branches(nn.Module):
    def forward(self, x):
        if x.sum() > 0:
            return x + 1
        return x - 1

EXAMPLES = [torch.rand(1, 4), torch.rand(1, 4)]
"""


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(MODULE)

    def call(*words):
        done = CliRunner().invoke(app, ["check", *words, "--seconds", "0.02"])
        return done.exit_code, " ".join(done.output.split())

    return call


def test_the_command(run, tmp_path):
    files = ("--json", "a/r.json", "--html", "a/r.html")
    code, text = run("mine:make", "--roads", "lite", "--expect", "same", "--max-kb", "50", *files)
    assert code == 0 and "Take lite" in text
    assert json.loads((tmp_path / "a/r.json").read_text())["rows"][0]["verdict"] == "same"
    assert (tmp_path / "a/r.html").read_text().startswith("<!doctype html>")


def test_the_command_fails_where_an_expectation_is_not_met(run):
    code, text = run("mine:branches", "--roads", "trace", "--expect", "same")
    assert code == 1 and "trace: expected same" in text and "branch-frozen" in text
    code, text = run("mine:make", "--roads", "lite", "--max-kb", "0.1", "--examples", "1,4:float32")
    assert code == 1 and "more than 0 kB" in text and "drawn-examples" in text


def test_the_command_refuses_in_one_sentence(run):
    code, text = run("mine:nothing", "--roads", "lite")
    assert code == 2 and "mine has no nothing; it has make, branches, Branches." in text


def test_what_cannot_be_written_is_one_sentence(run, tmp_path):
    (tmp_path / "taken").write_text("a file")
    code, text = run("mine:make", "--roads", "trace", "--out", "taken/out")
    assert code == 2 and "Cannot write into" in text and "name another folder" in text
    with pytest.raises(MeasureError, match="Cannot write .*taken/r.json"):
        checking._show(
            Terminal(), Report(model="m", versions=""), tmp_path / "taken/r.json", None, Budget()
        )


def test_expectations():
    good = Row(road="lite", verdict="same", file="a.ptl", file_kb=10)
    int8 = Row(road="fx-int8", verdict="close", exact=False, file="b.ptl", file_kb=3)
    near = Row(road="trace", verdict="close", file="c.pt", file_kb=3)
    report = Report(model="m", versions="", rows=[good, int8])
    assert advice.unmet(report, "same", 5) == []
    assert advice.unmet(report, "same", 2) != []
    report.rows.append(near)
    assert advice.unmet(report, "same") == ["trace: expected same, is close."]
    assert advice.unmet(report, "close") == []
    frozen, limited = diagnosis.told("shape-frozen"), diagnosis.told("shape-frozen", error="no")
    good.reasons = [limited]  # it says so where it is asked for another size
    assert advice.unmet(report, "close") == [] and advice.misses(good, Budget()) == []
    good.reasons = [frozen]
    assert advice.unmet(report, "close") == ["lite: expected close, is same, but shape-frozen."]
    assert advice.misses(good, Budget()) == ["shape-frozen"]
    alone = Report(model="m", versions="", rows=[good])
    assert advice.unmet(alone, max_kb=50) == ["The smallest usable file is none, more than 50 kB."]
    good.reasons = []
    report.rows.append(Row(road="export", status="refused"))
    assert advice.unmet(report, "done") == ["export: expected done, is refused."]


class Here:
    """Stands in for the virtual phone, with this computer's interpreter."""

    cpu, engine = "this one", "qnnpack"

    def __enter__(self):
        return self

    def __exit__(self, *args):
        pass

    def load(self, path):
        return self

    def run(self, path, arrays, batch_size):
        assert batch_size is None  # nothing is cut
        return runtimes.load(path)(*map(torch.from_numpy, arrays))


def test_on_the_phone_a_sequence_is_not_cut(tmp_path, monkeypatch):
    """An LSTM has steps on the first axis of its input, and layers on that of its state."""
    monkeypatch.setattr("mobilelab.phone.machine.Phone", Here)
    network = nn.LSTM(8, 4).eval()
    examples = [Example.of(torch.randn(5, 1, 8)) for _ in range(3)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer's, about torch's own LSTM
        made = torch.jit.trace(network, examples[0].args)
    made._save_for_lite_interpreter(str(tmp_path / "lite.ptl"))
    row, road = Row(road="phone"), next(road for road in roads.ROADS if road.name == "phone")
    work.walk(road, Subject("LSTM", network, examples), tmp_path, row, {})
    assert (row.status, row.verdict, row.rel_l2, row.agreement) == ("done", "same", 0, 1)
    assert row.file == "lite.ptl" and row.how == "this one"
