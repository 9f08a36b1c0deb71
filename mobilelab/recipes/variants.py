"""The named steps of the walk, in one place.

The chapters spell each of these recipes out; the tour, the finished table of chapter 05 and
whatever comes after build the same things from here. Every builder saves a file, and what is
measured afterwards is that file, loaded again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from torch import nn
from torch.utils.mobile_optimizer import optimize_for_mobile

from mobilelab import measure, runtimes
from mobilelab.core.errors import MobileLabError
from mobilelab.datasets import Dataset
from mobilelab.models import QuantizableTinyMobileNet, TinyMobileNet
from mobilelab.recipes import training
from mobilelab.recipes.memo import once
from mobilelab.recipes.pruning import prune_channels
from mobilelab.recipes.quantization import quantize_aware, quantize_static, to_int8
from mobilelab.recipes.snippets import CELLS, WAY_ON

#: Name of the float model among the timings of :func:`measure_all`; no variant is called so.
FLOAT = "the float model"
#: Makes a module to save from the float model, the data and the seed of any training in it.
#: Bytes are a finished file.
Recipe = Callable[[TinyMobileNet, Dataset, int], nn.Module | bytes]


@dataclass(frozen=True)
class Variant:
    """One named step: how to build it, and which chapter teaches it."""

    name: str
    title: str
    chapter: str
    suffix: str
    recipe: Recipe
    lossless: bool = False
    """Whether it only rewrites float arithmetic, so that the answers have to be the same."""
    trains: bool = False
    """Whether the recipe trains, which takes a while and ends a little differently on each host."""

    @property
    def runtime(self) -> type[runtimes.Session]:
        """What reads, and writes, its files."""
        return runtimes.kind(self.suffix)

    @property
    def snippet(self) -> str:
        """The cell that builds it in raw calls, which the tests run and compare with the recipe."""
        return {**CELLS, **WAY_ON}[self.name]


@dataclass(frozen=True)
class Built:
    """A variant that was built and saved, loaded again from its file."""

    variant: Variant
    path: Path
    predict: measure.Predict


# --- the recipes --------------------------------------------------------------------------


def script(model: nn.Module) -> torch.jit.ScriptModule:
    """Compile the source of ``forward``, every branch included (chapter 02)."""
    return torch.jit.script(model)


def freeze(model: nn.Module) -> torch.jit.ScriptModule:
    """Script, then turn weights into constants and fold what can be folded (chapter 02)."""
    return torch.jit.freeze(torch.jit.script(model))


@once
def pruned(model: TinyMobileNet, data: Dataset, seed: int = 0) -> TinyMobileNet:
    """Half of the hidden channels, and three epochs to recover (chapter 03)."""
    smaller = prune_channels(model, keep=0.5)
    training.fit(smaller, data, epochs=3, learning_rate=2e-3, seed=seed)
    return smaller


@once
def pruned_int8(model: TinyMobileNet, data: Dataset, seed: int = 0) -> nn.Module:
    """Half of the hidden channels, trained on, and then int8 after training (chapter 03)."""
    smaller = pruned(model, data, seed)
    quantizable = prune_channels(QuantizableTinyMobileNet.from_float(model), keep=0.5)
    quantizable.load_state_dict(smaller.state_dict())
    return to_int8(quantizable.eval(), data)


def official_recipe(model: nn.Module, data: Dataset) -> torch.jit.ScriptModule:
    """Trace, then ``optimize_for_mobile``: as most tutorials print it, and wrong (chapter 04)."""
    traced = cast(torch.jit.ScriptModule, torch.jit.trace(model, data.test.images[:1]))
    return optimize_for_mobile(traced)


def optimize(model: nn.Module) -> torch.jit.ScriptModule:
    """Script, then ``optimize_for_mobile``: the way that gives the same answers (chapter 04)."""
    return optimize_for_mobile(torch.jit.script(model))


class ChannelsLast(nn.Module):
    """The network with its input labeled channels-last, as XNNPACK reads it (chapter 04)."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scores ``(n, classes)`` of images ``(n, channels, h, w)`` in any memory format."""
        return self.network(x.to(memory_format=torch.channels_last))


# --- the walk -----------------------------------------------------------------------------

