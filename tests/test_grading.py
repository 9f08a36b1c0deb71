"""The grader for a class: gradebook, batch, platforms, pages, and the command."""

import contextlib
import csv
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace

import psutil
import pytest
import torch
from grading import ANSWER, DOUBLE, MODEL, SECRET, TINY, needs_sandbox, notebook, put
from hypothesis import given
from hypothesis import strategies as st

from mobilelab import cli
from mobilelab.errors import MobileLabError
from mobilelab.grading import batch, class_report, feedback, frames, lms, plain, sandbox
from mobilelab.grading.assignment import Assignment
from mobilelab.grading.gradebook import Gradebook, Standing
from mobilelab.grading.policy import Policy, grades
from mobilelab.grading.submissions import find, parse_time, read_roster, student_of
from mobilelab.grading.tasks import compare

GOOD = notebook(DOUBLE, ANSWER, MODEL)
HALF = notebook(DOUBLE)


# --- plain data -------------------------------------------------------------------------------

NUMBERS = st.integers(-(2**60), 2**60) | st.floats(allow_nan=False)


def _containers(inner: st.SearchStrategy) -> st.SearchStrategy:
    return st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)


VALUES = st.recursive(st.none() | st.booleans() | NUMBERS | st.text(), _containers, max_leaves=8)


@given(VALUES)
def test_plain_data_comes_back(value):
    message, blocks = plain.encode(value)
    ((said, parts),) = frames.Reader().feed(frames.to_bytes({"value": message}, blocks))
    assert compare(plain.decode(said["value"], parts), plain.decode(*plain.encode(value)))[0]


@pytest.mark.parametrize("dtype", plain.DTYPES.values(), ids=str)
def test_tensors_come_back(dtype):
    x = torch.arange(6).reshape(2, 3).to(dtype).T
    back = plain.decode(*plain.encode(x))
    assert back.dtype == dtype and torch.equal(back, x)


@given(st.binary(max_size=300))
def test_nonsense_is_refused_and_nothing_else(data):
    with contextlib.suppress(frames.NotPlain):
        frames.Reader().feed(data)


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
    with pytest.raises(frames.NotPlain):
        plain.decode(form, [b"123"])


@pytest.mark.parametrize(
    ("expected", "got", "ok"),
    [
        (3, 3, True), (3, 3.0, False), (3, True, False), (True, 1, False), (1.0, 1, True),
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


# --- submissions ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "student"),
    [
        ("ada.ipynb", "ada"), ("ada/work.ipynb", "ada"), ("ada/attempt 2/work.ipynb", "ada"),
        ("Ada L_1234_assignsubmission_file/x.ipynb", "Participant 1234"),
        ("Ada L_1234_assignsubmission_file_/x.ipynb", "Participant 1234"),
        ("lovelaceada_77_4567_tiny.ipynb", "77"), ("lovelaceada_LATE_77_4567_tiny.ipynb", "77"),
    ],
)  # fmt: skip
def test_whose_file_it_is(path, student):
    assert student_of(path) == student


def test_zip_with_paths_that_lead_out(tmp_path):
    path = tmp_path / "work.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("../../evil.ipynb", GOOD)
        archive.writestr("ada/tiny.ipynb", GOOD)
        archive.writestr("ada/notes.txt", "hello")
        archive.writestr("__MACOSX/._tiny.ipynb", b"x")
        archive.writestr("ben/report.pdf", b"x")
    found, ignored = find(path, "tiny")
    assert [s.student for s in found] == ["ada"]
    assert ignored == ["ben/report.pdf"]


def test_links_are_not_followed(tmp_path):
    folder = put(tmp_path / "in", ada=GOOD)
    (folder / "eve.ipynb").symlink_to("/etc/passwd")
    assert [s.student for s in find(folder, "tiny")[0]] == ["ada"]


def test_nothing_to_grade_is_one_sentence(tmp_path):
    for place in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(MobileLabError, match="no "):
            find(place, "tiny")
    (tmp_path / "broken.zip").write_bytes(b"PK\x03\x04 broken")
    with pytest.raises(MobileLabError):
        find(tmp_path / "broken.zip", "tiny")


def test_roster_knows_every_name(tmp_path):
    roster = tmp_path / "roster.csv"
    roster.write_text("id,name,canvas\nada,Ada Lovelace,77\nben,Ben,78\n")
    names = read_roster(roster)
    assert names["77"] == names["ada lovelace"] == "ada"
    folder = put(tmp_path / "in", lovelaceada_77_4567_tiny=GOOD)
    assert find(folder, "tiny", names)[0][0].student == "ada"


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
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
    ) as cluster:
        killed = []

        def kill(done, of, path):
            if not killed:
                killed.append(next(iter(cluster.workers.values())).pid)
                os.kill(killed[0], signal.SIGKILL)

        summary, standings = run(folder, book, scheduler=cluster.scheduler_address, on_step=kill)
    assert killed
    assert (summary.graded, summary.failed) == (10, ())
    assert {s.points for s in standings.values()} == {10}


def test_no_scheduler_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(batch, "PATIENCE", 1)
    folder, book = put(tmp_path / "in", ada=GOOD), Gradebook(tmp_path / "g.db")
    with pytest.raises(MobileLabError, match="No Dask scheduler answers"):
        run(folder, book, scheduler="tcp://127.0.0.1:9")


def test_without_bubblewrap_it_refuses(monkeypatch):
    monkeypatch.setattr(sandbox.shutil, "which", lambda name: None)
    with pytest.raises(sandbox.NoSandbox, match="--no-sandbox"):
        sandbox.Sandbox()


def test_the_override_grades_without(tmp_path):
    folder, book = put(tmp_path / "in", ada=GOOD), Gradebook(tmp_path / "g.db")
    assert run(folder, book, sealed=False)[1]["ada"].points == 10


def test_a_file_that_is_no_gradebook_is_one_sentence(tmp_path):
    (tmp_path / "g.db").write_bytes(b"not a database, " * 100)
    with pytest.raises(MobileLabError, match="give another file"):
        Gradebook(tmp_path / "g.db")


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
