"""What once stopped a whole class, or gave one student's points to another: one file each."""

import io
import itertools
import json
import os
import zipfile
from datetime import datetime, timezone
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from grading import ROOT, TINY, needs_sandbox, points
from test_grading import ANSWER, DOUBLE, GOOD, put, run

from mobilelab.core.terminal import visible
from mobilelab.grading import (
    Net,
    class_report,
    feedback,
    lms,
    notebook,
    run_model,
    schema,
    scorer,
    serialize,
    submissions,
    tasks,
)
from mobilelab.grading import oracle as oracles
from mobilelab.grading.assignment import Assignment
from mobilelab.grading.gradebook import Gradebook, Standing
from mobilelab.grading.sandbox import Sandbox


def as_notebook(*cells, tags=()):
    listed = [
        {"cell_type": "code", "source": source, "metadata": {"tags": list(tag)}, "outputs": []}
        for source, tag in zip(cells, [*tags, *[()] * len(cells)], strict=False)
    ]
    return json.dumps(
        {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": listed}
    ).encode()


DEEP = "x = " + " + ".join(["1"] * 1500)


def test_a_deep_expression_neither_stops_the_class_nor_its_own_points(tmp_path):
    folder = put(tmp_path / "in", ada=GOOD)
    (folder / "mallory.ipynb").write_bytes(as_notebook(DEEP, DOUBLE, ANSWER))
    summary, standings = run(folder, Gradebook(tmp_path / "g.db"))
    assert summary.graded == 2 and summary.failed == ()
    assert standings["ada"].points == 10 and 0 < standings["mallory"].points < 10


def test_names_of_a_deep_expression_are_found_in_order():
    assert notebook.assigned(f"a = 1\n{DEEP}\nb, (c, d) = 1, (2, 3)\nlambda: (e := 1)") == (
        "a", "x", "b", "c", "d"
    )  # fmt: skip


@pytest.mark.parametrize(
    "source",
    ["depth = {[]: 1}", "depth = {{}}", "depth = 0x" + "F" * 5000, "depth = " + "[" * 9999],
)
def test_parameters_that_no_program_wrote_are_nobodys(source):
    cells = notebook.read(as_notebook(source, tags=[["injected-parameters"]]), [])
    assert notebook.held(cells, ["depth"]) == {}
    good = as_notebook("width = 3\n" + source, tags=[["injected-parameters"]])
    assert notebook.held(notebook.read(good, []), ["depth", "width"]) in ({"width": 3}, {})


def find(folder, **options):
    return submissions.find(folder, "tiny", **options)


def test_a_name_that_is_not_utf8_is_read_as_latin1(tmp_path):
    with open(os.fsencode(tmp_path) + b"/J\xfcrgen.ipynb", "wb") as file:
        file.write(as_notebook("1"))
    found, _ = find(tmp_path)
    assert [s.student for s in found] == ["Jürgen"] and found[0].path.encode()


def test_students_who_would_look_alike_are_one(tmp_path):
    for name in ("ada", "ada\u200b", "a\u202eda", "a\nda"):
        (tmp_path / f"{name}.ipynb").write_bytes(as_notebook("1"))
    found, _ = find(tmp_path)
    assert {s.student for s in found} == {"ada"} and len(found) == 4
    assert all(visible(s.path) == s.path and "\n" not in s.path for s in found)


def test_dates_in_names_are_no_students(tmp_path):
    for name in ("kim_2026_11_30", "lee_2026_11_30"):
        (tmp_path / f"{name}.ipynb").write_bytes(as_notebook("1"))
    assert {s.student for s in find(tmp_path)[0]} == {"kim_2026_11_30", "lee_2026_11_30"}
    assert submissions.names_of("lovelaceada_LATE_12345_67890_work.ipynb") == ["12345"]


def test_a_notebook_with_a_zip_behind_it_is_a_notebook(tmp_path):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("ada.ipynb", as_notebook("1"))
    path = tmp_path / "mallory.ipynb"
    path.write_bytes(as_notebook("2") + packed.getvalue())
    assert [s.student for s in find(path)[0]] == ["mallory"]


@pytest.mark.parametrize("where, byte", [(4, 99), (28, 255)])
def test_a_damaged_zip_is_one_sentence(tmp_path, where, byte):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("jürgen.ipynb", as_notebook("1"))
    content = bytearray(packed.getvalue())
    directory = content.index(b"PK\x01\x02")
    if where == 4:
        content[directory + 6] = byte  # version that is needed: 9.9
    else:
        content[content.index("jürgen".encode(), directory) + 1] = byte  # no UTF-8 any more
    path = tmp_path / "class.zip"
    path.write_bytes(bytes(content))
    with pytest.raises(submissions.SubmissionsError, match="Cannot read .*class.zip"):
        find(path)


def test_what_is_no_file_is_told(tmp_path):
    os.mkfifo(tmp_path / "kim.ipynb")
    (tmp_path / "ada.ipynb").write_bytes(as_notebook("1"))
    found, remarks = find(tmp_path)
    assert [s.student for s in found] == ["ada"]
    assert [(r.path, r.text) for r in remarks] == [("kim.ipynb", "not graded: no ordinary file")]


def test_finished_work_counts_before_the_untouched_hand_out(tmp_path):
    place = tmp_path / "ada"
    place.mkdir()
    (place / "tiny.ipynb").write_bytes(as_notebook("# your turn"))
    (place / "final.ipynb").write_bytes(as_notebook("1"))
    found, remarks = find(tmp_path, untouched=lambda content: b"your turn" in content)
    assert [s.path for s in found] == ["ada/final.ipynb"]
    assert [r.path for r in remarks] == ["ada/tiny.ipynb"] and "nothing in it" in remarks[0].text
    found, _ = find(tmp_path, untouched=lambda content: False)
    assert [s.path for s in found] == ["ada/tiny.ipynb"]


NOW = datetime(2026, 11, 27, tzinfo=timezone.utc)


def standing(student, **more):
    task = {
        "title": "T",
        "points": 1.0,
        "max": 2,
        "end": "wrong answer",
        "message": "",
        "cases": [],
    }
    facts = {
        "student": student, "path": f"{student}.ipynb", "points": 1.0, "most": 2.0, "factor": 1.0,
        "late_days": 0, "end": "done", "message": "", "tasks": {"t": task}, "cells": [],
        "seconds": 3.0, "limits": "", "handed_in": NOW,
    }  # fmt: skip
    names = Standing.__dataclass_fields__
    return Standing(**{k: v for k, v in {**facts, **more}.items() if k in names})


ALIKE = ["a!", "a_-2", "a~", "A_", "ada l", "ada_l", "😀" * 80]


def test_pages_of_students_with_alike_names_are_all_written(tmp_path):
    assert feedback.write(tmp_path, "T", [standing(name) for name in ALIKE]) == len(ALIKE)
    assert len({path.name.casefold() for path in tmp_path.iterdir()}) == len(ALIKE)
    lms.write_gradescope(tmp_path / "g", {name: standing(name) for name in ALIKE})
    assert len(list((tmp_path / "g").glob("*/results.json"))) == len(ALIKE)


def test_a_file_called_as_a_status_gives_nobody_points(tmp_path):
    sheet = tmp_path / "w.csv"
    sheet.write_text(
        "Identifier,Full name,Status,Grade,Maximum Grade,Feedback comments\n"
        "Participant 1,Kim,No submission,,20,\nParticipant 2,Ada,Submitted,,20,\n"
    )
    grades = {"No submission": standing("No submission"), "Ada": standing("Ada")}
    filled, unknown = lms.moodle(sheet, tmp_path / "out.csv", grades)
    assert filled == 1 and unknown == ["No submission"]
    assert "Participant 1,Kim,No submission,,20," in (tmp_path / "out.csv").read_text()


def test_a_students_words_are_text_everywhere(tmp_path):
    evil = "<h1>\x1b[31m\x9b\u202e</h1>"
    task = {
        "title": "T", "points": 0.0, "max": 2, "end": "wrong answer", "message": evil,
        "cases": [{"name": "c", "ok": False, "hint": "h", "public": True, "expected": "1",
                   "got": evil}],
    }  # fmt: skip
    bad = standing("kim", tasks={"t": task}, message=evil, end="kernel died")
    page = feedback.to_html("T", bad)
    assert not set("\x1b\x9b\u202e") & set(page) and "&lt;h1&gt;" in page
    sheet = tmp_path / "w.csv"
    sheet.write_text("Identifier,Full name,Grade,Feedback comments\nParticipant 1,kim,,\n")
    lms.moodle(sheet, tmp_path / "out.csv", {"kim": bad})
    out = (tmp_path / "out.csv").read_text()
    assert "<h1>" not in out and "&lt;h1&gt;" in out and not set("\x1b\x9b\u202e") & set(out)


def test_gradescope_learns_no_times_of_hidden_questions():
    assert "execution_time" not in lms.gradescope(standing("kim"))


def test_a_huge_answer_is_not_worded_tensor_by_tensor(monkeypatch):
    worded = []
    monkeypatch.setattr(torch.Tensor, "__repr__", lambda tensor: worded.append(tensor) or "tensor")
    tensors = [torch.zeros(999, 1) for _ in range(2000)]
    assert tasks.show(tensors) == "a list of 2000"
    assert tasks.show({"a": tensors}) == "a dict of 1"
    assert worded == []
    assert tasks.show([1, 2.5, "a"]) == "[1, 2.5, 'a']"


def test_a_notebook_that_changes_its_folder_keeps_its_file(tmp_path):
    folder = put(tmp_path / "in", ada=GOOD)
    moved = json.loads((folder / "ada.ipynb").read_text())
    cell = {"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": None}
    source = "import os, tempfile\nos.chdir(tempfile.mkdtemp())"
    moved["cells"].append({**cell, "id": "moves", "source": source})
    (folder / "ada.ipynb").write_text(json.dumps(moved))
    assert run(folder, Gradebook(tmp_path / "g.db"))[1]["ada"].points == 10


# --- what reaches the grader's own process ----------------------------------------------------


def as_parameters(assignment):
    return SimpleNamespace(**assignment.parameters(None, "ada"))


def test_answers_of_crossed_shapes_do_not_fill_the_graders_memory():
    assignment = Assignment.load(ROOT / "exercises" / "01_train_a_cnn")
    task = assignment.exercise.task("deliver")
    (wanted,) = [c for c in task.public(as_parameters(assignment)) if "in company" in c.name]
    crossed = [torch.zeros(300_000, 1), torch.zeros(1, 300_000)]  # 300,000 squared: 360 GB
    outcome = tasks.look([wanted], lambda question: tasks.Reply("ok", crossed))[0]
    assert not outcome.ok and "inf" in outcome.got


def test_pictures_and_texts_of_a_whole_notebook_are_bounded(monkeypatch):
    monkeypatch.setattr(oracles, "MOST_PICTURE_BYTES", 1000)
    monkeypatch.setattr(oracles, "MOST_TEXTS", 50)
    cells = notebook.read(as_notebook(*["1"] * 9))
    oracle = oracles.Oracle(None, Assignment.load(TINY), cells, {})
    png = b"\x89PNG\r\n\x1a\n" + b"x" * 400
    shown = [schema.Item("picture", block=0), schema.Item("out", "y" * 20)]
    for place in range(9):
        oracle._place = place
        oracle._record(schema.CellEnded(place, "ok", outputs=shown), [png])
    kept = [item for record in oracle.records.values() for item in record.outputs]
    assert sum(item["kind"] == "picture" for item in kept) == 2
    assert sum(len(item.get("text", "")) for item in kept) == 50


@pytest.mark.parametrize("outcome", ["kernel", "honest"])
def test_who_was_killed_by_the_system_is_graded_once_more(outcome):
    result = {"end": "graded", "cells": [], "tasks": {}, "killed": outcome == "kernel"}
    assert scorer.host_may_be_to_blame(result) == (outcome == "kernel")


@needs_sandbox
def test_a_process_that_the_system_killed_is_told_from_one_that_ended(tmp_path):
    for cell, killed in (
        ("import os; os.kill(os.getpid(), 9)", True),
        ("import os; os._exit(3)", False),
    ):
        with Sandbox() as place:
            content = as_notebook(cell, DOUBLE)
            result = scorer.score(
                Assignment.load(TINY), content, "ada", place, secret=None, draws=b"d" * 16
            )
        assert result["killed"] is killed and points(result) > 0


def test_a_cell_too_large_to_be_parsed_is_still_searched_for_names():
    filler = "x" * notebook.MOST_PARSED
    assert notebook.assigned(f"width = 3\ntext = '{filler}'\ndef double(x): ...") == (
        "width", "text", "double"
    )  # fmt: skip


# --- honest forms of an answer ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (np.array([1, 65535], "uint16"), torch.tensor([1, 65535])),
        (np.array([1, 2**40], "uint64"), torch.tensor([1, 2**40])),
        (np.array([1.5, -2], ">f4"), torch.tensor([1.5, -2.0])),
        (np.array([7, -7], ">i2"), torch.tensor([7, -7], dtype=torch.int16)),
        (np.array([0.5], "longdouble"), torch.tensor([0.5], dtype=torch.float64)),
        (torch.tensor([1, 65535], dtype=torch.uint16), torch.tensor([1, 65535])),
        (range(3), [0, 1, 2]), ((n * n for n in range(3)), [0, 1, 4]), (map(str, [1]), ["1"]),
        ({"a": 1, "b": 2}.values(), [1, 2]), ({"a": 1}.keys(), {"a"}), (enumerate("a"), [(0, "a")]),
    ],
)  # fmt: skip
def test_honest_forms_of_an_answer_are_equal(value, wanted):
    got = serialize.decode(*serialize.encode(value))
    assert tasks.compare(wanted, got) == (True, "")


