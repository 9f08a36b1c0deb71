"""Silent faults of a network: nothing raises, and the file would answer otherwise.

Each function looks for one kind and returns reasons, see :mod:`mobilelab.check.diagnosis`. What a
road does to a network is looked for in :mod:`mobilelab.check.compared`.
"""

from __future__ import annotations

import copy
import traceback
import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from mobilelab import measure
from mobilelab.check.diagnosis import Reason, is_own, place_of, told
from mobilelab.core.errors import ModelWarning
from mobilelab.core.signature import Example
from mobilelab.core.trees import identical, is_plain
from mobilelab.measure.state import stateless_quietly

#: Modules that do something else in training mode.
_MODES = (nn.modules.batchnorm._BatchNorm, nn.modules.dropout._DropoutNd)
#: Operators under dropout.
_DROPS = ("bernoulli", "dropout")


def of_network(model: nn.Module, examples: list[Example]) -> list[Reason]:
    """Everything that is to be known of a network before a road is taken.

    The network may be in training mode; nothing of it is changed.
    """
    first, calm = examples[0], copy.deepcopy(model).eval()
    found = [*training_mode(model), *unseen_statistics(model), *hooks(model), *export_flags(model)]
    drawn = random_numbers(calm, first)
    found += drawn
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ModelWarning)
        found += written(calm, first)
        if not drawn:
            found += remembered(calm, examples)
        found += objects(calm, first)
        found += dropped(calm, first)
    return found


def training_mode(model: nn.Module) -> list[Reason]:
    """Layers that do something else while training, and are set to."""
    names = [n for n, m in model.named_modules() if m.training and isinstance(m, _MODES)]
    if not names:
        return []
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return [told("training-mode", f"{', '.join(names[:3])}{more} were in training mode.")]


def unseen_statistics(model: nn.Module) -> list[Reason]:
    """BatchNorm layers that never saw data."""
    norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    if not norms or not all(fresh(m) for m in norms):
        return []
    return [told("fresh-batchnorm")]


def fresh(norm: nn.Module) -> bool:
    """Whether a BatchNorm has the statistics that it was made with."""
    mean, spread = getattr(norm, "running_mean", None), getattr(norm, "running_var", None)
    if mean is None or spread is None:
        return False
    return not mean.any().item() and bool((spread == 1).all())


def with_statistics(model: nn.Module, examples: list[Example]) -> nn.Module:
    """A copy whose BatchNorm layers have seen the examples, so that what folds them can fail."""
    trained = copy.deepcopy(model).train()
    for part in trained.modules():
        if isinstance(part, nn.modules.dropout._DropoutNd):
            part.eval()
    with torch.no_grad():
        for example in examples:
            mine = example.own()
            trained(*mine.args, **mine.named)
    return trained.eval()


def hooks(model: nn.Module) -> list[Reason]:
    """Hooks, which a compiler of ``forward`` does not see."""
    names = [
        n or type(m).__name__
        for n, m in model.named_modules()
        if m._forward_hooks or m._forward_pre_hooks
    ]
    return [told("hooks", f"Hooks are on {', '.join(names[:3])}.")] if names else []


def export_flags(model: nn.Module) -> list[Reason]:
    """Heads that compute something else when their ``export`` is set."""
    names = [n or type(m).__name__ for n, m in model.named_modules() if _has_flag(m)]
    return [told("export-flag", f"{', '.join(names[:3])} has one.")] if names else []


def _has_flag(module: nn.Module) -> bool:
    return any(getattr(module, name, None) is False for name in ("export", "onnx_trace"))


class _Draws(TorchDispatchMode):
    """Notes operators that draw random numbers, and who called them."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: dict[str, str] = {}

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Nothing is compiled here; True would import torch._dynamo, which takes seconds."""
        return False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if torch.Tag.nondeterministic_seeded in func.tags:
            own = [f for f in traceback.extract_stack() if is_own(f.filename)]
            name = func.overloadpacket.__name__.rstrip("_")
            self.seen.setdefault(
                name, place_of(own[-1].filename, own[-1].lineno or 0) if own else ""
            )
        return func(*args, **kwargs or {})


def random_numbers(model: nn.Module, example: Example) -> list[Reason]:
    """Random numbers that are drawn in eval mode: a dropout that stays on, or others."""
    mine, found = example.own(), []
    state = torch.get_rng_state()
    with torch.no_grad(), stateless_quietly(model), _Draws() as draws:
        model(*mine.args, **mine.named)
    torch.set_rng_state(state)
    for name, line in draws.seen.items():
        cause = "dropout-on" if any(word in name for word in _DROPS) else "random-in-forward"
        if cause not in [reason.cause for reason in found]:
            found.append(told(cause, f"torch.{name} is called.", line=line))
    return found


