"""What a model answers, and how many answers are right."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn.modules.dropout import _DropoutNd

from mobilelab.core.errors import ModelWarning, ShapeError
from mobilelab.core.signature import Example
from mobilelab.core.trees import Answers, Tree, join, own
from mobilelab.measure.cutting import steps_first
from mobilelab.measure.state import Held, same_bits, stateless

Predict = Callable[[Tensor], Tensor]


def answers(model: Callable[..., Tree], examples: Iterable[Any]) -> Answers:
    """What a model answers to examples, one call for each, without gradients.

    Every call gets a copy of its inputs, and every answer is kept as a copy: a model may write
    into both.

    Args:
        model: a module, a loaded model file, or any function.
        examples: each a tensor, a tuple of inputs, a mapping of named inputs, or an
            :class:`~mobilelab.core.signature.Example`.

    Raises:
        ShapeError: if a Python function does not take such an example.

    Warns:
        ModelWarning: if the model writes into its inputs, or keeps a state.

    >>> answers(lambda x, scale: {"y": x * scale}, [(torch.ones(2), 3.0)])
    [{'y': tensor([3., 3.])}]
    """
    found = Answers()
    with torch.no_grad(), watched(model) as call:
        for example in examples:
            found.append(own(call(Example.of(example))))
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
        ShapeError: if the model takes more than one input, has steps on the first axis of its
            input, or a leaf of its answers does not have the images on its first axis;
            :func:`answers` takes such models.

    Warns:
        ModelWarning: if the model writes into its inputs, or keeps a state.

    >>> scores(nn.Flatten(), torch.rand(250, 1, 2, 2), batch=100).shape
    torch.Size([250, 4])
    """
    if len(images) > batch and (layer := steps_first(model, images)):
        raise ShapeError(
            f"The model has steps on the first axis (its {layer} is not batch_first), so inputs of "
            f"shape {tuple(images.shape)} cannot be cut into batches there; call it with one "
            "example at a time (measure.answers)."
        )
    with torch.no_grad(), watched(model) as call:
        # an answer may lie in memory that the model uses again: copies, before the next call
        parts = [(len(part), own(call(Example((part,))))) for part in images.split(batch)]
    return join([tree for _, tree in parts], [size for size, _ in parts])


def writes(model: Callable[..., Tree], example: Example) -> tuple[list[str], list[str]]:
    """What a model writes into when it is called once: what it holds, and its inputs.

    Nothing is left changed.

    >>> writes(lambda x: x.mul_(2), Example((torch.ones(1),)))
    ([], ['0'])
    """
    mine, before = example.own(), example.own().leaves()
    inputs = mine.leaves()
    held = Held(model)
    with torch.no_grad():
        try:
            model(*mine.args, **mine.named)
        finally:
            changed = held.give_back()
    return changed, [name for name, leaf in inputs.items() if not same_bits(leaf, before[name])]


@contextmanager
def watched(model: Callable[..., Tree]) -> Iterator[Callable[[Example], Tree]]:
    """A way to call a model with copies of examples, and a word at the end about what it did.

    Values are compared, because torch's own count of writes does not see all of them.
    """
    written: dict[str, None] = {}
    generator = torch.get_rng_state()

    def call(example: Example) -> Tree:
        mine, before = example.own(), example.own().leaves()
        mine.check(model)
        inputs = mine.leaves()
        answer = model(*mine.args, **mine.named)
        written.update({n: None for n, leaf in inputs.items() if not same_bits(leaf, before[n])})
        return answer

    with stateless(model):
        yield call
    if written:
        warnings.warn(
            f"The model writes into its inputs (input {', '.join(written)}): what it was called "
            "with is changed afterwards, and optimize_for_mobile may drop such a step without a "
            "word (chapter 04). Here it got copies; let it compute a new tensor instead.",
            ModelWarning, stacklevel=4,
        )  # fmt: skip
    if not torch.equal(generator, torch.get_rng_state()) and not _drops(model):
        warnings.warn(
            "The model draws random numbers while it answers, so it answers otherwise each time; "
            "take them as an input, or leave that layer out in eval mode.",
            ModelWarning, stacklevel=4,
        )  # fmt: skip


def _drops(model: object) -> bool:
    """Whether a dropout is at work, which draws random numbers on purpose."""
    model = getattr(model, "__self__", model)
    parts = model.modules() if isinstance(model, torch.nn.Module) else ()
    return any(part.training and isinstance(part, _DropoutNd) for part in parts)


def accuracy(outputs: Tensor, labels: Tensor) -> float:
    """Share of right predictions, 0 to 1.

    Args:
        outputs: class scores, shape ``(n, classes)``.
        labels: class numbers, shape ``(n,)``.

    Raises:
        ShapeError: if the two do not belong together.

    >>> accuracy(torch.tensor([[0.1, 0.9], [0.8, 0.2]]), torch.tensor([1, 1]))
    0.5
    """
    if outputs.ndim != 2 or labels.ndim != 1 or len(outputs) != len(labels) or not len(labels):
        raise ShapeError(
            "Accuracy needs scores (n, classes) and labels (n,) for the same n > 0, but got "
            f"{tuple(outputs.shape)} and {tuple(labels.shape)}."
        )
    return (outputs.argmax(dim=1) == labels).double().mean().item()