def test_an_endless_iterator_is_cut():
    form, _ = serialize.encode(itertools.count())
    assert len(form["list"]) == serialize.MOST


def test_a_network_to_judge_is_float32_whatever_the_default_became():
    torch.set_default_dtype(torch.float64)
    try:
        net = Net("torch.nn:Linear", {"in_features": 2, "out_features": 1}).build()
        assert torch.get_default_dtype() is torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    assert net.weight.dtype is torch.float32


def test_a_student_called_the_solution_stays_a_student():
    code = "def f(x):\n" + "\n".join(f"    x = x * {i} + {i}" for i in range(40))
    one, two = (
        Standing(name, "", datetime.now(timezone.utc), "graded", "", {}, [{"source": code}])
        for name in (class_report.SOLUTION, "ada")
    )
    (pair,) = class_report.alike([one, two], [])
    assert (pair.first, pair.second, pair.with_solution) == ("ada", class_report.SOLUTION, False)
    pairs = class_report.alike([one], [], [code])
    assert [(p.first, p.with_solution) for p in pairs] == [(class_report.SOLUTION, True)]
    assert "<em>the solution</em>" in class_report.to_html("Tiny", [one], pairs)


def test_loose_weights_are_found_in_a_long_program(tmp_path):
    class Long(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.parts = torch.nn.ModuleList(torch.nn.Conv2d(1, 1, 1) for _ in range(3))

        def forward(self, x):
            for part in self.parts:
                x = part(x)
            return x

    source = torch.jit.script(Long().eval())
    for made, loose in ((source, True), (torch.jit.freeze(source), False)):
        file = serialize.File(saved(made), "torchscript")
        kinds = run_model.facts(file)["kinds"]
        assert ("prim::GetAttr" in kinds) == loose and len(kinds) < 10


def saved(module):
    buffer = io.BytesIO()
    torch.jit.save(module, buffer)
    return buffer.getvalue()
