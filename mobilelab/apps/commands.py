"""``mobilelab app android`` and ``mobilelab app ios``.

torch is imported inside, so that ``mobilelab doctor`` works where torch does not.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mobilelab.core.terminal import Terminal

app = typer.Typer(
    help="Write a ready-made Android or iOS project around your model.", no_args_is_help=True
)

Out = Annotated[Path, typer.Argument(help="The folder to make.")]
Model = Annotated[Path, typer.Option(help="Your .ptl, or .pte for the variant executorch.")]
Variant = Annotated[str, typer.Option(help="The runtime: lite or executorch.")]
DataName = Annotated[str, typer.Option("--dataset", help="What the model was trained on.")]
DataDir = Annotated[Path | None, typer.Option(help="Where downloaded data sets are kept.")]
Labels = Annotated[
    str | None, typer.Option(help="Text file with one label on each line, or a,b,c.")
]
Reference = Annotated[
    Path | None, typer.Option(help="For a .pte without ExecuTorch: the same network, saved.")
]
Name = Annotated[str, typer.Option(help="What stands under the app's icon.")]


@app.command()
def android(
    out: Out,
    model: Model,
    variant: Variant = "lite",
    dataset: DataName = "digits",
    data_dir: DataDir = None,
    labels: Labels = None,
    reference: Reference = None,
    name: Name = "MobileLab",
) -> None:
    """Write an Android project: Kotlin and Gradle."""
    _write("android", out, model, variant, dataset, data_dir, labels, reference, name)


@app.command()
def ios(
    out: Out,
    model: Model,
    variant: Variant = "lite",
    dataset: DataName = "digits",
    data_dir: DataDir = None,
    labels: Labels = None,
    reference: Reference = None,
    name: Name = "MobileLab",
) -> None:
    """Write an iOS project: SwiftUI, and Objective-C++ to LibTorch-Lite."""
    _write("ios", out, model, variant, dataset, data_dir, labels, reference, name)


def _write(
    platform: str, out: Path, model: Path, variant: str, dataset: str, data_dir: Path | None,
    labels: str | None, reference: Path | None, name: str,
) -> None:  # fmt: skip
    from mobilelab import datasets
    from mobilelab.apps import render

    data = datasets.load(dataset, data_dir)
    project = render.make(
        platform, out, model, data, variant=variant, labels=render.read_labels(labels),
        reference=reference, name=name,
    )  # fmt: skip
    recorded = project.vectors
    console = Terminal()
    console.print(f"Wrote {len(project.files)} files into {project.folder}.", soft_wrap=True)
    console.print(
        f"{len(recorded.raw)} test images with their answers are inside, recorded with "
        f"{recorded.recorded_with}; {recorded.accuracy:.1%} of {recorded.images} test images "
        "right.",
        soft_wrap=True,
    )
    console.print(
        "It was not built here. README.md in it says how to build it and what was tested.",
        soft_wrap=True,
    )
