"""Make the model files of chapter 10 and of exercise 10: those of apps whose source is lost.

``python scripts/make_found_files.py`` writes ``data/found_*.ptl``. The networks stand below as text
and are compiled as if they lay in somebody's home folder, so that the files hold what such files
hold: names of classes, source lines, a person's name, and nothing of the computer that made them.
The reader of chapter 10 is trained on the bundled digits; the networks of the exercise have random
weights. Training ends a little differently on each processor, so a new run gives other files: bring
``data/SHA256SUMS`` and ``data/README.md`` up to date and refresh chapter 10.
"""

from __future__ import annotations

import itertools
import linecache
import pickletools
import sys
import types
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path

import torch
from rich.console import Console
from torch import Tensor, nn
from torch.ao import quantization as tq
from torch.utils.mobile_optimizer import optimize_for_mobile

from mobilelab import datasets
from mobilelab.measure import accuracy, scores
from mobilelab.recipes import training

#: Where the lost sources lay, and where torch did.
HOME = "/home/maria/apps"
LIBRARIES = "/home/maria/venv/lib/python3.8/site-packages"

READER = """
import torch
from torch import nn


class Block(nn.Module):
    def __init__(self, cin, cout, stride):
        super().__init__()
        self.widen = nn.Sequential(
            nn.Conv2d(cin, 3 * cin, 1, bias=False), nn.BatchNorm2d(3 * cin), nn.ReLU())
        self.filter = nn.Sequential(
            nn.Conv2d(3 * cin, 3 * cin, 3, stride, 1, groups=3 * cin, bias=False),
            nn.BatchNorm2d(3 * cin), nn.ReLU())
        self.narrow = nn.Sequential(
            nn.Conv2d(3 * cin, cout, 1, bias=False), nn.BatchNorm2d(cout))
        self.same = stride == 1 and cin == cout
        self.add = nn.quantized.FloatFunctional()

    def forward(self, x):
        y = self.narrow(self.filter(self.widen(x)))
        if self.same:
            y = self.add.add(x, y)
        return y


class Reader(nn.Module):
    def __init__(self):
        super().__init__()
        self.quant, self.dequant = torch.ao.quantization.QuantStub(), torch.ao.quantization.DeQuantStub()
        self.first = nn.Sequential(
            nn.Conv2d(1, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        self.blocks = nn.Sequential(
            Block(16, 24, 2), Block(24, 24, 1), Block(24, 32, 2), Block(32, 32, 1))
        self.last = nn.Sequential(
            nn.Conv2d(32, 96, 1, bias=False), nn.BatchNorm2d(96), nn.ReLU())
        self.pool, self.drop, self.scores = nn.AdaptiveAvgPool2d(1), nn.Dropout(0.1), nn.Linear(96, 10)

    def forward(self, x):
        x = self.last(self.blocks(self.first(self.quant(x))))
        x = self.drop(torch.flatten(self.pool(x), 1))
        return self.dequant(self.scores(x))
"""  # noqa: E501

GAUGE = '''
import torch
import torch.nn.functional as F
from torch import nn


class Gauge(nn.Module):
    """Reads a gauge: 16x16 pictures to three numbers."""

    def __init__(self, width, outputs, bound):
        super().__init__()
        self.quant, self.dequant = torch.ao.quantization.QuantStub(), torch.ao.quantization.DeQuantStub()
        self.a, self.na, self.ra = nn.Conv2d(1, width, 3, 2, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()
        self.b = nn.Conv2d(width, width, 3, 1, 1, groups=width, bias=False)
        self.nb, self.rb = nn.BatchNorm2d(width), nn.ReLU()
        self.c, self.nc = nn.Conv2d(width, width, 1, bias=False), nn.BatchNorm2d(width)
        self.add, self.drop, self.f = nn.quantized.FloatFunctional(), nn.Dropout(0.3), nn.Linear(width, outputs)
        self.bound = bound

    def forward(self, x):
        x = self.na(self.a(self.quant(x)))
        x = F.hardtanh(x, 0.0, self.bound) if self.bound > 0 else self.ra(x)
        y = self.nc(self.c(self.rb(self.nb(self.b(x)))))
        x = self.add.add(x, y)
        return self.dequant(self.f(self.drop(x.mean([2, 3]))))
'''  # noqa: E501


def lost(name: str, text: str) -> types.ModuleType:
    """A module compiled from a text, as if from a file in that home folder."""
    path = f"{HOME}/{name}.py"
    linecache.cache[path] = (len(text), None, text.splitlines(keepends=True), path)
    module = types.ModuleType(name)
    module.__file__ = path
    sys.modules[name] = module  # inspect and TorchScript look it up there
    exec(compile(text, path, "exec"), module.__dict__)
    return module


#: Folders of this computer that a debug record may name, and what stands there in the end.
HERE = {
    str(Path(torch.__file__).parent.parent): LIBRARIES,
    str(Path(__file__).resolve().parent): HOME,
    str(Path(__file__).resolve().parent.parent): HOME,
    sys.prefix: "/home/maria/venv",
    sys.base_prefix: "/usr",
}


def _of_here(text: str) -> bool:
    return any(folder in text for folder in HERE)


