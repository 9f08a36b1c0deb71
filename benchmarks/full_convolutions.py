"""What depthwise convolutions save, and what they cost: an ablation for chapter 01.

``python benchmarks/full_convolutions.py`` trains the course's network twice with the same loop,
seed and data: as it is, and with a full 3 by 3 convolution in the place of every depthwise one.
It prints size, multiply-accumulates, accuracy on the test split and the ratio of the times of one
image, taken in turn on one thread. Takes about ten minutes on two cores.
"""

from __future__ import annotations

import torch
from rich.console import Console
from rich.table import Table
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from mobilelab import datasets, measure
from mobilelab.models import InvertedResidual, TinyMobileNet
from mobilelab.recipes import training


def with_full_convolutions(model: TinyMobileNet) -> TinyMobileNet:
    """The network with every depthwise convolution replaced by a full one; changes ``model``."""
    for block in model.features:
        if isinstance(block, InvertedResidual):
            old = block.depthwise[0]
            block.depthwise[0] = nn.Conv2d(
                old.in_channels, old.out_channels, 3, old.stride, 1, bias=False
            )
    return model


def main() -> None:
    """Train both and print the table."""
    data = datasets.load("digits")
    image = data.test.images[:1]
    networks = {}
    for name in ("depthwise", "full"):
        torch.manual_seed(0)
        model = TinyMobileNet(data.channels, len(data.classes))
        networks[name] = model if name == "depthwise" else with_full_convolutions(model)
        training.fit(networks[name], data, seed=0)
    times = measure.time_in_turn(
        {name: (lambda network=network: network(image)) for name, network in networks.items()},
        seconds=5,
    )
    table = Table("network", "parameters", "MACs", "right", "time over depthwise")
    for name, network in networks.items():
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            network(image)
        right = measure.accuracy(measure.scores(network, data.test.images), data.test.labels)
        table.add_row(
            name,
            f"{4 * sum(p.numel() for p in network.parameters()) / 1000:.0f} kB",
            f"{counter.get_total_flops() / 2e6:.1f} million",
            f"{right:.1%}",
            str(times[name].ratio(times["depthwise"])),
        )
    Console().print(table, f"{measure.host()}")


if __name__ == "__main__":
    main()
