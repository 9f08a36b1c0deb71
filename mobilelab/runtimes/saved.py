"""Load whatever the course saves: a ``state_dict``, TorchScript, or a file of a runtime."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from mobilelab import runtimes
from mobilelab.errors import ModelFileError
from mobilelab.models import TinyMobileNet


def prepare(path: str | Path) -> None:
    """Import the runtime of a file, so that it does not count as the model's own memory.

    Raises:
        MissingRuntimeError: if it is not installed.
    """
    runtime = runtimes.known().get(Path(path).suffix)
    if runtime is not None:
        runtime.prepare()


def load(path: str | Path, threads: int = 1) -> Callable[[Tensor], Tensor]:
    """The saved model, ready to be called.

    Args:
        path: a file of one of the :mod:`~mobilelab.runtimes`, ``.pt`` (TorchScript) or the
            course's ``.state_dict`` (eager ``TinyMobileNet``). Quantized ``.pt`` files run with
            the engine that is set.
        threads: for the kernels of a runtime; the others use torch's.

    Raises:
        MissingRuntimeError: if the runtime is not installed.
        ModelFileError: if the file is not what its name says.
    """
    path = Path(path)
    if path.suffix in runtimes.known():
        return runtimes.load(path, threads)
    try:
        if path.suffix == ".pt":
            return torch.jit.load(str(path)).eval()
        state = torch.load(path, weights_only=True)
        model = TinyMobileNet(state["features.0.0.weight"].shape[1], len(state["classifier.bias"]))
        model.load_state_dict(state)
    except Exception as error:
        raise ModelFileError(
            f"{path.name} is missing, damaged, or not a model of this course; save it again."
        ) from error
    return model.eval()
