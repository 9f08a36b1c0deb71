"""The roads to a phone, as data: what each starts from, what it makes, which chapter teaches it."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from mobilelab.check import exporters as make
from mobilelab.check.exporters import Exporter, Made
from mobilelab.core.errors import MobileLabError
from mobilelab.core.signature import Example
from mobilelab.recipes import variants


@dataclass(frozen=True)
class Road:
    """One way to a file."""

    name: str
    title: str
    chapter: str
    suffix: str
    export: Exporter
    exact: bool = True
    """Whether it computes in float as the network does, so that the answers have to be the same."""
    after: str = ""
    """The road whose file it starts from; the network itself if empty."""
    needs: str = ""
    """The module that has to be installed; a part of torch if empty."""
    brings: str = "make runtimes"
    """The command that installs it."""
    delegates: bool = False
    """Whether it is there to hand the network to XNNPACK."""
    timed: bool = True
    """Whether this host's time for it says anything; what is emulated has a time of nobody."""


# --- the list -----------------------------------------------------------------------------

_LITERT, _ET = "litert_torch", "executorch"
#: Every road, in the order in which they are walked: a road comes after the one it starts from.
ROADS: tuple[Road, ...] = (
    Road("trace", "TorchScript, traced", "02", ".pt", make.trace),
    Road("script", "TorchScript, scripted", "02", ".pt", make.script),
    Road("freeze", "TorchScript, frozen", "02", ".pt", make.freeze),
    Road("recipe", "trace + optimize_for_mobile, as printed", "04", ".ptl", make.recipe),
    Road("mobile", "freeze + optimize_for_mobile", "04", ".ptl", make.mobile),
    Road("channels-last", "the same, channels_last", "04", ".ptl", make.channels_last),
    Road("lite", "lite interpreter, not optimized", "05", ".ptl", make.compiled),
    *(
        Road(f"bytecode-{n}", f"bytecode {n} of it", "05", ".ptl", make.backport(n), after="lite")
        for n in (7, 6, 5, 4)
    ),
    Road("dynamic-int8", "dynamic int8", "03", ".ptl", make.dynamic_int8, exact=False),
    Road("fx-int8", "static int8, torch.fx", "03", ".ptl", make.fx_int8, exact=False),
    Road("eager-int8", "static int8, eager", "03", ".ptl", make.eager_int8, exact=False),
    Road("export", "torch.export", "08", ".pt2", make.export),
    Road("et-portable", "ExecuTorch, portable kernels", "08", ".pte", make.portable, needs=_ET),
    Road(
        "et-xnnpack", "ExecuTorch, XNNPACK", "08", ".pte", make.xnnpack, needs=_ET, delegates=True,
    ),
    Road(
        "et-int8", "ExecuTorch, XNNPACK, PT2E int8", "08", ".pte", make.pt2e_int8, exact=False,
        needs=_ET, delegates=True,
    ),
    Road("litert", "LiteRT", "09", ".tflite", make.litert, needs=_LITERT),
    Road(
        "litert-int8", "LiteRT, int8", "09", ".tflite", make.litert_int8, exact=False,
        after="litert", needs=_LITERT,
    ),
    Road(
        "npu", "an NPU, Ethos-U55, int8", "12", ".npu", make.npu, exact=False,
        needs="tosa_serializer", brings="make npu", timed=False,
    ),
    Road(
        "phone", "the lite file on the virtual phone", "07", ".ptl", make.as_it_is, after="lite",
        timed=False,
    ),
)  # fmt: skip
#: Words that stand for several roads.
GROUPS: dict[str, tuple[str, ...]] = {
    "torchscript": ("trace", "script", "freeze"),
    "bytecode": tuple(road.name for road in ROADS if road.name.startswith("bytecode")),
    "int8": tuple(road.name for road in ROADS if not road.exact),
    "executorch": ("export", "et-portable", "et-xnnpack", "et-int8"),
    "litert": ("litert", "litert-int8"),
    "all": tuple(road.name for road in ROADS),
}


def named(names: Iterable[str]) -> tuple[Road, ...]:
    """The roads of these names or groups, in their order, each after the one it starts from.

    Raises:
        MobileLabError: for a name that is neither.
    """
    by_name = {road.name: road for road in ROADS}
    wanted: set[str] = set()
    for name in names:
        if name not in by_name and name not in GROUPS:
            raise MobileLabError(
                f"No road is called {name!r}; the roads are {', '.join(by_name)}, and the groups "
                f"{', '.join(GROUPS)}."
            )
        # a road comes before a group of its name: "litert" is both
        wanted |= set(GROUPS.get(name, (name,)))
    wanted |= {by_name[name].after for name in wanted} - {""}
    return tuple(road for road in ROADS if road.name in wanted)


def walk(road: Road, start: nn.Module | Path, examples: Sequence[Example], path: Path) -> Made:
    """Take one road and save what comes out. The network is copied first.

    Raises:
        MobileLabError: with the exporter's reason; other errors of torch pass as they are.
    """
    if isinstance(start, nn.Module):
        start = copy.deepcopy(start)
    with torch.no_grad():
        made = road.export(start, examples)
    variants.write(made.artifact, path)
    return made
