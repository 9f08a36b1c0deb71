"""What the course does for speed, as ratios on this host, side by side in one run.

    python benchmarks/speed.py

The tests prove what was done to a network: its layout, its channels, the size of its input. Whether
that is faster depends on the host, so it is printed here. Nothing else should run meanwhile.
"""

from __future__ import annotations

import tempfile
import warnings

import torch
from rich.console import Console
from rich.table import Table

from mobilelab import datasets, measure, models
from mobilelab.course.widgets import pruning
from mobilelab.recipes import engine, variants

console = Console(width=100)


def comparisons(data, folder):
    """Pairs of calls: what is compared, the one, the other."""
    model, image = models.load_trained(), data.test.images[:1]
    (mobile,) = variants.build_all(model, data, folder, variants.named("mobile"))
    nhwc = image.to(memory_format=torch.channels_last)
    yield (
        "mobile: input in NCHW over channels_last",
        lambda: mobile.predict(image),
        lambda: mobile.predict(nhwc),
    )
    for method in pruning.METHODS:
        smaller = pruning.pruned_network(model, method, 0.8)
        pair = [torch.jit.freeze(torch.jit.script(m)) for m in (model, smaller)]
        yield (
            f"whole network over 80 % pruned ({method})",
            lambda pair=pair: pair[0](image),
            lambda pair=pair: pair[1](image),
        )
    generator = torch.jit.freeze(torch.jit.script(models.TinyGenerator(width=4).eval()))
    large, small = torch.rand(1, 3, 256, 256), torch.rand(1, 3, 64, 64)
    yield (
        "generator: 256 x 256 over 64 x 64, 16 times the MACs",
        lambda: generator(large),
        lambda: generator(small),
    )


def main():
    """Print the table."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    torch.backends.quantized.engine = engine.ENGINE
    console.print(str(measure.host()))
    table = Table("time of", "ratio (95 % interval of the median)")
    with tempfile.TemporaryDirectory() as folder, console.status("measuring"):
        for title, one, other in comparisons(datasets.load("digits"), folder):
            times = measure.time_in_turn({"one": one, "other": other}, seconds=3)
            table.add_row(title, str(times["one"].ratio(times["other"])))
    console.print(table)


if __name__ == "__main__":
    main()
