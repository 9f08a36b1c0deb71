"""Somebody's model, found and looked at before any road is walked.

What cannot be checked is refused in one sentence with the fix. ``SubjectError.kind`` names the
reason in one word, so that programs need not read the sentence.
"""

from __future__ import annotations

import copy
import importlib
import inspect
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from mobilelab.core.errors import MobileLabError, StructureError
from mobilelab.core.signature import Example
from mobilelab.core.trees import Answers, leaves
from mobilelab.runtimes.libraries import first_line
from mobilelab.tasks import Task


class SubjectError(MobileLabError):
    """A model or its examples cannot be checked."""

    def __init__(self, kind: str, sentence: str) -> None:
        super().__init__(sentence)
        self.kind = kind


@dataclass
class Subject:
    """A model in eval mode, what it is called with, and what it answers."""

    name: str
    model: nn.Module
    examples: list[Example]
    task: Task | None = None
    targets: Any = None
    reference: Answers = field(default_factory=Answers)
    drawn: bool = False
    """Whether the examples are random numbers of given shapes, not data."""


def module_of(target: str) -> tuple[ModuleType, str]:
    """The module and the name in ``PACKAGE.MODULE:MODEL`` or ``FILE.py:MODEL``.

    Raises:
        SubjectError: if there is no such module, or it cannot be imported.
    """
    place, colon, name = target.rpartition(":")
    if Path(target).suffix in (".pt", ".pth", ".ckpt", ".safetensors", ".bin"):
        raise SubjectError(
            "weights-only",
            f"{Path(target).name} is a file of weights, and weights alone compute nothing; write a "
            "function that builds the network and loads them, and pass MODULE:FUNCTION.",
        )
    if not colon or not place or not name:
        raise SubjectError(
            "target", f"{target!r} names no model; write PACKAGE.MODULE:MODEL or FILE.py:MODEL."
        )
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        if place.endswith(".py"):
            return _from_file(Path(place)), name
        return importlib.import_module(place), name
    except SubjectError:
        raise
    except ModuleNotFoundError as error:
        raise SubjectError(
            "no-module",
            f"{place} cannot be imported: {first_line(error)}; call mobilelab check in the folder "
            "that holds it, or install what is missing.",
        ) from error
    except Exception as error:
        raise SubjectError(
            "module-raises",
            f"{place} raises {type(error).__name__} while it is imported: {first_line(error)}; "
            f'run python -c "import {place}" and mend that first.',
        ) from error


def _from_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise SubjectError("no-module", f"There is no file {path}; give the path from here.")
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    return importlib.import_module(path.stem)


def attribute(module: ModuleType, name: str) -> Any:
    """Something in a module.

    Raises:
        SubjectError: if it has no such name.
    """
    if not hasattr(module, name):
        public = [n for n, v in vars(module).items() if _may_be_model(n, v, module)]
        raise SubjectError(
            "no-name",
            f"{module.__name__} has no {name}; it has {', '.join(public) or 'no networks'}.",
        )
    return getattr(module, name)


def _may_be_model(name: str, value: Any, module: ModuleType) -> bool:
    own = getattr(value, "__module__", module.__name__) == module.__name__
    return not name.startswith("_") and own and (callable(value) or isinstance(value, nn.Module))


def built(made: Any, name: str) -> nn.Module:
    """The network that a name stands for: itself, or what its factory returns.

    Raises:
        SubjectError: if the factory raises or wants arguments, or it is no network.
    """
    if not isinstance(made, nn.Module) and callable(made):
        made = _called(made, name)
    if isinstance(made, Mapping) and made and all(isinstance(x, Tensor) for x in made.values()):
        raise SubjectError(
            "weights-only",
            f"{name} holds weights only ({len(made)} tensors); write a function that builds the "
            "network and calls load_state_dict, and pass that.",
        )
    if isinstance(made, (tuple, list)) and any(isinstance(x, nn.Module) for x in made):
        place = next(i for i, x in enumerate(made) if isinstance(x, nn.Module))
        raise SubjectError(
            "not-a-module",
            f"{name} gives a {type(made).__name__}, and its entry {place} is the network; "
            f"pass a function that returns that entry.",
        )
    if not isinstance(made, nn.Module):
        raise SubjectError(
            "not-a-module",
            f"{name} is a {type(made).__name__}, not a torch.nn.Module; pass the network, or a "
            "function that returns it.",
        )
    return made


