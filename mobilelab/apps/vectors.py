"""What the model answers in Python, on a few raw images: the test vectors of an app.

An app repeats the preprocessing in another language, and that is where it usually goes wrong
(chapter 05). So each vector holds the *raw* image, the network input that Python made of it, and
the scores. The app runs the raw image through its own code and compares both.
"""

from __future__ import annotations

import base64
import platform
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from mobilelab import measure, runtimes
from mobilelab.apps import AppError
from mobilelab.core.errors import MissingRuntimeError, ModelFileError, ShapeError
from mobilelab.datasets import Dataset
from mobilelab.runtimes import executorch, lite

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
        model: a ``.ptl``, run by the lite interpreter, or a ``.pte``, run by ExecuTorch.
        data: its test split and preprocessing are what the app gets.
        labels: names of the classes, in the order of the scores.
        reference: for a ``.pte`` where ExecuTorch is not installed: a saved file of the same
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
    where = f"on {platform.system()} {platform.machine()}"
    if path.suffix != ".pte":
        run = runtimes.load(path)
        channels = input_channels(path)
        if channels is not None and channels != data.channels:
            raise ShapeError(
                f"{path.name} wants images with {channels} channels but those of {data.name} have "
                f"{data.channels}; give the data set that it was trained on with --dataset."
            )
        quantized = any(dtype.startswith("q") for dtype in lite.inspect(path).dtypes)
        return run.predict, quantized, f"lite interpreter of torch {torch.__version__} {where}"
    check_pte(path)
    if reference is not None:
        name = Path(reference).name
        run = runtimes.load(reference)
        return run, True, f"{name} in torch {torch.__version__} {where}, not by the .pte itself"
    try:
        run = runtimes.load(path)
    except MissingRuntimeError as error:
        raise AppError(
            f"ExecuTorch is not installed here, so {path.name} cannot be asked for its answers; "
            "install executorch, or give a saved file of the same network with --reference."
        ) from error
    held = run.inspect()
    names = (*held.dtypes, *held.operators)
    quantized = not held.dtypes or any(name.startswith("q") for name in names)
    return run.predict, quantized, f"ExecuTorch {version('executorch')} {where}"


def check_pte(path: Path) -> None:
    """Refuse, in one sentence, what is not an ExecuTorch program.

    Raises:
        ModelFileError: missing, damaged, or something else.
    """
    if path.suffix != ".pte":
        raise ModelFileError(
            f"{path.name} is not an ExecuTorch program (.pte); for a .ptl use --variant lite."
        )
    executorch.check(path)


#: What may lie between the image and a convolution without changing the number of channels.
_KEEPS_CHANNELS = {
    f"aten::{name}" for name in (
        "to", "contiguous", "clone", "detach", "quantize_per_tensor", "constant_pad_nd", "pad",
        "reflection_pad2d", "replication_pad2d", "max_pool2d", "avg_pool2d", "relu", "relu_",
    )
}  # fmt: skip


def input_channels(path: str | Path) -> int | None:
    """Channels that a convolution expects of the image that a ``.ptl`` is given.

    A prepacked convolution does not check them itself (chapter 04), so a wrong number would go
    unnoticed. A ``.ptl`` holds all that a TorchScript file holds (chapter 05); it is read as one.

    Returns:
        ``None`` where no convolution works on the input itself: what a network that repeats its
        gray input, or does arithmetic on it first, wants cannot be read off its convolution.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit.load is deprecated, as all of this
        try:
            module = torch.jit.freeze(torch.jit.load(str(path)).eval())
        except RuntimeError:
            return None
    graph = module.inlined_graph
    image = {value.debugName() for value in graph.inputs()}
    for node in graph.nodes():
        kind = node.kind()
        if not ("conv2d" in kind or kind == "aten::_convolution") or "unpack" in kind:
            continue
        source = next(node.inputs())
        while source.node().kind() in _KEEPS_CHANNELS:
            source = next(source.node().inputs())
        channels = _channels(node) if source.debugName() in image else None
        if channels is not None:
            return channels
    return None


def _channels(node: torch._C.Node) -> int | None:
    """What a convolution expects: weight ``(out, in / groups, h, w)``, plain or packed.

    A transposed one, which has ``(in, out / groups, h, w)``, is ``aten::conv_transpose2d`` or an
    ``aten::_convolution`` that says so.
    """
    values = [value.toIValue() for value in node.inputs()]
    for value in values:
        if isinstance(value, Tensor) and value.ndim == 4:
            if node.kind() == "aten::_convolution" and values[6]:
                return value.shape[0]
            groups = cast(int, values[8] if node.kind() == "aten::_convolution" else values[-1])
            return value.shape[1] * groups
        if isinstance(value, torch.ScriptObject):
            kind = value._type().qualified_name()
            if kind.endswith("Conv2dOpContext"):
                weight, *_, groups = torch.ops.prepacked.unpack_prepacked_sizes_conv2d(value)
                return weight[1] * groups
            if kind.endswith("Conv2dPackedParamsBase"):
                weight, _ = torch.ops.quantized.conv2d_unpack(value)
                return weight.shape[1] * torch.ops.quantized.conv2d_groups(value)
    return None
