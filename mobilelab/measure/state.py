"""The state that a model keeps: what calling it changes, and how it gets that back."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from mobilelab.core.errors import ModelWarning
from mobilelab.core.trees import equal


@contextmanager
def stateless(model: object) -> Iterator[None]:
    """Give a model its state back afterwards, and say that it has one.

    A module's buffers, weights and other tensors are looked at; a loaded model file says so itself
    (``Session.state``).

    Warns:
        ModelWarning: if calling the model changed it.
    """
    owner = getattr(model, "__self__", model)  # of a bound method, such as session.predict
    held, changed = Held(owner), []
    try:
        yield
    finally:
        if not isinstance(owner, torch.nn.Module) and (state := getattr(owner, "state", ())):
            changed += state
            owner.reset()  # type: ignore[attr-defined]
        changed += held.give_back()
    if changed:
        more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
        warnings.warn(
            f"The model keeps a state: it writes into {', '.join(changed[:3])}{more}, so an answer "
            "may depend on what was asked before. Here it got its state back; converters may lose "
            "it, so let the model take the state as an input and return the new one.",
            ModelWarning, stacklevel=5,
        )  # fmt: skip


@contextmanager
def stateless_quietly(model: object) -> Iterator[None]:
    """:func:`stateless` for whoever says in words of its own that the model has a state."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ModelWarning)
        with stateless(model):
            yield


#: What BatchNorm moves in training mode, which is what it is for.
_AVERAGES = ("running_mean", "running_var", "num_batches_tracked")


class Held:
    """The tensors that a module holds, with copies of their values."""

    def __init__(self, model: object) -> None:
        model = getattr(model, "__self__", model)
        self.module = model if isinstance(model, torch.nn.Module) else None
        if isinstance(model, torch.jit.ScriptModule):  # its parts are not Python's
            found = [("", model, dict(model.named_buffers()))]
        else:
            found = [] if self.module is None else list(self._tensors(self.module))
        self.tensors = [
            (f"{place}.{name}".lstrip("."), part, name, tensor, tensor.detach().clone())
            for place, part, tensors in found
            for name, tensor in tensors.items()
        ]

    @staticmethod
    def _tensors(module: torch.nn.Module) -> Iterator[tuple[str, torch.nn.Module, dict]]:
        for place, part in module.named_modules():
            kinds = {kind.__name__ for kind in type(part).__mro__}
            if {"ObserverBase", "FakeQuantizeBase"} & kinds:  # torch's or torchao's: made for it
                continue
            plain = {n: x for n, x in vars(part).items() if isinstance(x, Tensor)}
            own = {**plain, **part._parameters, **part._buffers}
            yield place, part, {
                name: tensor for name, tensor in own.items()
                if isinstance(tensor, Tensor) and not torch.nn.parameter.is_lazy(tensor)
                and not (part.training and name.rpartition(".")[2] in _AVERAGES)
            }  # fmt: skip

    def give_back(self) -> list[str]:
        """Names of what was changed; it has its old value again."""
        changed = []
        for path, part, name, tensor, value in self.tensors:
            now = dict(part.named_buffers()) if isinstance(part, torch.jit.ScriptModule) else None
            held = now.get(name) if now is not None else getattr(part, name, None)
            if held is tensor and same_bits(tensor, value):
                continue
            if now is not None and held is not None and same_bits(held, value):
                continue
            changed.append(path)
            with torch.no_grad():
                tensor.data.copy_(value)
            if now is None and held is not tensor:
                setattr(part, name, tensor)
            elif now is not None and held is not None:
                held.data.copy_(value)
        return changed


def same_bits(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors are equal in every bit that counts, NaN for NaN."""
    if a.shape != b.shape or a.dtype != b.dtype or a.device != b.device:
        return False
    if a.device.type == "meta":
        return True
    return torch.equal(a, b) or bool(equal(a, b).all())
