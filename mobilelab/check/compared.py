"""What a road did to a network: the same answers? and the silent faults of its file."""

from __future__ import annotations

import copy
import itertools
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.mobile_optimizer import (
    MobileOptimizerType,  # pyright: ignore[reportPrivateImportUsage]
)

from mobilelab import measure, runtimes
from mobilelab.check import exporters
from mobilelab.check.diagnosis import Reason, told
from mobilelab.check.faults import variations
from mobilelab.check.roads import Road
from mobilelab.check.subject import Subject
from mobilelab.core.errors import MobileLabError, ModelWarning, ShapeError, StructureError
from mobilelab.core.signature import dtype_name
from mobilelab.core.trees import Answers, leaves, own
from mobilelab.measure import parity
from mobilelab.measure.state import stateless_quietly
from mobilelab.recipes.variants import ChannelsLast
from mobilelab.runtimes.base import Inside

#: A file of which less than this share of the float weights' bytes went away is not quantized.
SHRUNK = 0.9
#: A program in more parts than these leaves XNNPACK too often to stay unsaid.
PARTS = 10
#: Fused kernels for attention; they take float weights only.
FUSED = ("aten::_native_multi_head_attention", "aten::_transformer_encoder_layer_fwd")
#: Causes that cost time or space, and change no answer.
SLOW_ONLY = ("delegated-in-parts", "delegated-nothing", "quantized-nothing",
             "attention-stays-float", "foreign-operator", "nms-in-graph")  # fmt: skip
#: Namespaces of the operators that torch's runtime for phones brings.
TORCHS = ("aten", "prim", "prims", "prepacked", "quantized", "_quantized", "sparse")
#: The passes of optimize_for_mobile that stock wheels have, as ``without`` names them.
PASSES = ("CONV_BN_FUSION", "INSERT_FOLD_PREPACK_OPS", "REMOVE_DROPOUT", "FUSE_ADD_RELU",
          "HOIST_CONV_PACKED_PARAMS")  # fmt: skip


def opened(path: Path) -> Callable[..., Any]:
    """A file, ready to be called: in its runtime, or for a ``.pt2`` in torch.

    Raises:
        MobileLabError: if the runtime refuses it.
    """
    if path.suffix == ".pt2":
        return torch.export.load(path).module()
    return runtimes.load(path)


def answers_of(call: Callable[..., Any], subject: Subject) -> Answers:
    """Answers to the examples; that a file writes or remembers is said elsewhere."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ModelWarning)
        return measure.answers(call, subject.examples)


def same(subject: Subject, found: Answers) -> tuple[parity.Parity | None, list[Reason]]:
    """How far answers are from the network's own, and what happened to their leaves.

    Returns:
        The comparison, ``None`` where the leaves do not belong together; and reasons.
    """
    try:
        result = parity.compare(subject.reference, found, subject.task)
    except (StructureError, ShapeError) as error:
        return None, [told("outputs-dropped", str(error))]
    reasons = []
    if result.verdict == "DIFFERENT" and (order := reordered(subject, found)):
        reasons.append(told("outputs-reordered", order))
    reasons += other_types(subject, found)
    return result, reasons


def reordered(subject: Subject, found: Answers) -> str:
    """The order in which the leaves of an answer are the network's own; empty if there is none."""
    names = list(leaves(subject.reference[0]))
    theirs = [list(leaves(tree).values()) for tree in found]
    if not 1 < len(names) <= 5:
        return ""
    for order in itertools.permutations(range(len(names))):
        tried = Answers(dict(zip(names, (tree[i] for i in order), strict=True)) for tree in theirs)
        try:
            if parity.compare(Answers(map(leaves, subject.reference)), tried).verdict == "same":
                return f"Its answers come in the order {', '.join(names[i] for i in order)}."
        except (ShapeError, StructureError):
            continue
    return ""


def other_types(subject: Subject, found: Answers) -> list[Reason]:
    """Leaves that changed their element type."""
    pairs = zip(leaves(subject.reference[0]).items(), leaves(found[0]).values(), strict=False)
    changed = [
        f"{name or 'the answer'} is {dtype_name(b.dtype)}, was {dtype_name(a.dtype)}"
        for (name, a), b in pairs
        if a.dtype != b.dtype
    ]
    return [told("type-changed", f"{'; '.join(changed)}.")] if changed else []


# --- frozen in ----------------------------------------------------------------------------


def frozen_in(subject: Subject, call: Callable[..., Any]) -> list[Reason]:
    """What a trace made a constant of: a branch that values choose, a batch or a length.

    Other values and shapes are tried, and count only where the network itself takes them.
    """
    found: dict[str, Reason] = {}
    for kind, example in variations(subject.examples[0]):
        cause = {"values": "branch-frozen", "shapes": "shape-frozen"}[kind]
        if cause in found:
            continue
        try:
            want = _once(copy.deepcopy(subject.model), example)
        except Exception:  # the network does not take it either
            continue
        what = "other values" if kind == "values" else example.signature().inputs_text
        try:
            got = _once(call, example)
        except (MobileLabError, RuntimeError) as error:
            found[cause] = told(cause, f"For {what} it fails.", error=str(error).splitlines()[-1])
            continue
        if how := _apart(want, got):
            found[cause] = told(cause, f"For {what} {how}.")
    return list(found.values())


