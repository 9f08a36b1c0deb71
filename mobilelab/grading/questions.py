"""Put a question to a student's names: call a function, look at a variable, read a file.

The same code runs in the notebook's instant check and, sealed off, for the grader. Whatever it
returns is only what the student's side says; the verdict is reached elsewhere.
"""

from __future__ import annotations

import copy
import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mobilelab.grading.serialize import File, decode, encode


class Missing(Exception):
    """The student's notebook has no such name or file."""


@dataclass(frozen=True)
class Net:
    """A network as an argument: it is built where the student's code runs.

    Args:
        where: ``module:class``, importable there (``mobilelab.models:TinyMobileNet``, or a
            class in the ``checks`` of the exercise).
        arguments: keyword arguments of the class.
        state: its ``state_dict``.
        training: its mode.
    """

    where: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    state: Mapping[str, Any] = field(default_factory=dict)
    training: bool = False

    def build(self) -> nn.Module:
        """The network, with fresh memory."""
        module, name = self.where.split(":")
        kind, usual = getattr(importlib.import_module(module), name), torch.get_default_dtype()
        torch.set_default_dtype(torch.float32)  # whatever the notebook's cells made of it
        try:
            net = kind(**self.arguments)
        finally:
            torch.set_default_dtype(usual)
        if self.state:
            net.load_state_dict({k: v.clone() for k, v in self.state.items()})
        return net.train(self.training)


@dataclass(frozen=True)
class Call:
    """Ask: call ``name`` with ``args``; ``then`` calls what it returned with more arguments.

    Bytes among the arguments arrive as bytes. Every call of the chain gets fresh copies, so a
    function that writes into its arguments harms only itself. ``back`` returns the arguments after
    the call instead of its value; of a network a dict with ``training`` (of each of its modules),
    ``state`` and ``hooks`` (how many).
    """

    name: str
    args: tuple[Any, ...] = ()
    then: tuple[tuple[Any, ...], ...] = ()
    back: bool = False


@dataclass(frozen=True)
class Value:
    """Ask: what is the value of the variable ``name``?"""

    name: str


@dataclass(frozen=True)
class Delivered:
    """Ask: the bytes of the file ``name`` in the working folder."""

    name: str


Ask = Call | Value | Delivered


def _pack(arguments: tuple[Any, ...]) -> list[Any]:
    return [
        {"net": a.where, "arguments": dict(a.arguments), "state": dict(a.state),
         "training": a.training} if isinstance(a, Net) else a for a in arguments
    ]  # fmt: skip


def _unpack(arguments: list[Any]) -> list[Any]:
    return [_argument(a) for a in arguments]


def _argument(a: Any) -> Any:
    """What a function is called with: a network is built, a file is its bytes."""
    if isinstance(a, dict) and "net" in a:
        return Net(a["net"], a["arguments"], a["state"], a["training"]).build()
    return a.content if isinstance(a, File) else a


def to_message(ask: Ask) -> tuple[dict[str, Any], list[bytes]]:
    """A question as plain data."""
    if isinstance(ask, Call):
        form, blocks = encode([_pack(ask.args), [_pack(step) for step in ask.then]])
        return {"ask": "call", "name": ask.name, "with": form, "back": ask.back}, blocks
    return {"ask": "value" if isinstance(ask, Value) else "file", "name": ask.name}, []


def answer(
    names: Mapping[str, Any], message: Mapping[str, Any], blocks: list[bytes], start: str = "."
) -> Any:
    """Put the question to ``names`` (the notebook's variables); ``start`` is where it began.

    Raises:
        Missing: if the name or the file is not there.
        Exception: whatever the student's code raises.
    """
    name = message["name"]
    if message["ask"] == "file":
        # where the notebook is now, or where it began: it may have changed the folder since
        for place in (Path(name), Path(start, name)):
            try:
                return File(place.read_bytes())
            except OSError:
                continue
        raise Missing(f"the file {name} was not written")
    if name not in names:
        raise Missing(f"the name {name} is not defined")
    it = names[name]
    if message["ask"] == "value":
        return it
    args, then = decode(message["with"], blocks)
    args = _unpack(args)
    it = it(*args)
    for step in then:
        if not isinstance(it, Callable):
            raise TypeError(f"{name} returned {type(it).__name__}, which cannot be called")
        it = it(*_unpack(copy.deepcopy(step)))
    return tuple(map(_as_found, args)) if message["back"] else it


def _as_found(it: Any) -> Any:
    """An argument after the call; a network as plain data, which somebody else looks at."""
    if not isinstance(it, nn.Module):
        return it
    modules = list(it.modules())
    hooks = sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in modules)
    state = {name: tensor.clone() for name, tensor in it.state_dict().items()}
    return {"training": [m.training for m in modules], "state": state, "hooks": hooks}
