"""The grader beside nbgrader, otter-grader and a loop around papermill, on the same submissions.

    python benchmarks/grading.py                      20 submissions, every tool
    python benchmarks/grading.py --count 20 300       and 300 (about an hour and a half)
    python benchmarks/grading.py --only ours          ours alone, and what Dask adds

Each of the others gets an environment of its own in ``out/bench``, made by this script. Every
submission imports torch and computes for a few hundredths of a second. Every tool grades one
submission to warm up, which is also when ours times the solution for its limits, and keeps that in
the user's cache folder; a run counts only if it gave all of them full marks. Nothing else should
run meanwhile.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import nbformat
from nbformat.v4 import new_code_cell, new_notebook
from rich.console import Console
from rich.table import Table

from mobilelab.grading import batch, cluster
from mobilelab.grading.assignment import Assignment
from mobilelab.grading.release import text
from mobilelab.grading.sandbox import Limits, Sandbox
from mobilelab.grading.static_imports import modules

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENTS = ROOT / "out" / "bench"
PYTHON = sys.executable
TORCH = "torch==2.12.1"
PACKAGES = {
    "nbgrader": ["nbgrader==0.9.6"],
    "papermill": ["papermill==2.7.0", "ipykernel"],
    "otter-grader": ["otter-grader==7.0.0", "ipykernel"],
}
console = Console(width=100)

WORK = """import torch
torch.set_num_threads(1)
x = torch.rand(256, 256, generator=torch.Generator().manual_seed(1))
for _ in range(60):
    x = torch.tanh(x @ x)"""
ANSWERS = ["def double(x):\n    return x + x", "answer = 7 * seed + 1"]
TEST = "assert torch.equal(double(torch.ones(3)), 2 * torch.ones(3))\nassert answer == 22"
CHECKS = """import torch

from mobilelab.grading import Call, Case, Checker, Exercise, Task


def double(p):
    x = torch.ones(3)
    return [Case("three ones", Call("double", (x,)), x + x, "Two times.", 1e-6)]


def number(p):
    return []


EXERCISE = Exercise(
    "Bench",
    parameters={"seed": (3,)},
    tasks=(
        Task("double", "Double", 1, 1, ("double",), double, "x + x"),
        Task("number", "Number", 1, 1, ("answer",), number, "7 * seed + 1", uses=("seed",)),
    ),
)
check = Checker(EXERCISE)
"""
HIDDEN = """from mobilelab.grading import Call, Case, Value


def double(p, draw):
    x = draw.normal_tensor(7)
    return [Case("seven numbers", Call("double", (x,)), 2 * x, "Two times.", 1e-6)]


def number(p, draw):
    return [Case("the right one", Value("answer"), 7 * p.seed + 1, "Seven times the seed.")]
"""
OTTER = '''OK_FORMAT = True
test = {"name": "q1", "points": 2, "suites": [{"cases": [{"code": r"""
>>> bool(torch.equal(double(torch.ones(3)), 2 * torch.ones(3))) and answer == 22
True
""", "hidden": False, "locked": False}], "scored": True, "setup": "", "teardown": "",
"type": "doctest"}]}
'''
LOOP = """import sys
from pathlib import Path
import papermill
for path in sorted(Path(sys.argv[1]).glob("*.ipynb")):
    papermill.execute_notebook(path, Path(sys.argv[2]) / path.name, progress_bar=False)
"""


def notebook(student: str) -> nbformat.NotebookNode:
    """One submission: imports, work, two right answers, and a test cell for nbgrader."""
    cells = [new_code_cell("seed = 3", metadata={"tags": ["parameters"]}), new_code_cell(WORK)]
    cells += [new_code_cell(source) for source in ANSWERS]
    mark = {
        "grade": True, "grade_id": "test", "locked": True, "points": 2, "schema_version": 3,
        "solution": False, "task": False,
    }  # fmt: skip
    cells.append(new_code_cell(TEST, metadata={"nbgrader": {**mark, "cell_type": "code"}}))
    cells.append(new_code_cell(f"# handed in by {student}"))
    for number, cell in enumerate(cells):
        cell.id = f"cell-{number}"
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return new_notebook(cells=cells, metadata={"kernelspec": kernel})


def environment(tool: str) -> Path:
    """The folder of programs of a tool's own environment; made if it is not there."""
    place = ENVIRONMENTS / tool
    ready = place / ".ready"
    if not ready.exists():
        console.print(f"Making an environment for {tool} in {place}; this takes some minutes.")
        shutil.rmtree(place, ignore_errors=True)
        subprocess.run([PYTHON, "-m", "venv", place], check=True)
        install = [place / "bin" / "python", "-m", "pip", "install", "-q", TORCH, "numpy"]
        subprocess.run([*install, *PACKAGES[tool]], check=True, stderr=subprocess.DEVNULL)
        ready.touch()
    return place / "bin"


