"""Load whatever the walk saves: a ``state_dict``, TorchScript, or a ``.ptl``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from mobilelab.errors import ModelFileError
from mobilelab.models import TinyMobileNet
from mobilelab.runtimes import lite


def load(path: str | Path) -> Callable[[Tensor], Tensor]:
    """The saved model, ready to be called.

    Args:
        path: ``.ptl`` (lite interpreter), ``.pt`` (TorchScript) or the course's
            ``.state_dict`` (eager ``TinyMobileNet``). Quantized ``.pt`` files run with the
            engine that is set.

    Raises:
        ModelFileError: if the file is not what its name says.
    """
    path = Path(path)
    if path.suffix == ".ptl":
        return lite.load(path)
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
