"""A network computed with rounded weights or activations (chapter 03)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mobilelab.course import rounding
from mobilelab.datasets import Split

#: Calibration images whose activations are looked at.
SEEN = 50
#: Images in one call: more take longer each.
STEP = 25


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

    @property
    def way(self) -> str:
        """Observer and granularity, as the page names them."""
        observer = self.observer
        if observer == "percentile":
            observer += f" {self.percentile:g}"
        return observer + " per channel" * self.per_channel

    @property
    def key(self) -> str:
        """What accuracy belongs to: the tensors that are rounded, and how."""
        what = f"all {self.tensor.split()[0]}" if self.everywhere else self.tensor
        return f"{what}, {self.bits} bits, {'symmetric' * self.symmetric or 'affine'}, {self.way}"

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
        calibration: images whose activations are looked at.

    Names are ``weights NAME`` for every convolution and linear layer, ``activations NAME`` for
    what leaves every ReLU and linear layer.
    """

    def __init__(self, model: nn.Module, calibration: Split) -> None:
        self.model = model
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
            model(calibration.images[:SEEN])
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

    def scores(self, setting: Setting | None, images: Tensor) -> Tensor:
        """Scores of the rounded network, shape ``(n, classes)``; of the float one for ``None``.

        Args:
            setting: which tensors are rounded, and how.
            images: network input, shape ``(n, channels, height, width)``.
        """
        replaced: dict[str, Tensor] = {}
        hooks = []
        if setting is not None:
            kind = self.weights if setting.tensor in self.weights else self.activations
            for name in kind if setting.everywhere else [setting.tensor]:
                grid = setting.grid(self[name])
                if name in self.weights:
                    replaced[self.weights[name]] = rounding.apply(self[name], grid)
                else:
                    hooks.append(self._places[name].register_forward_hook(_round(grid)))
        try:
            with torch.no_grad():
                parts = [
                    torch.func.functional_call(self.model, replaced, (part,))
                    for part in images.split(STEP)
                ]
        finally:
            for hook in hooks:
                hook.remove()
        return torch.cat(parts)


def _round(grid: rounding.Grid) -> Callable[[nn.Module, object, Tensor], Tensor]:
    """A hook that rounds what leaves a module."""
    return lambda module, inputs, output: rounding.apply(output, grid)
