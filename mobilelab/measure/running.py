"""What a model answers, and how many answers are right."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.ao.quantization import FakeQuantizeBase, ObserverBase
from torch.utils import _pytree as pytree

from mobilelab.core.signature import Example
from mobilelab.core.trees import Answers, Tree, leaves, own
from mobilelab.errors import ModelWarning, ShapeError

Predict = Callable[[Tensor], Tensor]


def answers(model: Callable[..., Tree], examples: Iterable[Any]) -> Answers:
    """What a model answers to examples, one call for each, without gradients.

    Every call gets a copy of its inputs, and every answer is kept as a copy: a model may write
    into both.

    Args:
        model: a module, a loaded model file, or any function.
        examples: each a tensor, a tuple of inputs, a mapping of named inputs, or an
            :class:`~mobilelab.core.signature.Example`.

    Warns:
        ModelWarning: if the model writes into its inputs, or into its own buffers.
    """
    found = Answers()
    with torch.no_grad(), watched(model) as watch:
        for example in examples:
            found.append(own(watch(Example.of(example))))
    return found


def scores(model: Callable[..., Tree], images: Tensor, batch: int = 100) -> Any:
    """A model's answers to many images (or sentences, ...), without gradients, in one tree.

    Args:
        model: anything that maps ``(n, ...)`` to ``(n, classes)``, or to a tree of tensors with
            the images on their first axis. It gets copies, so that it may write into them.
        images: shape ``(n, channels, h, w)``, or anything else with the examples first.
        batch: images per call.

    Returns:
        What the model returns, its leaves put together along the first axis: class scores of
        shape ``(n, classes)``.

    Raises:
        ShapeError: if a leaf does not have the images on its first axis; :func:`answers` takes
            such models.

    Warns:
        ModelWarning: if the model writes into its inputs, or into its own buffers.
    """
    with torch.no_grad(), watched(model) as watch:
        parts = [(len(part), watch(Example((part,)))) for part in images.split(batch)]
    return joined([tree for _, tree in parts], [n for n, _ in parts])


def joined(trees: Sequence[Tree], sizes: Sequence[int]) -> Any:
    """Trees of one structure as one, leaf by leaf along the first axis.

    Args:
        trees: answers to one batch each.
        sizes: how many examples each batch has.

    Raises:
        ShapeError: if a leaf does not have as many entries as its batch has examples.
    """
    for tree, size in zip(trees, sizes, strict=True):
        for path, leaf in leaves(tree).items():
            if len(trees) > 1 and (leaf.ndim == 0 or len(leaf) != size):
                raise ShapeError(
                    f"The answers{f' ({path})' if path else ''} of {size} examples have the shape "
                    f"{tuple(leaf.shape)}, so several batches cannot be put together; call the "
                    "model with one example at a time (measure.answers)."
                )
    if len(trees) == 1:
        return own(trees[0])
    return pytree.tree_map(lambda *parts: torch.cat(parts), trees[0], *trees[1:])


@contextmanager
def watched(model: Callable[..., Tree]) -> Iterator[Callable[[Example], Tree]]:
    """A way to call a model with copies, and a word at the end about what it wrote.

    torch counts the writes into each tensor (``Tensor._version``).
    """
    # In training mode BatchNorm counts along, as it should.
    still = isinstance(model, torch.nn.Module) and not getattr(model, "training", False)
    buffers = _buffers(model) if still else {}
    before = {name: _writes(buffer) for name, buffer in buffers.items()}
    written: dict[str, None] = {}

    def call(example: Example) -> Tree:
        mine = example.own()
        inputs = mine.leaves()
        writes = {name: _writes(leaf) for name, leaf in inputs.items()}
        answer = model(*mine.args, **mine.named)
        written.update({n: None for n, leaf in inputs.items() if _writes(leaf) != writes[n]})
        return answer

    yield call
    if written:
        warnings.warn(
            f"The model writes into its inputs (input {', '.join(written)}): what it was called "
            "with is changed afterwards, and optimize_for_mobile may drop such a step without a "
            "word (chapter 04). Here it got copies; let it compute a new tensor instead.",
            ModelWarning, stacklevel=4,
        )  # fmt: skip
    changed = [name for name, buffer in buffers.items() if _writes(buffer) != before[name]]
    if changed:
        warnings.warn(
            f"The model keeps a state: it writes into {_listed(changed)}, so an answer depends "
            "on what was asked before, and converters may lose the state; let it take the state as "
            "an input and return the new one.",
            ModelWarning, stacklevel=4,
        )  # fmt: skip


def _listed(names: Sequence[str], most: int = 3) -> str:
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")


def _buffers(module: torch.nn.Module) -> dict[str, Tensor]:
    """All buffers but those of observers, which are there to be written into."""
    watching = (ObserverBase, FakeQuantizeBase)
    return {
        f"{place}.{name}".lstrip("."): buffer
        for place, part in module.named_modules()
        if not isinstance(part, watching)
        for name, buffer in part.named_buffers(recurse=False)
        if buffer is not None
    }


def _writes(tensor: Tensor) -> int:
    return 0 if tensor.is_inference() else tensor._version


def accuracy(outputs: Tensor, labels: Tensor) -> float:
    """Share of right predictions, 0 to 1.

    Args:
        outputs: class scores, shape ``(n, classes)``.
        labels: class numbers, shape ``(n,)``.

    Raises:
        ShapeError: if the two do not belong together.
    """
    if outputs.ndim != 2 or labels.ndim != 1 or len(outputs) != len(labels) or not len(labels):
        raise ShapeError(
            "Accuracy needs scores (n, classes) and labels (n,) for the same n > 0, but got "
            f"{tuple(outputs.shape)} and {tuple(labels.shape)}."
        )
    return (outputs.argmax(dim=1) == labels).double().mean().item()
