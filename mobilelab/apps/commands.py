"""``mobilelab app android`` and ``mobilelab app ios``.

torch is imported inside, so that ``mobilelab doctor`` works where torch does not.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mobilelab.apps import AppError
from mobilelab.core.terminal import Terminal

app = typer.Typer(
    help="Write a ready-made Android or iOS project around your model.", no_args_is_help=True
)

Out = Annotated[Path, typer.Argument(help="The folder to make.")]
Model = Annotated[Path, typer.Option(help="Your model, a .ptl or what the variant reads.")]
Variant = Annotated[str, typer.Option(help="The runtime, such as lite or executorch.")]
DataName = Annotated[str, typer.Option("--dataset", help="What the model was trained on.")]
DataDir = Annotated[Path | None, typer.Option(help="Where downloaded data sets are kept.")]
Labels = Annotated[
    str | None, typer.Option(help="Text file with one label on each line, or a,b,c.")
]
Reference = Annotated[
    Path | None, typer.Option(help="If the runtime is not installed: the same network, saved.")
]
Examples = Annotated[
    Path | None,
    typer.Option(help="For a model of anything: a list of its inputs, saved by torch.save."),
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
    examples: Examples = None,
    name: Name = "MobileLab",
) -> None:
    """Write an Android project: Kotlin and Gradle."""
    _write("android", out, model, variant, dataset, data_dir, labels, reference, examples, name)


@app.command()
def ios(
    out: Out,
    model: Model,
    variant: Variant = "lite",
    dataset: DataName = "digits",
    data_dir: DataDir = None,
    labels: Labels = None,
    reference: Reference = None,
    examples: Examples = None,
    name: Name = "MobileLab",
) -> None:
    """Write an iOS project: SwiftUI, and Objective-C++ to LibTorch-Lite."""
    _write("ios", out, model, variant, dataset, data_dir, labels, reference, examples, name)


def _write(
    platform: str, out: Path, model: Path, variant: str, dataset: str, data_dir: Path | None,
    labels: str | None, reference: Path | None, examples: Path | None, name: str,
) -> None:  # fmt: skip
    from mobilelab import datasets
    from mobilelab.apps import render, tensors
    from mobilelab.apps.labels import read_labels

    console = Terminal()
    if examples is not None:
        if labels is not None or reference is not None or dataset != "digits":
            raise AppError(
                "--examples is for a model of anything; labels, a data set and a reference belong "
                "to images. Leave out one or the other."
            )
        given = tensors.read_examples(examples)
        written = render.make_for_tensors(platform, out, model, given, variant=variant, name=name)
        cases = written.vectors
        console.print(f"Wrote {len(written.files)} files into {written.folder}.", soft_wrap=True)
        console.print(
            f"{len(cases.examples)} of {len(given)} examples with their answers are inside, "
            f"recorded with {cases.recorded_with}.",
            soft_wrap=True,
        )
        _not_built(console)
        return
    data = datasets.load(dataset, data_dir)
    project = render.make(
        platform, out, model, data, variant=variant, labels=read_labels(labels),
        reference=reference, name=name,
    )  # fmt: skip
    recorded = project.vectors
    console.print(f"Wrote {len(project.files)} files into {project.folder}.", soft_wrap=True)
    console.print(
        f"{len(recorded.raw)} test images with their answers are inside, recorded with "
        f"{recorded.recorded_with}; {recorded.accuracy:.1%} of {recorded.images} test images "
        "right.",
        soft_wrap=True,
    )
    _not_built(console)


def _not_built(console: Terminal) -> None:
    console.print(
        "It was not built here. README.md in it says how to build it and what was tested.",
        soft_wrap=True,
    )
