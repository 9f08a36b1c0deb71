"""What a model is called with and what it gives back: names, element types and shapes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from mobilelab.core.errors import ShapeError, StructureError
from mobilelab.core.trees import Tree, leaves, ordered, own


def dtype_name(dtype: torch.dtype) -> str:
    """``float32`` for ``torch.float32``.

    >>> dtype_name(torch.uint8)
    'uint8'
    """
    return str(dtype).removeprefix("torch.")


@dataclass(frozen=True)
class Port:
    """One input or output: its name, and its type and shape as far as they are known.

    >>> image = Port("image", torch.float32, (None, 3, 32, 32))
    >>> str(image), image.takes(torch.zeros(5, 3, 32, 32)), image.takes(torch.zeros(3, 32, 32))
    ('image float32 (free, 3, 32, 32)', True, False)
    """

    name: str
    dtype: torch.dtype | None = None
    shape: tuple[int | None, ...] | None = None
    """``None`` stands for a size that is free, and in place of the shape for one that is not
    known."""

    def __str__(self) -> str:
        words = [self.name] if self.name else []
        if self.dtype is not None:
            words.append(dtype_name(self.dtype))
        if self.shape is not None:
            sizes = ["free" if size is None else str(size) for size in self.shape]
            words.append(f"({', '.join(sizes)}{',' if len(sizes) == 1 else ''})")
        return " ".join(words)

    def takes(self, leaf: Tensor) -> bool:
        """Whether a tensor has this type and this shape."""
        fits = self.shape is None or (
            leaf.ndim == len(self.shape)
            and all(a is None or a == b for a, b in zip(self.shape, leaf.shape, strict=True))
        )
        return fits and self.dtype in (None, leaf.dtype)

    @classmethod
    def of(cls, name: str, leaf: Tensor) -> Port:
        """The port that takes just such a tensor."""
        return cls(name, leaf.dtype, tuple(leaf.shape))


@dataclass(frozen=True)
class Signature:
    """The inputs and outputs of a model, in their order.

    >>> print(Signature((Port("tokens", torch.int64, (1, None)),), (Port("scores"),)))
    tokens int64 (1, free) -> scores
    """

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...] | None = None
    """``None`` where they are not known before the first call."""

    @property
    def inputs_text(self) -> str:
        """The inputs in words: ``image float32 (1, 3, 32, 32), length int64 (1,)``."""
        return ", ".join(map(str, self.inputs)) or "nothing"

    def __str__(self) -> str:
        if self.outputs is None:
            return self.inputs_text
        return f"{self.inputs_text} -> {', '.join(map(str, self.outputs)) or 'nothing'}"


def described(tensors: Mapping[str, Tensor]) -> str:
    """Tensors in words: ``float32 (1, 3), int64 (1,)``.

    >>> described({"x": torch.zeros(1, 3), "length": torch.tensor([7])})
    'float32 (1, 3), int64 (1,)'
    """
    return ", ".join(str(Port("", leaf.dtype, tuple(leaf.shape))) for leaf in tensors.values())


@dataclass(frozen=True)
class Example:
    """What a model is called with once: inputs by position, and inputs by name.

    >>> Example.of(torch.zeros(1, 3)).args
    (tensor([[0., 0., 0.]]),)
    >>> sorted(Example.of({"tokens": torch.zeros(1, 5), "mask": torch.ones(1, 5)}).named)
    ['mask', 'tokens']
    """

    args: tuple[Tree, ...] = ()
    named: Mapping[str, Tree] = field(default_factory=dict)

    @classmethod
    def of(cls, inputs: Any) -> Example:
        """A tensor is one input, a tuple several, a mapping several by name.

        A model that takes a mapping as its one input wants ``Example((mapping,))``.

        Raises:
            ShapeError: for anything else.
        """
        if isinstance(inputs, Example):
            return inputs
        if isinstance(inputs, Tensor):
            return cls((inputs,))
        if isinstance(inputs, tuple):
            return cls(inputs)
        if isinstance(inputs, Mapping):
            return cls((), dict(inputs))
        raise ShapeError(
            "An example is a tensor, a tuple of inputs, a mapping of named inputs, or an Example, "
            f"not a {type(inputs).__name__}."
        )

    def own(self) -> Example:
        """The same example in memory of its own, for a model that may write into it."""
        return Example(ordered(own(self.args)), own(dict(self.named)))

    def positional(self, function: Callable[..., object]) -> Example:
        """The same inputs without names, in the order of a Python function's parameters.

        Raises:
            ShapeError: if the function does not take them.
        """
        if not self.named:
            return self
        try:
            bound = inspect.signature(function).bind(*self.args, **self.named)
        except (TypeError, ValueError) as error:
            raise ShapeError(
                f"{', '.join(self.named)} cannot be put in order: {error}; pass the inputs by "
                "position."
            ) from error
        if bound.kwargs:
            raise ShapeError(
                f"{', '.join(bound.kwargs)} can be passed by name only here; give an example of "
                "every input before it, or wrap the network in one that takes inputs by position."
            )
        return Example(bound.args)

    def leaves(self) -> dict[str, Tensor]:
        """All tensors in it, by path: ``0``, ``1.state``, ``tokens``.

        Raises:
            ShapeError: if something in it is no tensor and no number.
        """
        try:
            return leaves(dict(enumerate(self.args)) | dict(self.named))
        except StructureError as error:
            said = str(error).split(", and only")[0].replace("The leaf", "The input")
            raise ShapeError(
                f"{said}, and a model file takes tensors and numbers only; turn it into one first."
            ) from error

    def check(self, model: Callable[..., object]) -> None:
        """Refuse, before the call, inputs that a Python function has no names for.

        Raises:
            ShapeError: naming the inputs that it has.
        """
        function = getattr(model, "forward", model)
        if isinstance(model, nn.Module) and type(model).__call__ is not nn.Module.__call__:
            function = model.__call__
        try:
            signature = inspect.signature(function)
        except (TypeError, ValueError):  # what is not written in Python has none
            return
        try:
            signature.bind(*self.args, **self.named)
        except TypeError as error:
            called = type(model).__name__ if isinstance(model, nn.Module) else "The function"
            raise ShapeError(
                f"{called} takes ({', '.join(signature.parameters)}) and was called with "
                f"{described(self.leaves()) or 'nothing'}: {error}; give it a whole example "
                "(measure.answers(model, [(first, second)]))."
            ) from error

    def signature(self) -> Signature:
        """The signature of a model that takes just this example."""
        return Signature(tuple(Port.of(name, leaf) for name, leaf in self.leaves().items()))
