"""What any model answers in Python, on a few examples: the test vectors of an app for tensors.

An app for images and labels records raw pixels, too (:mod:`~mobilelab.apps.vectors`). Here inputs
and answers are tensors, whatever they mean.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mobilelab import measure, runtimes
from mobilelab.apps import AppError
from mobilelab.apps.vectors import FLOAT_TOLERANCE, INT8_TOLERANCE, where
from mobilelab.core.errors import MissingRuntimeError
from mobilelab.core.signature import Example, dtype_name
from mobilelab.core.trees import Answers, identical, leaves
from mobilelab.runtimes import Session

#: Element types that the apps read and write.
TYPES = ("float32", "float64", "int64", "int32", "int8", "uint8")
#: How many examples go into an app at most.
MOST = 10


@dataclass(frozen=True)
class Cases:
    """Examples, and what the model answered to them."""

    examples: tuple[Example, ...]
    answers: Answers
    tolerance: float
    """Relative L2 error of a float answer up to which an app passes; others have to be equal."""
    recorded_with: str
    """Which runtime answered."""

    def as_json(self) -> dict[str, Any]:
        """Everything as plain numbers and text; elements little-endian, as base64."""
        return {
            "recorded_with": self.recorded_with,
            "tolerance": self.tolerance,
            "cases": [
                {"inputs": _listed(example.leaves()), "outputs": _listed(leaves(answer))}
                for example, answer in zip(self.examples, self.answers, strict=True)
            ],
        }


def record(model: str | Path, examples: Sequence[Any]) -> Cases:
    """Run the model on its examples, the first ten at most.

    Args:
        model: a model file, run by the runtime of its ending.
        examples: see :meth:`mobilelab.core.signature.Example.of`; inputs by position.

    Raises:
        ModelFileError: if the file is not what its name says.
        ShapeError: if an example does not fit the model.
        AppError: if there is no example or no runtime, or a type that the apps do not read.
    """
    chosen = tuple(Example.of(example) for example in examples[:MOST])
    if not chosen or any(example.named for example in chosen):
        raise AppError(
            "An app needs at least one example, with its inputs by position; save a list of "
            "tensors, or of tuples of tensors."
        )
    try:
        session = runtimes.load(model)
    except MissingRuntimeError as error:
        raise AppError(
            f"{Path(model).name} cannot be asked for its answers here: {error}"
        ) from error
    answers = measure.answers(session, chosen)
    for kind, trees in (("input", [one.args for one in chosen]), ("answer", answers)):
        _only_tensors(kind, trees)
    if any(
        not identical(a, b) for a, b in zip(answers, measure.answers(session, chosen), strict=True)
    ):
        raise AppError(
            "The model answers otherwise when it is asked twice, so no app could check itself; "
            "take the random numbers out, or call eval() before the export."
        )
    described = [("input", one.leaves()) for one in chosen]
    for kind, tree in [*described, *(("answer", leaves(answer)) for answer in answers)]:
        for name, leaf in tree.items():
            if dtype_name(leaf.dtype) not in TYPES:
                raise AppError(
                    f"The {kind} {name or 'tensor'} is {dtype_name(leaf.dtype)}, and the apps read "
                    f"{', '.join(TYPES)}; convert it inside the network."
                )
    return Cases(chosen, answers, tolerance(session), asked(session))


def tolerance(session: Session) -> float:
    """Relative L2 error of an answer up to which an app passes."""
    return INT8_TOLERANCE if session.inspect().quantized else FLOAT_TOLERANCE


def asked(session: Session) -> str:
    """Which runtime answers, and where, in words."""
    return f"{session.title()} {where()}"


def _only_tensors(kind: str, trees: Sequence[Any]) -> None:
    """Refuse what the apps cannot pass on: they hand over tensors, and nothing in lists."""
    for tree in trees:
        for part in tree if isinstance(tree, tuple) else [tree]:
            tree_of_answers = kind == "answer" and isinstance(part, (list, tuple, dict))
            if part is not None and not isinstance(part, Tensor) and not tree_of_answers:
                raise AppError(
                    f"One {kind} is of type {type(part).__name__}, and the apps read tensors only; "
                    "wrap the network in one that takes and gives tensors."
                )


def _listed(tensors: Mapping[str, Tensor]) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "dtype": dtype_name(leaf.dtype),
            "shape": list(leaf.shape),
            "data": _base64(leaf),
        }
        for name, leaf in tensors.items()
    ]


def _base64(leaf: Tensor) -> str:
    elements = leaf.contiguous().numpy()
    content = elements.astype(elements.dtype.newbyteorder("<")).tobytes()
    return base64.b64encode(content).decode("ascii")


def read_examples(path: Path) -> list[Any]:
    """Examples from a file of ``torch.save``: a list of tensors, or of tuples of tensors.

    Raises:
        AppError: if it holds something else, or needs more than tensors to be read.
    """
    try:
        found = torch.load(path, weights_only=True)
        examples = [found] if isinstance(found, Tensor) else list(found)
        for example in examples:
            Example.of(tuple(example) if isinstance(example, list) else example).leaves()
    except Exception as error:  # a file can be wrong in any way
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise AppError(
            f"Cannot read examples from {path.name} ({first}); save a list of tensors, or of "
            "tuples of tensors, with torch.save."
        ) from error
    return [tuple(example) if isinstance(example, list) else example for example in examples]
