"""What the command says and hands out after grading: the overview, remarks, pages and tables."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from mobilelab.core.terminal import Terminal, colored

if TYPE_CHECKING:
    from mobilelab.grading.assignment import Assignment
    from mobilelab.grading.files import Remark
    from mobilelab.grading.gradebook import Standing


@contextlib.contextmanager
def steps(console: Terminal) -> Iterator[Callable[[int, int, str], None]]:
    """A progress bar, and what moves it."""
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
        TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console, disable=not sys.stdout.isatty()) as progress:
        bar = progress.add_task("grading", total=None)
        yield lambda done, of, path: progress.update(bar, completed=done, total=of)


def what_needs_a_word(
    console: Terminal, remarks: Sequence[Remark], absent: Sequence[str],
    failed: Sequence[tuple[str, str]],
) -> None:  # fmt: skip
    """Files that were not graded, people who handed in nothing, and what could not be judged."""
    for remark in remarks:
        console.print(colored("yellow", f"{remark.path}:", remark.text), soft_wrap=True)
    if absent:
        console.print(colored("yellow", "Nothing handed in:", ", ".join(absent)), soft_wrap=True)
    for path, reason in failed:
        console.print(colored("red", "Not judged:", f"{path}: {reason}"), soft_wrap=True)


def overview(console: Terminal, chosen: list[Standing]) -> None:
    """A line for each task: its mean, and the case that most students missed."""
    from mobilelab.grading import class_report

    table = Table()
    for name in ("task", "mean", "of", "most missed"):
        table.add_column(name)
    for line in class_report.task_lines(chosen):
        table.add_row(line.title, f"{line.mean:.2f}", f"{line.most:g}", line.missed)
    console.print(table)


def hand_back(
    console: Terminal, assignment: Assignment, chosen: list[Standing], names: dict | None,
    remarks: list[Remark], absent: list[str], attempts: list[tuple[Standing, str]], *,
    html: Path | None, report: Path | None, canvas: Path | None, canvas_column: str,
    moodle: Path | None, gradescope: Path | None,
) -> None:  # fmt: skip
    """Write what was asked for: pages, the report, and the learning platforms' tables."""
    from mobilelab.grading import class_report, feedback, lms, release

    title = assignment.exercise.title
    by_student = {standing.student: standing for standing in chosen}
    if html:
        console.print(f"Feedback: {feedback.write(html, title, chosen)} pages in {html}.")
    if report:
        given = [c.source for c in release.student_notebook(assignment).cells]
        solved = [c.source for c in release.solution(assignment).cells if c.cell_type == "code"]
        given.append(assignment.files["checks.py"].decode())
        pairs = class_report.alike(chosen, given, solved)
        try:
            page = class_report.to_html(title, chosen, pairs, remarks, absent, attempts)
            report.write_text(page, encoding="utf-8")
        except OSError as error:
            raise feedback.FeedbackError(f"Cannot write {report}: {error.strerror}.") from error
        console.print(f"Class report: {report}.")
    for platform, source in (("Canvas", canvas), ("Moodle", moodle)):
        if source is None:
            continue
        target = source.with_name(f"{source.stem}-filled.csv")
        if platform == "Canvas":
            column = canvas_column or title
            filled, unknown = lms.canvas(source, target, column, by_student, names)
        else:
            filled, unknown = lms.moodle(source, target, by_student, names)
        console.print(f"{platform}: {filled} grades filled in, {target}.")
        if unknown:
            told = f"{platform} does not know:"
            console.print(colored("yellow", told, ", ".join(unknown)), soft_wrap=True)
    if gradescope:
        lms.write_gradescope(gradescope, by_student)
        console.print(f"Gradescope: {len(by_student)} results.json below {gradescope}.")


def what_it_sees(console: Terminal, chosen: list[Standing]) -> None:
    """A student's view: every public case, how each task and each cell ended."""
    for standing in chosen:
        console.rule(standing.path)
        if standing.message:
            console.print(colored("red", f"{standing.end}:", standing.message), soft_wrap=True)
        table = Table()
        for name in ("task", "end", "public cases", "what to look at"):
            table.add_column(name, overflow="fold")
        for task in standing.tasks.values():
            cases = [case for case in task["cases"] if case["public"]]
            wrong = [f"{c['name']}: expected {c['expected']}, got {c['got']}"
                     for c in cases if not c["ok"]]  # fmt: skip
            table.add_row(
                task["title"], task["end"], f"{len(cases) - len(wrong)} of {len(cases)} right",
                "\n".join([task["message"], *wrong[:2]]).strip(),
            )  # fmt: skip
        console.print(table)
        for cell in standing.cells:
            if cell["outcome"] not in ("ok", "todo"):
                said = f"Cell {cell['place'] + 1}: {cell['outcome']}. {cell['error']}"
                console.print(said, soft_wrap=True)
    console.print("Public cases only: the grader's hidden ones decide the points.")
