"""The grader for a class: gradebook, batch, platforms, pages, and the command."""

import contextlib
import csv
import json
import os
import signal
import subprocess
import sys
import time
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
import torch
from grading import (
    ANSWER,
    DOUBLE,
    GOOD,
    HALF,
    MODEL,
    SECRET,
    TINY,
    needs_sandbox,
    notebook,
    own_cache,  # noqa: F401
    put,
    tiny_with,
)
from hypothesis import given
from hypothesis import strategies as st

from mobilelab.cli import main as cli
from mobilelab.core.errors import MobileLabError
from mobilelab.grading import (
    batch,
    bubblewrap,
    calibration,
    class_report,
    cluster,
    feedback,
    framing,
    lms,
    questions,
    sandbox,
    scorer,
    serialize,
)
from mobilelab.grading.assignment import Assignment
from mobilelab.grading.gradebook import Gradebook, Standing
from mobilelab.grading.oracle import Oracle
from mobilelab.grading.policy import Policy, grades
from mobilelab.grading.roster import parse_time
from mobilelab.grading.submissions import find
from mobilelab.grading.tasks import compare

# --- plain data -------------------------------------------------------------------------------


def test_a_file_among_the_arguments_arrives_as_bytes():
    ask = questions.Call("size", (b"PK\x03", 2))
    names = {"size": lambda content, times: (type(content).__name__, len(content) * times)}
    assert questions.answer(names, *questions.to_message(ask)) == ("bytes", 6)


NUMBERS = st.integers(-(2**60), 2**60) | st.floats(allow_nan=False)


def _containers(inner: st.SearchStrategy) -> st.SearchStrategy:
    lists, names = st.lists(inner, max_size=3), st.text(max_size=5)
    return lists | lists.map(tuple) | st.dictionaries(names, inner, max_size=3)


VALUES = st.recursive(st.none() | st.booleans() | NUMBERS | st.text(), _containers, max_leaves=8)


@given(VALUES)
def test_plain_data_comes_back(value):
    message, blocks = serialize.encode(value)
    ((said, parts),) = framing.Reader().feed(framing.to_bytes({"value": message}, blocks))
    assert repr(serialize.decode(said["value"], parts)) == repr(
        value
    )  # True is not 1, [] is not ()


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (np.float32(0.5), 0.5),
        (np.int64(3), 3),
        (np.bool_(True), True),
        ({1, 2}, frozenset({1, 2})),
        (b"ab", serialize.File(b"ab", "bytes")),
        (serialize.File(b"ab", "torchscript"), serialize.File(b"ab", "torchscript")),
        (complex(1, 2), serialize.Other("complex", "(1+2j)")),
        ({"a": [{"b": (1, {2: None})}]}, {"a": [{"b": (1, {2: None})}]}),
    ],
    ids=repr,
)
def test_what_comes_back_of_other_things(value, wanted):
    assert repr(serialize.decode(*serialize.encode(value))) == repr(wanted)


@pytest.mark.parametrize("dtype", serialize.DTYPES.values(), ids=str)
def test_tensors_come_back(dtype):
    x = torch.arange(6).reshape(2, 3).to(dtype).T
    back = serialize.decode(*serialize.encode(x))
    assert back.dtype == dtype and torch.equal(back, x)
    if dtype is not torch.bfloat16:  # numpy has none
        array = serialize.decode(*serialize.encode(x.numpy()))
        assert array.dtype == dtype and torch.equal(array, x)


@given(st.binary(max_size=300))
def test_nonsense_is_refused_and_nothing_else(data):
    with contextlib.suppress(framing.NotPlain):
        framing.Reader().feed(data)


@pytest.mark.parametrize(
    "form",
    [
        [],
        {"tensor": 0, "dtype": "float32", "shape": [2]},
        {"list": 5},
        {"x": 1},
        {"set": [{"list": []}]},
        {"dict": [[1]]},
        {"file": True, "kind": "x"},
        {"other": 1, "text": ""},
        2**300,
    ],
    ids=str,
)
def test_forms_that_are_none_are_refused(form):
    with pytest.raises(framing.NotPlain):
        serialize.decode(form, [b"123"])