WALK: tuple[Variant, ...] = (
    Variant("eager", "float32, eager PyTorch", "01", ".state_dict", lambda m, d, s: m, True),
    Variant("scripted", "float32, TorchScript", "02", ".pt", lambda m, d, s: script(m), True),
    Variant("frozen", "float32, frozen", "02", ".pt", lambda m, d, s: freeze(m), True),
    Variant(
        "pruned", "half the hidden channels", "03", ".pt", lambda m, d, s: script(pruned(m, d, s)),
        trains=True,
    ),
    Variant(
        "int8", "int8 after training", "03", ".pt", lambda m, d, s: script(quantize_static(m, d, s))
    ),
    Variant(
        "int8-qat", "int8 with training", "03", ".pt",
        lambda m, d, s: script(quantize_aware(m, d, s)), trains=True,
    ),
    Variant(
        "recipe", "trace + optimize, unchecked", "04", ".ptl",
        lambda m, d, s: official_recipe(m, d),
    ),
    Variant("mobile", "float32, optimized", "05", ".ptl", lambda m, d, s: optimize(m), True),
    Variant(
        "mobile-nhwc", "float32, optimized, channels-last", "05", ".ptl",
        lambda m, d, s: optimize(ChannelsLast(m).eval()), lossless=True,
    ),
    Variant(
        "mobile-pruned", "half the hidden channels, optimized", "05", ".ptl",
        lambda m, d, s: optimize(pruned(m, d, s)), trains=True,
    ),
    Variant(
        "mobile-int8", "int8, optimized", "05", ".ptl",
        lambda m, d, s: optimize(quantize_static(m, d, s)),
    ),
    Variant(
        "mobile-qat", "int8 with training, optimized", "05", ".ptl",
        lambda m, d, s: optimize(quantize_aware(m, d, s)), trains=True,
    ),
    Variant(
        "mobile-small", "half the hidden channels, int8, optimized", "05", ".ptl",
        lambda m, d, s: optimize(pruned_int8(m, d, s)), trains=True,
    ),
)  # fmt: skip


def walk(quick: bool = False) -> tuple[Variant, ...]:
    """The steps of the walk; with ``quick`` without those that train."""
    return tuple(variant for variant in WALK if not (quick and variant.trains))


def named(*names: str) -> tuple[Variant, ...]:
    """The variants of the walk with these names, in the order of the walk.

    Raises:
        MobileLabError: for a name that the walk does not have.
    """
    unknown = set(names) - {variant.name for variant in WALK}
    if unknown:
        raise MobileLabError(
            f"The walk has no variant {', '.join(sorted(unknown))}; it has "
            f"{', '.join(variant.name for variant in WALK)}."
        )
    return tuple(variant for variant in WALK if variant.name in names)


def write(made: nn.Module | bytes, path: Path) -> None:
    """Save what a recipe made, in the way of the runtime that reads it.

    Raises:
        MobileLabError: if the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(made, bytes):
            path.write_bytes(made)
        else:
            runtimes.kind(path).save(made, path)
    except (OSError, RuntimeError) as error:
        raise MobileLabError(
            f"Could not write {path.name} into {path.parent} ({str(error).splitlines()[0]}); "
            "choose a folder that you may write to."
        ) from error


def build(
    variant: Variant, model: TinyMobileNet, data: Dataset, folder: str | Path, seed: int = 0
) -> Built:
    """Build one variant, save it into ``folder``, and load it again from there.

    Raises:
        MobileLabError: if the folder cannot be written.
    """
    path = Path(folder) / f"{variant.name}{variant.suffix}"
    write(variant.recipe(model, data, seed), path)
    return Built(variant, path, runtimes.load(path))


def build_all(
    model: TinyMobileNet,
    data: Dataset,
    folder: str | Path,
    variants: Iterable[Variant] = WALK,
    *,
    seed: int = 0,
    on_step: Callable[[str], None] = lambda name: None,
) -> list[Built]:
    """:func:`build` for several variants; ``on_step`` is told each name before its turn."""
    built = []
    for variant in variants:
        on_step(variant.name)
        built.append(build(variant, model, data, folder, seed))
    return built


def measure_all(
    built: Iterable[Built],
    model: TinyMobileNet,
    data: Dataset,
    *,
    threads: int = 1,
    seconds: float = 1.0,
    memory: bool = True,
    on_step: Callable[[str], None] = lambda name: None,
) -> list[measure.Record]:
    """Measure built variants side by side: parity, size, latency, peak memory, accuracy.

    Args:
        built: from :func:`build_all`.
        model: the float model that every variant is compared with.
        data: parity and accuracy are taken on its test split, latency on one test image.
        threads: threads for the latency.
        seconds: about how long each variant is timed for.
        memory: also measure peak memory, one fresh process for each variant.
        on_step: told what is being measured, for a progress bar.
    """
    built = list(built)
    image = data.test.images[:1].clone()  # a model may write into what it is timed on
    reference = measure.scores(model, data.test.images)
    on_step("answers")
    outputs = {b.variant.name: measure.scores(b.predict, data.test.images) for b in built}
    on_step("latency")
    # The float model is timed beside them, for the budget's share of its time.
    calls: dict[str, Callable[[], object]] = {FLOAT: lambda: model(image)}
    calls.update({b.variant.name: (lambda b=b: b.predict(image)) for b in built})
    timings = measure.time_in_turn(calls, threads=threads, seconds=seconds)
    peaks: dict[str, measure.PeakMemory] = {}
    if memory:
        on_step("peak memory")
        peaks = measure.peak_memories({b.variant.name: b.path for b in built}, tuple(image.shape))
    return [
        measure.record(
            b.variant.name,
            b.path,
            outputs[b.variant.name],
            reference,
            data.test,
            timings[b.variant.name],
            chapter=b.variant.chapter,
            memory=peaks.get(b.variant.name),
            float_timing=timings[FLOAT],
        )
        for b in built
    ]
