"""An NPU without hardware: the answers of an Ethos-U program, from the TOSA reference model.

A program for an Ethos-U is a ``.pte`` in which the NPU's part is a stream of commands that no
computer here can run. It was compiled from a TOSA graph, and for integers TOSA says what each
operator gives, to the last bit (TOSA 1.0 specification). Arm's reference model computes just that.
So a ``.npu`` is a zip that keeps together what the compiler takes apart:

* ``model.pte``: for the chip, with what its processor has to do around the NPU;
* ``part-0.tosa`` and on: the graph that each of the NPU's parts was compiled from;
* ``part-0-layers.csv``, ``part-0-summary.csv`` and on: what Vela says of it.

``mobilelab.recipes.npu`` writes them (chapter 12).
"""

from __future__ import annotations

import io
import zipfile
from collections import Counter
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mobilelab.core.errors import ModelFileError, ShapeError
from mobilelab.core.signature import Example, Port, Signature, described
from mobilelab.core.trees import Tree
from mobilelab.runtimes import vela
from mobilelab.runtimes.base import Session, content
from mobilelab.runtimes.executorch import with_flatc
from mobilelab.runtimes.inside import Inside
from mobilelab.runtimes.libraries import first_line, imported, quiet

#: Element types as a program names them, and as torch does.
_TYPES = {
    "BYTE": torch.uint8, "CHAR": torch.int8, "SHORT": torch.int16, "INT": torch.int32,
    "LONG": torch.int64, "HALF": torch.float16, "FLOAT": torch.float32, "DOUBLE": torch.float64,
    "BOOL": torch.bool,
}  # fmt: skip
MODEL = "model.pte"


def packed(program: bytes, parts: list[tuple[bytes, str, str]]) -> bytes:
    """A ``.npu`` from a ``.pte`` and, for each part of the NPU's, its graph and Vela's tables."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_STORED) as archive:
        names = {MODEL: program}
        for i, (graph, layers, summary) in enumerate(parts):
            names[f"part-{i}.tosa"] = graph
            names[f"part-{i}-layers.csv"] = layers.encode()
            names[f"part-{i}-summary.csv"] = summary.encode()
        for name, data in names.items():  # with one date, so that equal files are equal
            archive.writestr(zipfile.ZipInfo(name), data)
    return held.getvalue()


def program_of(pte: bytes) -> Any:
    """A ``.pte`` as executorch's own classes."""
    with_flatc()
    serialize = imported("executorch.exir._serialize._program", "ExecuTorch", "executorch")
    with quiet():
        return serialize.deserialize_pte_binary(pte).program