@pytest.mark.parametrize(
    ("expected", "got", "ok"),
    [
        (3, 3, True), (3, 3.0, True), (3, 3.5, False), (3, True, False), (True, 1, False),
        (1.0, 1, True),
        (1.0, float("nan"), False), (float("nan"), float("nan"), True), ("a", "a", True),
        ([1, 2], (1, 2), True), ([1, 2], [1], False), ({1}, frozenset({1}), True),
        ({1}, [1], False), (torch.ones(2), torch.ones(2).double(), True),
        (torch.ones(2), torch.ones(2, 1), False), (torch.ones(2), [1.0, 1.0], False),
        (torch.ones(2), torch.tensor([1.0, float("nan")]), False), (2, torch.tensor(2), True),
        ({"a": 1}, {"a": 1}, True), ({"a": 1}, {"a": 1, "b": 2}, False),
    ],
)  # fmt: skip
def test_compare(expected, got, ok):
    assert compare(expected, got)[0] is ok


# --- the batch and the gradebook --------------------------------------------------------------


def run(folder, book, **options):
    assignment = options.pop("assignment", None) or Assignment.load(TINY)
    found, _ = find(folder, assignment.name)
    summary = batch.grade(assignment, found, book, secret=SECRET, **options)
    return summary, {s.student: book.standing(assignment, s, SECRET) for s in found}


@needs_sandbox
def test_nothing_is_graded_twice(tmp_path):
    folder, book = put(tmp_path / "in", ada=GOOD, ben=HALF), Gradebook(tmp_path / "g.db")
    summary, standings = run(folder, book)
    assert (summary.graded, summary.known) == (2, 0)
    assert (standings["ada"].points, standings["ben"].points) == (10, 4)
    assert run(folder, book)[0].known == 2
    (folder / "ben.ipynb").write_bytes(GOOD)
    summary, standings = run(folder, book)
    assert (summary.graded, summary.known) == (1, 1)
    assert standings["ben"].points == 10
    assert run(folder, book, again=True)[0].graded == 2


@needs_sandbox
def test_a_mended_check_judges_its_task_only(tmp_path):
    folder, book = put(tmp_path / "in", ada=GOOD), Gradebook(tmp_path / "g.db")
    run(folder, book)
    old = Assignment.load(TINY)
    files = {**old.files, "hidden.py": old.files["hidden.py"].replace(b"seed + 1,", b"seed + 2,")}
    mended = Assignment("tiny", files)
    assert book.missing(mended, find(folder, "tiny")[0][0], SECRET) == ["number"]
    summary, standings = run(folder, book, assignment=mended)
    assert summary.graded == 1
    assert standings["ada"].points == 8


@needs_sandbox
def test_killed_in_the_middle_loses_nothing(tmp_path):
    folder = put(tmp_path / "in", **{f"s{i}": GOOD for i in range(12)})
    out = tmp_path / "g.db"
    (tmp_path / "secret").write_bytes(SECRET)
    command = [sys.executable, "-m", "mobilelab.cli", "grade", str(TINY), str(folder),
               "--out", str(out), "--secret", str(tmp_path / "secret")]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assignment = Assignment.load(TINY)
    found, _ = find(folder, "tiny")

    def known():
        if not out.exists():
            return 0
        try:
            book = Gradebook(out)
            count = sum(not book.missing(assignment, s, SECRET) for s in found)
            book.close()
            return count
        except MobileLabError:
            return 0

    deadline = time.monotonic() + 90
    while known() < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    sealed = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert sealed and not psutil.wait_procs(sealed, timeout=20)[1]  # nothing stays behind
    before = known()
    assert before >= 2
    book = Gradebook(out)
    summary, standings = run(folder, book)
    assert summary.known >= before and summary.graded + summary.known == 12
    assert {s.points for s in standings.values()} == {10}


@needs_sandbox
def test_dask_workers_that_die_are_survived(tmp_path):
    from distributed import LocalCluster

    slow = notebook("import time\ntime.sleep(0.5)", DOUBLE, ANSWER, MODEL)
    folder = put(tmp_path / "in", **{f"s{i}": slow for i in range(10)})
    book = Gradebook(tmp_path / "g.db")
    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0"
    ) as cluster:
        killed = []

        def kill(done, of, path):
            if not killed:
                killed.append(next(iter(cluster.workers.values())).pid)
                os.kill(killed[0], signal.SIGKILL)

        summary, standings = run(
            folder, book, scheduler=cluster.scheduler_address, on_step=kill,
            assignment=tiny_with(cell=60, notebook=240),
        )  # fmt: skip
    assert killed
    assert (summary.graded, summary.failed) == (10, ())
    assert {s.points for s in standings.values()} == {10}


