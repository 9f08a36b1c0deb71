"""What a model file does, one operator after the other, and who does it (chapter 12).

Each kind of file tells it in its own way, and some do not tell all: a ``.ptl`` has no shapes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from math import prod
from typing import Any

import torch

from mobilelab.core.errors import ModelFileError
from mobilelab.runtimes import ethosu, executorch, lite, litert
from mobilelab.runtimes.base import Session
from mobilelab.runtimes.libraries import imported


@dataclass(frozen=True)
class Step:
    """One operator of a file."""

    operator: str
    who: str
    """The library or chip that does it: ``XNNPACK``, ``Ethos_U55_128``, ``ExecuTorch``."""
    part: int = 0
    """Steps of one part run without leaving it; from one part to the next is a crossing."""
    shape: tuple[int, ...] | None = None
    """Shape of its result; ``None`` where the file does not tell."""
    dtype: str = ""
    remark: str = ""
    """What else is known: Vela's cycles, for example."""
    size: int | None = None
    """Bytes of its result; ``None`` where the file does not tell."""

    @property
    def gives(self) -> str:
        """Its result in words: ``int8 (1, 32, 32, 16)``."""
        shape = "" if self.shape is None else f"({', '.join(map(str, self.shape))})"
        return f"{self.dtype} {shape}".strip() or "not told by the file"

    @property
    def text(self) -> str:
        """The step in words: ``CONV_2D by XNNPACK, gives int8 (1, 32, 32, 16)``."""
        shape = f"({', '.join(map(str, self.shape))})" if self.shape is not None else ""
        gives = f", gives {self.dtype} {shape}".rstrip() if shape or self.dtype else ""
        return f"{self.operator} by {self.who}{gives}" + (f"; {self.remark}" * bool(self.remark))


def steps(session: Session) -> list[Step]:
    """The operators of a loaded file in the order in which they run.

    Raises:
        ModelFileError: for a kind of file whose steps cannot be read.
    """
    for kind, read in _READERS.items():
        if isinstance(session, kind):
            return _in_parts(list(read(session)))
    raise ModelFileError(
        f"The steps of {session.path.name} cannot be read; they can for "
        f"{', '.join(kind.suffix for kind in _READERS)}."
    )


def crossings(found: list[Step]) -> list[tuple[Step, Step]]:
    """Neighbours in different parts: what stands before and behind each border."""
    return [(a, b) for a, b in pairwise(found) if a.part != b.part]


def _in_parts(found: list[Step]) -> list[Step]:
    """Number the parts: a new one begins where another does the work, or where one was marked."""
    numbered: list[Step] = []
    part, before = -1, None
    for step in found:
        if (step.who, step.part) != before:
            part, before = part + 1, (step.who, step.part)
        numbered.append(replace(step, part=part))
    return numbered


def _lite(session: Any) -> Iterator[Step]:
    """From the TorchScript that a ``.ptl`` carries; operators that make tensors only."""
    graph = torch.jit.load(str(session.path)).inlined_graph

    def walk(nodes: Any) -> Iterator[str]:
        for node in nodes:
            kind = node.kind()
            if not kind.startswith("prim::") and any(
                str(output.type()) == "Tensor" for output in node.outputs()
            ):
                yield kind
            for block in node.blocks():
                yield from walk(block.nodes())

    libraries = {"prepacked": "XNNPACK", "quantized": "QNNPACK"}
    for kind in walk(graph.nodes()):
        yield Step(kind, libraries.get(kind.split("::")[0], "PyTorch"))


def _litert(session: Any) -> Iterator[Step]:
    """As LiteRT lists them, with each operator of the delegate by itself."""
    alone = session._open(experimental_disable_delegate_node_fusion=True)
    details = {one["index"]: one for one in alone.get_tensor_details()}
    ops = alone._get_ops_details()
    taken = {int(op["outputs"][-1]) for op in ops if op["op_name"] == "DELEGATE"}
    for op in ops:
        if op["op_name"] != "DELEGATE":
            made = details[int(op["outputs"][-1])]
            who = "XNNPACK" if made["index"] in taken else session.runtime
            shape = tuple(map(int, made["shape"]))
            width = made["dtype"]().itemsize
            yield Step(
                op["op_name"], who, 0, shape, made["dtype"].__name__, size=prod(shape) * width
            )


