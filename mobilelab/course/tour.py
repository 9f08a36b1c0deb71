"""The whole walk without a browser: build every variant, measure it, write it all down."""

from __future__ import annotations

from pathlib import Path

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from mobilelab import datasets, measure
from mobilelab.core.errors import MobileLabError
from mobilelab.core.terminal import Terminal
from mobilelab.course import plots
from mobilelab.course.widgets import TradeoffExplorer
from mobilelab.course.widgets.page import document
from mobilelab.measure import report
from mobilelab.models import TinyMobileNet
from mobilelab.recipes import training, variants


def _progress(console: Console) -> Progress:
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        console=console,
    )


def run(
    out: Path,
    *,
    dataset: str = "digits",
    data_dir: Path | None = None,
    seed: int = 0,
    train: bool = False,
    quick: bool = False,
    console: Console | None = None,
) -> report.Results:
    """Walk from training to the lite interpreter and write the results into ``out``.

    Args:
        out: folder for model files, ``results.csv`` and ``.json``, ``tradeoff.png``, a page.
        dataset: a name of :data:`mobilelab.datasets.NAMES`.
        data_dir: where downloaded data sets are kept.
        seed: for every training in the walk.
        train: train from scratch even where bundled weights exist.
        quick: fewer epochs.
        console: where progress and the table go.

    Returns:
        The table.

    Raises:
        MobileLabError: no data, no place to write, or a variant that must give the float
            model's answers and does not.
    """
    console = console or Terminal()
    _writable(out)
    with _progress(console) as progress:
        data, model = _start(progress, dataset, data_dir, seed, train, quick)
        torch.set_num_threads(1)  # as the budget counts; and two spin when the host is busy
        step = progress.add_task("building", total=len(variants.WALK))
        built = variants.build_all(
            model,
            data,
            out,
            variants.WALK,
            seed=seed,
            on_step=lambda name: progress.update(step, advance=1, description=f"building {name}"),
        )
        step = progress.add_task("measuring", total=3)
        records = variants.measure_all(
            built,
            model,
            data,
            on_step=lambda what: progress.update(step, advance=1, description=f"measuring {what}"),
        )
    results = report.Results(records, report.COURSE)
    _write(results, title := f"The walk on {dataset}", out)
    _tell(results, title, out, console)
    lossless = {variant.name for variant in variants.WALK if variant.lossless}
    wrong = [r.variant for r in records if r.variant in lossless and r.verdict != "same"]
    if wrong:
        raise MobileLabError(
            f"{', '.join(wrong)} should answer exactly as the float model and does not; "
            "do not ship it, and please report this with results.json."
        )
    return results


def _start(
    progress: Progress, dataset: str, data_dir: Path | None, seed: int, train: bool, quick: bool
) -> tuple[datasets.Dataset, TinyMobileNet]:
    """The data, and the float model that the walk begins with."""
    step = progress.add_task("loading the data", total=None)
    data = datasets.load(dataset, data_dir)
    epochs = training.QUICK_EPOCHS if quick else training.EPOCHS
    if train or dataset != "digits":
        progress.update(step, description="training", total=epochs)
        model = training.train(
            data,
            seed=seed,
            quick=quick,
            on_epoch=lambda e: progress.update(
                step, advance=1, description=f"training, loss {e.loss:.3f}"
            ),
        )
    else:
        model = training.starting_model(data)
        progress.update(step, description="loaded the bundled weights", total=1, completed=1)
    return data, model


def _write(results: report.Results, title: str, out: Path) -> None:
    """The table, its picture, and the explorer as a page that needs nothing else."""
    (out / "results.csv").write_text(results.csv())
    (out / "results.json").write_text(results.json())
    plots.tradeoff(results.records, report.COURSE).savefig(out / "tradeoff.png")
    explorer = TradeoffExplorer(results.records, report.COURSE)
    page = document(title, explorer.static())
    (out / "explorer.html").write_text(page, encoding="utf-8")


def _tell(results: report.Results, title: str, out: Path, console: Console) -> None:
    """The table in the terminal, and how to read it."""
    console.print(results.rich(title))
    console.print(f"Budget: {report.COURSE}.")
    for line in results.verdicts():
        console.print(f"  {line}", highlight=False)
    console.print(
        "same?: outputs against the float model (rel. and max: relative L2 error and largest "
        "difference; agree: equal predictions). MiB: peak memory above bare torch."
    )
    console.print(f"Measured here: {measure.host()}. A phone will give other times.")
    console.print(f"Files, results.csv, results.json, tradeoff.png and explorer.html are in {out}.")


def _writable(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
        probe = out / ".mobilelab"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise MobileLabError(
            f"Cannot write into {out} ({error.strerror}); name another folder with --out."
        ) from error
