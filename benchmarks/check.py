"""Minutes by road: what ``mobilelab check`` takes for MobileNetV2.

    python benchmarks/check.py                     every road
    python benchmarks/check.py --roads lite,et     some of them

Prints for each road what became of it, its seconds and its memory, and the minutes in all. Nothing
else should run meanwhile.
"""

from __future__ import annotations

import argparse
import time
import warnings

import torch
import torchvision
from rich.console import Console
from rich.table import Table
from torch import nn

from mobilelab.check import check


def network():
    """MobileNetV2 with statistics as a trained one has them, so that nothing cancels."""
    torch.manual_seed(0)
    made = torchvision.models.mobilenet_v2(weights=None)
    for part in made.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.normal_(0, 0.1)
            part.running_var.uniform_(0.5, 1.5)
    return made.eval()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--roads", default="all", help="names or groups, with commas between them")
    roads = parser.parse_args().roads.split(",")
    warnings.simplefilter("ignore")
    examples = list(torch.rand(4, 3, 224, 224).split(1))
    began = time.perf_counter()
    report = check(network(), examples, names=roads)
    minutes = (time.perf_counter() - began) / 60
    table = Table("road", "answers", "seconds", "kB", "x eager", "peak MiB on the way")
    for row in report.rows:
        table.add_row(
            row.road, row.verdict or row.status, f"{row.seconds:.1f}",
            f"{row.file_kb:.0f}" if row.file_kb else "",
            f"{row.times_eager:.2f}" if row.times_eager else "", f"{row.export_peak_mib:.0f}",
        )  # fmt: skip
    console = Console(width=110)
    console.print(table)
    walked = sum(row.seconds for row in report.rows) / 60
    console.print(
        f"{minutes:.1f} minutes in all: {walked:.1f} on the roads, the rest for timing all in turn"
    )


if __name__ == "__main__":
    main()
