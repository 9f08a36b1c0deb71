"""ExecuTorch: load a ``.pte`` safely, and look inside one (chapter 08).

The runtime is given the path of a file whose header was read before. What a ``.pte`` hands to
XNNPACK is a file within the file; ``flatc``, which comes with the package executorch, reads both.
"""

from __future__ import annotations

import importlib.resources
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from importlib.metadata import version
from math import prod
from pathlib import Path
from typing import Any
from weakref import WeakSet

import torch
from torch import Tensor

from mobilelab.core.errors import MeasureError, ModelFileError, ShapeError
from mobilelab.core.signature import Example, Port, Signature, described
from mobilelab.core.trees import Tree
from mobilelab.runtimes.base import Inside, Session, content
from mobilelab.runtimes.elsewhere import InApp, OnPhone
from mobilelab.runtimes.libraries import imported, quiet

_WIDTHS = {"fp32": 4, "fp16": 2, "qint8": 1, "qcint8": 1, "qint32": 4, "qcint32": 4}
#: Element types by their number (executorch, ``runtime/core/portable_type/scalar_type.h``).
_TYPES = {
    0: torch.uint8, 1: torch.int8, 2: torch.int16, 3: torch.int32, 4: torch.int64,
    5: torch.float16, 6: torch.float32, 7: torch.float64, 11: torch.bool, 15: torch.bfloat16,
}  # fmt: skip
#: What the runtime's numbers say (executorch, ``runtime/core/error.h``).
_MEANINGS = {
    "0x:14": " (an operator of the file is missing from this runtime)",
    "0x:20": " (it was made for a backend that this runtime does not have)",
    "0x:23": " (the file is damaged; copy or export it again)",
}
#: What else in a step of a program names a value.
_PLACES = ("cond_value_index", "move_from", "move_to", "value_index")
#: Models that hold on to the pool of threads that they were loaded with.
_alive: WeakSet[ExecuTorchSession] = WeakSet()


def with_flatc() -> None:
    """Put the folder of this Python onto ``PATH`` if ``flatc`` is found nowhere else.

    Exporting and inspecting start it, and it lies beside Python in an environment that was not
    activated.
    """
    if shutil.which("flatc") is None:
        here = str(Path(sys.executable).parent)
        os.environ["PATH"] = os.pathsep.join([os.environ.get("PATH", ""), here])


def check(path: str | Path) -> Path:
    """Refuse, in one sentence, what is not a complete ExecuTorch program.

    A ``.pte`` is a flatbuffer with the identifier ``ET`` and two digits at byte 4, and after it a
    header that says where the program and its constants end (executorch, ``exir/_serialize``). It
    has no checksum: a wrong byte among the weights is found by comparing answers only.

    Raises:
        ModelFileError: missing, empty, truncated, or something else.
    """
    path = Path(path)
    found = content(path, ".pte")
    if found[4:6] != b"ET":
        raise ModelFileError(
            f"{path.name} is not an ExecuTorch program (.pte); look at how it was exported."
        )
    if found[8:12] == b"eh00" and len(found) >= 40:
        program, start, constants = struct.unpack("<QQQ", found[16:40])
        if len(found) < max(program, start + constants):
            raise ModelFileError(
                f"{path.name} is cut off: {len(found)} bytes of {max(program, start + constants)}; "
                "copy or export it again."
            )
    return path


