"""Examples from a name, a file, or shapes and types on the command line."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mobilelab.check.subject import SubjectError, attribute
from mobilelab.core.errors import ShapeError, StructureError
from mobilelab.core.signature import Example
from mobilelab.measure.cutting import steps_first
from mobilelab.runtimes.libraries import first_line

#: How many examples are drawn where only shapes are given.
DRAWN = 8
_SHAPE = re.compile(r"^\s*(\d+(?:\s*,\s*\d+)*|scalar)\s*(?::\s*(\w+))?\s*$")


def read(
    given: Sequence[str], module: ModuleType | None, model: nn.Module
) -> tuple[list[Example], bool]:
    """Examples as the command line names them.

    Args:
        given: nothing (``EXAMPLES`` beside the model), ``:NAME`` beside the model, a ``.pt`` or
            ``.npy`` file, or a shape for each input, ``1,3,224,224:float32``.
        module: where the model was found.
        model: what they are for; it is asked for the size of an embedding.

    Returns:
        The examples, and whether they were drawn at random.

    Raises:
        SubjectError: if there are none.
    """
    if not given:
        if module is None or not hasattr(module, "EXAMPLES"):
            raise SubjectError(
                "no-examples",
                "There are no examples; write EXAMPLES = [...] beside the model, or pass "
                "--examples 1,3,224,224:float32.",
            )
        given = [":EXAMPLES"]
    if all(_SHAPE.match(text) for text in given):
        return drawn(given, model), True
    if len(given) > 1:
        raise SubjectError(
            "shape",
            f"{', '.join(given)} are not all shapes; write each input as 1,3,224,224:float32.",
        )
    (text,) = given
    if text.startswith(":") and module is not None:
        found = attribute(module, text[1:])
        return listed(found() if callable(found) else found, model), False
    if Path(text).suffix in (".pt", ".pth", ".npy"):
        return listed(_file(Path(text)), model), False
    raise SubjectError(
        "shape",
        f"{text!r} is no examples; write a shape and a type (1,3,224,224:float32), :NAME for what "
        "stands beside the model, or a .pt or .npy file.",
    )


def drawn(shapes: Sequence[str], model: nn.Module) -> list[Example]:
    """Random examples: floats from 0 to 1, integers that every embedding of the model has.

    Raises:
        SubjectError: for a type that torch does not have.
    """
    ports = []
    for text in shapes:
        found = _SHAPE.match(text)
        assert found is not None
        sizes, kind = found[1], found[2] or "float32"
        dtype = getattr(torch, kind, None)
        if not isinstance(dtype, torch.dtype):
            raise SubjectError(
                "type", f"torch has no type {kind!r}; write float32, int64, bool or another of its."
            )
        ports.append(([] if sizes == "scalar" else [int(n) for n in sizes.split(",")], dtype))
    tables = [m for m in model.modules() if isinstance(m, (nn.Embedding, nn.EmbeddingBag))]
    most = min((m.num_embeddings for m in tables), default=10)
    draw = torch.Generator().manual_seed(0)
    return [Example(tuple(_one(s, d, most, draw) for s, d in ports)) for _ in range(DRAWN)]


def _one(sizes: list[int], dtype: torch.dtype, most: int, draw: torch.Generator) -> Tensor:
    if dtype == torch.bool:
        return torch.rand(sizes, generator=draw) > 0.5
    if dtype.is_floating_point or dtype.is_complex:
        return torch.rand(sizes, generator=draw).to(dtype)
    return torch.randint(0, 256 if dtype == torch.uint8 else most, sizes, generator=draw).to(dtype)


def listed(found: Any, model: object = None) -> list[Example]:
    """Anything that holds examples, as a list of them.

    A list has one example in each entry. A tensor has them on its first axis.

    Raises:
        SubjectError: if it holds none, or if it is one tensor for a model that has steps there.
    """
    if isinstance(found, np.ndarray):
        found = torch.from_numpy(found)
    if isinstance(found, Tensor):
        if callable(model) and (layer := steps_first(model, found)):
            raise SubjectError(
                "examples",
                f"The model has steps on the first axis (its {layer} is not batch_first), and a "
                f"tensor of shape {tuple(found.shape)} would be cut there into single steps; pass "
                "a list with a tensor for each example.",
            )
        found = list(found.split(1)) if found.ndim else [found]
    if isinstance(found, (tuple, Mapping, Example)):
        found = [found]
    try:
        examples = [Example.of(one) for one in found]
        inputs = [example.leaves() for example in examples]
    except (ShapeError, StructureError, TypeError) as error:
        raise SubjectError(
            "examples",
            f"The examples are no examples: {first_line(error)}; pass a list with a tensor, "
            "a tuple of inputs or a mapping of named inputs for each.",
        ) from error
    if not examples:
        raise SubjectError("no-examples", "The list of examples is empty; pass at least one.")
    for tensors in inputs:
        for name, leaf in tensors.items():
            if leaf.device.type != "cpu":
                raise SubjectError(
                    "device", f"Input {name} of an example is on {leaf.device}; call .cpu() on it."
                )
    return examples


def _file(path: Path) -> Any:
    try:
        if path.suffix == ".npy":
            return np.load(path, allow_pickle=False)
        return torch.load(path, weights_only=True)
    except Exception as error:
        raise SubjectError(
            "examples",
            f"Cannot read examples from {path} ({first_line(error)}); save a list of tensors, "
            "tuples or mappings with torch.save, or one array with numpy.save.",
        ) from error
