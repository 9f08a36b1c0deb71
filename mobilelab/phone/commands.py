"""``mobilelab phone fetch``, ``run`` and ``cores``: the virtual phone on the command line.

torch is imported inside the commands, so that the others stay quick.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from mobilelab.core.errors import MobileLabError
from mobilelab.core.terminal import Terminal

if TYPE_CHECKING:
    from torch import Tensor

app = typer.Typer(
    help="The virtual phone: the three runtimes on an emulated ARM core.",
    no_args_is_help=True,
)


class InputError(MobileLabError):
    """The command was given images that it cannot use."""


@app.command()
def fetch(
    runtime: Annotated[
        str, typer.Option(help="`executorch` or `litert` adds what a .pte or a .tflite needs.")
    ] = "lite",
) -> None:
    """Bring the parts of the virtual phone, once. Nothing is installed into the system."""
    from mobilelab.phone import cache, software
    from mobilelab.phone import fetch as fetching
    from mobilelab.phone.lock import parts

    console, wanted = Terminal(), software.named(runtime)
    names = dict.fromkeys((software.OWN, wanted.name))
    if all(cache.ready(name) for name in names):
        console.print("The virtual phone is here already.")
        return
    for name in names:
        fetching.fetch(console, parts(runtime=name))
    ending = software.suffix(wanted.name)
    console.print(f"The virtual phone is here. mobilelab phone run model{ending} starts it.")


@app.command()
def cores() -> None:
    """List the cores that the phone can have."""
    from mobilelab.phone.cores import CORES

    table = Table(title="Emulated cores")
    for name in ("name", "core", "features that kernels ask for"):
        table.add_column(name, overflow="fold")
    for name, core in CORES.items():
        table.add_row(name, core.title, core.features)
    Terminal().print(table)


@app.command()
def run(
    model: Annotated[Path, typer.Argument(help="The .ptl, .pte or .tflite.")],
    images: Annotated[
        Path | None,
        typer.Option("--input", help="Examples, n of them on the first axis, such as float32 "
                     "images (n, c, h, w): .npy, or .pt of one tensor or a list of them, one for "
                     "each input. Without it, the test split of the bundled digits."),
    ] = None,
    cpu: Annotated[str | None, typer.Option(help="One of `mobilelab phone cores`.")] = None,
    batch: Annotated[
        int, typer.Option(help="Examples per inference, fewer where the file takes fewer.", min=1)
    ] = 50,
    count: Annotated[
        bool, typer.Option("--count", help="Count the ARM instructions of one inference.")
    ] = False,
) -> None:  # fmt: skip
    """Run a .ptl, .pte or .tflite on the virtual phone and on this computer, and compare.

    Exit status 1 if the phone's runtime refuses the file or the answers differ.
    """
    from mobilelab.phone import software
    from mobilelab.phone.machine import Phone

    console = Terminal()
    x, labels = _images(images)
    runtime = software.for_file(model.suffix).name
    with Phone(cpu, counting=count, runtime=runtime) as phone:
        from mobilelab.phone.compare import compare

        with console.status(f"Switching on a {phone.cpu}"):
            about = phone.about()
        engine = "" if phone.engine is None else f", engine {phone.engine}"
        console.print(f"{phone.cpu}, {about['runtime']}{engine}")
        with console.status(f"Running {len(x[0])} examples"):
            result = compare(model, x, labels, phone, batch)
        table = Table(title=result.file, show_header=False)
        if result.bytecode_version is not None:
            table.add_row("bytecode", str(result.bytecode_version))
        table.add_row("operators", f"{len(result.operators)}")
        if result.refusal is not None:
            table.add_row("refused", result.refusal)
            table.add_row("operators it lacks", ", ".join(result.missing) or "it names none")
        else:
            table.add_row("answers", result.verdict)
            table.add_row("largest difference", f"{result.max_abs:.1e}")
            table.add_row("relative error", f"{result.rel_l2:.1e}")
            table.add_row("same predictions", f"{result.agreement:.1%} of {result.images}")
            if images is None:
                table.add_row("right, here", f"{result.host_accuracy:.1%}")
                table.add_row("right, on the phone", f"{result.phone_accuracy:.1%}")
        if count and result.refusal is None:
            with console.status("Counting"):
                table.add_row(
                    "one inference", str(phone.count(model, [one[:1].numpy() for one in x]))
                )
        console.print(table)
    if not result.ok:
        raise typer.Exit(1)


def _images(path: Path | None) -> tuple[list[Tensor], Tensor | None]:
    """Inputs and, for the bundled digits, their labels."""
    import numpy as np
    import torch

    if path is None:
        from mobilelab import datasets

        test = datasets.load("digits").test
        return [test.images], test.labels
    try:
        if path.suffix == ".npy":
            found = torch.from_numpy(np.load(path, allow_pickle=False))
        else:
            found = torch.load(path, weights_only=True)
        inputs = [found] if isinstance(found, torch.Tensor) else list(found)
        if not all(isinstance(x, torch.Tensor) and x.ndim for x in inputs):
            raise ValueError("it does not hold tensors with the examples on their first axis")
    except Exception as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(
            f"Cannot use {path.name} as input ({first}); save a tensor such as float32 images of "
            "shape (n, channels, height, width) with numpy.save or torch.save, or a list of them "
            "with torch.save."
        ) from error
    return [x.contiguous() for x in inputs], None
