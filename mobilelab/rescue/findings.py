"""What is wrong with a TorchScript file: each finding with evidence, cost, and the way out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from mobilelab.rescue.archive import Archive
from mobilelab.rescue.inspect import Contents
from mobilelab.rescue.layers import all_weights, constant, nodes
from mobilelab.rescue.operators import ABOUT
from mobilelab.rescue.values import Place


@dataclass(frozen=True)
class Finding:
    """One thing that somebody who ships the file should know."""

    name: str
    evidence: str
    cost: str
    way_out: str

    def __str__(self) -> str:
        return f"{self.name}: {self.evidence}. {self.cost} {self.way_out}"


def judge(archive: Archive, module: torch.jit.ScriptModule, inside: Contents) -> list[Finding]:
    """Everything that can be seen without running the network."""
    found: list[Finding] = []
    found += _lost_biases(archive, module, inside)
    found += _training(module)
    found += _decisions(module)
    found += _not_in_a_plain_build(inside)
    found += _newer(inside)
    found += _engine(archive, inside)
    found += _leaks(archive)
    return found


def _lost_biases(
    archive: Archive, module: torch.jit.ScriptModule, inside: Contents
) -> Iterator[Finding]:
    """Folding BatchNorm into a convolution gives it a bias; the faulty pass loses it."""
    normed = any("norm" in name for name in inside.operators)
    convolutions = [one for one in all_weights(module) if one.kind.startswith("conv")]
    bare = [one for one in convolutions if not one.bias]
    packed = any(name.startswith("prepacked::") for name in inside.operators)
    if (packed or archive.lite) and not normed and convolutions and len(bare) == len(convolutions):
        yield Finding(
            "the silent fold bug",
            f"none of its {len(convolutions)} convolutions has a bias and no normalization is left",
            "optimize_for_mobile folded BatchNorm into traced convolutions and dropped the shifts: "
            "the file runs and its answers are wrong (pytorch#76807).",
            "The shifts are not in the file, so it cannot be repaired; export the network anew, "
            "with torch.jit.freeze before optimize_for_mobile. A rewritten file is as wrong as "
            "this one.",
        )


def _training(module: torch.jit.ScriptModule) -> Iterator[Finding]:
    reads = [
        node for node in nodes(module.forward.inlined_graph)
        if node.kind() == "prim::GetAttr" and node.s("name") == "training"
        and constant(node.output(), module)
    ]  # fmt: skip
    fixed = []
    for node in nodes(module.forward.inlined_graph):
        name = node.kind().removeprefix("aten::").rstrip("_")
        if name in ("dropout", "feature_dropout", "alpha_dropout") and _true(node, 2, module):
            fixed.append(node)
        if name == "batch_norm" and _true(node, 5, module):
            fixed.append(node)
    if reads or fixed:
        many = len(reads) + len(fixed)
        first = Place.of((fixed or reads)[0])
        yield Finding(
            "training mode left on",
            f"{many} nodes ask for it, the first is {first}",
            "Dropout draws random numbers and BatchNorm uses the batch's own statistics, so the "
            "app's answers are not those that were tested.",
            "Save the file again after .eval(); rescue with --eval rewrites it in eval mode, as "
            "far as that is still open in the file.",
        )


def _true(node: torch._C.Node, place: int, module: torch.jit.ScriptModule) -> bool:
    inputs = list(node.inputs())
    return len(inputs) > place and constant(inputs[place], module) is True


#: Operators that read a number or a decision out of a tensor.
_READ_OUT = frozenset(
    f"aten::{name}" for name in (
        "item", "Bool", "Int", "Float", "is_nonzero", "IntImplicit", "FloatImplicit", "equal",
        "allclose", "nonzero", "masked_select", "unique_consecutive", "_unique2",
    )
)  # fmt: skip


#: Where a number is from that is the same for all inputs of one shape.
_FIXED = ("prim::NumToTensor", "prim::Constant", "prim::GetAttr")
_STOP = ("prim::If", "prim::Loop", "prim::Param")


def _decisions(module: torch.jit.ScriptModule) -> Iterator[Finding]:
    """Control flow whose condition was read out of a tensor; a run says if that holds data."""
    for node in nodes(module.forward.inlined_graph):
        if node.kind() not in ("prim::If", "prim::Loop"):
            continue
        condition = list(node.inputs())[0 if node.kind() == "prim::If" else 1].node()
        source = _read_out(condition, 6)
        if source is not None:
            yield Finding(
                "control flow that may depend on data",
                f"{Place.of(node)} decides by {source}",
                "Runtimes after PyTorch Mobile run straight programs.",
                "If the run below is refused, keep this decision in the app.",
            )
            return


def _read_out(node: torch._C.Node, depth: int) -> str | None:
    first = next(node.inputs(), None)
    if node.kind() in _READ_OUT and (first is None or str(first.type()) == "Tensor"):
        fixed = first is not None and first.node().kind() in _FIXED
        return None if fixed else node.kind()
    if depth == 0 or node.kind() in _STOP or node.kind() in ABOUT:
        return None
    found = (_read_out(value.node(), depth - 1) for value in node.inputs())
    return next((kind for kind in found if kind is not None), None)


def _not_in_a_plain_build(inside: Contents) -> Iterator[Finding]:
    foreign = [name for name in inside.operators if name.startswith("torchvision::")]
    if foreign:
        yield Finding(
            "operators that a plain build lacks",
            ", ".join(foreign),
            "An app without the library of torchvision's operators stops at them "
            "(android-demo-app#178).",
            "End the network before them and do this step in the app.",
        )


def _newer(inside: Contents) -> Iterator[Finding]:
    newer = [name for name in inside.lacking if not name.startswith("torchvision::")]
    if newer:
        yield Finding(
            "operators that are newer than the last phone packages",
            ", ".join(newer),
            "torch 2.1.0, of which the last Android and iOS packages were made, has no such "
            "operator, so an app with them refuses the file.",
            "The rewritten file does not need them.",
        )


def _engine(archive: Archive, inside: Contents) -> Iterator[Finding]:
    if "weights by channel" in inside.quantization and "static" in inside.quantization:
        yield Finding(
            "int8 that was made for another engine than the phone's",
            inside.quantization,
            "That is the scheme of the x86 engines; phones run QNNPACK, whose rounding differs, "
            "so answers on the phone were not those of the computer.",
            "The rewritten file rounds alike everywhere.",
        )
    if archive.halves:
        halves = [name for name in inside.operators if name.endswith("_fp16")]
        yield Finding(
            "float16 weights that the phone's engine does not load",
            ", ".join(halves) or "an RNN's weights",
            "QNNPACK, the phone's engine, packs int8 only and refuses the whole file.",
            "The rewritten files hold these weights as float32.",
        )


#: Paths that name a person.
_PERSONAL = re.compile(
    rb"(?:/(?:home|Users)/|[A-Za-z]:\\+Users\\+)([\w.@-]+)[/\\][\w./\\-]*|/root/[\w./-]+"
)


def _leaks(archive: Archive) -> Iterator[Finding]:
    people: dict[str, str] = {}
    for record, data in archive.debug.items():
        for found in _PERSONAL.finditer(data):
            people.setdefault((found[1] or b"root").decode("ascii", "replace"), record)
    if people:
        names = ", ".join(people)
        yield Finding(
            "names of people's folders",
            f"{names} in {next(iter(people.values()))}",
            "Whoever has the app can read them.",
            "The rewritten files carry no source lines.",
        )
