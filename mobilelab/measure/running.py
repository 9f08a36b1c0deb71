"""What a model answers, and how many answers are right."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from mobilelab.core.errors import ModelWarning, ShapeError
from mobilelab.core.signature import Example, described
from mobilelab.core.trees import Answers, Tree, join, own

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
        ShapeError: if the model takes more than one input, or a leaf of its answers does not have
            the images on its first axis; :func:`answers` takes such models.

    Warns:
        ModelWarning: if the model writes into its inputs, or keeps a state.
    """
    with torch.no_grad(), watched(model) as call:
        parts = [(len(part), call(Example((part,)))) for part in images.split(batch)]
    return own(join([tree for _, tree in parts], [size for size, _ in parts]))


def writes(model: Callable[..., Tree], example: Example) -> tuple[list[str], list[str]]:
    """What a model writes into when it is called once: its own buffers, and its inputs.

    Nothing is left changed.
    """
    before = {name: (buffer, _writes(buffer)) for name, buffer in _buffers(model).items()}
    mine = example.own()
    inputs = {name: (leaf, _writes(leaf)) for name, leaf in mine.leaves().items()}
    with warnings.catch_warnings(), stateless(model), torch.no_grad():
        warnings.simplefilter("ignore", ModelWarning)
        model(*mine.args, **mine.named)
        now = _buffers(model)
        changed = [
            name for name, (buffer, count) in before.items()
            if now.get(name) is not buffer or _writes(buffer) != count
        ]  # fmt: skip
    return changed, [name for name, (leaf, count) in inputs.items() if _writes(leaf) != count]


@contextmanager
def watched(model: Callable[..., Tree]) -> Iterator[Callable[[Example], Tree]]:
    """A way to call a model with copies of examples, and a word at the end about what it wrote.

    torch counts the writes into each tensor (``Tensor._version``).
    """
    written: dict[str, None] = {}

    def call(example: Example) -> Tree:
        mine = example.own()
        _bound(model, mine)
        inputs = mine.leaves()
        writes = {name: _writes(leaf) for name, leaf in inputs.items()}
        answer = model(*mine.args, **mine.named)
        written.update({n: None for n, leaf in inputs.items() if _writes(leaf) != writes[n]})
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


@contextmanager
def stateless(model: object) -> Iterator[None]:
    """Give a model its state back afterwards, and say that it has one.

    A module's buffers are looked at; a loaded model file says so itself (``Session.state``).

    Warns:
        ModelWarning: if calling the model changed it.
    """
    before = {
        name: (buffer, _writes(buffer), buffer.detach().clone())
        for name, buffer in _buffers(model).items()
    }
    try:
        yield
    finally:
        owner = getattr(model, "__self__", model)  # of a bound method, such as session.predict
        changed: list[str] = []
        if not isinstance(owner, torch.nn.Module):
            changed += getattr(owner, "state", ())
        if changed:
            owner.reset()  # type: ignore[attr-defined]
        now = _buffers(model)
        for name, (buffer, writes, value) in before.items():
            if now.get(name) is not buffer or _writes(buffer) != writes:
                changed.append(name)
                place, _, last = name.rpartition(".")
                with torch.no_grad():
                    buffer.copy_(value)
                setattr(model.get_submodule(place), last, buffer)  # type: ignore[attr-defined]
    if changed:
        more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
        warnings.warn(
            f"The model keeps a state: it writes into {', '.join(changed[:3])}{more}, so an answer "
            "depends on what was asked before. Here it got its state back; converters may lose "
            "it, so let the model take the state as an input and return the new one.",
            ModelWarning, stacklevel=5,
        )  # fmt: skip


@contextmanager
def stateless_quietly(model: object) -> Iterator[None]:
    """:func:`stateless` for whoever says in words of its own that the model has a state."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ModelWarning)
        with stateless(model):
            yield


def _buffers(model: object) -> dict[str, Tensor]:
    """A module's buffers, but those that are there to be written into.

    Those are observers', torch's or torchao's, and in training mode BatchNorm's.
    """
    if not isinstance(model, torch.nn.Module) or getattr(model, "training", False):
        return {}

    def watches(part: torch.nn.Module) -> bool:
        return bool({"ObserverBase", "FakeQuantizeBase"} & {c.__name__ for c in type(part).__mro__})

    return {
        f"{place}.{name}".lstrip("."): buffer
        for place, part in model.named_modules()
        if not watches(part)
        for name, buffer in part.named_buffers(recurse=False)
    }


def _writes(tensor: Tensor) -> int:
    return 0 if tensor.is_inference() else tensor._version


def _bound(model: Callable[..., Tree], example: Example) -> None:
    """Refuse, before the call, inputs that a Python function has no names for.

    Raises:
        ShapeError: naming the inputs that it has.
    """
    function = getattr(model, "forward", model)
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # what is not written in Python has none
        return
    try:
        signature.bind(*example.args, **example.named)
    except TypeError as error:
        called = type(model).__name__ if isinstance(model, torch.nn.Module) else "The function"
        raise ShapeError(
            f"{called} takes ({', '.join(signature.parameters)}) and was called with "
            f"{described(example.leaves()) or 'nothing'}: {error}; give it a whole example "
            "(measure.answers(model, [(first, second)]))."
        ) from error


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