def timed(command: list, folder: Path, bin_folder: Path | None = None) -> float:
    """Seconds that a command takes from start to end."""
    path = f"{bin_folder}:{os.environ['PATH']}" if bin_folder else os.environ["PATH"]
    with open(folder / "log.txt", "ab") as log:
        begin = time.perf_counter()
        done = subprocess.run(
            [*map(str, command)], cwd=folder, stdout=log, stderr=log, check=False,
            env={**os.environ, "PATH": path, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        seconds = time.perf_counter() - begin
    if done.returncode:
        sys.exit(f"{command} failed:\n{(folder / 'log.txt').read_text()[-2000:]}")
    return seconds


def hand_in(folder: Path, count: int, where: Callable[[str], str]) -> None:
    """Write the submissions where a tool looks for them."""
    for number in range(count):
        student = f"s{number:03}"
        path = folder / where(student)
        path.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook(student), path)


def ours(folder: Path, count: int, *options: str) -> tuple[float, int]:
    """``mobilelab grade`` with its sandbox: seconds, and how many got full marks."""
    exercise = folder / "bench"
    exercise.mkdir()
    (exercise / "checks.py").write_text(CHECKS)
    (exercise / "hidden.py").write_text(HIDDEN)
    solution = notebook("nobody")
    solution.cells[2].source = f"### BEGIN SOLUTION\n{ANSWERS[0]}\n### END SOLUTION"
    (exercise / "solution.ipynb").write_text(text(solution))
    (exercise / "bench.ipynb").write_text(text(solution))
    hand_in(folder, count, lambda s: f"in/{s}.ipynb")
    program = Path(PYTHON).parent / "mobilelab"
    seconds = timed([program, "grade", exercise, folder / "in", *options], folder)
    with sqlite3.connect(folder / "gradebook.db") as book:
        rows = book.execute("select sum(points) from results group by student").fetchall()
    return seconds, sum(points == 2 for (points,) in rows)


def nbgrader(folder: Path, count: int) -> tuple[float, int]:
    """``nbgrader autograde``, which knows one process only."""
    programs = environment("nbgrader")
    (folder / "nbgrader_config.py").write_text('c = get_config()\nc.CourseDirectory.root = "."\n')
    (folder / "source" / "hw").mkdir(parents=True)
    nbformat.write(notebook("nobody"), folder / "source" / "hw" / "hw.ipynb")
    timed([programs / "nbgrader", "generate_assignment", "hw"], folder, programs)
    hand_in(folder, count, lambda s: f"submitted/{s}/hw/hw.ipynb")
    seconds = timed([programs / "nbgrader", "autograde", "hw"], folder, programs)
    timed([programs / "nbgrader", "export"], folder, programs)
    with open(folder / "grades.csv", newline="") as file:
        return seconds, sum(float(row["raw_score"]) == 2 for row in csv.DictReader(file))


def papermill(folder: Path, count: int) -> tuple[float, int]:
    """``papermill.execute_notebook`` in a loop: it grades nothing, the test cell just runs."""
    programs = environment("papermill")
    hand_in(folder, count, lambda s: f"in/{s}.ipynb")
    (folder / "out").mkdir()
    (folder / "loop.py").write_text(LOOP)
    seconds = timed([programs / "python", "loop.py", "in", "out"], folder, programs)
    return seconds, len(list((folder / "out").iterdir()))


def otter(folder: Path, count: int) -> tuple[float, int]:
    """``otter run`` for each; ``otter grade``, which goes through a folder, needs docker."""
    programs = environment("otter-grader")
    (folder / "tests").mkdir()
    (folder / "tests" / "q1.py").write_text(OTTER)
    timed([programs / "otter", "generate", "-t", "tests", "--no-environment"], folder, programs)
    hand_in(folder, count, lambda s: f"in/{s}.ipynb")
    (made,) = folder.glob("*autograder*.zip")
    seconds, right = 0.0, 0
    for path in sorted((folder / "in").glob("*.ipynb")):
        command = [programs / "otter", "run", "-a", made, "-o", folder / path.stem, path]
        (folder / path.stem).mkdir()
        seconds += timed(command, folder, programs)
        said = json.loads((folder / path.stem / "results.json").read_text())
        right += sum(test.get("score", 0) for test in said["tests"]) == 2
    return seconds, right


def pure(count: int) -> float:
    """Seconds of the submissions' own code, one after the other, where torch is imported."""
    times = []
    for _ in range(15):
        space = {}
        begin = time.perf_counter()
        for source in ["seed = 3", WORK, *ANSWERS, TEST]:
            exec(source, space)
        times.append(time.perf_counter() - begin)
    return median(times[3:]) * count


TOOLS = {"ours": ours, "nbgrader": nbgrader, "papermill": papermill, "otter-grader": otter}


def compare(count: int, tools: list[str]) -> None:
    """One table for one number of submissions."""
    compute = pure(count)
    took = {}
    for name in tools:
        with tempfile.TemporaryDirectory() as folder:
            TOOLS[name](Path(folder), 1)  # so that no tool reads its programs from a cold disk
        with tempfile.TemporaryDirectory() as folder:
            seconds, right = TOOLS[name](Path(folder), count)
        console.print(f"{name}: {seconds:.1f} s, {right} of {count} with full marks")
        if right != count:
            sys.exit(f"{name} did not give full marks to all; its time means nothing.")
        took[name] = seconds
    table = Table(title=f"{count} submissions, {len(os.sched_getaffinity(0))} cores")
    for column in ("", "seconds", "each", "throughput, ours over it", "over pure compute"):
        table.add_column(column, justify="left" if not column else "right")
    table.add_row("pure compute, one core", f"{compute:.2f}", f"{compute / count:.3f}", "", "1.0")
    for name, seconds in took.items():
        ratio = f"{seconds / took['ours']:.1f}" if "ours" in took else ""
        each = f"{seconds / count:.2f}"
        table.add_row(name, f"{seconds:.1f}", each, ratio, f"{seconds / compute:.1f}")
    console.print(table)


def parts(count: int) -> None:
    """Where our time goes: start, one submission, Dask; and Dask's workers side by side."""
    table = Table(title="Our own parts")
    table.add_column("")
    table.add_column("seconds", justify="right")
    with tempfile.TemporaryDirectory() as name:
        ours(Path(name), 1)
        exercise = Assignment.load(Path(name, "bench"))
        content = nbformat.writes(notebook("nobody")).encode()
    begin = time.perf_counter()
    with Sandbox(modules(exercise.files)) as sandbox:
        with sandbox.open("run_notebook", Limits()):
            table.add_row("sandbox ready, once", f"{time.perf_counter() - begin:.2f}")
        batch.torch.set_num_threads(1)
        times = []
        for _ in range(20):
            begin = time.perf_counter()
            batch.score(exercise, content, "ada", sandbox, secret=b"x", draws=b"x")
            times.append(time.perf_counter() - begin)
        table.add_row("one submission, alone, median", f"{median(times[3:]):.3f}")
    job = {"content": content, "files": exercise.files}
    with cluster.connected(None, 0, 1) as client:
        for _ in range(2):  # the first round warms up
            begin = time.perf_counter()
            for _ in range(200):
                client.submit(len, job, pure=False).result()
            each = (time.perf_counter() - begin) / 200
    table.add_row("scheduler, for each submission", f"{each:.4f}")
    console.print(table)
    table = Table(title=f"Dask, {count} submissions, the whole command")
    for column in ("workers", "seconds", "throughput"):
        table.add_column(column, justify="right")
    first = None
    for option in (["--workers", "1"], ["--workers", "2"], []):
        with tempfile.TemporaryDirectory() as folder:
            seconds, _ = ours(Path(folder), count, *option)
        first = first or seconds
        table.add_row(
            option[-1] if option else "threads", f"{seconds:.1f}", f"{first / seconds:.2f}"
        )
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, nargs="+", default=[20], help="submissions")
    parser.add_argument("--only", nargs="+", choices=TOOLS, default=list(TOOLS))
    chosen = parser.parse_args()
    for count in chosen.count:
        compare(count, chosen.only)
        if "ours" in chosen.only:
            parts(count)


if __name__ == "__main__":
    main()