class EthosUSession(Session):
    """A ``.npu``: predicting means the TOSA reference model, bit for bit and not fast."""

    runtime = "Ethos-U"
    suffix = ".npu"
    on_phones = False

    @classmethod
    def prepare(cls) -> None:
        """Import the reference model."""
        imported("tosa_reference_model", "The TOSA reference model", vela.NPU)
        # with it come the operators that quantize before the NPU and after it
        imported("executorch.exir", "ExecuTorch", "executorch")

    @classmethod
    def check(cls, path: Path) -> dict[str, bytes]:
        """Refuse, in one sentence, what is no complete ``.npu``; the records of one that is."""
        try:
            with zipfile.ZipFile(io.BytesIO(content(path, cls.suffix))) as archive:
                if archive.testzip() is not None or MODEL not in archive.namelist():
                    raise zipfile.BadZipFile
                return {name: archive.read(name) for name in archive.namelist()}
        except zipfile.BadZipFile as error:
            raise ModelFileError(
                f"{path.name} is no NPU file of the course or is damaged; write it again."
            ) from error

    def _load(self) -> None:
        self.prepare()
        held = self.check(self.path)
        self.program = held[MODEL]
        program = program_of(self.program)
        self._plan = program.execution_plan[0]
        self._constants = [bytes(buffer.storage) for buffer in program.constant_buffer]
        self.graphs = [held[f"part-{i}.tosa"] for i in range(len(self._plan.delegates))]
        self.reports = [
            vela.read(*(held[f"part-{i}-{kind}.csv"].decode() for kind in ("layers", "summary")))
            for i in range(len(self.graphs))
        ]

    @property
    def file_kb(self) -> float:
        """Size of the ``.pte`` for the chip in kB; the graphs beside it stay at home."""
        return len(self.program) / 1000

    @cached_property
    def _signature(self) -> Signature:
        def ports(kind: str, places: list[int]) -> tuple[Port, ...]:
            tensors = [self._plan.values[place].val for place in places]
            return tuple(
                Port(f"{kind} {i}", _TYPES[tensor.scalar_type.name], tuple(tensor.sizes))
                for i, tensor in enumerate(tensors)
            )

        return Signature(ports("input", self._plan.inputs), ports("output", self._plan.outputs))

    @property
    def signature(self) -> Signature:
        """Types and shapes."""
        return self._signature

    def _call(self, example: Example) -> Tree:
        held: dict[int, Any] = dict(
            zip(self._plan.inputs, example.leaves().values(), strict=True)
        )  # fmt: skip
        for chain in self._plan.chains:
            for step in chain.instructions:
                call = step.instr_args
                if hasattr(call, "delegate_index"):
                    self._delegated(call, held)
                elif hasattr(call, "op_index"):
                    self._kernel(call, held)
                elif type(call).__name__ != "FreeCall":
                    raise ModelFileError(
                        f"{self.path.name} has a branch, which is not run here; run the network in "
                        "PyTorch to compare."
                    )
        found = [held[place] for place in self._plan.outputs]
        return found[0] if len(found) == 1 else tuple(found)

    def _delegated(self, call: Any, held: dict[int, Any]) -> None:
        """One part of the NPU's. What has no value yet is its output."""
        model = imported("tosa_reference_model", "The TOSA reference model", vela.NPU)
        given = [held[place].contiguous().numpy() for place in call.args if place in held]
        with quiet():
            found, status = model.run(self.graphs[call.delegate_index], given, verbosity="LOW")
        if status != model.GraphStatus.TOSA_VALID:
            raise ShapeError(
                f"The reference model refuses {self.path.name} for "
                f"{described({str(i): torch.from_numpy(x) for i, x in enumerate(given)})}; it "
                f"takes {self._signature.inputs_text}."
            )
        places = [place for place in call.args if place not in held]
        for place, answer in zip(places, found, strict=True):
            held[place] = torch.from_numpy(np.array(answer)).reshape(
                tuple(self._plan.values[place].val.sizes)
            )

    def _kernel(self, call: Any, held: dict[int, Any]) -> None:
        """One operator of the processor's, by torch's operator of the same name."""
        operator = self._plan.operators[call.op_index]
        room, name = operator.name.split("::")
        packet = getattr(getattr(torch.ops, room), name)
        # those that quantize have no form here that writes into a tensor; the plain one takes the
        # same arguments without it
        form = operator.overload if operator.overload in packet.overloads() else "default"
        function = getattr(packet, form)
        arguments = function._schema.arguments
        values = [self._value(place, held) for place in call.args[: len(arguments)]]
        pairs = list(zip(arguments, values, strict=True))
        given = [value for argument, value in pairs if not argument.kwarg_only]
        named = {argument.name: value for argument, value in pairs if argument.kwarg_only}
        try:
            held[call.args[-1]] = function(*given, **named)
        except (RuntimeError, NotImplementedError) as error:
            raise ModelFileError(
                f"{operator.name} of {self.path.name} cannot be run here: {first_line(error)}."
            ) from error

    def _value(self, place: int, held: dict[int, Any]) -> Any:
        """What stands at a place of the program: a tensor, a number, a list, or nothing."""
        if place in held:
            return held[place]
        value = self._plan.values[place].val
        kind = type(value).__name__
        if kind == "Tensor":
            dtype = _TYPES[value.scalar_type.name]
            if not value.data_buffer_idx:
                return torch.empty(tuple(value.sizes), dtype=dtype)
            data = bytearray(self._constants[value.data_buffer_idx])
            return torch.frombuffer(data, dtype=dtype).reshape(tuple(value.sizes))
        if kind in ("IntList", "TensorList"):
            return [self._value(one, held) for one in value.items]
        if hasattr(value, "items"):
            return list(value.items)
        return getattr(value, f"{kind.lower()}_val", None)

    @property
    def report(self) -> vela.Report:
        """Vela's estimates, where the NPU has the whole network.

        Raises:
            ModelFileError: if it has several parts or none; ``reports`` has one for each.
        """
        if len(self.reports) != 1:
            raise ModelFileError(
                f"{self.path.name} has {len(self.reports)} parts for the NPU; look at reports."
            )
        return self.reports[0]

    def inspect(self) -> Inside:
        """Operators of the processor's, and those of the NPU's as Vela counts them."""
        calls = [i.instr_args for chain in self._plan.chains for i in chain.instructions]
        own = Counter(
            self._plan.operators[c.op_index].name for c in calls if hasattr(c, "op_index")
        )
        taken = Counter(layer.operator for report in self.reports for layer in report.layers)
        parts = len(self.reports)
        label = ""
        if parts:
            label = f"{self.reports[0].accelerator} ({parts} part{'s' if parts != 1 else ''})"
        weights = sum(report.weights for report in self.reports)
        return Inside(
            self.runtime,
            "TOSA 1.0",
            dict(own.most_common()),
            {label: dict(taken.most_common())} if parts else {},
            {"int8": weights} if weights else {},
        )

    def crossings(self) -> list[int]:
        """Bytes that go over between processor and NPU, one entry for each part and direction."""
        sizes = []
        for chain in self._plan.chains:
            for step in chain.instructions:
                if hasattr(step.instr_args, "delegate_index"):
                    sizes += [self._bytes(place) for place in step.instr_args.args]
        return sizes

    def _bytes(self, place: int) -> int:
        empty: Tensor = self._value(place, {})
        return empty.numel() * empty.element_size()
