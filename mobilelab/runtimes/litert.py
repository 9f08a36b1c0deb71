"""LiteRT: load a ``.tflite`` safely, and look inside one (chapter 09)."""

from __future__ import annotations

from collections import Counter
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from mobilelab.core.errors import ModelFileError, ShapeError
from mobilelab.core.signature import Example, Port, Signature, described
from mobilelab.core.trees import Tree, natural
from mobilelab.runtimes.base import Inside, Session, content
from mobilelab.runtimes.elsewhere import OnPhone
from mobilelab.runtimes.libraries import first_line, imported, quiet

#: Entry of the interpreter's list that stands for a part handed to a delegate.
_DELEGATE = "DELEGATE"


def _in_order(details: dict[str, Any]) -> dict[str, Any]:
    """As the converter counts, ``args_2`` before ``args_10``."""
    return {name: details[name] for name in sorted(details, key=natural)}


def _port(name: str, detail: dict[str, Any]) -> Port:
    sizes = detail.get("shape_signature", detail["shape"])
    sizes = sizes if len(sizes) == len(detail["shape"]) else detail["shape"]
    dtype = getattr(torch, detail["dtype"].__name__.rstrip("_"))
    return Port(name, dtype, tuple(None if size < 0 else int(size) for size in sizes))


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


class LiteRTSession(Session):
    """A ``.tflite``, run by LiteRT's interpreter with its default delegate, XNNPACK."""

    runtime = "LiteRT"
    suffix = ".tflite"
    on_phone = OnPhone("litert", "LiteRT 2.3.0")

    @classmethod
    def title(cls) -> str:
        """The installed version."""
        return f"{cls.runtime} {version('ai-edge-litert')}"

    @classmethod
    def check(cls, path: Path) -> object:
        """As :func:`check`."""
        return check(path)

    @classmethod
    def prepare(cls) -> None:
        """Import the interpreter."""
        imported("ai_edge_litert.interpreter", cls.runtime, "litert")

    def _load(self) -> None:
        self._interpreter = self._open()
        self._runner = self._interpreter.get_signature_runner()
        inputs = _in_order(self._runner.get_input_details())
        outputs = _in_order(self._runner.get_output_details())
        self._outputs = tuple(outputs)
        for name, detail in inputs.items():
            if detail["quantization"][0]:
                raise ModelFileError(
                    f"{self.path.name} takes {detail['dtype'].__name__} with a scale as {name}; "
                    "quantize it with float inputs and outputs, as chapter 09 does."
                )
        self._signature = Signature(
            tuple(map(_port, inputs, inputs.values())), tuple(map(_port, outputs, outputs.values()))
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
    def signature(self) -> Signature:
        """Names, types and shapes, as the converter wrote them."""
        return self._signature

    def _call(self, example: Example) -> Tree:
        names = [port.name for port in self._signature.inputs]
        inputs = dict(zip(names, example.leaves().values(), strict=True))
        try:
            found = self._runner(**{name: leaf.numpy() for name, leaf in inputs.items()})
        except (ValueError, RuntimeError) as error:
            raise ShapeError(
                f"{self.path.name} refuses {described(inputs)}: {first_line(error)}; it takes "
                f"{self._signature.inputs_text}."
            ) from error
        answers = {name: torch.as_tensor(found[name]).clone() for name in self._outputs}
        if any(not name.startswith("output_") for name in answers):
            return answers  # the network named them
        return next(iter(answers.values())) if len(answers) == 1 else tuple(answers.values())

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