def test_no_scheduler_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "PATIENCE", 1)
    folder, book = put(tmp_path / "in", ada=GOOD), Gradebook(tmp_path / "g.db")
    with pytest.raises(MobileLabError, match="No Dask scheduler answers"):
        run(folder, book, scheduler="tcp://127.0.0.1:9")


def test_without_bubblewrap_it_refuses(monkeypatch):
    monkeypatch.setattr(bubblewrap.shutil, "which", lambda name: None)
    with pytest.raises(bubblewrap.NoSandbox, match="--no-sandbox"):
        sandbox.Sandbox()


def test_the_override_grades_without(tmp_path):
    folder, book = put(tmp_path / "in", ada=GOOD), Gradebook(tmp_path / "g.db")
    assert run(folder, book, sealed=False)[1]["ada"].points == 10


def test_a_file_that_is_no_gradebook_is_one_sentence(tmp_path):
    (tmp_path / "g.db").write_bytes(b"not a database, " * 100)
    with pytest.raises(MobileLabError, match="give another file"):
        Gradebook(tmp_path / "g.db")


# --- limits in seconds ------------------------------------------------------------------------

SLOW = "import time\ntime.sleep(1.5)"
AT_ONCE, HOST_IS_SLOW = calibration.Took(0.01, 0.01, 0.01), calibration.Took(60.0, 60.0, 1.0)


@pytest.fixture
def solutions(tmp_path, monkeypatch):
    """Nothing is kept yet, and solutions are said to take ``solutions.takes``; runs are counted."""
    monkeypatch.setenv("MOBILELAB_CACHE", str(tmp_path / "cache"))
    it = SimpleNamespace(takes=AT_ONCE, runs=[])

    def score(assignment, *_, limits, **__):
        it.runs.append(limits)
        return {"end": "graded", "message": "", "took": vars(it.takes)}

    monkeypatch.setattr(calibration, "score", score)
    return it


@pytest.fixture
def judged(monkeypatch):
    """Which student was judged with which limit for a cell, and how many others were then."""
    seen, now = [], []

    def score(assignment, content, student, *rest, limits, **options):
        now.append(student)
        seen.append((student, limits.cell, len(now)))
        try:
            return real(assignment, content, student, *rest, limits=limits, **options)
        finally:
            now.remove(student)

    real = batch.score
    monkeypatch.setattr(batch, "score", score)
    return seen


def test_limits_follow_the_solution_and_never_fall():
    stated = sandbox.Limits(cell=60, notebook=240, memory=1, disk=2, processes=3)
    factor = calibration.FACTOR
    assert calibration.scaled(stated, AT_ONCE) == stated
    by_cell = calibration.scaled(stated, calibration.Took(600, 100.2, 7))
    assert (by_cell.notebook, by_cell.cell) == (600 * factor, 100.2 * factor)
    assert calibration.scaled(stated, calibration.Took(1, 1, 70)).cell == 70 * factor
    assert (by_cell.memory, by_cell.disk, by_cell.processes) == (1, 2, 3)


