"""The lite interpreter, ExecuTorch and LiteRT on the same networks, side by side in one run.

    python benchmarks/runtimes.py                  the course's network and MobileNetV2
    python benchmarks/runtimes.py --only tiny      the course's network
    python benchmarks/runtimes.py --threads 2      each in a process with two threads
    python benchmarks/runtimes.py --arm            ARM instructions too, on the virtual phone

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
from mobilelab.phone import software
from mobilelab.phone.errors import PhoneError
from mobilelab.phone.machine import Phone
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
    """torchvision's quantizable MobileNetV2 with the same weights, as chapter 09 does."""
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


def counted(built, image, core):
    """Instructions of one inference of each file, by its name; a sentence where there is none."""
    found = {}
    by_runtime = {}
    for one in built:
        by_runtime.setdefault(software.for_file(one.path.suffix).name, []).append(one)
    for runtime, files in by_runtime.items():
        with console.status(f"counting on a {core}: {runtime}"):
            try:
                with Phone(core, counting=True, runtime=runtime) as phone:
                    for one in files:
                        found[one.variant.name] = _count(phone, one.path, image)
            except PhoneError as error:  # it was not fetched
                found |= {one.variant.name: str(error) for one in files}
    return found


def _count(phone, path, image):
    try:
        return phone.count(path, image, 4).instructions
    except PhoneError as error:
        return str(error).split(" (")[0]


def arm(title, built, data):
    """ARM instructions of each file, and the ratio to the lite interpreter's."""
    image = data.test.images[:1].numpy()
    for core in ("cortex-a53", "cortex-a76"):
        costs = counted(built, image, core)
        found = Table(title=f"{title}: instructions of one inference on an emulated {core}")
        for heading in ("file", "million instructions", "lite interpreter's over it"):
            found.add_column(heading, overflow="fold")
        for name, cost in costs.items():
            ours = costs.get(AGAINST.get(name, name))
            if isinstance(cost, str):
                found.add_row(name, cost, "")
            else:
                ratio = f"{ours / cost:.2f}x" if isinstance(ours, int) else ""
                found.add_row(name, f"{cost / 1e6:.2f}", ratio)
        console.print(found)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", choices=("tiny", "mobilenet"))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--arm", action="store_true", help="count ARM instructions too")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    console.print(str(measure.host()))
    for title, network, data, chosen in networks(given.only):
        with tempfile.TemporaryDirectory() as folder:
            built = build(title, network, data, chosen, folder)
            table(title, built, network, data, given.threads)
            if given.arm:
                arm(title, built, data)


if __name__ == "__main__":
    main()
