"""A TorchScript file as a network of ordinary operators, without its source.

>>> import io
>>> file = io.BytesIO()
>>> torch.jit.save(torch.jit.script(torch.nn.Linear(3, 2)), file)
>>> _ = file.seek(0)
>>> network = rebuild(torch.jit.load(file), (torch.zeros(1, 3),))
>>> sorted(name for name, _ in network.named_buffers())
['bias', 'weight']
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from mobilelab.rescue.quantized import lowered
from mobilelab.rescue.recording import Recorder
from mobilelab.rescue.tape import Rebuilt, Tape

#: What the phone's last packages have for int8, and what a stock torch has on this host.
ENGINES = ("qnnpack", "x86", "fbgemm")


def choose_engine() -> str:
    """Set the engine that packs int8 weights while a file is loaded: the phone's, if it is here."""
    here = torch.backends.quantized.supported_engines
    engine = next((name for name in ENGINES if name in here), torch.backends.quantized.engine)
    torch.backends.quantized.engine = engine
    return engine


@contextmanager
def engine_for_phones() -> Iterator[None]:
    """That engine for a while; afterwards the one that was set before."""
    before = torch.backends.quantized.engine
    choose_engine()
    try:
        yield
    finally:
        torch.backends.quantized.engine = before


def record(module: torch.jit.ScriptModule, inputs: tuple[Any, ...], method: str = "") -> Tape:
    """The steps between inputs and answers, with the file's own operators.

    Raises:
        RescueError: naming the node that no straight program can stand for.
        ShapeError: if the network refuses the example.
    """
    return Recorder(module, method).run(inputs)


def rebuild(
    module: torch.jit.ScriptModule,
    inputs: tuple[Any, ...],
    method: str = "",
    folded: bool = True,
) -> Rebuilt:
    """A network that answers as a loaded file does, for inputs of an example's shapes.

    Args:
        module: from ``torch.jit.load``.
        inputs: the example, a tree of tensors for each input.
        method: which of the file's methods; ``forward`` if left out.
        folded: as :func:`mobilelab.rescue.quantized.lowered` says.

    Raises:
        RescueError: naming the node that has no counterpart.
        ShapeError: if the network refuses the example.
    """
    return Rebuilt(lowered(record(module, inputs, method), folded))
