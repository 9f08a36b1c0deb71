"""``mobilelab secret``, ``release`` and ``grade``: homework on the command line.

torch and all that needs it is imported inside the commands, so that ``mobilelab doctor`` works
where torch does not.
"""

from __future__ import annotations

import contextlib
import secrets
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mobilelab.cli.grades import hand_back, overview, steps, what_it_sees, what_needs_a_word
from mobilelab.core.errors import MobileLabError
from mobilelab.core.terminal import Terminal, colored
from mobilelab.grading import fast_import

if TYPE_CHECKING:
    from mobilelab.grading.sandbox import Sandbox


class HomeworkError(MobileLabError):
    """A command was given what it cannot use."""


def secret(path: Annotated[Path, typer.Argument(help="The file to make.")]) -> None:
    """Make a class secret: students' parameters and hidden inputs follow from it. Keep it."""
    try:
        with path.open("x", encoding="ascii") as file:
            path.chmod(0o600)
            file.write(secrets.token_hex(32) + "\n")
    except FileExistsError as error:
        raise HomeworkError(f"{path} is there already; a class has one secret.") from error
    except OSError as error:
        raise HomeworkError(f"Cannot write {path}: {error.strerror}.") from error
    Terminal().print(f"Wrote {path}. Keep it where students do not see it, and keep a copy.")


def _secret(path: Path | None) -> bytes | None:
    if path is None:
        return None
    try:
        content = path.read_bytes().strip()
    except OSError as error:
        raise HomeworkError(
            f"Cannot read the class secret {path}: {error.strerror}; `mobilelab secret` makes one."
        ) from error
    if len(content) < 16:
        raise HomeworkError(f"The secret in {path} is too short; `mobilelab secret` makes one.")
    return content


def hand_out(
    exercise: Annotated[Path, typer.Argument(help="The exercise's folder.")],
    out: Annotated[Path | None, typer.Option(help="Where to; the exercise's own folder.")] = None,
    roster: Annotated[
        Path | None, typer.Option(help="CSV, ids in the first column: a folder for each student.")
    ] = None,
    secret: Annotated[Path | None, typer.Option(help="The class secret.")] = None,
) -> None:
    """Make the students' notebook from the solution notebook."""
    from mobilelab.grading import release
    from mobilelab.grading import roster as roster_file
    from mobilelab.grading.assignment import Assignment

    assignment = Assignment.load(exercise)
    students = None
    if roster is not None:
        key = _secret(secret)
        if key is None:
            raise HomeworkError(
                "Parameters of one's own need --secret; `mobilelab secret` makes it."
            )
        ids = sorted(set(roster_file.read_roster(roster).values()))
        students = {student: assignment.parameters(key, student) for student in ids}
        if out is None:
            raise HomeworkError("Name the folder for the students' notebooks with --out.")
    written = release.write(assignment, out or exercise, students)
    Terminal().print(
        f"Wrote {len(written)} notebook{'s' if len(written) != 1 else ''}: {written[0]}"
    )


