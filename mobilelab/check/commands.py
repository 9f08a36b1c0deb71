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
    from mobilelab.check.runner import Limits
    from mobilelab.check.runner import check as walk
    from mobilelab.check.subject import SubjectError
    from mobilelab.measure.report import Budget

    console = Terminal()
    if expect and expect not in EXPECTATIONS:
        raise typer.BadParameter(f"--expect is one of {', '.join(EXPECTATIONS)}.")
    with console.status(f"Looking at {model}") as status:

        def on_row(row: Row) -> None:
            status.update(f"{row.road}: {row.verdict or row.status}, {row.seconds:.0f} s")

        try:
            report = walk(
                model, examples, out=out, names=[n.strip() for n in roads.split(",") if n.strip()],
                limits=Limits(deadline, memory, seconds), on_row=on_row, task_text=task,
                targets_text=targets, budget=Budget(file_kb=max_kb) if max_kb else None,
            )  # fmt: skip
        except SubjectError as error:
            Terminal(stderr=True).print(colored("red", "Error:", error), soft_wrap=True)
            raise typer.Exit(2) from error
    _show(console, report, json, html)
    failed = unmet(report, expect, max_kb)
    for sentence in failed:
        console.print(colored("red", sentence), soft_wrap=True)
    if failed:
        raise typer.Exit(1)


def _show(console: Terminal, report: Report, json: Path | None, html: Path | None) -> None:
    """Print a report, and write it to where it was asked for."""
    from mobilelab.check import page

    console.print(page.table(report))
    for where, reason in page.reasons(report):
        for line in page.words(where, reason):
            console.print(line, soft_wrap=True)
    console.print(report.advice, soft_wrap=True)
    for path, text in ((json, report.json), (html, lambda: page.page(report))):
        if path is not None:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text(), encoding="utf-8")
            except OSError as error:
                raise MeasureError(
                    f"Cannot write {path} ({error.strerror}); what was found stands above, and "
                    "with --out a second call has it at once."
                ) from error


def unmet(report: Report, expect: str = "", max_kb: float | None = None) -> list[str]:
    """What of an expectation is not met, one sentence each.

    Args:
        report: of the roads that were asked for.
        expect: ``done``: each road ends with a file; ``close``: and its answers are close or the
            same; ``same``: what computes in float answers the same, int8 at least close.
        max_kb: the smallest usable file for phones may weigh this, 1 kB = 1000 bytes.
    """
    from mobilelab.check.advice import ON_PHONES, grave

    found = []
    for row in report.rows if expect else ():
        if row.status in ("not for this network", "not installed"):
            continue
        good = row.status == "done"
        if expect != "done":
            wanted = ("same",) if expect == "same" and row.exact else ("same", "close")
            good = good and row.verdict in wanted and not grave(row)
        if not good:
            causes = ", ".join(grave(row)) if expect != "done" else ""
            but = f", but {causes}" if causes else ""
            found.append(f"{row.road}: expected {expect}, is {row.verdict or row.status}{but}.")
    if max_kb is not None:
        shipped = (row for row in report.rows if row.file.endswith(ON_PHONES) and not grave(row))
        sizes = [row.file_kb for row in shipped if row.usable and row.file_kb is not None]
        if not sizes or min(sizes) > max_kb:
            smallest = f"{min(sizes):.0f} kB" if sizes else "none"
            found.append(f"The smallest usable file is {smallest}, more than {max_kb:.0f} kB.")
    return found