def test_the_solution_runs_once_for_each_exercise(solutions):
    tiny = Assignment.load(TINY)
    assert calibration.took(tiny, None) == AT_ONCE
    solutions.takes = HOST_IS_SLOW
    assert calibration.took(tiny, None) == AT_ONCE
    assert len(solutions.runs) == 1
    assert solutions.runs[0].cell > tiny.exercise.limits.cell  # it may be slow itself
    for name in ("solution.ipynb", "checks.py", "hidden.py"):
        assert calibration.took(Assignment("tiny", {**tiny.files, name: tiny.files[name] + b"\n"}),
                                None) == HOST_IS_SLOW  # fmt: skip
    assert len(solutions.runs) == 4
    assert calibration.took(tiny, None, again=True) == HOST_IS_SLOW
    assert calibration.took(tiny, None) == HOST_IS_SLOW
    assert len(solutions.runs) == 5


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"\xff", b"[" * 200_000, b"[1, 2, 3]", b"{}",
        b'{"notebook": "1", "cell": 1, "question": 1}',
        b'{"notebook": NaN, "cell": 1, "question": 1}',
        b'{"notebook": Infinity, "cell": 1, "question": 1}',
        b'{"notebook": -5, "cell": 1, "question": 1}',
    ],
    ids=lambda content: repr(content[:20]),
)  # fmt: skip
def test_a_spoiled_time_is_measured_again(solutions, content):
    tiny = Assignment.load(TINY)
    calibration.took(tiny, None)
    path = calibration.place(tiny)
    path.write_bytes(content)
    assert calibration.took(tiny, None) == AT_ONCE
    assert len(solutions.runs) == 2
    assert calibration.took(tiny, None) == AT_ONCE
    assert len(solutions.runs) == 2


def test_nowhere_to_keep_times_costs_no_marks(solutions, tmp_path):
    (tmp_path / "cache").write_text("a file stands here")
    for runs in (1, 2):
        assert calibration.took(Assignment.load(TINY), None) == AT_ONCE
        assert len(solutions.runs) == runs


def test_a_host_of_another_kind_measures_for_itself(solutions, monkeypatch):
    tiny = Assignment.load(TINY)
    here = calibration.place(tiny)
    monkeypatch.setattr(calibration.platform, "processor", lambda: "another")
    assert calibration.place(tiny) != here


@needs_sandbox
def test_on_a_slow_host_honest_work_gets_its_time(tmp_path, solutions, judged):
    folder = put(tmp_path / "in", ada=notebook(DOUBLE, SLOW, ANSWER, MODEL))
    book, tiny = Gradebook(tmp_path / "g.db"), tiny_with(cell=1, notebook=1)
    calibration.keep(calibration.place(tiny), HOST_IS_SLOW)
    summary, standings = run(folder, book, assignment=tiny)
    limit = 60 * calibration.FACTOR
    said = f"cell {limit} s, notebook {limit} s; the solution took 60.0 s."
    assert summary.limits == standings["ada"].limits == f"Limits on this host: {said}"
    assert (standings["ada"].points, standings["ada"].end) == (10, "graded")
    assert judged == [("ada", limit, 1)] and not solutions.runs
    assert said in feedback.to_html("Tiny", standings["ada"])
    assert f"{said} (1 of 1 students)" in class_report.to_html("Tiny", [*standings.values()], [])


@needs_sandbox
def test_a_host_that_became_busy_takes_nothing_from_honest_work(tmp_path, solutions, judged):
    slow = notebook(DOUBLE, SLOW, ANSWER, MODEL)
    folder = put(tmp_path / "in", ada=slow, ben=slow, cy=slow)
    book, tiny = Gradebook(tmp_path / "g.db"), tiny_with(cell=1, notebook=12)
    calibration.keep(calibration.place(tiny), AT_ONCE)
    solutions.takes = HOST_IS_SLOW
    stored = []
    keep = book.store
    book.store = lambda *given: stored.append(given[1].student) or keep(*given)
    summary, standings = run(folder, book, assignment=tiny)
    assert {s.points for s in standings.values()} == {10}
    assert len(solutions.runs) == 1  # what is kept was not asked for again
    assert (summary.graded, sorted(stored)) == (3, ["ada", "ben", "cy"])  # one result for each
    limit = 60 * calibration.FACTOR
    assert sorted((student, cell) for student, cell, _ in judged[:3]) == [
        ("ada", 1), ("ben", 1), ("cy", 1),
    ]  # fmt: skip
    assert sorted(judged[3:]) == [("ada", limit, 1), ("ben", limit, 1), ("cy", limit, 1)]
    assert batch.ALONE in standings["ada"].limits


@needs_sandbox
def test_what_never_ends_is_a_timeout_after_two_runs(tmp_path, solutions, judged):
    folder = put(tmp_path / "in", eve=notebook(DOUBLE, "while True: pass"))
    book = Gradebook(tmp_path / "g.db")
    summary, standings = run(folder, book, assignment=tiny_with(cell=1, notebook=12))
    assert (standings["eve"].end, summary.graded) == ("timeout", 1)
    assert [student for student, *_ in judged] == ["eve", "eve"]
    assert len(solutions.runs) == 2  # before the first and before the second
    assert run(folder, book, assignment=tiny_with(cell=1, notebook=12))[0].known == 1


