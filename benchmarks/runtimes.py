"""The lite interpreter, ExecuTorch and LiteRT on the same networks, side by side in one run.

    python benchmarks/runtimes.py                  the course's network and MobileNetV2
    python benchmarks/runtimes.py --only tiny      the course's network
    python benchmarks/runtimes.py --threads 2      each in a process with two threads

Prints a table for each network, and how many times as long the course's best ``.ptl`` of the same
precision takes as each ``.pte`` and ``.tflite``. Nothing else should run meanwhile.
"""

from __future__ import annotations

import argparse
import tempfile
import warnings
from dataclasses import replace

import torch
import torchvision
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from mobilelab import datasets, measure, models
from mobilelab.measure import report
from mobilelab.recipes import engine, remeasure, successors, variants

#: What each new file is set against: the course's best of the same precision.
AGAINST = {
    "et-fp32": "mobile-nhwc",
    "litert-fp32": "mobile-nhwc",
    "et-int8": "mobile-int8",
    "et-qat": "mobile-int8",
    "litert-int8": "mobile-int8",
}
console = Console(width=110)


def mobilenet_int8(network, data, seed):
    """torchvision's quantizable MobileNetV2 with the same weights, as chapter 08 does."""
    torch.backends.quantized.engine = engine.ENGINE
    same = torchvision.models.quantization.mobilenet_v2(num_classes=len(data.classes))
    same.load_state_dict(network.state_dict())
    same.eval().fuse_model()
    same.qconfig = torch.ao.quantization.get_default_qconfig(engine.ENGINE)
    prepared = torch.ao.quantization.prepare(same)
    measure.scores(prepared, data.calibration.images, 8)
    return variants.optimize(torch.ao.quantization.convert(prepared))


def networks(only):
    data = datasets.load("digits")
    steps = {v.name: v for v in (*variants.WALK, *successors.SUCCESSORS)}
    chosen = [steps[name] for name in ("mobile-nhwc", "mobile-int8", *AGAINST)]
    if only != "mobilenet":
        yield "TinyMobileNet, 32x32", models.load_trained(), data, chosen
    if only != "tiny":
        large = datasets.enlarged(data)
        chosen = [v for v in chosen if v.name != "et-qat"]
        chosen[1] = replace(chosen[1], recipe=mobilenet_int8)
        yield "MobileNetV2, 224x224", models.load_mobilenet_v2(), large, chosen


def build(title, network, data, chosen, folder):
    with Progress(console=console) as progress:
        task = progress.add_task(f"building {title}", total=len(chosen))
        return variants.build_all(
            network, data, folder, chosen, on_step=lambda name: progress.advance(task)
        )


def table(title, built, network, data, threads):
    with Progress(console=console) as progress:
        task = progress.add_task(f"measuring {title}", total=None)
        if threads == 1:
            rows = variants.measure_all(built, network, data, seconds=3)
        else:
            reference = measure.scores(network, data.test.images, 10)
            rows = remeasure.again(built, reference, data, threads=threads, seconds=3)
        progress.remove_task(task)
    console.print(report.Results(rows).rich(f"{title}, {threads} thread(s)"))
    image = data.test.images[:1]
    if threads > 1:
        return
    times = measure.time_in_turn(
        {b.variant.name: (lambda b=b: b.predict(image)) for b in built}, seconds=3
    )
    ratios = Table(title=f"{title}: the lite interpreter's time over that of another runtime")
    for heading in ("file", "against", "ratio (95 % interval of the median)"):
        ratios.add_column(heading)
    for name, ours in AGAINST.items():
        if name in times:
            ratios.add_row(name, ours, str(times[ours].ratio(times[name])))
    console.print(ratios)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", choices=("tiny", "mobilenet"))
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    console.print(str(measure.host()))
    for title, network, data, chosen in networks(given.only):
        with tempfile.TemporaryDirectory() as folder:
            table(title, build(title, network, data, chosen, folder), network, data, given.threads)


if __name__ == "__main__":
    main()
