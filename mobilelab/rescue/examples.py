"""What a file is called with: from its bundled inputs, from ``--example``, or from its layers."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mobilelab.core.errors import RescueError, ShapeError
from mobilelab.core.signature import described
from mobilelab.core.trees import leaves
from mobilelab.rescue.layers import first_layer
from mobilelab.rescue.recording import Recorder
from mobilelab.rescue.values import mapped

#: Sides of a picture that are tried where the layers leave them open.
SIDES = (224, 256, 299, 320, 640, 512, 416, 192, 160, 128, 112, 96, 64, 48, 32, 28)
#: Sides that are tried if none of these fits.
FURTHER = tuple(range(4, 161))
#: Lengths that are tried where the layers leave them open.
LENGTHS = (16, 32, 64, 128, 512)


@dataclass(frozen=True)
class Examples:
    """Inputs of one structure."""

    first: tuple[Any, ...]
    source: str
    """Where it is from, in words."""
    bundled: tuple[tuple[Any, ...], ...] = ()

    @property
    def text(self) -> str:
        """The inputs in words."""
        return described(leaves(dict(enumerate(self.first))))


@dataclass(frozen=True)
class Entry:
    """An input that is a part of a dictionary."""

    name: str
    value: Any


def parse(text: str) -> Any:
    """An input from ``1x3x224x224``, ``1x20:int64``, or for a number ``=16000``.

    ``left=1x3`` is the entry ``left`` of a dictionary.

    Raises:
        RescueError: for anything else.
    """
    named = re.match(r"([^\d=:][^=:]*)=", text)
    if named is not None:
        return Entry(named[1], parse(text[named.end() :]))
    if text.startswith("="):
        number = text[1:]
        if number in ("True", "False"):
            return number == "True"
        try:
            return float(number) if "." in number else int(number)
        except ValueError as error:
            raise RescueError(f"--example {text} is no number.") from error
    shape, _, name = text.partition(":")
    dtype = getattr(torch, name or "float32", None)
    if not re.fullmatch(r"\d+(?:[x,]\d+)*|", shape) or not isinstance(dtype, torch.dtype):
        raise RescueError(
            f"--example {text} is no shape; write it as 1x3x224x224 or 1x20:int64, and a number "
            "as =16000."
        )
    sizes = [int(size) for size in re.split("[x,]", shape) if size]
    if dtype.is_floating_point:
        return torch.randn(sizes, generator=torch.Generator().manual_seed(0)).to(dtype)
    return torch.zeros(sizes, dtype=dtype)


def arranged(module: torch.jit.ScriptModule, given: Sequence[Any]) -> tuple[Any, ...]:
    """Inputs, one after the other, as the types of a file's parameters want them.

    Raises:
        RescueError: if there are too many or too few.
    """
    left = list(given)
    parameters = module.forward.schema.arguments[1:]
    found = []
    for place, parameter in enumerate(parameters):
        if not left and parameter.has_default_value():
            break
        last = all(later.has_default_value() for later in parameters[place + 1 :])
        found.append(_taken(str(parameter.type), left, last))
    if left:
        names = ", ".join(f"{p.name} ({p.type})" for p in parameters)
        raise RescueError(f"The file takes {names}: fewer examples than were given.")
    return tuple(found)


def _taken(kind: str, left: list[Any], last: bool) -> Any:
    if kind.startswith("Dict["):
        found = {}
        while left and isinstance(left[0], Entry):
            entry = left.pop(0)
            found[entry.name] = entry.value
        return found
    inner = re.fullmatch(r"(Optional|List|Tuple)\[(.*)\]", kind)
    if inner is None:
        if not left:
            raise RescueError(f"An input of type {kind} is missing; one more --example is needed.")
        first = left.pop(0)
        return first.value if isinstance(first, Entry) else first
    if inner[1] == "Optional":
        return _taken(inner[2], left, last) if left else None
    if inner[1] == "List":
        many = len(left) if last else 1
        return [_taken(inner[2], left, last) for _ in range(many)]
    return tuple(_taken(part, left, last) for part in _split(inner[2]))


def _split(text: str) -> list[str]:
    parts, depth, start = [], 0, 0
    for place, sign in enumerate(text):
        depth += (sign == "[") - (sign == "]")
        if sign == "," and depth == 0:
            parts.append(text[start:place].strip())
            start = place + 1
    return [*parts, text[start:].strip()]


def bundled(module: torch.jit.ScriptModule) -> tuple[tuple[Any, ...], ...]:
    """The inputs that a file brings along (``torch.utils.bundled_inputs``)."""
    name = module.forward.name
    bring = "get_all_bundled_inputs" + ("" if name == "forward" else f"_for_{name}")
    if not module._c._has_method(bring):
        return ()
    return tuple(tuple(example) for example in getattr(module, bring)())


def find(module: torch.jit.ScriptModule, given: Sequence[str] = ()) -> Examples:
    """What to call a file with.

    Args:
        module: from :func:`mobilelab.rescue.archive.load`.
        given: what ``--example`` said, one for each tensor.

    Raises:
        RescueError: if nothing in the file says it; with an example of ``--example``.
    """
    brought = bundled(module)
    if given:
        return Examples(arranged(module, [parse(text) for text in given]), "--example", brought)
    if brought:
        return Examples(brought[0], "the file's bundled inputs", brought)
    if len(module.forward.schema.arguments) == 1:
        raise RescueError("The file takes no inputs, so it always answers alike; keep the answer.")
    fitting: list[tuple[Any, ...]] = []
    for sides in (SIDES, FURTHER):
        if not fitting:
            guesses = (one for one in _guesses(module, sides) if _takes(module, one))
            fitting = [*itertools.islice(guesses, 2)]
    if not fitting:
        names = ", ".join(f"{p.name} ({p.type})" for p in module.forward.schema.arguments[1:])
        raise RescueError(
            f"Nothing in the file says what shapes it takes as {names}; say it with --example for "
            "each tensor in this order, as in --example 1x3x224x224 --example 1x20:int64."
        )
    words = "its layers; no other shape that was tried fits"
    if len(fitting) > 1:
        words = "its layers, one of several that fit; --example chooses another"
    return Examples(fitting[0], words)


def _takes(module: torch.jit.ScriptModule, inputs: tuple[Any, ...]) -> bool:
    try:
        Recorder(module).run(inputs)
    except ShapeError:
        return False
    except RescueError:
        return True  # the shapes fit; what is refused is said later
    return True


def _guesses(module: torch.jit.ScriptModule, sides: Sequence[int]) -> Iterator[tuple[Any, ...]]:
    parameters = [p for p in module.forward.schema.arguments[1:] if not p.has_default_value()]
    if any(str(p.type) != "Tensor" for p in parameters):
        return
    options = [_options(module, place, sides) for place in range(len(parameters))]
    if not all(options):
        return
    for turn in range(max(map(len, options))):
        shapes = [option[min(turn, len(option) - 1)] for option in options]
        yield tuple(parse(text) for text in shapes)


def _options(module: torch.jit.ScriptModule, place: int, sides: Sequence[int]) -> list[str]:
    """Shapes that the first layer of an input lets it have."""
    found = first_layer(module, place)
    if found is None:
        return []
    kind, features = found
    if kind == "conv2d":
        return [f"1x{features}x{side}x{side}" for side in sides]
    if kind == "conv1d":
        return [f"1x{features}x{length}" for length in LENGTHS]
    if kind == "embedding":
        return [f"1x{length}:int64" for length in LENGTHS]
    return [f"1x{features}", *(f"1x{length}x{features}" for length in LENGTHS)]


def zeros(inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """The same inputs with zeros in every tensor."""
    return mapped(inputs, lambda x: torch.zeros_like(x) if isinstance(x, Tensor) else x)