def _apart(want: Any, got: Any) -> str:
    """How two answers to one example differ, in words; empty if they do not, or are empty."""
    ours, theirs = list(leaves(want).values()), list(leaves(got).values())
    shapes = [tuple(x.shape) for x in ours], [tuple(x.shape) for x in theirs]
    if shapes[0] != shapes[1]:
        return f"its answer has the shape {shapes[1]}, the network's {shapes[0]}"
    if not any(x.numel() for x in ours):
        return ""
    result = parity.compare(want, got)
    rounding = result.rel_l2 <= parity.SAME  # two equal scores may change places by it
    if result.verdict != "DIFFERENT" or rounding:
        return ""
    return f"the relative error is {result.rel_l2:.2g}"


def _once(call: Callable[..., Any], example: Any) -> Any:
    mine = example.own()
    with torch.no_grad(), stateless_quietly(call):
        return own(call(*mine.args, **mine.named))


def lost_state(subject: Subject, call: Callable[..., Any]) -> list[Reason]:
    """Whether a file answers to examples one after the other as the network does.

    For a network with a state. What was asked before counts there.
    """
    model = copy.deepcopy(subject.model)
    with torch.no_grad():
        ours = Answers(own(model(*one.own().args)) for one in subject.examples)
        theirs = Answers(own(call(*one.own().args)) for one in subject.examples)
    if parity.compare(ours, theirs, subject.task).verdict != "DIFFERENT":
        return []
    return [told("state-lost")]


# --- the pass to blame --------------------------------------------------------------------


def blame(subject: Subject, made: Callable[[], nn.Module]) -> list[Reason]:
    """Which pass of ``optimize_for_mobile`` changes the answers: each is switched off in turn.

    Args:
        subject: the network.
        made: gives the TorchScript module before the passes.
    """
    for name in PASSES:
        try:
            module = exporters.optimize(made(), [getattr(MobileOptimizerType, name)])
            found = answers_of(module, subject)
            result = parity.compare(subject.reference, found, subject.task)
        except Exception:  # without this pass it does not work either
            continue
        if result.verdict == "same":
            says = f"Without the pass {name} the answers are the same."
            return [told(_BLAMED[name], says) if name in _BLAMED else Reason("", says)]
    return []


#: Passes whose fault is known.
_BLAMED = {"CONV_BN_FUSION": "fold-bug", "INSERT_FOLD_PREPACK_OPS": "in-place-head"}


def before_passes(road: Road, model: nn.Module, examples: Any) -> Callable[[], nn.Module] | None:
    """What a road of ``optimize_for_mobile`` gives to the passes; ``None`` for other roads."""
    start = {
        "recipe": exporters.trace, "mobile": exporters.freeze, "channels-last": exporters.freeze,
    }.get(road.name)  # fmt: skip
    if start is None:
        return None
    if road.name == "channels-last":
        model = ChannelsLast(model).eval()
    return lambda: start(copy.deepcopy(model), examples).artifact


def dropped_by_fx(model: nn.Module) -> list[Reason]:
    """In-place operations that torch.fx leaves out, because nobody reads their answers."""
    gone = [
        str(node.target)
        for node in torch.fx.symbolic_trace(copy.deepcopy(model)).graph.nodes
        if node.op == "call_method" and re.fullmatch(r"[a-z]\w*[a-z]_", str(node.target))
        and not node.users
    ]  # fmt: skip
    return [told("fx-drops-in-place", f"It is without {', '.join(gone)}.")] if gone else []


# --- inside of the file -------------------------------------------------------------------


def looked_into(road: Road, inside: Inside, subject: Subject) -> list[Reason]:
    """What a file holds that it should not, and what it lacks."""
    found = []
    narrow = sum(n for name, n in inside.dtypes.items() if "int8" in name or "qc" in name)
    wide = sum(inside.dtypes.values())
    if not road.exact and not narrow and wide:
        found.append(told("quantized-nothing"))
    if road.delegates and not inside.delegates:
        found.append(told("delegated-nothing"))
    parts = sum(inside.parts.values())
    if road.delegates and parts > PARTS:
        between = ", ".join(list(inside.operators)[:3])
        found.append(told("delegated-in-parts", f"{parts} parts; between: {between}."))
    if not road.exact and narrow and any(name in inside.operators for name in FUSED):
        found.append(told("attention-stays-float"))
    names = [*inside.operators, *itertools.chain.from_iterable(inside.delegates.values())]
    if any("nms" in name.lower() for name in names):
        found.append(told("nms-in-graph"))
    foreign = [name for name in inside.operators if _foreign(name)]
    torchs_own = not road.needs and runtimes.on_phones(f"file{road.suffix}")
    if foreign and torchs_own and "nms-in-graph" not in [reason.cause for reason in found]:
        found.append(told("foreign-operator", f"It calls {', '.join(foreign[:3])}."))
    return found


def _foreign(operator: str) -> bool:
    return "::" in operator and operator.split("::")[0] not in TORCHS


def of_road(
    road: Road,
    subject: Subject,
    call: Callable[..., Any],
    different: bool,
    state: bool = False,
    traced: bool = False,
    random: bool = False,
) -> list[Reason]:
    """All silent faults of one road's file.

    Args:
        road: which.
        subject: the network.
        call: the loaded file.
        different: whether its answers are not the network's.
        state: whether the network keeps one, so that the same call answers otherwise each time.
        traced: whether a trace is in it: the road's own, or one in place of a refused script.
        random: whether the network draws random numbers, so that no two answers are equal.
    """
    found = []
    start = before_passes(road, subject.model, subject.examples)
    if different and start is not None:
        found += blame(subject, start)
    elif traced and road.exact and not state and not random:  # else all answers would differ
        found += frozen_in(subject, call)
    if different and road.name == "fx-int8":
        found += dropped_by_fx(subject.model)
    if state:
        found += lost_state(subject, call)
    if hasattr(call, "inspect"):
        found += looked_into(road, call.inspect(), subject)  # type: ignore[attr-defined]
    return found
