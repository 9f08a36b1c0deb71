"""Eager PyTorch: the ``.state_dict`` of the course's own network (chapter 01)."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch

from mobilelab.core.errors import ModelFileError
from mobilelab.core.signature import Example, Port, Signature
from mobilelab.core.trees import Tree
from mobilelab.models import TinyMobileNet
from mobilelab.runtimes.base import Inside, Session, content


class EagerSession(Session):
    """The weights of a ``TinyMobileNet``, which has to be built to hold them."""

    runtime = "PyTorch"
    suffix = ".state_dict"
    on_phones = False

    @classmethod
    def title(cls) -> str:
        """This torch."""
        return f"torch {torch.__version__}"

    @classmethod
    def save(cls, made: Any, path: Path) -> None:
        """Write a module's weights (chapter 01)."""
        torch.save(made.state_dict(), path)

    def _load(self) -> None:
        content(self.path, ".state_dict")
        try:
            state = torch.load(self.path, weights_only=True)
            channels, classes = state["features.0.0.weight"].shape[1], len(state["classifier.bias"])
            self.module = TinyMobileNet(channels, classes)
            self.module.load_state_dict(state)
        except (RuntimeError, ValueError, KeyError, TypeError, EOFError, AttributeError,
                IndexError, pickle.UnpicklingError) as error:  # fmt: skip
            raise ModelFileError(
                f"{self.path.name} is damaged, or not the state_dict of the course's network; save "
                "it again."
            ) from error
        self.module.eval()
        self._signature = Signature(
            (Port("images", torch.float32, (None, channels, None, None)),),
            (Port("scores", torch.float32, (None, classes)),),
        )

    @property
    def signature(self) -> Signature:
        """One input, images of any number and size."""
        return self._signature

    def _call(self, example: Example) -> Tree:
        return self.module(*example.args)

    def inspect(self) -> Inside:
        """The sizes of the weights; the program is in the Python source."""
        total = sum(p.numel() * p.element_size() for p in self.module.state_dict().values())
        return Inside(self.runtime, str(torch.__version__), {}, {}, {"float32": total})
