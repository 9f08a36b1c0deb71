"""``mobilelab check``: anybody's model on every road, on the command line.

torch is imported inside the command, so that the others stay quick.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mobilelab.core.errors import MeasureError
from mobilelab.core.terminal import Terminal, colored

if TYPE_CHECKING:
    from mobilelab.check.results import Report, Row
    from mobilelab.measure.report import Budget

#: What ``--expect`` may ask for, the strictest first.
EXPECTATIONS = ("same", "close", "done")


def check(
    model: Annotated[str, typer.Argument(help="PACKAGE.MODULE:MODEL or FILE.py:MODEL.")],
    examples: Annotated[
        list[str] | None,
        typer.Option(help="A shape and type for each input (1,3,224,224:float32), a .pt or .npy "
                     "file, or :NAME beside the model. Without it, EXAMPLES beside the model."),
    ] = None,
    task: Annotated[
        str, typer.Option(help="What answers are for: classification, ..., or :TASK.")
    ] = "",
    targets: Annotated[str, typer.Option(help=":TARGETS beside the model, or a file.")] = "",
    roads: Annotated[str, typer.Option(help="Roads or groups, with commas between.")] = "all",
    expect: Annotated[
        str, typer.Option(help="Exit status 1 unless every road walked is: same, close or done.")
    ] = "",
    max_kb: Annotated[
        float | None, typer.Option(help="Exit status 1 unless a usable file for phones is as "
                                   "small; also the budget of the recommendation.")
    ] = None,
    json: Annotated[Path | None, typer.Option(help="Write the report there.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write a page there.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Keep files and rows there, and go on from them.")
    ] = None,
    deadline: Annotated[float, typer.Option(help="Seconds for each road.", min=1)] = 180,
    memory: Annotated[float, typer.Option(help="MiB for each road.", min=256)] = 4096,
    seconds: Annotated[float, typer.Option(help="Seconds to time each file for.")] = 0.5,
) -> None:  # fmt: skip
    """What becomes of a model on every road to a phone, and why.

    Exit status 1 if --expect or --max-kb are not met, 2 if the model cannot be checked.
    """
    from mobilelab.check import advice
    from mobilelab.check.runner import Limits
    from mobilelab.check.runner import check as walk
    from mobilelab.check.subject import SubjectError
    from mobilelab.measure.report import Budget

    console = Terminal()
    budget = Budget() if max_kb is None else Budget(file_kb=max_kb)
    if expect and expect not in EXPECTATIONS:
        raise typer.BadParameter(f"--expect is one of {', '.join(EXPECTATIONS)}.")
    with console.status(f"Looking at {model}") as status:

        def on_row(row: Row) -> None:
            status.update(f"{row.road}: {row.verdict or row.status}, {row.seconds:.0f} s")

        try:
            report = walk(
                model, examples, out=out, names=[n.strip() for n in roads.split(",") if n.strip()],
                limits=Limits(deadline, memory, seconds), on_row=on_row, task_text=task,
                targets_text=targets, budget=budget,
            )  # fmt: skip
        except SubjectError as error:
            Terminal(stderr=True).print(colored("red", "Error:", error), soft_wrap=True)
            raise typer.Exit(2) from error
    _show(console, report, json, html, budget)
    failed = advice.unmet(report, expect, max_kb)
    for sentence in failed:
        console.print(colored("red", sentence), soft_wrap=True)
    if failed:
        raise typer.Exit(1)


def _show(
    console: Terminal, report: Report, json: Path | None, html: Path | None, budget: Budget
) -> None:
    """Print a report, and write it to where it was asked for."""
    from mobilelab.check import page

    console.print(page.table(report))
    for where, reason in page.reasons(report):
        for line in page.words(where, reason):
            console.print(line, soft_wrap=True)
    console.print(report.advice, soft_wrap=True)

    def whole_page() -> str:
        from mobilelab.course.widgets import checked

        return checked.page(report, budget)

    for path, text in ((json, report.json), (html, whole_page)):
        if path is not None:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text(), encoding="utf-8")
            except OSError as error:
                raise MeasureError(
                    f"Cannot write {path} ({error.strerror}); what was found stands above, and "
                    "with --out a second call has it at once."
                ) from error