class ExecuTorchSession(Session):
    """A ``.pte``. All models of a process share one pool of threads."""

    runtime = "ExecuTorch"
    suffix = ".pte"
    # The newest version whose torch runs on a Cortex-A53, and older than this computer's: the tests
    # ask whether it reads what is written here. Its XNNPACK stops at an SDOT in int8.
    on_phone = OnPhone("executorch", "ExecuTorch 1.0.1", exact_int8=False)
    in_app = InApp("executorch", "org.pytorch:executorch-android:1.3.1", ios="swiftpm-1.3.1")

    @classmethod
    def title(cls) -> str:
        """The installed version."""
        return f"{cls.runtime} {version('executorch')}"

    @classmethod
    def check(cls, path: Path) -> object:
        """As :func:`check`."""
        return check(path)

    @classmethod
    def prepare(cls) -> None:
        """Import the runtime."""
        imported("executorch.runtime", cls.runtime, "executorch")

    def _load(self) -> None:
        package = imported("executorch.runtime", self.runtime, "executorch")
        check(self.path)
        try:
            with quiet():
                runtime = package.Runtime.get()
                self._pool(runtime._legacy_module)
                # from memory: the runtime would go on reading a file that is written anew
                self._program = runtime.load_program(content(self.path, ".pte"))
                self._forward = self._program.load_method("forward")
            self._signature = _signature(self._forward.metadata)
        except (RuntimeError, KeyError) as error:
            first = str(error).strip().splitlines()[0]
            first += next((text for code, text in _MEANINGS.items() if code in first), "")
            raise ModelFileError(f"ExecuTorch refuses {self.path.name}: {first}") from error
        _alive.add(self)

    def _pool(self, bindings: Any) -> None:
        """Size the pool. XNNPACK keeps the pool that it found when a program was loaded."""
        if bindings._threadpool_get_thread_count() == self.threads:
            return
        if len(_alive):
            raise MeasureError(
                "ExecuTorch has one pool of threads in a process, and models that are loaded hold "
                f"on to it; load {self.path.name} for {self.threads} threads in a process of its "
                "own."
            )
        bindings._unsafe_reset_threadpool(self.threads)

    @property
    def signature(self) -> Signature:
        """Types and shapes; where a size is free, the largest that the file was made for."""
        return self._signature

    def _takes(self, port: Port, leaf: Tensor) -> bool:
        """The file does not say which sizes are free: at most as large, and the runtime decides."""
        return leaf.dtype == port.dtype and _within(leaf.shape, port.shape or ())

    def _call(self, example: Example) -> Tree:
        inputs = [leaf.contiguous() for leaf in example.leaves().values()]
        try:
            # contiguous: the runtime reads memory as it lies; clone: the next call overwrites it
            found = [
                answer.clone() if isinstance(answer, Tensor) else answer
                for answer in self._forward.execute(inputs)
                if answer is not None
            ]
        except RuntimeError as error:
            raise ShapeError(
                f"{self.path.name} refuses {described(example.leaves())}: "
                f"{str(error).rstrip('.')}; it was exported for {self._signature.inputs_text}."
            ) from error
        return found[0] if len(found) == 1 else tuple(found)

    def execute(self, *inputs: Tensor) -> Tree:
        """One call of the runtime, of any batch that the file takes.

        Raises:
            ShapeError: where the runtime refuses the input.
        """
        return self._call(Example(inputs).own())

    def inspect(self) -> Inside:
        """Operators that ExecuTorch runs itself, and what it hands to which delegate."""
        program = _read(self.path)
        plan = program.program.execution_plan[0]
        calls = [i.instr_args for chain in plan.chains for i in chain.instructions]
        own = Counter(
            f"{op.name}.{op.overload}" if op.overload else op.name
            for op in (plan.operators[c.op_index] for c in calls if hasattr(c, "op_index"))
        )
        delegates: dict[str, Counter[str]] = {}
        dtypes: Counter[str] = Counter()
        for delegate in plan.delegates:
            ops = delegates.setdefault(delegate.id, Counter())
            if delegate.id == "XnnpackBackend":
                blob = program.program.backend_delegate_data[delegate.processed.index].data
                graph = _xnnpack_graph(bytes(blob))
                ops.update(node["xnode_union_type"] for node in graph["xnodes"])
                dtypes.update(_weights(graph))
            else:
                ops["part of the network, not readable here"] += 1
        if not plan.delegates:
            # the segments after the program hold the weights
            dtypes["fp32"] = struct.unpack("<Q", content(self.path, ".pte")[32:40])[0]
        return Inside(
            self.runtime,
            str(program.program.version),
            dict(own.most_common()),
            {name: dict(ops.most_common()) for name, ops in delegates.items()},
            dict(dtypes.most_common()),
            dict(Counter(delegate.id for delegate in plan.delegates)),
        )

    def unread(self) -> dict[str, int]:
        """Tensors that are in the file and that no step of its program reads.

        Returns:
            ``tensors``, how many, and their ``bytes``.
        """
        (plan,) = _read(self.path).program.execution_plan
        read = {*plan.inputs, *plan.outputs}
        for chain in plan.chains:
            for step in chain.instructions:
                call = step.instr_args
                read |= set(getattr(call, "args", None) or ())
                read |= {getattr(call, name) for name in _PLACES if hasattr(call, name)}
        read |= {
            i for place in tuple(read) if 0 <= place < len(plan.values)
            for i in getattr(plan.values[place].val, "items", None) or () if type(i) is int
        }  # fmt: skip
        idle = [
            value.val for place, value in enumerate(plan.values)
            if place not in read and type(value.val).__name__ == "Tensor"
        ]  # fmt: skip
        widths = {"FLOAT": 4, "LONG": 8, "INT": 4}
        sizes = [prod(it.sizes) * widths.get(it.scalar_type.name, 1) for it in idle]
        return {"tensors": len(idle), "bytes": sum(sizes)}


