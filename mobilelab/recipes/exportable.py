"""What exporters take: plain answers, no state, inputs by position; and what exporters say."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd
from torch.utils import _pytree as pytree

from mobilelab import measure
from mobilelab.core.errors import ExportError, MobileLabError, ModelWarning, ShapeError
from mobilelab.core.signature import Example
from mobilelab.core.trees import identical, is_plain, leaves, own
from mobilelab.measure.state import stateless
from mobilelab.runtimes.libraries import first_line, quiet


@contextmanager
def refusals(road: str, way: str = "") -> Iterator[None]:
    """What an exporter throws, as one sentence, and what it warns of, as a warning.

    Raises:
        ExportError: with the exporter's own reason.

    Warns:
        ModelWarning: with the exporter's own words.
    """
    said: list[str] = []
    try:
        with quiet(said):
            yield
    except MobileLabError:
        raise
    except Exception as error:  # exporters throw anything, assertions of the compiler included
        cause = error
        while cause.__cause__ is not None:  # a pass that failed names the passes first
            cause = cause.__cause__
        raise ExportError(
            f"{road} refuses this network ({type(cause).__name__}): {first_line(cause)}.{way}"
        ) from error
    for text in said:
        if "_flat_weights" in text:  # every nn.LSTM and nn.GRU moves its own weights about
            continue
        warnings.warn(f"{road} says: {text}", ModelWarning, stacklevel=4)


class PlainAnswers(nn.Module):
    """A network that answers with an object, answering with a dictionary instead.

    Exporters do not know other people's classes. The names are the leaves' paths.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

        def forward(*inputs: Any) -> dict[str, Tensor]:
            return leaves(network(*inputs))

        # exporters ask for the names of the inputs, which dynamic shapes are told by
        forward.__signature__ = inspect.signature(network.forward)  # type: ignore[attr-defined]
        self.forward = forward


def exportable(model: nn.Module, example: Example, what: str, inputs_too: bool) -> nn.Module:
    """The network, with plain answers, if its file will answer as it does.

    Raises:
        ExportError: if it writes into what it has, naming that.
    """
    awake = [
        name or "the network itself" for name, part in model.named_modules()
        if part.training and isinstance(part, (_DropoutNd, _BatchNorm))
    ]  # fmt: skip
    if awake:
        raise ExportError(
            f"The network is in training mode ({', '.join(awake[:3])}): dropout would answer at "
            "random, and BatchNorm with the mean of its input; call model.eval() first."
        )
    buffers, inputs = measure.writes(model, example)
    if buffers and not set(buffers) & dict(model.named_buffers()).keys():
        buffers = [] if _answers_alike(model, example) else buffers  # a note to itself
    if buffers:
        raise ExportError(
            f"The network writes into {', '.join(buffers)} while it answers, and {what}; take the "
            "state as an input and return the new one."
        )
    if inputs and inputs_too:
        raise ExportError(
            f"The network writes into its input {', '.join(inputs)}, and the file would give that "
            "back as one more output; compute a new tensor instead."
        )
    with torch.no_grad():
        mine = example.own()
        return model if is_plain(model(*mine.args)) else PlainAnswers(model)


def _answers_alike(model: nn.Module, example: Example) -> bool:
    """Whether a model answers alike when it is asked again, for all that it has written."""
    with warnings.catch_warnings(), torch.no_grad(), stateless(model):
        warnings.simplefilter("ignore", ModelWarning)
        once, again = (own(model(*example.own().args)) for _ in range(2))
    return identical(once, again)


class ByName(nn.Module):
    """A network that is called by position, each input by the name that it stands for.

    Exporters take no inputs that are left out between two that are there.
    """

    def __init__(self, network: nn.Module, names: Sequence[str]) -> None:
        super().__init__()
        self.network, self.names = network, tuple(names)

    def forward(self, *inputs: Any) -> Any:
        """What the network answers."""
        return self.network(**dict(zip(self.names, inputs, strict=True)))


def prepared(model: nn.Module, inputs: Any) -> tuple[nn.Module, Example]:
    """A network and its example as exporters want them: by position, contiguous, in own memory.

    Raises:
        ShapeError: if the model does not take the example.
        ExportError: if there is something else than tensors in it.
    """
    example = Example.of(inputs)
    example.check(model)
    example.leaves()  # text or the like among the inputs is said first
    if example.named:
        try:
            example = example.positional(model.forward)
        except ShapeError:
            bound = inspect.signature(model.forward).bind(*example.args, **example.named)
            given = {**bound.arguments, **bound.arguments.get("kwargs", {})}
            given.pop("kwargs", None)
            model, example = ByName(model, list(given)).eval(), Example(tuple(given.values()))
    example = example.own()
    if not all(isinstance(leaf, Tensor) for leaf in pytree.tree_leaves(example.args)):
        raise ExportError(
            "The example has None or a number among its inputs, and the file would ask for it at "
            "each call; wrap the network in one that fixes it and takes tensors only."
        )
    return model, Example(pytree.tree_map_only(Tensor, Tensor.contiguous, example.args))
