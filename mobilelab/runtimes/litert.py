"""LiteRT: load a ``.tflite`` safely, and look inside one (chapter 08)."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mobilelab.errors import ModelFileError
from mobilelab.runtimes.base import Inside, Model, content, imported, quiet

#: Entry of the interpreter's list that stands for a part handed to a delegate.
_DELEGATE = "DELEGATE"


def check(path: str | Path) -> Path:
    """Refuse, in one sentence, what is not a LiteRT model.

    A ``.tflite`` is a flatbuffer with the identifier ``TFL3`` at byte 4. It has no checksum: a
    wrong byte among the weights is found by comparing answers only.

    Raises:
        ModelFileError: missing, empty, or something else.
    """
    path = Path(path)
    if content(path, ".tflite")[4:8] != b"TFL3":
        raise ModelFileError(
            f"{path.name} is not a LiteRT model (.tflite); look at how it was exported."
        )
    return path


class LiteRTModel(Model):
    """A ``.tflite``, run by LiteRT's interpreter with its default delegate, XNNPACK."""

    runtime = "LiteRT"
    suffix = ".tflite"

    @classmethod
    def prepare(cls) -> None:
        """Import the interpreter."""
        imported("ai_edge_litert.interpreter", cls.runtime, "litert")

    def _load(self) -> None:
        self._interpreter = self._open()
        self._in = self._interpreter.get_input_details()[0]
        self._out = self._interpreter.get_output_details()[0]
        if self._in["dtype"].__name__ != "float32":
            raise ModelFileError(
                f"{self.path.name} takes {self._in['dtype'].__name__} images; quantize it with "
                "float inputs and outputs, as chapter 08 does."
            )

    def _open(self, **options: Any) -> Any:
        package = imported("ai_edge_litert.interpreter", self.runtime, "litert")
        check(self.path)
        try:
            with quiet():
                interpreter = package.Interpreter(
                    str(self.path), num_threads=self.threads, **options
                )
                interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            first = str(error).strip().splitlines()[0].rstrip(".")
            raise ModelFileError(
                f"LiteRT refuses {self.path.name}: {first}; copy or export it again."
            ) from error
        return interpreter

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of the input, its batch as it was exported."""
        return tuple(int(n) for n in self._in["shape"])

    def _run(self, images: Tensor) -> Tensor:
        self._interpreter.set_tensor(self._in["index"], images.numpy(force=True))
        self._interpreter.invoke()
        return torch.from_numpy(self._interpreter.get_tensor(self._out["index"]))

    def inspect(self) -> Inside:
        """Operators that LiteRT runs itself, and those that XNNPACK takes over."""
        names = [op["op_name"] for op in self._interpreter._get_ops_details()]
        alone = self._open(experimental_disable_delegate_node_fusion=True)
        ops = alone._get_ops_details()
        # without fusion, each operator that a delegate takes becomes one entry with its outputs
        taken = {int(op["outputs"][-1]) for op in ops if op["op_name"] == _DELEGATE}
        own, delegated = Counter[str](), Counter[str]()
        for op in ops:
            if op["op_name"] != _DELEGATE:
                (delegated if int(op["outputs"][-1]) in taken else own)[op["op_name"]] += 1
        parts = names.count(_DELEGATE)
        flat = imported("ai_edge_litert.tools.flatbuffer_utils", self.runtime, "litert")
        model = flat.read_model(str(self.path))
        dtypes: Counter[str] = Counter()
        for tensor in model.subgraphs[0].tensors:
            data = model.buffers[tensor.buffer].data
            if data is not None:
                dtypes[flat.type_to_name(tensor.type).lower()] += len(data)
        label = f"XNNPACK ({parts} part{'s' if parts != 1 else ''})"
        return Inside(
            self.runtime,
            str(model.version),
            dict(own.most_common()),
            {label: dict(delegated.most_common())} if delegated else {},
            dict(dtypes.most_common()),
        )
