"""The ``mobilelab`` command."""

from __future__ import annotations

import gc
import sys
import warnings
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from mobilelab import __version__
from mobilelab.apps import commands as apps
from mobilelab.cli import checking, homework
from mobilelab.cli import doctor as clinic
from mobilelab.core.errors import MobileLabError
from mobilelab.core.terminal import Terminal, colored
from mobilelab.phone import commands as phone
from mobilelab.rescue import commands as rescuing

app = typer.Typer(
    help="MobileLab: put a PyTorch model on a phone, measured at every step.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


@app.callback(invoke_without_command=True)
def _main(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False):
    if version:
        Terminal().print(__version__)
        raise typer.Exit


@app.command()
def doctor() -> None:
    """Is this machine ready for the course? Exit status 0 if nothing that is needed is missing."""
    console = Terminal()
    table = Table(title="MobileLab doctor")
    table.add_column("check")
    table.add_column("")
    table.add_column("found", overflow="fold")
    findings = clinic.examine()
    for finding in findings:
        needed = finding.group == "needed"
        lacks = colored("red", "no") if needed else colored("yellow", "MISSING")
        table.add_row(finding.name, colored("green", "ok") if finding.ok else lacks, finding.detail)
    console.print(table)
    ill = clinic.ill(findings)
    for finding in ill:
        console.print(colored("red", f"{finding.name}:", finding.fix), soft_wrap=True)
    if ill:
        raise typer.Exit(1)
    console.print("All well. make lab opens the course.")


@app.command()
def tour(
    out: Annotated[Path, typer.Option(help="Folder for the files and results.")] = Path("out/tour"),
    dataset: Annotated[
        str, typer.Option(help="digits (bundled), mnist, fashion-mnist or cifar10.")
    ] = "digits",
    data_dir: Annotated[
        Path | None, typer.Option(help="Where downloaded data sets are kept.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of every training in the walk.")] = 0,
    train: Annotated[
        bool, typer.Option("--train", help="Train from scratch instead of the bundled weights.")
    ] = False,
    quick: Annotated[bool, typer.Option("--quick", help="Train for fewer epochs.")] = False,
) -> None:
    """Walk from training to the lite interpreter, and measure every step."""
    from mobilelab.course import tour as walk

    walk.run(out, dataset=dataset, data_dir=data_dir, seed=seed, train=train, quick=quick)


app.command()(homework.secret)
app.command("release")(homework.hand_out)
app.command()(homework.grade)
app.command()(checking.check)
app.command()(rescuing.rescue)
app.add_typer(apps.app, name="app")
app.add_typer(phone.app, name="phone")


def main() -> None:
    """Run the command; an error that MobileLab raised on purpose is one sentence."""
    # TorchScript, eager quantization and the lite interpreter are deprecated; the README and
    # chapter 02 say so once, a terminal need not repeat it.
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    try:
        app()
    except MobileLabError as error:
        Terminal(stderr=True).print(colored("red", "Error:", error), soft_wrap=True)
        sys.exit(1)
    finally:
        gc.freeze()  # or Python looks for garbage in all of torch before it ends: half a second


if __name__ == "__main__":
    main()
