"""What a rescue takes, and what it brings: old file against new, in one interleaved run.

    python benchmarks/rescue.py                 all of the files below
    python benchmarks/rescue.py --only int8     those whose name has this in it

Makes files as old apps ship them, of networks with random weights and statistics, and rescues each
in a process of its own. Prints seconds and peak memory of the rescue, sizes, medians, and how many
times as long the old file takes. Nothing else should run meanwhile.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import psutil
import torch
import torchvision
from rich.console import Console
from rich.table import Table
from torch import nn
from torch.ao import quantization as tq
from torch.utils.mobile_optimizer import optimize_for_mobile

from mobilelab.models import TinyMobileNet

PICTURE, SMALL = "1x3x224x224", "1x1x32x32"


def statistics(network):
    torch.manual_seed(0)
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.normal_(0, 0.1)
            part.running_var.uniform_(0.5, 1.5)
    return network.eval()


def optimized(make):
    return lambda: optimize_for_mobile(torch.jit.script(statistics(make())))


def int8(make, side):
    def made():
        torch.backends.quantized.engine = "qnnpack"
        network = statistics(make())
        network.fuse_model()
        network.qconfig = tq.get_default_qconfig("qnnpack")
        prepared = tq.prepare(network)
        prepared(torch.randn(4, 3, side, side))
        return torch.jit.script(tq.convert(prepared))

    return made


quantizable = torchvision.models.quantization
FILES = {
    "TinyMobileNet": (optimized(TinyMobileNet), SMALL),
    "MobileNetV2": (optimized(lambda: torchvision.models.mobilenet_v2(weights=None)), PICTURE),
    "MobileNetV3 small": (
        optimized(lambda: torchvision.models.mobilenet_v3_small(weights=None)), PICTURE,
    ),
    "ResNet18": (optimized(lambda: torchvision.models.resnet18(weights=None)), PICTURE),
    "MobileNetV2 int8": (int8(lambda: quantizable.mobilenet_v2(weights=None), 224), PICTURE),
    "ResNet18 int8": (int8(lambda: quantizable.resnet18(weights=None), 224), PICTURE),
}  # fmt: skip


def rescued(path, shape, out):
    """The command's JSON, its seconds, and the most memory that it held in MiB."""
    began, most = time.perf_counter(), 0
    command = [sys.executable, "-m", "mobilelab.cli", "rescue", str(path), "--example", shape]
    run = subprocess.Popen(
        [*command, "--out", str(out), "--json"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    process = psutil.Process(run.pid)
    while run.poll() is None:
        try:
            most = max(most, process.memory_info().rss)
        except psutil.NoSuchProcess:
            break
        time.sleep(0.05)
    text = run.stdout.read()
    (found,) = json.loads(text)
    return found, time.perf_counter() - began, most / 2**20


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="part of a name")
    only = parser.parse_args().only
    table = Table("file", "seconds", "peak MiB", "ending", "answers", "old kB", "new kB", "old ms",
                  "new ms", "old over new")  # fmt: skip
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory(prefix="mobilelab-") as folder:
        for name, (make, shape) in FILES.items():
            if only not in name:
                continue
            path = Path(folder) / f"{name.replace(' ', '-')}.ptl"
            make()._save_for_lite_interpreter(str(path))
            found, seconds, peak = rescued(path, shape, Path(folder) / "new")
            print(f"{name}: {seconds:.0f} s, {peak:.0f} MiB", file=sys.stderr)
            first = (name, f"{seconds:.0f}", f"{peak:.0f}")
            for one in found["outcomes"]:
                ratio = f"{one['old_ms'] / one['new_ms']:.1f}x" if one.get("new_ms") else ""
                table.add_row(
                    *first, one["ending"], one["verdict"] or one["refusal"],
                    f"{path.stat().st_size / 1000:.0f}", f"{one['bytes'] / 1000:.0f}",
                    *(f"{one[key]:.2f}" if one.get(key) else "" for key in ("old_ms", "new_ms")),
                    ratio,
                )  # fmt: skip
                first = ("", "", "")
    Console(width=130).print(table)


if __name__ == "__main__":
    main()