def _renamed(pickled: bytes) -> bytes:
    """A debug record with the paths of this computer replaced."""
    out, end = b"", 0
    places = [*pickletools.genops(pickled)]
    for (opcode, text, start), following in zip(places, [*places[1:], None], strict=True):
        if opcode.name == "BINUNICODE" and isinstance(text, str) and _of_here(text):
            for old, other in HERE.items():
                text = text.replace(old, other)
            new = text.encode()
            stop = len(pickled) if following is None else following[2]
            out += pickled[end:start] + b"X" + len(new).to_bytes(4, "little") + new
            end = stop or 0
    return out + pickled[end:]


def save(module: torch.jit.ScriptModule, name: str) -> Path:
    """Save for the lite interpreter into ``data/``, with nothing in it of this computer."""
    path = datasets.data_root() / name
    module._save_for_lite_interpreter(str(path))
    with zipfile.ZipFile(path) as archive:
        records = [(entry.filename, archive.read(entry)) for entry in archive.infolist()]
    with zipfile.ZipFile(path, "w") as archive:
        for record, content in records:
            content = _renamed(content) if record.endswith(".debug_pkl") else content
            assert not any(folder.encode() in content for folder in HERE), record
            # a fixed date: the same networks give the same file
            text = record.endswith((".py", ".debug_pkl"))
            how = zipfile.ZIP_DEFLATED if text else zipfile.ZIP_STORED  # as torch does
            archive.writestr(zipfile.ZipInfo(record, (2021, 6, 1, 0, 0, 0)), content, how)
    return path


def fused(model: nn.Module, triples: list[list[str]]) -> nn.Module:
    """BatchNorms folded before quantization."""
    return tq.fuse_modules(model, triples)


def int8(model: nn.Module, images: Tensor, engine: str = "qnnpack") -> nn.Module:
    """Static int8, eager mode: by tensor with QNNPACK's scheme, by channel with x86's."""
    torch.backends.quantized.engine = "qnnpack"
    model.qconfig = tq.get_default_qconfig(engine)  # pyright: ignore[reportArgumentType]
    prepared = tq.prepare(model)
    with torch.no_grad():
        prepared(images)
    return tq.convert(prepared)


# --- chapter 10 ---------------------------------------------------------------------------------


def layers(model: nn.Module) -> Iterator[list[str]]:
    """The convolutions of a reader with what follows them."""
    for name, part in model.named_modules():
        if isinstance(part, nn.Sequential) and len(part) and isinstance(part[0], nn.Conv2d):
            yield [f"{name}.{place}" for place in range(len(part))]


def readers() -> Iterator[Path]:
    """Three releases of one digit reader."""
    data = datasets.load("digits")
    torch.manual_seed(1)
    model = lost("reader", READER).Reader()
    training.fit(model, data, epochs=8, seed=1)
    image = data.test.images[:1]
    traced = torch.jit.trace(model, image)
    yield save(optimize_for_mobile(traced), "found_reader_1.ptl")  # the fold bug
    yield save(optimize_for_mobile(torch.jit.script(model)), "found_reader_2.ptl")
    quantized = int8(fused(model, [*layers(model)]), data.calibration.images)
    yield save(optimize_for_mobile(torch.jit.script(quantized)), "found_reader_3.ptl")


# --- exercise 10 --------------------------------------------------------------------------------


def gauge(seed: int, width: int, outputs: int, bound: float = 0.0) -> nn.Module:
    """A gauge with BatchNorm statistics as after a training."""
    torch.manual_seed(seed)
    model = lost("gauge", GAUGE).Gauge(width, outputs, bound)
    for part in model.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.momentum = None
            nn.init.uniform_(part.weight, 0.6, 1.6)
            nn.init.normal_(part.bias, 0, 0.5)
    with torch.no_grad():
        model.train()(torch.randn(64, 1, 16, 16))
    nn.init.normal_(model.f.bias)  # pyright: ignore[reportArgumentType]
    return model.eval()


def gauges() -> Iterator[Path]:
    """Six files with six histories."""
    x = torch.randn(64, 1, 16, 16)
    triples = [["a", "na", "ra"], ["b", "nb", "rb"], ["c", "nc"]]
    yield save(optimize_for_mobile(torch.jit.script(gauge(1, 12, 3, 2.5))), "found_gauge_a.ptl")
    yield save(
        optimize_for_mobile(torch.jit.script(int8(fused(gauge(2, 10, 4), triples), x))),
        "found_gauge_b.ptl",
    )
    yield save(
        optimize_for_mobile(torch.jit.trace(gauge(3, 14, 3, 1.5), x[:1])), "found_gauge_c.ptl"
    )
    yield save(
        torch.jit.script(int8(fused(gauge(4, 12, 5), triples), x, "x86")), "found_gauge_d.ptl"
    )
    yield save(torch.jit.script(gauge(5, 10, 4, 2.0).train()), "found_gauge_e.ptl")
    yield save(optimize_for_mobile(torch.jit.script(gauge(6, 16, 4))), "found_gauge_f.ptl")


def main(only_gauges: bool = False) -> None:
    """Write the files, and say what the readers can. Training takes most of the time."""
    console = Console()
    data = datasets.load("digits")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = itertools.chain(gauges(), () if only_gauges else readers())
        for path in made:
            said = ""
            if "reader" in path.name:
                lite = torch.jit.load(str(path))
                right = accuracy(scores(lite, data.test.images), data.test.labels)
                said = f", {right:.1%} of the test digits right"
            console.print(f"wrote {path.name} ({path.stat().st_size} bytes){said}")


if __name__ == "__main__":
    main("--only-gauges" in sys.argv)