@needs_sandbox
def test_the_command_times_the_solution_again_on_request(tmp_path, monkeypatch, capsys):
    folder, takes = put(tmp_path / "in", eve=b"{"), [123.0, 456.0]

    def score(*_, **__):
        return {"end": "graded", "took": {"notebook": takes.pop(0), "cell": 1.0, "question": 1.0}}

    monkeypatch.setenv("MOBILELAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(calibration, "score", score)
    for options, seconds in ((), 123), (("--again",), 123), (("--again", "--recalibrate"), 456):
        arguments = ["grade", TINY, folder, "--out", tmp_path / "g.db", *options]
        monkeypatch.setattr(sys, "argv", ["mobilelab", *map(str, arguments)])
        cli.app(standalone_mode=False)
        assert f"the solution took {seconds}.0 s." in capsys.readouterr().out


@needs_sandbox
@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda files: files.pop("solution.ipynb"), "there is no solution.ipynb to time."),
        (lambda files: files.update({"solution.ipynb": b"{"}), "(not a notebook: "),
    ],
    ids=["none", "broken"],
)
def test_without_a_solution_the_stated_limits_apply(tmp_path, judged, change, why):
    files = dict(tiny_with(cell=60, notebook=240).files)
    change(files)
    folder, book = put(tmp_path / "in", ada=GOOD), Gradebook(tmp_path / "g.db")
    summary, standings = run(folder, book, assignment=Assignment("tiny", files))
    assert standings["ada"].points == 10
    assert summary.limits.startswith(
        "Limits as the exercise states them: cell 60 s, notebook 240 s; "
    )
    assert why in summary.limits and "\n" not in summary.limits
    assert judged == [("ada", 60, 1)]