def _within(shape: Sequence[int], most: Sequence[int | None]) -> bool:
    pairs = zip(shape, most, strict=False)
    return len(shape) == len(most) and all(b is None or a <= b for a, b in pairs)


def _signature(meta: Any) -> Signature:
    """Inputs and outputs; their names are not in the file."""
    names = [f"input {i}" for i in range(meta.num_inputs())]
    inputs = tuple(_port(name, meta.input_tensor_meta, i) for i, name in enumerate(names))
    outputs = tuple(
        _port(f"output {i}", meta.output_tensor_meta, i) for i in range(meta.num_outputs())
    )
    return Signature(inputs, outputs)


def _port(name: str, tensor_meta: Callable[[int], Any], place: int) -> Port:
    try:
        tensor = tensor_meta(place)
    except (RuntimeError, IndexError):  # a number or nothing, not a tensor
        return Port(name)
    return Port(name, _TYPES.get(tensor.dtype()), tuple(tensor.sizes()))


def _read(path: Path) -> Any:
    """The program as executorch's own classes."""
    with_flatc()
    serialize = imported("executorch.exir._serialize._program", "ExecuTorch", "executorch")
    with quiet():
        return serialize.deserialize_pte_binary(content(path, ".pte"))


def _xnnpack_graph(blob: bytes) -> dict[str, Any]:
    """XNNPACK's part of a program, decoded by ``flatc`` with the schema that executorch ships."""
    offset, size = struct.unpack("<II", blob[10:18])
    schema = importlib.resources.files("executorch.backends.xnnpack.serialization")
    schema = importlib.resources.as_file(schema / "runtime_schema.fbs")
    with tempfile.TemporaryDirectory(prefix="mobilelab-") as folder, schema as fbs:
        file = Path(folder) / "graph.bin"
        file.write_bytes(blob[offset : offset + size])
        subprocess.run(
            ["flatc", "--json", "--strict-json", "--raw-binary", "-o", folder, fbs, "--", file],
            check=True,
            capture_output=True,
        )
        text = file.with_suffix(".json").read_text()
    return json.loads(re.sub(r":\s*-?(inf|nan)\b", ": null", text))


def _weights(graph: dict[str, Any]) -> Counter[str]:
    """Bytes of each element type among the tensors that have constants."""
    found: Counter[str] = Counter()
    for value in graph["xvalues"]:
        tensor = value["xvalue_union"]
        tensor = tensor.get("tensor_value", tensor)
        if tensor.get("constant_buffer_idx"):
            name = tensor["datatype"].removeprefix("xnn_datatype_")
            found[name] += prod(tensor["dims"]) * _WIDTHS.get(name, 0)
    return found
