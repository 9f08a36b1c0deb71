"""A rebuilt network as Python source that a person can go on with, and its weights beside it.

The source is the flat sequence of calls between inputs and answers, one line for each, and needs
torch only. Layers are not put together again: a name such as ``features_0_weight`` says where a
weight was in the old network, as far as the file still knew.
"""

from __future__ import annotations

import importlib.util
import keyword
import re
from pathlib import Path
from typing import Any

import torch

from mobilelab.core.errors import RescueError
from mobilelab.rescue.tape import Rebuilt, Step
from mobilelab.rescue.values import Cell, cells, mapped

_HEAD = '''"""{title}

Written from the graph of {file}, whose source is lost: the flat sequence of its calls. The weights
are in {weights}. It takes inputs of the shapes {shapes} only.
{state}"""

from pathlib import Path

import torch
{imports}from torch import nn

aten = torch.ops.aten
{packets}

class Network(nn.Module):
    """The network of {file}."""

    def __init__(self):
        super().__init__()
{buffers}

    def forward(self, {inputs}):
{body}


def load(folder=Path(__file__).parent):
    """The network with its weights, in eval mode."""
    network = Network()
    network.load_state_dict(torch.load(Path(folder) / "{weights}", weights_only=True))
    return network.eval()
'''

_STATE = """
It keeps a state: {}. The next call takes as that what stands behind the answer.
"""


def write(network: Rebuilt, folder: str | Path, name: str, file: str, shapes: str) -> Path:
    """Write ``name.py`` and ``name.weights.pt``.

    Args:
        network: from :func:`mobilelab.rescue.graph.rebuild`.
        folder: where to; made if it is not there.
        name: what to call the two.
        file: the old file's name, for the words in it.
        shapes: the inputs in words.

    Returns:
        The path of the source.

    Raises:
        RescueError: if an argument cannot be written as Python.
    """
    folder = Path(folder)
    text = source(network, f"{name}.weights.pt", file, shapes)
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(network.state_dict(), folder / f"{name}.weights.pt")
    path = folder / f"{name}.py"
    path.write_text(text, encoding="utf-8")
    return path


def source(network: Rebuilt, weights: str, file: str, shapes: str) -> str:
    """The source as text."""
    names = _Names(network)
    inputs = [names.of(cell) for cell in cells(network.tape.inputs)]
    many = len(network.tape.state)
    lines = [
        f"        {names.of(cell)} = {names.of(cell)}.clone()  # it is written into"
        for cell in cells(network.tape.inputs) if cell.number in network.tape.copied
    ]  # fmt: skip
    lines += [_line(names, step) for step in network.tape.steps]
    lines.append(f"        return {names.text(network.tape.outputs)}")
    buffers = [_buffer(name, x) for name, x in network.named_buffers()]
    decomposed = any("quantized_decomposed." in line for line in lines)
    return _HEAD.format(
        title=f"The network of {_safe(file)}, rebuilt.",
        file=_safe(file),
        weights=weights,
        shapes=shapes,
        state=_STATE.format(", ".join(inputs[-many:])) if many else "",
        imports="import torch.ao.quantization.fx._decomposed\n" if decomposed else "",
        packets="quantized_decomposed = torch.ops.quantized_decomposed\n" if decomposed else "",
        buffers="\n".join(buffers) or "        pass",
        inputs=", ".join(inputs) or "*nothing",
        body="\n".join(lines),
    )


def _safe(text: str) -> str:
    return re.sub(r"[^\w .()-]", "_", text)


def _buffer(name: str, x: torch.Tensor) -> str:
    return f'        self.register_buffer("{name}", torch.empty({tuple(x.shape)}, dtype={x.dtype}))'


def load(path: Path) -> torch.nn.Module:
    """Run a source that :func:`write` wrote, and give its network with its weights."""
    spec = importlib.util.spec_from_file_location(f"rescued_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise RescueError(f"{path} is no Python source.")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.load(path.parent)


class _Names:
    """What every cell is called in the source."""

    def __init__(self, network: Rebuilt) -> None:
        self._network = network
        self._given: dict[int, str] = {}
        self._taken: dict[str, int] = {"aten": 1, "quantized_decomposed": 1, "torch": 1, "nn": 1}
        for cell in cells(network.tape.inputs):
            self.give(cell, cell.name or "x")

    def give(self, cell: Cell, base: str) -> str:
        """A new name for a cell, after the operator that makes it."""
        base = re.sub(r"\W", "_", base).strip("_") or "x"
        base = f"{base}_" if keyword.iskeyword(base) or base == "self" else base
        count = self._taken.get(base, 0)
        self._taken[base] = count + 1
        self._given[cell.number] = f"{base}_{count}" if count else base
        return self._given[cell.number]

    def of(self, cell: Cell) -> str:
        """The name of a cell."""
        weight = self._network.weight_name(cell)
        if weight is not None:
            return f"self.{weight}"
        if cell.number in self._given:
            return self._given[cell.number]
        return repr(cell.value)  # a number that was read out of a constant

    def text(self, value: Any) -> str:
        """An argument as Python writes it."""
        if isinstance(value, Cell):
            return self.of(value)
        if isinstance(value, (list, tuple)):
            parts = ", ".join(self.text(part) for part in value)
            if isinstance(value, list):
                return f"[{parts}]"
            return f"({parts},)" if len(value) == 1 else f"({parts})"
        if isinstance(value, dict):
            pairs = (f"{key!r}: {self.text(part)}" for key, part in value.items())
            return f"{{{', '.join(pairs)}}}"
        if (isinstance(value, float) and value != value) or value in (float("inf"), -float("inf")):
            return f'float("{value}")'
        if isinstance(value, torch.device):
            return f'torch.device("{value}")'
        if value is None or isinstance(value, (bool, int, float, str)):
            return repr(value)
        if isinstance(value, (torch.dtype, torch.layout, torch.memory_format)):
            return str(value)
        raise RescueError(f"{type(value).__name__} cannot be written as Python source.")


def _line(names: _Names, step: Step) -> str:
    """One step as a line, with the old source line beside it where that is known."""
    call = str(step.call)
    if not re.fullmatch(r"(aten|quantized_decomposed)\.\w+\.\w+", call):
        raise RescueError(f"{step.place} cannot be written as Python source.")
    args = [names.text(part) for part in step.args]
    args += [f"{name}={names.text(part)}" for name, part in step.named.items()]
    short = call.split(".")[1]
    made = mapped(step.result, lambda cell: names.give(cell, short))
    target = f"{_targets(made)} = " if list(cells(step.result)) else ""
    return f"        {target}{call}({', '.join(args)})"


def _targets(made: Any) -> str:
    if isinstance(made, str):
        return made
    return f"({', '.join(_targets(part) for part in made)},)"
