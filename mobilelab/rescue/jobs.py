"""What all new files of one old file share: the recorded network, the inputs, the old answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mobilelab.core.errors import RescueError
from mobilelab.rescue import archive as archives
from mobilelab.rescue import inputs as chosen
from mobilelab.rescue import proof
from mobilelab.rescue.examples import Examples
from mobilelab.rescue.graph import record
from mobilelab.rescue.inspect import Contents
from mobilelab.rescue.state import Kept, lifted, stepping
from mobilelab.rescue.tape import Tape, tensors
from mobilelab.runtimes import lite


@dataclass
class Job:
    """One file on its way."""

    path: Path
    tape: Tape
    first: tuple[Any, ...]
    groups: chosen.Groups
    old: proof.Reference
    begin: Callable[[], Callable[..., Any]]
    """Gives the old file as it is before its first call."""
    rounds: bool
    kept: tuple[Kept, ...] = ()
    """Its state, which the new network takes behind its inputs."""
    method: str = "forward"

    @property
    def name(self) -> str:
        """What the new files are called, without an ending."""
        return self.path.stem if self.method == "forward" else f"{self.path.stem}-{self.method}"

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """What the new network is exported with."""
        return (*tensors(self.first), *(one.first for one in self.kept))

    def answers(self, network: Callable[..., Any]) -> proof.Reference:
        """What a new network answers."""
        return proof.answers(stepping(network, self.kept), self.groups, tensors)


def loaded(archive: archives.Archive, evaluate: bool, method: str) -> torch.jit.ScriptModule:
    """The file as it was saved, or in eval mode."""
    module = archives.load(archive, method)
    return module.eval() if evaluate else module


def prepared(
    archive: archives.Archive,
    example: Examples,
    inside: Contents,
    evaluate: bool = False,
    method: str = "forward",
) -> Job:
    """Record the network, and ask the old file what it answers.

    Raises:
        RescueError: if it decides by data, or keeps a state that cannot become an input.
        ShapeError: if it refuses the example.
    """
    load = partial(loaded, archive, evaluate, method)
    tape, kept = record(load(), example.first), ()
    if tape.state and load().training:
        raise RescueError(
            f"{archive.path.name} was saved in training mode and changes "
            f"{', '.join(tape.state[:3])} in every call; --eval rewrites it in eval mode."
        )
    if tape.state:
        tape, kept = lifted(load, tape, example.first)
    groups = chosen.groups(tape, example.first, example.bundled)
    begin: Callable[[], Callable[..., Any]] = load
    if archive.lite and not evaluate:  # the bytecode is what the app runs
        begin = partial(_bytecode, archive.path, method)
    if not kept:
        begin = partial(_same, begin())
    old = proof.old_answers(begin, groups, archive.path.name)
    return Job(
        archive.path, tape, example.first, groups, old, begin, inside.rounds, kept,
        method,
    )  # fmt: skip


def _bytecode(path: Path, method: str) -> Callable[..., Any]:
    module = lite.load(path, torch.backends.quantized.engine)
    return module if method == "forward" else partial(module.run_method, method)


def _same(call: Callable[..., Any]) -> Callable[..., Any]:
    return call
