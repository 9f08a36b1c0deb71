"""What the model answers in Python, on a few raw images: the test vectors of an app.

An app repeats the preprocessing in another language, and that is where it usually goes wrong
(chapter 05). So each vector holds the *raw* image, the network input that Python made of it, and
the scores. The app runs the raw image through its own code and compares both.
"""

from __future__ import annotations

import base64
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from mobilelab import measure, runtimes
from mobilelab.apps import AppError
from mobilelab.core.errors import MissingRuntimeError, ShapeError
from mobilelab.datasets import Dataset

#: Largest difference of one input value that still is float32 rounding (values are about 1).
INPUT_TOLERANCE = 1e-5
#: Relative L2 error of all scores that still is another order of float32 sums. See ``parity.SAME``.
FLOAT_TOLERANCE = 1e-4
#: The same for int8, where a rounding that tips over is a whole quantum. Below what a std that is
#: 1 % off does to the digits model (0.02), and also taken where the types are not known: a .pte for
#: Core ML, or one that could not be asked.
INT8_TOLERANCE = 0.01


@dataclass(frozen=True)
class Vectors:
    """Recorded images, one for each class, and what was recorded about the whole test split."""

    raw: Tensor
    """uint8, shape ``(n, channels, height, width)``: before preprocessing."""
    inputs: Tensor
    """float32, shape ``(n, channels, size, size)``: after it."""
    outputs: Tensor
    """float32, shape ``(n, classes)``: scores."""
    labels: Tensor
    """int64, shape ``(n,)``."""
    output_tolerance: float
    """Relative L2 error of the scores up to which an app passes."""
    recorded_with: str
    """Which runtime answered."""
    accuracy: float
    """Share of right answers on the whole test split, 0 to 1."""
    images: int
    """Number of images in the test split."""

    def as_json(self) -> dict:
        """Everything as plain numbers and text; arrays as base64, float32 little-endian."""
        return {
            "recorded_with": self.recorded_with,
            "raw_shape": list(self.raw.shape[1:]),
            "input_shape": list(self.inputs.shape[1:]),
            "input_tolerance": INPUT_TOLERANCE,
            "output_tolerance": self.output_tolerance,
            "test_accuracy": round(self.accuracy, 4),
            "test_images": self.images,
            "vectors": [
                {
                    "label": int(label),
                    "raw": _base64(raw.numpy().tobytes()),
                    "input": _base64(x.numpy().astype("<f4").tobytes()),
                    "output": _base64(scores.numpy().astype("<f4").tobytes()),
                }
                for label, raw, x, scores in zip(
                    self.labels, self.raw, self.inputs, self.outputs, strict=True
                )
            ],
        }


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


def record(
    model: str | Path,
    data: Dataset,
    labels: Sequence[str],
    *,
    reference: str | Path | None = None,
    guessing: bool = False,
) -> Vectors:
    """Run the model on the first test image of each class.

    Args:
        model: a model file, run by the runtime of its ending.
        data: its test split and preprocessing are what the app gets.
        labels: names of the classes, in the order of the scores.
        reference: where the file's runtime is not installed: a saved file of the same
            network (see :func:`mobilelab.runtimes.load`) whose answers count as right.
        guessing: take a model that is no better than guessing, too.

    Raises:
        ModelFileError: if the file is not what its name says.
        ShapeError: if the model does not fit the data or the labels.
        AppError: if there is no runtime to ask, or the model is no better than guessing.
    """
    path = Path(model)
    run, quantized, recorded_with = _runtime(path, data, reference)
    chosen = [int((data.test.labels == label).nonzero()[0]) for label in data.test.labels.unique()]
    _try_one(run, path, data, labels)
    scores = measure.scores(run, data.test.images)
    right = measure.accuracy(scores, data.test.labels)
    if not torch.isfinite(scores).all() or (right < 2 / len(labels) and not guessing):
        raise AppError(
            f"{path.name} gets {right:.1%} of the {len(data.test)} test images of {data.name} "
            "right, which is guessing; give the data set that it was trained on with --dataset, "
            "and check its answers (chapter 04)."
        )
    return Vectors(
        raw=data.test.raw[chosen],
        inputs=data.test.images[chosen],
        outputs=scores[chosen].float(),
        labels=data.test.labels[chosen],
        output_tolerance=INT8_TOLERANCE if quantized else FLOAT_TOLERANCE,
        recorded_with=recorded_with,
        accuracy=right,
        images=len(data.test),
    )


def _try_one(
    run: Callable[[Tensor], Tensor], path: Path, data: Dataset, labels: Sequence[str]
) -> None:
    image = data.test.images[:1]
    shape = f"(1, {', '.join(map(str, image.shape[1:]))})"
    try:
        scores = run(image.clone())
    except ShapeError as error:
        raise ShapeError(
            f"{path.name} does not run on an image of {data.name}, shape {shape}, and the app is "
            f"for images and class scores: {error}"
        ) from error
    got = tuple(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
    if got != (1, len(labels)):
        raise ShapeError(
            f"{path.name} answers an image of {data.name} with {got} instead of scores of shape "
            f"(1, {len(labels)}), one for each of the {len(labels)} labels; give its own labels "
            "with --labels, or its own data set with --dataset."
        )


def _runtime(
    path: Path, data: Dataset, reference: str | Path | None
) -> tuple[Callable[[Tensor], Tensor], bool, str]:
    """How to run the file, whether it is int8, and the name of what runs it."""
    kind = runtimes.kind(path)
    kind.check(path)
    if reference is not None:
        run = runtimes.load(reference)
        by = f"{Path(reference).name} in {run.title()}"
        return run.predict, True, f"{by} {where()}, not by the {kind.suffix} itself"
    try:
        run = runtimes.load(path)
    except MissingRuntimeError as error:
        raise AppError(
            f"{kind.runtime} is not installed here, so {path.name} cannot be asked for its "
            "answers; install it (make runtimes), or give a saved file of the same network with "
            "--reference."
        ) from error
    channels = run.input_channels
    if channels is not None and channels != data.channels:
        raise ShapeError(
            f"{path.name} wants images with {channels} channels but those of {data.name} have "
            f"{data.channels}; give the data set that it was trained on with --dataset."
        )
    inside = run.inspect()
    return run.predict, inside.quantized or not inside.dtypes, f"{run.title()} {where()}"


def where() -> str:
    """The computer that answers, in words."""
    return f"on {platform.system()} {platform.machine()}"
