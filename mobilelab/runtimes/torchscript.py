"""TorchScript: a ``.pt`` that ``torch.jit.save`` wrote (chapter 02)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from mobilelab.core.errors import ModelFileError, ShapeError
from mobilelab.core.signature import Example, described, dtype_name
from mobilelab.core.trees import Tree
from mobilelab.runtimes.arguments import Argument, check_inputs
from mobilelab.runtimes.base import Inside, Session, content
from mobilelab.runtimes.channels import input_channels
from mobilelab.runtimes.libraries import first_line

#: Operators whose result is a view of their first argument.
_VIEWS = {
    f"aten::{name}" for name in (
        "view", "reshape", "select", "slice", "narrow", "unsqueeze", "squeeze", "transpose", "t",
        "permute", "expand", "alias", "detach", "flatten",
    )
} | {f"aten::{name}_" for name in ("add", "sub", "mul", "div", "copy", "zero", "fill")}  # fmt: skip


class TorchScriptSession(Session):
    """A ``.pt``, run by the whole of PyTorch. Quantized files run with the engine that is set."""

    runtime = "TorchScript"
    suffix = ".pt"
    on_phones = False

    @classmethod
    def title(cls) -> str:
        """This torch."""
        return f"torch {torch.__version__}"

    @classmethod
    def save(cls, made: Any, path: Path) -> None:
        """Write a script module (chapter 02)."""
        made.save(str(path))

    def _load(self) -> None:
        content(self.path, ".pt")
        try:
            self.module = torch.jit.load(str(self.path)).eval()
        except (RuntimeError, ValueError) as error:
            raise ModelFileError(
                f"{self.path.name} is no TorchScript file that torch {torch.__version__} can load "
                f"({first_line(error)}); save it again."
            ) from error

    @property
    def signature(self) -> None:
        """The file names its inputs and says neither their types nor their shapes."""

    @cached_property
    def _arguments(self) -> tuple[Argument, ...]:
        return tuple(
            Argument(it.name, it.type.annotation_str, not it.has_default_value())
            for it in self.module.forward.schema.arguments[1:]  # the first is the module itself
        )

    @property
    def input_channels(self) -> int | None:
        """From its first convolution."""
        return input_channels(self.path)

    @cached_property
    def state(self) -> tuple[str, ...]:
        """Names of the tensors in the file that a call changes."""
        return written(self.module)

    def _call(self, example: Example) -> Tree:
        check_inputs(self.path.name, self._arguments, example)
        try:
            return self.module(*example.args, **example.named)
        except (RuntimeError, TypeError, NotImplementedError) as error:
            raise refused(self, example, error) from error

    def inspect(self) -> Inside:
        """Operators of the graph by how often they stand in it, and the weights' types."""
        kinds = [node.kind() for node in _nodes(self.module.forward.inlined_graph)]
        found = Counter(kind for kind in kinds if not kind.startswith("prim::"))
        sizes: Counter[str] = Counter()
        for tensor in (*self.module.parameters(), *self.module.buffers()):
            sizes[dtype_name(tensor.dtype)] += tensor.numel() * tensor.element_size()
        return Inside(
            self.runtime, str(torch.__version__), dict(found.most_common()), {},
            dict(sizes.most_common()),
        )  # fmt: skip


def _nodes(block: torch._C.Graph | torch._C.Block) -> Iterator[torch._C.Node]:
    for node in block.nodes():
        yield node
        for inner in node.blocks():
            yield from _nodes(inner)


def written(module: torch.jit.ScriptModule) -> tuple[str, ...]:
    """Names of the tensors of a module that ``forward`` writes into, or puts others in place of.

    Read off the graph: an operator whose schema says that it writes into an argument, where the
    argument is an attribute of the module or a view of one.
    """
    found: dict[str, None] = {}
    for node in _nodes(module.forward.inlined_graph):
        if node.kind() == "prim::SetAttr":
            found[node.s("name")] = None
        if not node.kind().startswith("aten::") or node.schema() == "(no schema)":
            continue
        arguments = torch._C.parse_schema(node.schema()).arguments
        for argument, value in zip(arguments, node.inputs(), strict=False):
            if argument.alias_info is not None and argument.alias_info.is_write:
                source = value.node()
                while source.kind() in _VIEWS:
                    source = next(source.inputs()).node()
                if source.kind() == "prim::GetAttr":
                    found[source.s("name")] = None
    found.pop("num_batches_tracked", None)  # BatchNorm writes it in training mode only
    return tuple(found)


def refused(session: Session, example: Example, error: BaseException) -> ShapeError:
    """What torch says about inputs that it does not take, in one sentence."""
    given = described(example.leaves()) or "nothing"
    return ShapeError(
        f"{session.path.name} refuses {given}: {first_line(error)}; call it with inputs like those "
        "that it was made with."
    )
