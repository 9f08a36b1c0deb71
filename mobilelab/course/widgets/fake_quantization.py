"""A network computed with rounded weights or activations (chapter 03)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mobilelab.course import rounding
from mobilelab.datasets import Dataset

#: Images between two looks at whether the reader has moved on.
STEP = 25
#: Calibration images whose activations are looked at.
SEEN = 50


@dataclass(frozen=True)
class Setting:
    """One position of all controls."""

    tensor: str
    bits: int
    symmetric: bool
    per_channel: bool
    observer: str
    percentile: float
    everywhere: bool
    """Round every tensor of this kind, not only the chosen one, when accuracy is measured."""

    def grid(self, x: Tensor) -> rounding.Grid:
        """What the observer chooses for ``x``."""
        return rounding.choose_grid(
            x,
            self.bits,
            symmetric=self.symmetric,
            per_channel=self.per_channel,
            observer=self.observer,
            percentile=self.percentile,
        )


class Tensors:
    """The weights of a network, and its activations on calibration images.

    Args:
        model: float network in eval mode, best with BatchNorm folded into its convolutions, as
            quantization sees it.
        data: images to look at and to measure accuracy with.

    Names are ``weights NAME`` for every convolution and linear layer, ``activations NAME`` for
    what leaves every ReLU and linear layer.
    """

    def __init__(self, model: nn.Module, data: Dataset) -> None:
        self.model, self.data = model, data
        self.weights = {
            f"weights {name}": f"{name}.weight"
            for name, module in model.named_modules()
            if isinstance(module, (nn.Conv2d, nn.Linear))
        }
        self._places = {
            f"activations {name}": module
            for name, module in model.named_modules()
            if isinstance(module, (nn.ReLU, nn.Linear))
        }
        self.activations: dict[str, Tensor] = {}
        hooks = [
            module.register_forward_hook(self._keep(key)) for key, module in self._places.items()
        ]
        with torch.no_grad():
            model(data.calibration.images[:SEEN])
        for hook in hooks:
            hook.remove()

    def _keep(self, key: str) -> Callable[[nn.Module, object, Tensor], None]:
        """A hook that remembers what leaves a module."""
        return lambda module, inputs, output: self.activations.update({key: output.detach()})

    @property
    def names(self) -> list[str]:
        """Weights first, then activations, each in the order of the network."""
        return [*self.weights, *self.activations]

    def __getitem__(self, name: str) -> Tensor:
        if name in self.weights:
            return self.model.get_parameter(self.weights[name]).detach()
        return self.activations[name]

    def scores(self, setting: Setting | None) -> Iterator[Tensor]:
        """Scores of the rounded network on the test images, ``STEP`` images at a time."""
        replaced: dict[str, Tensor] = {}
        grids: dict[str, rounding.Grid] = {}
        if setting is not None:
            kind = self.weights if setting.tensor in self.weights else self.activations
            for name in kind if setting.everywhere else [setting.tensor]:
                if name in self.weights:
                    x = self[name]
                    replaced[self.weights[name]] = rounding.apply(x, setting.grid(x))
                else:
                    grids[name] = setting.grid(self[name])
        for images in self.data.test.images.split(STEP):
            hooks = [
                self._places[name].register_forward_hook(_round(grid))
                for name, grid in grids.items()
            ]
            try:
                with torch.no_grad():
                    scores = torch.func.functional_call(self.model, replaced, (images,))
            finally:
                for hook in hooks:
                    hook.remove()
            yield scores


def _round(grid: rounding.Grid) -> Callable[[nn.Module, object, Tensor], Tensor]:
    """A hook that rounds what leaves a module."""
    return lambda module, inputs, output: rounding.apply(output, grid)