def grade(
    context: typer.Context,
    exercise: Annotated[Path, typer.Argument(help="The exercise's folder.")],
    handed_in: Annotated[
        Path,
        typer.Argument(help="Folder of notebooks or of student folders, zip, or one notebook."),
    ],
    out: Annotated[Path, typer.Option(help="The gradebook.")] = Path("gradebook.db"),
    secret: Annotated[Path | None, typer.Option(help="The class secret.")] = None,
    roster: Annotated[
        Path | None, typer.Option(help="CSV: id first, then any names the platforms use.")
    ] = None,
    html: Annotated[Path | None, typer.Option("--feedback", help="Folder for the pages.")] = None,
    report: Annotated[Path | None, typer.Option(help="The class report, an HTML file.")] = None,
    canvas: Annotated[
        Path | None, typer.Option(help="Gradebook exported from Canvas; see --canvas-column.")
    ] = None,
    canvas_column: Annotated[str, typer.Option(help="Header of the assignment in it.")] = "",
    moodle: Annotated[Path | None, typer.Option(help="Grading worksheet from Moodle.")] = None,
    gradescope: Annotated[Path | None, typer.Option(help="Folder for results.json.")] = None,
    due: Annotated[str | None, typer.Option(help="When it was due, as 2026-11-30T23:59.")] = None,
    times: Annotated[Path | None, typer.Option(help="CSV: student, time of handing in.")] = None,
    free_days: Annotated[int, typer.Option(help="Late days that cost nothing.")] = 0,
    per_day: Annotated[float, typer.Option(help="Percent taken off per further day.")] = 10.0,
    attempts: Annotated[str, typer.Option(help="Which attempt counts: last or best.")] = "last",
    scheduler: Annotated[str | None, typer.Option(help="Address of a Dask scheduler.")] = None,
    workers: Annotated[
        int, typer.Option(help="Local worker processes; 0 uses threads of this one.")
    ] = 0,
    again: Annotated[bool, typer.Option("--again", help="Judge also what is known.")] = False,
    recalibrate: Annotated[
        bool, typer.Option("--recalibrate", help="Time the solution again; the limits follow it.")
    ] = False,
    no_sandbox: Annotated[
        bool, typer.Option("--no-sandbox", help="Run the notebooks unprotected.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what the grader sees; keep nothing.")
    ] = False,
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Grade also if nobody has the notebooks' parameters.")
    ] = False,
) -> None:
    """Grade what was handed in."""
    place = None if workers or scheduler else _early_sandbox(context, exercise, not no_sandbox)
    with fast_import.imports():
        from mobilelab.grading import batch, submissions
        from mobilelab.grading import handed_in as before
        from mobilelab.grading import policy as rules
        from mobilelab.grading import roster as roster_file
        from mobilelab.grading.assignment import Assignment
        from mobilelab.grading.gradebook import Gradebook

    console = Terminal()
    when = roster_file.parse_time(due) if due else None
    policy = rules.Policy(when, free_days, per_day, attempts)
    if place:
        batch.use(place)
    assignment = Assignment.load(exercise, hidden=not dry_run)
    names = roster_file.read_roster(roster) if roster else None
    handed_in_at = roster_file.read_times(times, names) if times else None
    found, remarks = submissions.find(
        handed_in, assignment.name, names, before.untouched(assignment)
    )
    key = _secret(secret)
    if not dry_run:
        found, copies = before.without_copies(assignment, found)
        others = before.check_parameters(assignment, found, key, names, anyway=anyway)
        remarks = sorted([*remarks, *copies, *others], key=lambda remark: remark.path)
    if no_sandbox:
        console.print(colored("bold red", "No sandbox:", "the notebooks may do all that you may."))
    book = Gradebook(":memory:" if dry_run else out)  # a dry run leaves nothing behind
    with steps(console) as on_step:
        summary = batch.grade(
            assignment, found, book, secret=key, sealed=not no_sandbox, scheduler=scheduler,
            workers=workers, again=again, recalibrate=recalibrate, on_step=on_step,
            parameters=partial(before.own_parameters, assignment) if dry_run else None,
        )  # fmt: skip
    known = [book.standing(assignment, submission, key) for submission in found]
    standings = [standing for standing in known if standing is not None]
    book.close()
    chosen = rules.grades(standings, policy, handed_in_at)
    attempts_made = rules.attempts(standings, chosen, policy)
    if summary.limits:
        console.print(summary.limits, soft_wrap=True)
    if dry_run:
        what_it_sees(console, chosen)
        return
    console.print(
        f"{summary.graded} graded now, {summary.known} known, {len(chosen)} students, "
        f"gradebook {out}."
    )
    absent = sorted(set((names or {}).values()) - {s.student for s in found})
    what_needs_a_word(console, remarks, absent, summary.failed)
    overview(console, chosen)
    hand_back(
        console, assignment, chosen, names, remarks, absent, attempts_made, html=html,
        report=report, canvas=canvas, canvas_column=canvas_column, moodle=moodle,
        gradescope=gradescope,
    )  # fmt: skip
    if summary.failed:
        console.print("Run the same command again to try those once more.")
        raise typer.Exit(1)


def _early_sandbox(context: typer.Context, exercise: Path, sealed: bool) -> Sandbox | None:
    """A sandbox that imports torch while this process does; its lack is reported when it is due."""
    from mobilelab.grading.bubblewrap import NoSandbox
    from mobilelab.grading.sandbox import Sandbox
    from mobilelab.grading.static_imports import modules_of

    with contextlib.suppress(NoSandbox):
        place = Sandbox(modules_of(exercise), sealed=sealed)
        context.call_on_close(place.close)
        place.start()
        return place
    return None
