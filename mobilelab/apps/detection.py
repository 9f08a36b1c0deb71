"""What a detector answers in Python, step by step: the test vectors of an app for detection.

Three steps can go wrong in an app, and each is recorded by itself: the letterbox (raw pixels to
input), the network (input to two outputs), and the choice of boxes (outputs to boxes on the
photograph). The app gives each step what Python gave it, so a difference names its step.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mobilelab import runtimes
from mobilelab.apps import AppError
from mobilelab.apps.tensors import asked, tolerance
from mobilelab.apps.vectors import INPUT_TOLERANCE
from mobilelab.core.errors import MissingRuntimeError, MobileLabError, ShapeError
from mobilelab.core.trees import Answers, leaves
from mobilelab.datasets.letterbox import Letterbox
from mobilelab.datasets.scenes import Scene
from mobilelab.tasks import Detection
from mobilelab.tasks.boxes import Chooser

#: Largest difference of a corner in pixels, and of a score, that still is float32 rounding.
BOX_TOLERANCE = 1e-3
#: How many photographs go into an app at most.
MOST = 5


@dataclass(frozen=True)
class Detections:
    """Photographs of one size, and what each step made of them."""

    photos: Tensor
    """uint8, shape ``(n, 3, height, width)``."""
    inputs: Tensor
    """float32, shape ``(n, 3, size, size)``."""
    scores: Tensor
    """float32 logits, shape ``(n, classes, grid, grid)``."""
    raw_boxes: Tensor
    """float32, shape ``(n, 4, grid, grid)``."""
    boxes: tuple[dict[str, Tensor], ...]
    """What was chosen, on the photographs."""
    letterbox: Letterbox
    chooser: Chooser
    tolerance: float
    """Relative L2 error of each output up to which an app passes."""
    recorded_with: str
    """Which runtime answered."""
    score: float
    """mAP (COCO's, 0 to 1) on all scenes that were given."""
    scenes: int
    """How many these were."""

    def as_json(self) -> dict[str, Any]:
        """Everything as plain numbers and text; arrays as base64, float32 little-endian."""
        return {
            "recorded_with": self.recorded_with,
            "raw_shape": list(self.photos.shape[1:]),
            "grid": self.scores.shape[-1],
            "input_tolerance": INPUT_TOLERANCE,
            "output_tolerance": self.tolerance,
            "box_tolerance": BOX_TOLERANCE,
            "test_map": round(self.score, 4),
            "test_scenes": self.scenes,
            "vectors": [
                {
                    "raw": base64.b64encode(photo.numpy().tobytes()).decode("ascii"),
                    "input": _base64(given),
                    "scores": _base64(scores),
                    "raw_boxes": _base64(raw),
                    "boxes": _base64(torch.cat([found["boxes"], found["scores"][:, None]], 1)),
                    "labels": found["labels"].tolist(),
                }
                for photo, given, scores, raw, found in zip(
                    self.photos, self.inputs, self.scores, self.raw_boxes, self.boxes, strict=True
                )
            ],
        }

    def facts(self) -> dict[str, Any]:
        """The constants of pre- and postprocessing that the app needs."""
        return {
            **asdict(self.letterbox), **asdict(self.chooser), "align_corners": False,
            "layout": "NCHW", "channel_order": "RGB",
        }  # fmt: skip


def _base64(values: Tensor) -> str:
    return base64.b64encode(values.numpy().astype("<f4").tobytes()).decode("ascii")


def record(
    model: str | Path,
    scenes: Sequence[Scene],
    labels: Sequence[str],
    letterbox: Letterbox,
    chooser: Chooser,
) -> Detections:
    """Run a detector on scenes, one at a time, as an app does.

    Args:
        model: a ``.ptl`` or ``.pte`` that answers a picture with logits and raw boxes, as
            :class:`mobilelab.models.Detector` does.
        scenes: all of one size; the first five go into the app, the score is of all.
        labels: names of the classes, in the order of the logits.
        letterbox: from a photograph to the input.
        chooser: from the outputs to boxes.

    Raises:
        ModelFileError: if the file is not what its name says.
        ShapeError: if it does not take such a picture, or answers otherwise.
        AppError: if there is no runtime to ask, no scene, or scenes of several sizes.
    """
    path = Path(model)
    if not scenes or len({scene.photo.shape for scene in scenes}) > 1:
        raise AppError("An app for detection needs at least one scene, and all of one size.")
    try:
        session = runtimes.load(path)
    except MissingRuntimeError as error:
        raise AppError(f"{path.name} cannot be asked for its answers here: {error}") from error
    inputs = torch.stack([letterbox(scene.photo) for scene in scenes])
    answered = [_two(session(one[None]), path, len(labels), letterbox, chooser) for one in inputs]
    scores, raw = (torch.cat(side) for side in zip(*answered, strict=True))
    found = tuple(
        {**one, "boxes": letterbox.back(one["boxes"], *scene.photo.shape[1:])}
        for one, scene in zip(chooser(scores, raw), scenes, strict=True)
    )
    task = Detection()
    few = slice(MOST)
    return Detections(
        torch.stack([scene.photo for scene in scenes[few]]), inputs[few], scores[few], raw[few],
        found[few], letterbox, chooser, tolerance(session),
        asked(session),
        task.score(Answers(found), [scene.target for scene in scenes]), len(scenes),
    )  # fmt: skip


def _two(
    answer: Any, path: Path, classes: int, letterbox: Letterbox, chooser: Chooser
) -> tuple[Tensor, Tensor]:
    """Logits and raw boxes of one picture.

    Raises:
        ShapeError: if the answer is something else.
    """
    grid = letterbox.size // chooser.stride
    wanted = [(1, classes, grid, grid), (1, 4, grid, grid)]
    try:
        found = [leaf.detach().clone() for leaf in leaves(answer).values()]
    except MobileLabError:
        found = []
    if [tuple(leaf.shape) for leaf in found] != wanted:
        got = ", ".join(str(tuple(leaf.shape)) for leaf in found) or "no tensors"
        raise ShapeError(
            f"{path.name} answers a picture with {got} instead of {wanted[0]} and {wanted[1]}, "
            f"logits of {classes} classes and raw boxes on a grid of {grid} x {grid}."
        )
    return found[0].float(), found[1].float()
