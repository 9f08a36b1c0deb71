"""Write an Android or iOS project around a model.

The templates in ``templates/<platform>/`` are ordinary source files. ``common`` goes into every
project; on top of it ``images`` (raw pixels to a label), ``detection`` (raw pixels to boxes), both
with ``pictures``, or ``tensors`` (any inputs, any answers), and the runtime's own, such as
``lite``. Only files that end in ``.j2`` have something to fill in.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

import torch
from jinja2 import Environment, StrictUndefined

import mobilelab
from mobilelab import runtimes
from mobilelab.apps import AppError, detection, tensors, vectors
from mobilelab.apps.labels import check_labels
from mobilelab.core.errors import ModelFileError
from mobilelab.datasets import Dataset
from mobilelab.datasets.letterbox import Letterbox
from mobilelab.datasets.scenes import Scene
from mobilelab.runtimes import Session
from mobilelab.runtimes.elsewhere import InApp
from mobilelab.tasks.boxes import Chooser

PLATFORMS = ("android", "ios")
ASSETS = {"android": "app/src/main/assets", "ios": "Assets"}
#: What PyTorch's speed_benchmark calls the types that it can make.
_BENCHMARK_TYPES = {torch.float32: "float", torch.int64: "int64", torch.uint8: "uint8_t"}
_TEMPLATES = Path(__file__).parent / "templates"
#: What goes into a project of each kind, between ``common`` and the runtime.
_LAYERS = {
    "images": ("pictures", "images"), "detection": ("pictures", "detection"),
    "tensors": ("tensors",),
}  # fmt: skip
_Recorded = TypeVar("_Recorded", vectors.Vectors, tensors.Cases, detection.Detections)


@dataclass(frozen=True)
class Project(Generic[_Recorded]):
    """A project that was written."""

    folder: Path
    files: tuple[Path, ...]
    """Relative to the folder, sorted."""
    vectors: _Recorded


def variants() -> dict[str, type[Session]]:
    """The runtimes that an app can have, by what ``--variant`` calls them."""
    return {kind.in_app.name: kind for kind in runtimes.kinds() if kind.in_app}


def make(
    platform: str,
    out: str | Path,
    model: str | Path,
    data: Dataset,
    *,
    variant: str = "lite",
    labels: Sequence[str] | None = None,
    reference: str | Path | None = None,
    guessing: bool = False,
    name: str = "MobileLab",
) -> Project[vectors.Vectors]:
    """Write a project for images and labels, which compares itself with Python.

    Args:
        platform: ``android`` or ``ios``.
        out: the folder to make; one that is there already has to be empty.
        model: a file of the variant, for example a ``.ptl`` for ``lite``.
        data: the data set that the model was trained on; its preprocessing goes into the app.
        variant: which runtime the app uses.
        labels: names of the classes, in the order of the scores; those of the data set by default.
        reference: see :func:`mobilelab.apps.vectors.record`.
        guessing: see there, too.
        name: what stands under the app's icon.

    Raises:
        AppError: for a folder that is not empty or cannot be written, or an unknown choice.
        ModelFileError: if the model is not a file for that variant.
        ShapeError: if it does not fit the data or the labels.
    """
    out, model = Path(out), Path(model)
    labels = tuple(data.classes if labels is None else labels)
    _check(platform, variant, out, model)
    _check_images(data, labels)
    recorded = vectors.record(model, data, labels, reference=reference, guessing=guessing)
    facts = {
        "kind": "images",
        "dataset": data.name,
        "preprocessing": data.preprocessing,
        "labels": labels,
        "recorded": recorded,
    }
    assets = {
        "labels.txt": "".join(f"{label}\n" for label in labels),
        "preprocessing.json": _json(_preprocessing(data)),
    }
    return _write(platform, variant, out, model, name, facts, assets)


def make_for_tensors(
    platform: str,
    out: str | Path,
    model: str | Path,
    examples: Sequence[Any],
    *,
    variant: str = "lite",
    name: str = "MobileLab",
) -> Project[tensors.Cases]:
    """Write a project for any inputs and answers, which compares itself with Python.

    Args:
        platform: ``android`` or ``ios``.
        out: the folder to make; one that is there already has to be empty.
        model: a file of the variant, for example a ``.ptl`` for ``lite``.
        examples: see :func:`mobilelab.apps.tensors.record`.
        variant: which runtime the app uses.
        name: what stands under the app's icon.

    Raises:
        AppError: for a folder that is not empty or cannot be written, or an unknown choice.
        ModelFileError: if the model is not a file for that variant.
        ShapeError: if an example does not fit it.
    """
    out, model = Path(out), Path(model)
    _check(platform, variant, out, model)
    recorded = tensors.record(model, examples)
    inputs = recorded.examples[0].leaves().values()
    facts = {
        "kind": "tensors",
        "recorded": recorded,
        "input_dims": ";".join(",".join(map(str, leaf.shape)) for leaf in inputs),
        "input_types": ";".join(_BENCHMARK_TYPES.get(leaf.dtype, "float") for leaf in inputs),
    }
    return _write(platform, variant, out, model, name, facts, {})


def make_for_detection(
    platform: str,
    out: str | Path,
    model: str | Path,
    scenes: Sequence[Scene],
    labels: Sequence[str],
    *,
    letterbox: Letterbox,
    chooser: Chooser,
    variant: str = "lite",
    name: str = "MobileLab",
) -> Project[detection.Detections]:
    """Write a project for photographs and boxes, which compares each step with Python (lab 03).

    Args:
        platform: ``android`` or ``ios``.
        out: the folder to make; one that is there already has to be empty.
        model: see :func:`mobilelab.apps.detection.record`, as the next four.
        scenes: photographs with their boxes.
        labels: names of the classes.
        letterbox: from a photograph to the input.
        chooser: from the outputs to boxes.
        variant: which runtime the app uses.
        name: what stands under the app's icon.

    Raises:
        AppError: for a folder that is not empty or cannot be written, or an unknown choice.
        ModelFileError: if the model is not a file for that variant.
        ShapeError: if it is no detector for these labels.
    """
    out, model = Path(out), Path(model)
    _check(platform, variant, out, model)
    check_labels(labels)
    recorded = detection.record(model, scenes, labels, letterbox, chooser)
    facts = {"kind": "detection", "labels": labels, "recorded": recorded}
    assets = {
        "labels.txt": "".join(f"{label}\n" for label in labels),
        "detection.json": _json(recorded.facts()),
    }
    return _write(platform, variant, out, model, name, facts, assets)


def _write(
    platform: str, variant: str, out: Path, model: Path, name: str, facts: dict[str, Any],
    assets_text: dict[str, str],
) -> Project[Any]:  # fmt: skip
    """Render the templates of one kind of app, and put the model and what was recorded in."""
    runtime = variants()[variant]
    app = cast(InApp, runtime.in_app)
    operators = runtime.operator_list(model)
    recorded, kind = facts["recorded"], facts["kind"]
    facts = facts | {
        "platform": platform,
        "variant": variant,
        "name": name,
        "model_file": f"model{runtime.suffix}",
        "model_suffix": runtime.suffix.removeprefix("."),
        "model_kb": model.stat().st_size / 1000,
        "android_runtime": app.android,
        "ios_branch": app.ios,
        "operators": operators,
        "version": mobilelab.__version__,
    }
    files: dict[str, str] = {}
    layers = [_TEMPLATES / platform / layer for layer in ("common", *_LAYERS[kind])]
    if app.templates is None:  # the README there tells of these runtimes only
        layers.append(_TEMPLATES / "shared")
    layers.append((app.templates or _TEMPLATES) / platform / variant)
    for layer in layers:
        files |= dict(_rendered(layer, facts))
    assets = ASSETS[platform]
    files |= {f"{assets}/{file}": text for file, text in assets_text.items()}
    files[f"{assets}/vectors.json"] = _json(recorded.as_json())
    if operators:
        files["operators.yaml"] = "".join(f"- {operator}\n" for operator in operators)
    try:
        for path, text in files.items():
            (out / path).parent.mkdir(parents=True, exist_ok=True)
            (out / path).write_text(text, encoding="utf-8")
        shutil.copyfile(model, out / assets / facts["model_file"])
    except OSError as error:
        raise AppError(
            f"Cannot write the project into {out}: {error.strerror}; choose a folder that you may "
            "write to."
        ) from error
    written = (*map(Path, files), Path(assets, facts["model_file"]))
    return Project(out, tuple(sorted(written)), recorded)


def _check(platform: str, variant: str, out: Path, model: Path) -> None:
    if platform not in PLATFORMS:
        raise AppError(f"There is no platform {platform!r}; choose one of {', '.join(PLATFORMS)}.")
    if variant not in variants():
        names = ", ".join(variants())
        raise AppError(f"There is no variant {variant!r}; choose one of {names}.")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise AppError(f"{out} is there already and not an empty folder; name a new one.")
    if not model.is_file():
        raise ModelFileError(f"There is no file {model}; save the model first (chapter 05).")
    wanted, found = variants()[variant], runtimes.kind(model)
    if found is not wanted:
        other = f"use --variant {found.in_app.name}" if found.in_app else (
            f"no app has {found.runtime}: they run "
            + ", ".join(f"{kind.suffix} ({name})" for name, kind in variants().items())
        )  # fmt: skip
        raise ModelFileError(
            f"{model.name} is for {found.runtime}, and {wanted.runtime} cannot read it; {other}."
        )
    wanted.check(model)


def _check_images(data: Dataset, labels: Sequence[str]) -> None:
    check_labels(labels)
    if data.preprocessing.mode != "bilinear":
        raise AppError(
            f"The apps resize bilinearly, and {data.name} is resized with "
            f"{data.preprocessing.mode!r}; change ml_prepare and Preprocessing.kt first."
        )


def _rendered(folder: Path, facts: dict) -> list[tuple[str, str]]:
    """Every template below a folder: path inside the project, text."""
    environment = Environment(
        undefined=StrictUndefined, keep_trailing_newline=True, trim_blocks=True, lstrip_blocks=True
    )  # autoescape is off: these are sources, and the few XML and YAML values escape themselves
    made = []
    for source in sorted(path for path in folder.rglob("*") if path.is_file()):
        text = source.read_text(encoding="utf-8")
        inside = source.relative_to(folder)
        if source.suffix == ".j2":
            text, inside = environment.from_string(text).render(facts), inside.with_suffix("")
        if inside.name == "dot-gitignore":
            inside = inside.with_name(".gitignore")
        made.append((inside.as_posix(), text))
    return made


def _preprocessing(data: Dataset) -> dict:
    order = "grey" if data.channels == 1 else "RGB"
    facts = asdict(data.preprocessing)
    return {**facts, "align_corners": False, "layout": "NCHW", "channel_order": order}


def _json(facts: dict) -> str:
    return json.dumps(facts, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