def _called(factory: Any, name: str) -> Any:
    try:
        parameters = inspect.signature(factory).parameters.values()
    except (TypeError, ValueError):
        parameters = ()
    needed = [
        p.name
        for p in parameters
        if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    ]
    if needed:
        raise SubjectError(
            "factory-arguments",
            f"{name} wants {', '.join(needed)}; pass a function without arguments: "
            f"def model(): return {name}({', '.join(f'{p}=...' for p in needed)}).",
        )
    try:
        return factory()
    except Exception as error:
        if _wants_network(error):
            raise SubjectError(
                "factory-downloads",
                f"{name} tries to download something ({first_line(error)}); fetch it once "
                "yourself, or build the network without weights (weights=None).",
            ) from error
        raise SubjectError(
            "factory-raises",
            f"{name}() raises {type(error).__name__}: {first_line(error)}{_raised_at(error)}; "
            "mend that first.",
        ) from error


def _wants_network(error: BaseException | None) -> bool:
    words = ("URLError", "ConnectionError", "gaierror", "MaxRetryError", "LocalEntryNotFoundError",
             "ConnectTimeout", "ConnectError", "OfflineModeIsEnabled")  # fmt: skip
    while error is not None:
        if {c.__name__ for c in type(error).__mro__} & set(words):
            return True
        error = error.__cause__ or error.__context__
    return False


def _raised_at(error: BaseException) -> str:
    frame, place = error.__traceback__, ""
    while frame is not None:
        place = f" ({Path(frame.tb_frame.f_code.co_filename).name}, line {frame.tb_lineno})"
        frame = frame.tb_next
    return place


def usable(model: nn.Module, name: str, memory_mib: float = 4096) -> nn.Module:
    """The network that can be walked with: what ``torch.compile`` wrapped, and no scripted one.

    Raises:
        SubjectError: if it is on another device, in half precision, too large, compiled already,
            or has a ``__call__`` of its own.
    """
    model = getattr(model, "_orig_mod", model)  # of torch.compile
    if isinstance(model, (torch.jit.ScriptModule, torch.jit.ScriptFunction)):
        raise SubjectError(
            "scripted", f"{name} is TorchScript already; pass the network that it was made of."
        )
    if type(model).__call__ is not nn.Module.__call__:
        raise SubjectError(
            "call-overridden",
            f"{type(model).__name__} has a __call__ of its own, which exporters do not see; name "
            "it forward.",
        )
    tensors = [*model.parameters(), *model.buffers()]
    places = {x.device.type for x in tensors} - {"cpu"}
    if places:
        way = "build it without the meta device" if "meta" in places else 'call .to("cpu")'
        raise SubjectError(
            "device", f"{name} is on {', '.join(sorted(places))}; {way} before it is checked."
        )
    kinds = {x.dtype for x in model.parameters() if x.is_floating_point()}
    if kinds and kinds <= {torch.float16, torch.bfloat16}:
        raise SubjectError(
            "half",
            f"{name} computes in {str(kinds.pop()).removeprefix('torch.')}, which phones' kernels "
            "do not have; call .float() first.",
        )
    size = sum(x.numel() * x.element_size() for x in tensors) / 2**20
    if 4 * size > memory_mib:
        raise SubjectError(
            "too-large",
            f"{name} has {size:.0f} MiB of weights, and exporting holds about four copies of them, "
            f"more than the limit of {memory_mib:.0f} MiB; raise --memory, or take a smaller one.",
        )
    return model


def answered(model: nn.Module, example: Example, name: str) -> None:
    """Call the network once, and refuse examples that do not fit it.

    Raises:
        SubjectError: if the call raises, or the answer holds no tensor.
    """
    mine = example.own()
    given = mine.signature().inputs_text
    try:
        with torch.no_grad():  # a copy: in training mode a call changes what BatchNorm has seen
            found = leaves(copy.deepcopy(model).eval()(*mine.args, **mine.named))
    except StructureError as error:
        raise SubjectError("answers", f"{name} answers with what no road can carry: {error}") \
            from error  # fmt: skip
    except Exception as error:
        names = ", ".join(inspect.signature(model.forward).parameters)
        raise SubjectError(
            "examples-do-not-fit",
            f"{name} takes ({names}) and refuses {given}: {type(error).__name__}, "
            f"{first_line(error)}{_raised_at(error)}; pass examples as it was trained with.",
        ) from error
    if not found or not any(leaf.numel() for leaf in found.values()):
        raise SubjectError(
            "answers",
            f"{name} answers with nothing that could be compared; pass an example for which "
            "it finds something.",
        )