def written(model: nn.Module, example: Example) -> list[Reason]:
    """What the network writes into: its inputs, or buffers of its own."""
    changed, inputs = measure.writes(model, example)
    buffers = [name for name in changed if name in dict(model.named_buffers())]
    found = []
    if inputs:
        found.append(told("inputs-modified", f"It writes into its input {', '.join(inputs)}."))
    if buffers:
        found.append(told("state-in-buffer", f"It writes into {', '.join(buffers[:3])}."))
    return found


def remembered(model: nn.Module, examples: list[Example]) -> list[Reason]:
    """A state in plain attributes: another answer to the same example, or a tensor exchanged."""
    calm = copy.deepcopy(model)
    before = _attributes(calm)
    mine = examples[0].own()
    with torch.no_grad(), stateless_quietly(calm):
        calm(*mine.args, **mine.named)
        after = _attributes(calm)
    changed = [name for name, value in after.items() if before.get(name) is not value]
    if not changed:
        return []
    return [told("state-in-attribute", f"forward sets {', '.join(changed[:3])}.")]


def _attributes(model: nn.Module) -> dict[str, Any]:
    """Attributes that are neither parameters, buffers nor modules, and hold tensors or numbers."""
    kinds = (Tensor, int, float, list, tuple, dict, type(None))
    return {
        f"{place}.{name}".lstrip("."): value
        for place, part in model.named_modules()
        for name, value in vars(part).items()
        if not name.startswith("_") and isinstance(value, kinds) and name != "training"
    }


def objects(model: nn.Module, example: Example) -> list[Reason]:
    """Answers in a class of somebody's own, which exporters do not know."""
    mine = example.own()
    with torch.no_grad():
        answer = model(*mine.args, **mine.named)
    if is_plain(answer):
        return []
    return [told("answer-object", f"It answers with a {type(answer).__name__}.")]


def dropped(model: nn.Module, example: Example) -> list[Reason]:
    """Pixels at an edge that no patch holds: convolutions whose stride is their kernel."""
    mine, found = example.own(), []

    def look(part: nn.Module, args: tuple[Any, ...]) -> None:
        if not isinstance(part, nn.Conv2d) or not args:
            return
        size, patch = tuple(args[0].shape[-2:]), part.kernel_size
        left = [n % step for n, step in zip(size, patch, strict=True)]
        if part.stride == patch and part.padding in ((0, 0), "valid") and any(left) and not found:
            says = f"Of {size[0]} x {size[1]}, patches of {patch[0]} x {patch[1]} leave over"
            found.append(told("pixels-dropped", f"{says} {left[0]} rows and {left[1]} columns."))

    patches = [part for part in model.modules() if isinstance(part, nn.Conv2d)]
    handles = [part.register_forward_pre_hook(look) for part in patches]
    try:
        with torch.no_grad(), stateless_quietly(model):
            model(*mine.args, **mine.named)
    finally:
        for handle in handles:
            handle.remove()
    return found


def variations(example: Example) -> list[tuple[str, Example]]:
    """The example with other values, and in other shapes: what a frozen branch or size gets wrong.

    Values keep their types and shapes. Shapes are doubled along one axis of every input that has
    the same size there.
    """
    found = [
        ("values", _mapped(example, change))
        for change in (torch.neg, lambda x: x * 0, lambda x: x * 100, lambda x: x + 100)
    ]
    found.append(("values", _mapped(example, lambda x: x.flip(-1) if x.ndim else x, counts=True)))
    inputs = example.leaves()
    for axis in range(max((x.ndim for x in inputs.values()), default=0)):
        sizes = {x.shape[axis] for x in inputs.values() if x.ndim > axis}
        for size in sizes if sum(x.numel() for x in inputs.values()) < 2_000_000 else ():

            def wider(x: Tensor, axis: int = axis, size: int = size) -> Tensor:
                return torch.cat([x, x], axis) if x.ndim > axis and x.shape[axis] == size else x

            found.append(("shapes", _mapped(example, wider, counts=True)))
    return [(kind, one) for kind, one in found if not identical(one.leaves(), inputs)]


def _mapped(example: Example, change: Any, counts: bool = False) -> Example:
    """Every tensor changed; integers and booleans only where ``counts`` says so."""

    def one(leaf: Any) -> Any:
        if isinstance(leaf, Tensor) and (counts or leaf.is_floating_point()):
            return change(leaf)
        return leaf

    tree = pytree.tree_map(one, (example.args, dict(example.named)))
    return Example(*tree)
