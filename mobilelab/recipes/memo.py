"""Remember what a slow recipe made, in this process and between the processes of one run."""

from __future__ import annotations

import copy
import hashlib
import os
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import TypeVar

import torch
from filelock import FileLock
from torch import nn

from mobilelab.datasets import Dataset
from mobilelab.models import TinyMobileNet
from mobilelab.recipes.engine import choose_engine

_Made = TypeVar("_Made", bound=nn.Module | bytes)
#: How many results :func:`once` keeps of each recipe.
KEPT = 4


def once(
    recipe: Callable[[TinyMobileNet, Dataset, int], _Made],
) -> Callable[[TinyMobileNet, Dataset, int], _Made]:
    """Remember what a slow recipe made, the last :data:`KEPT` times.

    The same weights, images, labels and seed give a copy of what was made of them before; whoever
    gets it may change it. With ``MOBILELAB_MADE``, a folder, processes of one run share what they
    made: the tests do that. It keeps nothing apart that another version of the code would make.
    """
    made: OrderedDict[tuple[object, ...], _Made] = OrderedDict()

    @wraps(recipe)
    def remembered(model: TinyMobileNet, data: Dataset, seed: int = 0) -> _Made:
        key = _fingerprint(model, data), *map(type, model.modules()), seed
        if key not in made:
            made[key] = _shared(recipe.__name__, key, lambda: recipe(model, data, seed))
            if len(made) > KEPT:
                made.popitem(last=False)
        made.move_to_end(key)
        choose_engine()
        with warnings.catch_warnings():
            # Of an exported graph: torch calls what torch itself has deprecated.
            warnings.simplefilter("ignore", FutureWarning)
            return copy.deepcopy(made[key])

    return remembered


def _shared(name: str, key: tuple[object, ...], make: Callable[[], _Made]) -> _Made:
    """What another process has made already, or what ``make`` makes, for the next one."""
    folder = os.environ.get("MOBILELAB_MADE")
    if not folder:
        return make()
    path = Path(folder, f"{name}-{hashlib.sha256(repr(key).encode()).hexdigest()[:24]}")
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{path}.lock"):
        if path.exists():
            choose_engine()
            with _quiet():
                return torch.load(path, weights_only=False)  # written by these tests themselves
        made = make()
        if not isinstance(made, torch.fx.GraphModule):  # an exported graph cannot be written
            with _quiet():
                torch.save(made, f"{path}.new")
            os.replace(f"{path}.new", path)
        return made


@contextmanager
def _quiet() -> Iterator[None]:
    """torch pickles int8 weights with a storage that it has deprecated itself."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="TypedStorage is deprecated")
        yield


def _fingerprint(model: nn.Module, data: Dataset) -> str:
    """SHA-256 of all that a recipe can read of a model and of a data set."""
    digest = hashlib.sha256(repr((model, [m.training for m in model.modules()])).encode())
    tensors = dict(model.state_dict())
    for part in ("train", "calibration", "test"):
        split = getattr(data, part)
        tensors |= {f"{part} {name}": value for name, value in vars(split).items()}
    for name, x in tensors.items():
        digest.update(repr((name, x.dtype, tuple(x.shape))).encode())
        digest.update(x.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