@needs_sandbox
def test_what_the_solution_took_is_what_it_did(tmp_path, monkeypatch):
    monkeypatch.setenv("MOBILELAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(calibration, "GENEROUS", 100)
    slow = notebook("import time\ntime.sleep(0.4)", "time.sleep(0.6)",
                    "def double(x):\n    time.sleep(0.7)\n    return x")  # fmt: skip
    files = {**Assignment.load(TINY).files, "solution.ipynb": slow}
    with sandbox.Sandbox(("torch",)) as place:
        took = calibration.took(Assignment("tiny", files), place)
    assert took.question >= 0.7
    assert 0 < took.cell < took.notebook  # on a busy host it hears late that a cell begins
    assert took.notebook >= 0.4 + 0.6 + 2 * 0.7  # at least one public and one hidden question


def test_the_longest_time_is_kept():
    oracle = Oracle(None, Assignment.load(TINY), [], {})
    for seconds in (1, 100, 2):
        oracle._note("cell", time.monotonic() - seconds)
    assert oracle.longest["cell"] >= 100


@needs_sandbox
def test_the_start_of_a_sandbox_is_no_time_of_the_notebook():
    class Late(sandbox.Sandbox):
        def open(self, role, limits):
            time.sleep(0.5)
            return super().open(role, limits)

    with Late(("torch",)) as place:
        result = scorer.score(Assignment.load(TINY), HALF, "ada", place, secret=None, draws=b"x")
    assert result["seconds"] - result["took"]["notebook"] >= 0.5


# --- rules, pages and platforms ---------------------------------------------------------------


def standing(student, points=8.0, when=None, path="x.ipynb"):
    task = {"title": "1. Double", "points": points, "max": 10, "end": "wrong answer", "message": "",
            "cases": [{"name": "a <b> case", "ok": False, "public": True, "expected": "<i>2</i>",
                       "got": "=1+1", "hint": "Two times."}]}  # fmt: skip
    when = when or datetime(2026, 11, 30, tzinfo=timezone.utc)
    return Standing(student, path, when, "graded", "", {"double": task})


def test_late_days_and_attempts():
    due = parse_time("2026-11-30T00:00")
    first = standing("ada", 6, due)
    second = standing("ada", 10, due + timedelta(days=2, hours=1))
    policy = Policy(due, free_days=1, per_day=25)
    (last,) = grades([second, first], policy)
    assert (last.late_days, last.points) == (3, 5.0)
    (best,) = grades([first, second], Policy(due, 1, 25, "best"))
    assert best.points == 6
    assert Policy(due, 0, 60).factor(2) == 0


def test_feedback_escapes_everything():
    page = feedback.to_html("Exercise", standing("<script>eve</script>"))
    assert "<script>" not in page and "<i>2</i>" not in page and "&lt;i&gt;2" in page


def test_canvas_is_filled_in(tmp_path):
    exported = tmp_path / "canvas.csv"
    exported.write_text(
        "Student,ID,SIS User ID,SIS Login ID,Section,Tiny (55),Other (56)\n"
        "    Points Possible,,,,,10,5\n"
        '"Lovelace, Ada",77,u1,ada,S1,,3\n"Bo",78,u2,bo,S1,EX,4\n"Cy",79,u3,cy,S1,1,4\n'
    )
    standings = {"ada": standing("ada"), "bo": standing("bo"), "eve": standing("eve")}
    assert lms.canvas(exported, tmp_path / "out.csv", "Tiny", standings) == (1, ["eve"])
    rows = list(csv.reader((tmp_path / "out.csv").read_text().splitlines()))
    assert rows[0] == ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", "Tiny (55)"]
    assert [row[5] for row in rows[1:]] == ["10", "8", "EX", "1"]
    with pytest.raises(MobileLabError, match="match"):
        lms.canvas(exported, tmp_path / "out.csv", "(5", standings)


def test_moodle_worksheet_is_filled_in(tmp_path):
    sheet = tmp_path / "moodle.csv"
    sheet.write_text(
        "Identifier,Full name,Status,Grade,Maximum Grade,Feedback comments\n"
        "Participant 12,Ada,Submitted,,100.00,\nParticipant 13,Bo,Submitted,,100.00,\n"
    )
    (accents := tmp_path / "accents.csv").write_text(
        "Identifier,Full name,Status,Grade,Maximum Grade,Feedback comments\n"
        "Participant 12,JOSE\u0301 ,Submitted,,100.00,\n", encoding="utf-8"
    )  # fmt: skip
    for names in (None, {"jos\u00e9": "77"}):
        own = "77" if names else "Jos\u00e9"
        found = lms.moodle(accents, tmp_path / "out.csv", {own: standing(own)}, names)
        assert found == (1, [])
    standings = {"Participant 12": standing("Participant 12")}
    assert lms.moodle(sheet, tmp_path / "out.csv", standings) == (1, [])
    rows = list(csv.DictReader((tmp_path / "out.csv").read_text().splitlines()))
    assert [row["Grade"] for row in rows] == ["80", ""]
    assert "8 of 10 points" in rows[0]["Feedback comments"]
    sheet.write_text("a,b\n1,2\n")
    with pytest.raises(MobileLabError, match="worksheet"):
        lms.moodle(sheet, tmp_path / "out.csv", standings)


def test_gradescope_results(tmp_path):
    lms.write_gradescope(tmp_path, {"ada": standing("ada")})
    result = json.loads((tmp_path / "ada" / "results.json").read_text())
    assert result["score"] == 8
    assert result["tests"][0]["max_score"] == 10
    assert {"name", "score", "max_score", "status", "visibility", "output"} == set(
        result["tests"][0]
    )


def test_alike_is_noticed_and_different_is_not():
    def with_code(student, code):
        one = standing(student)
        one.cells = [{"source": code}]
        return one

    body = "\n".join(f"    y{i} = x.sum(dim={i}) * {i} + len(x) - {i * 7}" for i in range(8))
    copied = body.replace("y", "value").replace("x", "tensor")
    other = "\n".join(
        f"    if x > {i}:\n        return [k ** {i} for k in range(x)]" for i in range(9)
    )
    people = [with_code("ada", f"def f(x):\n{body}"), with_code("eve", f"def g(tensor):\n{copied}"),
              with_code("bo", f"def f(x):\n{other}")]  # fmt: skip
    pairs = class_report.alike(people, [])
    assert [(p.first, p.second) for p in pairs] == [("ada", "eve")]
    assert class_report.alike(people, [f"def f(x):\n{body}"]) == []
    # a lone copy of the solution is like nobody's work but the solution
    (lone,) = class_report.alike([people[1]], [], [f"def f(x):\n{body}"])
    assert (lone.first, lone.second) == ("eve", class_report.SOLUTION)
    assert class_report.alike([people[2]], [], [f"def f(x):\n{body}"]) == []
    page = class_report.to_html("Tiny", people, pairs)
    assert "a &lt;b&gt; case" not in page or "<b> case" not in page
    assert "eve" in page and "median 8" in page


@needs_sandbox
def test_the_command(tmp_path, monkeypatch, capsys):
    folder = put(tmp_path / "in", ada=GOOD, ben=HALF, eve=b"{")

    def command(*arguments):
        monkeypatch.setattr(sys, "argv", ["mobilelab", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        out, err = capsys.readouterr()
        return SimpleNamespace(returncode=end.value.code or 0, stdout=out, stderr=err)

    secret = tmp_path / "class.secret"
    assert command("secret", secret).returncode == 0
    assert secret.stat().st_mode & 0o077 == 0
    again = command("secret", secret)
    assert again.returncode == 1 and "there already" in again.stderr
    done = command(
        "grade", TINY, folder, "--secret", secret, "--out", tmp_path / "g.db", "--feedback",
        tmp_path / "pages", "--report", tmp_path / "r.html", "--gradescope", tmp_path / "gs",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "3 graded now" in done.stdout
    assert done.stdout.count("Limits on this host: cell ") == 1
    assert len(list((tmp_path / "pages").glob("*.html"))) == 3
    assert "class report" in (tmp_path / "r.html").read_text()
    dry = command("grade", TINY, folder / "ben.ipynb", "--dry-run")
    assert dry.returncode == 0 and "missing task" in dry.stdout
    missing = command("grade", tmp_path / "nowhere", folder)
    assert missing.returncode == 1 and missing.stderr.count("\n") <= 2
    roster = tmp_path / "roster.csv"
    roster.write_text("id,name\nada,Ada\nben,Ben\n")
    out = command("release", TINY, "--roster", roster, "--secret", secret, "--out", tmp_path / "h")
    assert out.returncode == 0
    assert {p.name for p in (tmp_path / "h" / "ada").iterdir()} == {"tiny.ipynb", "checks.py"}
    own = json.loads((tmp_path / "h" / "ada" / "tiny.ipynb").read_text())
    (given,) = [c for c in own["cells"] if "injected-parameters" in c["metadata"].get("tags", [])]
    seed = Assignment.load(TINY).parameters(secret.read_bytes().strip(), "ada")["seed"]
    assert f"seed = {seed}" in "".join(given["source"])
    # what is not graded, who is missing, and what was handed out under another secret
    (folder / "eve.ipynb").unlink()
    (folder / "eve.ipynb").symlink_to("/etc/passwd")
    (folder / "cy[red].ipynb").write_bytes(HALF)
    done = command(
        "grade", TINY, folder, "--secret", secret, "--out", tmp_path / "g.db", "--report",
        tmp_path / "r.html", "--roster", roster,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "eve.ipynb: not graded: a link" in done.stdout
    assert "cy[red].ipynb: graded, but cy[red] is not on the roster" in done.stdout
    (folder / "ben.ipynb").unlink()
    (folder / "ada.ipynb").write_text((tmp_path / "h" / "ada" / "tiny.ipynb").read_text())
    other = tmp_path / "other.secret"
    command("secret", other)
    again = ("grade", TINY, folder, "--out", tmp_path / "h.db", "--roster", roster, "--report",
             tmp_path / "r2.html")  # fmt: skip
    stopped = command(*again, "--secret", other)
    assert stopped.returncode == 1 and "Nothing was graded" in stopped.stderr
    anyway = command(*again, "--secret", other, "--anyway")
    assert anyway.returncode == 0 and "Nothing handed in: ben" in anyway.stdout
    assert "nobody in this class was given" in (tmp_path / "r2.html").read_text()
    dry = command("grade", TINY, folder / "ada.ipynb", "--dry-run")
    assert dry.returncode == 0 and "nobody" not in dry.stdout