def _xnnpack(blob: bytes, part: int) -> Iterator[Step]:
    graph = executorch._xnnpack_graph(blob)
    values = {}
    for value in graph["xvalues"]:
        tensor = value["xvalue_union"].get("tensor_value", value["xvalue_union"])
        values[tensor.get("id_out", 0)] = tensor
    for node in graph["xnodes"]:
        made = values[node["xnode_union"].get("output_id", 0)]
        dtype = made["datatype"].removeprefix("xnn_datatype_")
        shape = tuple(made.get("dims", ()))
        size = prod(shape) * executorch._WIDTHS.get(dtype, 0) or None
        yield Step(node["xnode_union_type"], "XNNPACK", part, shape, dtype, size=size)


def _program(
    plan: Any, runtime: str, inside: Callable[[int, int], Iterator[Step]]
) -> Iterator[Step]:
    """A ``.pte``: its own kernels, and between them what its delegates do."""
    part = 0
    for chain in plan.chains:
        for step in chain.instructions:
            call = step.instr_args
            if hasattr(call, "delegate_index"):
                part += 1
                yield from inside(call.delegate_index, part)
            elif hasattr(call, "op_index"):
                made = plan.values[call.args[-1]].val
                if type(made).__name__ == "TensorList":  # of several answers the first one counts
                    made = plan.values[made.items[0]].val
                shape = tuple(getattr(made, "sizes", ()))
                dtype = made.scalar_type.name.lower() if hasattr(made, "scalar_type") else ""
                size = prod(shape) * _width(dtype) or None
                name = plan.operators[call.op_index].name
                yield Step(name, runtime, 0, shape, dtype, size=size)


def _width(dtype: str) -> int:
    known = ethosu._TYPES.get(dtype.upper())
    return known.itemsize if known else 0


def _executorch(session: Any) -> Iterator[Step]:
    program = executorch._read(session.path).program
    plan = program.execution_plan[0]

    def inside(which: int, part: int) -> Iterator[Step]:
        delegate = plan.delegates[which]
        if delegate.id == "XnnpackBackend":
            blob = bytes(program.backend_delegate_data[delegate.processed.index].data)
            yield from _xnnpack(blob, part)
        else:
            yield Step("part of the network, not readable here", delegate.id, part)

    return _program(plan, session.runtime, inside)


def tosa_tensors(graph: bytes) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Element types and shapes of a TOSA graph's tensors by name."""
    root = imported("tosa.TosaGraph", "The TOSA tools", "npu").TosaGraph.GetRootAs(graph, 0)
    kinds = vars(imported("tosa.DType", "The TOSA tools", "npu").DType)
    names = {number: name.lower() for name, number in kinds.items() if type(number) is int}
    block = root.Regions(0).Blocks(0)
    tensors = [block.Tensors(i) for i in range(block.TensorsLength())]
    return {
        tensor.Name().decode(): (
            names[tensor.Type()], tuple(tensor.Shape(i) for i in range(tensor.ShapeLength())),
        )
        for tensor in tensors
    }  # fmt: skip


def _ethosu(session: Any) -> Iterator[Step]:
    def inside(which: int, part: int) -> Iterator[Step]:
        report = session.reports[which]
        tensors = tosa_tensors(session.graphs[which])
        for layer in report.layers:
            remark = f"Vela's estimate: {layer.cycles:,} cycles, {layer.macs:,} products"
            dtype, shape = tensors.get(layer.name, ("", None))
            bits = int(dtype.removeprefix("int")) if dtype.startswith("int") else 0
            size = prod(shape) * bits // 8 if shape is not None and bits else None
            yield Step(layer.operator, report.accelerator, part, shape, dtype, remark, size)

    return _program(session._plan, "processor", inside)


_READERS: dict[type[Session], Callable[[Any], Iterator[Step]]] = {
    lite.LiteSession: _lite,
    litert.LiteRTSession: _litert,
    executorch.ExecuTorchSession: _executorch,
    ethosu.EthosUSession: _ethosu,
}
