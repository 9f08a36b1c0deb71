"""Every notebook in tests/attacks is handed in beside honest work, and the class is graded.

No attack may gain a point, take one from another, carry out a hidden case, or stop the batch.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from grading import SANDBOX, SECRET, TINY, notebook, own_cache, tiny_with  # noqa: F401

from mobilelab.grading import batch, feedback, lms
from mobilelab.grading.gradebook import Gradebook
from mobilelab.grading.submissions import find

ATTACKS = sorted((Path(__file__).parent / "attacks").glob("*.ipynb"))
HONEST = ("ada", "zoe")
pytestmark = SANDBOX


def malformed():
    """Files that are no notebooks, made here because nobody wants them in a repository."""
    deep = b"[" * 200_000 + b"]" * 200_000
    good = json.loads(notebook("answer = 1"))
    return {
        "empty": b"",
        "blank": b" \n",
        "not_json": b'{"cells": [',
        "not_utf8": notebook("answer = '\xe4'").replace(b"answer", b"\xff\xfe\xe4"),
        "deep": deep,
        "deep_cells": b'{"nbformat": 4, "cells": ' + deep + b"}",
        "huge": b'{"nbformat": 4, "cells": ["' + b"x" * (51 << 20) + b'"]}',
        "old": json.dumps({"nbformat": 3, "worksheets": [{"cells": []}]}).encode(),
        "new": json.dumps({**good, "nbformat": 5}).encode(),
        "version_text": json.dumps({**good, "nbformat": "4"}).encode(),
        "list": b"[1, 2, 3]",
        "many_cells": json.dumps({**good, "cells": good["cells"] * 2000}).encode(),
        "long_number": b'{"nbformat": 4, "cells": [], "x": ' + b"9" * 10_000 + b"}",
        "binary": bytes(range(256)) * 50,
    }


def odd():
    """Notebooks that can be read, with cells that are no cells; there is nothing in them."""
    good = json.loads(notebook())
    cells = [
        None, 7, "x", [], {}, {"cell_type": "code"}, {"cell_type": "code", "source": 5},
        {"cell_type": "code", "source": ["a", 5, None]}, {"cell_type": ["code"], "source": "1"},
        {"cell_type": "code", "source": "1", "metadata": 5},
        {"cell_type": "code", "source": "\ud800", "metadata": {"tags": [["parameters"]]}},
        {"cell_type": "raw", "source": "answer = 22"},
    ]  # fmt: skip
    return {"odd_cells": json.dumps({**good, "cells": good["cells"] + cells}).encode()}


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    folder = tmp_path_factory.mktemp("CANARY-FOLDER")
    handed_in = folder / "submissions"
    handed_in.mkdir()
    solution = (TINY / "solution.ipynb").read_bytes()
    for student in HONEST:
        (handed_in / f"{student}.ipynb").write_bytes(
            solution.replace(b"x + x", b"x + x # CANARY-OTHER")
        )
    for path in ATTACKS:
        (handed_in / path.name).write_bytes(path.read_bytes())
    for name, content in {**malformed(), **odd()}.items():
        (handed_in / f"{name}.ipynb").write_bytes(content)
    submissions, _ = find(handed_in, "tiny")
    book = Gradebook(folder / "gradebook.db")
    os.environ["MOBILELAB_TEST_TOKEN"] = "CANARY-ENVIRONMENT"
    # what never ends costs its limit twice; what hits a limit of another kind needs time for that
    bombs = [s for s in submissions if ENDINGS.get(s.student) in ENDS_OF_ITSELF]
    others = [s for s in submissions if s not in bombs]
    summaries, standings = [], {}
    try:
        for assignment, some in ((tiny_with(60, 240), bombs), (tiny_with(1, 12), others)):
            summaries.append(batch.grade(assignment, some, book, secret=SECRET))
            standings |= {s.student: book.standing(assignment, s, SECRET) for s in some}
    finally:
        del os.environ["MOBILELAB_TEST_TOKEN"]
    book.close()
    return summaries, standings


def test_nothing_stops_the_batch(graded):
    summaries, standings = graded
    assert not any(summary.failed for summary in summaries)
    graded_now = sum(summary.graded for summary in summaries)
    assert graded_now == len(standings) == len(ATTACKS) + len(HONEST) + len(malformed()) + 1
    assert None not in standings.values()
    assert not Path("/tmp/CANARY-UNPICKLED").exists()


@pytest.mark.parametrize("student", HONEST)
def test_honest_work_beside_them_keeps_its_points(graded, student):
    assert graded[1][student].points == 10


@pytest.mark.parametrize("attack", [path.stem for path in ATTACKS])
def test_no_attack_gains_a_point(graded, attack):
    standing = graded[1][attack]
    assert standing.points == 0
    assert all(task["end"] != "right" for task in standing.tasks.values())


def visible(standing):
    """All that a student gets to see, without what they wrote themselves."""
    for cell in standing.cells:
        cell = dict(cell)
        yield from (item.get("text", "") for item in cell["outputs"])
    for task in standing.tasks.values():
        yield task["message"]
        for case in task["cases"]:
            yield from (case["name"], case["expected"], case["got"], case["hint"])


@pytest.mark.parametrize("attack", [path.stem for path in ATTACKS])
def test_no_attack_carries_anything_out(graded, attack):
    text = "\n".join(visible(graded[1][attack]))
    # what an attack prints about itself is its own; these would be ours, or another student's
    for canary in ("HIDDEN", "SOLUTION", "OTHER", "ENVIRONMENT", "SECRET", "FOLDER"):
        assert f"CANARY-{canary}" not in text
    for canary in (
        "UNPICKLED", "WRITTEN", "CONNECTED", "PTRACE", "UNSHARED", "MOUNTED", "SYSCALL", "ROOT",
        "RAISED", "INPUT",
    ):  # fmt: skip
        assert f"CANARY-{canary}" not in text, canary


def test_hidden_cases_show_a_name_and_no_value(graded):
    for standing in graded[1].values():
        for task in standing.tasks.values():
            for case in task["cases"]:
                if not case["public"]:
                    assert case["expected"] == case["got"] == ""


@pytest.mark.parametrize("name", malformed())
def test_what_is_no_notebook_is_told_in_one_sentence(graded, name):
    standing = graded[1][name]
    assert standing.end == "not a notebook"
    assert standing.message.count(".") <= 2
    assert "Traceback" not in standing.message
    assert standing.points == 0


def test_odd_cells_do_no_harm(graded):
    assert graded[1]["odd_cells"].points == 0


ENDINGS = {
    "endless_loop": "timeout", "endless_loop_deaf": "timeout", "endless_import": "timeout",
    "memory_bomb": "out of memory", "memory_bomb_shared": "out of memory",
    "memory_bomb_children": "out of memory", "memory_bomb_torch": "out of memory",
    "exit_cell": "kernel died", "segfault": "kernel died", "fork_bomb": "too many processes",
    "sleeping_cells": "timeout", "clock": "timeout", "trickle": "disturbed messages",
    "frames_of_zero": "answer too large", "picture_bomb": "disturbed messages",
    "forge_outputs_number": "disturbed messages",
}  # fmt: skip
ENDS_OF_ITSELF = ("out of memory", "kernel died", "too many processes")


@pytest.mark.parametrize("attack", ENDINGS)
def test_ends_are_told_apart(graded, attack):
    assert graded[1][attack].end == ENDINGS[attack]


def test_a_parameter_with_another_value_is_told(graded):
    number = graded[1]["parameters_overwritten"].tasks["number"]
    assert number["end"] == "wrong answer"
    seed = graded[1]["parameters_overwritten"].parameters["seed"]
    assert number["message"].startswith(f"Cell 3 gives seed the value 0, yours is {seed}. ")


def test_later_tasks_count_after_a_cell_that_ends_the_kernel(graded):
    # the cell behind the one that died defines a wrong function; it was asked all the same
    for attack in ("exit_cell", "segfault", "fork_bomb", "memory_bomb", "endless_loop_deaf"):
        assert graded[1][attack].tasks["double"]["end"] == "wrong answer"


def test_pages_and_tables_hold_nothing_that_runs(graded, tmp_path):
    page = feedback.to_html("Tiny", graded[1]["output_html"])
    assert "<script" not in page.lower().replace("&lt;script", "")
    assert "<img src=x" not in page.lower()
    assert "CANARY-SCRIPT" in page  # it is there, as text
    assert "default-src 'none'" in page
    feedback.write(tmp_path, "Tiny", graded[1].values())
    assert len(list(tmp_path.glob("*.html"))) == len(graded[1])
    for text in ("=1+1", "+1", "-1", "@x", "\tx"):
        assert lms.harmless(text).startswith("'")


def test_nbval_never_runs_an_attack(request):
    folder = Path(__file__).parent
    listed = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--collect-only", folder, folder / "attacks"],
        capture_output=True, text=True, check=False, cwd=request.config.rootpath,
    )  # fmt: skip
    assert "tests/test_attacks.py" in listed.stdout
    assert "attacks/" not in listed.stdout + listed.stderr
