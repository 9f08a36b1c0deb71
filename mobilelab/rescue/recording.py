"""Run the graph of a TorchScript file once, node by node, and write down what computes.

The nodes run as they stand in the file, with the operators that its schemas name, so the recorded
values are the old file's own. What depends on shapes and constants only is decided on the way:
branches are taken, loops unrolled, lists taken apart. What stays are the steps between the inputs
and the answers (:class:`mobilelab.rescue.tape.Tape`).
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from mobilelab.core.errors import RescueError, ShapeError
from mobilelab.core.trees import own
from mobilelab.rescue import structure
from mobilelab.rescue.attributes import Attributes
from mobilelab.rescue.operators import Operator, about, draws, misfit, operator
from mobilelab.rescue.tape import Step, Tape
from mobilelab.rescue.values import FAILS, Cell, Place, Thing, bare, cells, mapped, storage
from mobilelab.runtimes.libraries import first_line

#: More steps than any network for a phone has: a loop that does not end.
MOST_STEPS = 200_000


class Recorder:
    """One run of one method of a loaded module.

    Args:
        module: from ``torch.jit.load``.
        method: which of its methods; the one that stands as its ``forward`` if left out.
        lifted: attributes that begin as inputs and end as outputs, behind the others, and whether
            their numbers change (:func:`mobilelab.rescue.state.lifted`).

    Raises:
        RescueError: naming the node and its source line, if the graph decides by the data, draws
            random numbers, or does what no operator of torch does.
        ShapeError: if the network refuses the example.
    """

    def __init__(
        self,
        module: torch.jit.ScriptModule,
        method: str = "",
        lifted: Mapping[str, bool] | None = None,
    ) -> None:
        method = method or module.forward.name
        self._lifted = lifted or {}
        self._module = Thing(module._c, "")
        self._graph = module._c._get_method(method).inlined_graph
        self._parameters = module._c._get_method(method).schema.arguments[1:]
        self._numbers = itertools.count()
        self._steps: list[Step] = []
        self._tainted: set[int] = set()
        self._alive: list[Any] = []
        self.attributes = Attributes(self._cell, self._lifted)

    def run(self, inputs: tuple[Any, ...]) -> Tape:
        """Record a run.

        Args:
            inputs: a tree of tensors for each input.
        """
        rest = self._parameters[len(inputs) :]
        if all(parameter.has_default_value() for parameter in rest):
            inputs = (*inputs, *(parameter.default_value for parameter in rest))
        given = tuple(mapped(part, self._input) for part in own(inputs))
        first, *values = self._graph.inputs()
        if len(values) != len(given):
            names = ", ".join(value.debugName().split(".")[0] for value in values)
            raise ShapeError(f"The file takes {len(values)} inputs ({names}), not {len(given)}.")
        known: dict[str, Any] = {first.debugName(): self._module}
        known.update({v.debugName(): part for v, part in zip(values, given, strict=True)})
        with torch.no_grad():
            outputs = self._block(self._graph, known)
        answer = outputs[0] if len(outputs) == 1 else tuple(outputs)
        steps = self._live()
        written = {storage(cell.value) for step in steps for cell in step.written} - {0}
        state = self.attributes.changed(written)
        if self._lifted:
            given, answer, state = self._with_state(given, answer, state)
        copied = frozenset(c.number for c in cells(given) if storage(c.value) in written)
        return Tape(given, answer, steps, state, copied).pruned()

    def _with_state(
        self, given: tuple[Any, ...], answer: Any, state: tuple[str, ...]
    ) -> tuple[tuple[Any, ...], Any, tuple[str, ...]]:
        """The state as inputs and outputs behind the others, and a name for each of its tensors."""
        before, after, names = [], [], []
        for path in state:
            first = [*cells(self.attributes.first.get(path, ()))]
            for place, (cell, last) in enumerate(
                zip(first, cells(self.attributes.last(path)), strict=False)
            ):
                if isinstance(cell.value, Tensor):
                    before.append(cell)
                    after.append(last)
                    names.append(path if len(first) == 1 else f"{path}.{place}")
        return (*given, *before), (answer, *after), tuple(names)

    def _input(self, leaf: Any) -> Any:
        return self._cell(leaf, depends=True) if isinstance(leaf, Tensor) else leaf

    def _cell(self, value: Any, depends: bool = False, name: str = "") -> Cell:
        self._alive.append(value)  # or another tensor would get its memory
        return Cell(value, next(self._numbers), depends, name)

    def _depends(self, cell: Cell) -> bool:
        return cell.depends or (storage(cell.value) in self._tainted if self._tainted else False)

    # --- blocks -----------------------------------------------------------------------------

    def _block(self, block: torch._C.Graph | torch._C.Block, known: dict[str, Any]) -> list[Any]:
        for node in block.nodes():
            try:
                results = self._node(node, known)
                for value, result in zip(node.outputs(), results, strict=True):
                    known[value.debugName()] = result
            except FAILS as error:
                raise ShapeError(
                    f"The network refuses this example at {Place.of(node)}: {first_line(error)}; "
                    "give one that it takes with --example."
                ) from error
        return [known[value.debugName()] for value in block.outputs()]

    def _node(self, node: torch._C.Node, known: dict[str, Any]) -> list[Any]:
        kind = node.kind()
        inputs = [known[value.debugName()] for value in node.inputs()]
        control = getattr(self, "_" + kind.replace("::", "_"), None)
        if control is not None:
            return control(node, inputs, known)
        if kind in structure.UNPACK:
            return list(inputs[0])
        done = structure.operation(kind, inputs)
        if done is not None:
            result = done(*inputs)
            return [result] if node.outputsSize() else []
        return self._call(node, inputs)

    def _decided(self, value: Any, node: torch._C.Node) -> Any:
        """A condition or a count, if it is the same for all inputs of these shapes."""
        if not isinstance(value, Cell):
            return value
        if not self._depends(value):
            return value.value
        by = f"{value.name}, which every call changes" if value.name else "what is in the input"
        raise RescueError(
            f"{Place.of(node)} decides by {by}, so no straight program answers as "
            "the file does; compute both sides and choose with torch.where, or keep this decision "
            "in the app and rescue the parts before and after it."
        )

    def _prim_If(self, node: torch._C.Node, inputs: list[Any], known: dict[str, Any]) -> list[Any]:
        yes, no = node.blocks()
        return self._block(yes if self._decided(inputs[0], node) else no, known)

    def _prim_Loop(
        self, node: torch._C.Node, inputs: list[Any], known: dict[str, Any]
    ) -> list[Any]:
        most, going, *carried = inputs
        most, going = self._decided(most, node), self._decided(going, node)
        (body,) = node.blocks()
        names = [value.debugName() for value in body.inputs()]
        turn = 0
        while going and turn < most:
            known.update(zip(names, [turn, *carried], strict=True))
            going, *carried = self._block(body, known)
            going, turn = self._decided(going, node), turn + 1
            if turn > MOST_STEPS:
                raise RescueError(f"{Place.of(node)} does not end within {MOST_STEPS} turns.")
        return carried

    def _prim_fork(
        self, node: torch._C.Node, inputs: list[Any], known: dict[str, Any]
    ) -> list[Any]:
        graph = node.g("Subgraph")
        inner = {value.debugName(): x for value, x in zip(graph.inputs(), inputs, strict=True)}
        found = self._block(graph, inner)
        return [found[0] if len(found) == 1 else tuple(found)]

    def _prim_RaiseException(
        self, node: torch._C.Node, inputs: list[Any], known: dict[str, Any]
    ) -> list[Any]:
        raise ShapeError(
            f"The network refuses this example at {Place.of(node)}: {str(inputs[0]).strip()}; give "
            "one that it takes with --example."
        )

    # --- attributes -------------------------------------------------------------------------

    def _prim_Constant(
        self, node: torch._C.Node, inputs: list[Any], known: dict[str, Any]
    ) -> list[Any]:
        value = node.output()
        if value.type().kind() == "NoneType" or not node.attributeNames():
            return [None]
        return [self.attributes.wrapped(value.toIValue(), "")]

    def _prim_GetAttr(
        self, node: torch._C.Node, inputs: list[Any], known: dict[str, Any]
    ) -> list[Any]:
        return [self.attributes.get(inputs[0], node.s("name"))]

    def _prim_SetAttr(
        self, node: torch._C.Node, inputs: list[Any], known: dict[str, Any]
    ) -> list[Any]:
        self.attributes.set(inputs[0], node.s("name"), inputs[1])
        return []

    def _prim_CreateObject(
        self, node: torch._C.Node, inputs: list[Any], known: dict[str, Any]
    ) -> list[Any]:
        return [Thing(None, str(node.output().type()))]

    def _prim_Enter(
        self, node: torch._C.Node, inputs: list[Any], known: dict[str, Any]
    ) -> list[Any]:
        if not str(node.input().type()).endswith("no_grad"):
            raise RescueError(
                f"{Place.of(node)} enters a {node.input().type()}, which has no counterpart; take "
                "the with statement out of the network."
            )
        return [None] * node.outputsSize()

    _prim_Exit = _prim_Enter

    # --- what computes ----------------------------------------------------------------------

    def _call(self, node: torch._C.Node, inputs: list[Any]) -> list[Any]:
        place = Place.of(node)
        does = operator(node, place)
        args, named = does.bound(inputs)
        given = [*cells(args), *cells(named)]
        depends = any(map(self._depends, given))
        numbers = [x for x in given if not isinstance(x.value, Tensor) and self._depends(x)]
        if numbers and numbers[0].name and len(numbers) == len(given):  # a count goes on
            return [self._cell(does.call(*bare(args), **bare(named)), True, numbers[0].name)]
        for cell in numbers:
            what, who = ("a number that was read out of a tensor", "input")
            if cell.name:
                what, who = f"{cell.name}, a number that every call changes", "call"
            raise RescueError(
                f"{place} takes {what}, so each {who} would need a program of its own; keep it a "
                "tensor (no .item(), int() or float())."
            )
        if draws(does, args, named):
            raise RescueError(
                f"{place} draws random numbers, so the file does not answer alike twice; save it "
                "in eval mode, or take the random numbers as an input."
            )
        wrong = misfit(does, bare(args))
        if wrong:
            raise ValueError(wrong)
        found = does.call(*bare(args), **bare(named))
        return self._recorded(node, Step(does.call, args, named, None, place), does, found, depends)

    def _recorded(
        self, node: torch._C.Node, step: Step, does: Operator, found: Any, depends: bool
    ) -> list[Any]:
        static = not depends or about(does, found)

        def leaf(part: Any) -> Any:
            if isinstance(part, Tensor):
                return self._cell(part, not static)
            if isinstance(part, (torch._C.ScriptModule, torch._C.ScriptObject)):
                return Thing(part, "packed")
            return part if static else self._cell(part, True)

        step.result = mapped(found, leaf)
        written = [c for part in does.written(step.args, step.named) for c in cells(part)]
        step.written = tuple(written)
        if depends:
            self._tainted.update(filter(None, (storage(cell.value) for cell in written)))
        self._steps.append(step)
        if len(self._steps) > MOST_STEPS:
            raise RescueError(f"The file has more than {MOST_STEPS} steps; a loop does not end.")
        if node.outputsSize() == 0:
            return []
        return list(step.result) if node.outputsSize() > 1 else [step.result]

    def _live(self) -> list[Step]:
        """Steps that depend on the inputs, or touch memory that such a step may write into."""
        written = {storage(cell.value) for step in self._steps for cell in step.written} - {0}

        def touches(step: Step) -> bool:
            parts = [*step.inputs, *cells(step.result)]
            return any(
                self._depends(cell) or (written and storage(cell.value) in written)
                for cell in parts
            )

        return [step for step in self._steps if touches(step)]
