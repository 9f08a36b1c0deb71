"""Vela, Arm's compiler for Ethos-U: run it on a TOSA graph, and read its report as numbers.

Everything here is Vela's estimate of a chip that nobody measured: it counts cycles with a model of
the NPU and of its memories (ethos-u-vela, ``OPTIONS.md`` and ``PERFORMANCE.md``). Chapter 12 shows
the call and reads the report.
"""

from __future__ import annotations

import csv
import io
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mobilelab.core.errors import ExportError
from mobilelab.runtimes.libraries import imported, quiet

#: What :func:`mobilelab.runtimes.libraries.imported` says when Vela or the reference model lacks.
VELA, NPU = "Vela", "npu"
#: The accelerators of each family, by multiply-accumulates in a cycle (Vela 5.0.0, ``--help``).
MACS = {
    "ethos-u55": (32, 64, 128, 256),
    "ethos-u65": (256, 512),
    "ethos-u85": (128, 256, 512, 1024, 2048),
}
#: System and memory that executorch takes for a family if nothing is said
#: (executorch 1.3.1, ``backends/arm/ethosu/compile_spec.py``).
SYSTEM = {
    "ethos-u55": ("Ethos_U55_High_End_Embedded", "Shared_Sram"),
    "ethos-u65": ("Ethos_U65_High_End", "Sram_Only"),
    "ethos-u85": ("Ethos_U85_SYS_DRAM_Mid", "Sram_Only"),
}


@dataclass(frozen=True)
class Layer:
    """One operator of the NPU's program."""

    name: str
    """Name of the TOSA tensor that it makes; empty for one that Vela put in between."""
    operator: str
    """Operator of the TOSA graph that it comes from."""
    runs_as: str
    """Operation of the NPU that does it: a Rescale may run as a Mul."""
    cycles: int
    """Vela's estimate."""
    macs: int
    """Multiply-accumulates; 0 for what multiplies no weights."""
    utilization: float
    """Share of the multipliers that are busy in these cycles, 0 to 1."""
    sram: int
    """Bytes of SRAM that are in use while it runs."""


@dataclass(frozen=True)
class Report:
    """Vela's estimates for one program. Sizes are in bytes; as text in kB (1 kB = 1000 bytes)."""

    accelerator: str
    system: str
    memory: str
    clock_hz: float
    cycles: int
    macs: int
    sram: int
    """SRAM for what is computed on the way, at its peak."""
    flash: int
    """Memory for weights and commands. Vela calls it flash in the mode ``Sram_Only`` as well,
    where they lie in SRAM; 0 where the system keeps them in DRAM."""
    dram: int
    weights: int
    """Weights before Vela packed them; int8, so their number too."""
    packed: int
    """The same after packing."""
    busy: dict[str, int]
    """Cycles in which each part works; they overlap, and the slowest counts in each layer."""
    layers: tuple[Layer, ...]

    @property
    def utilization(self) -> float:
        """Share of all multipliers that are busy, over the whole program, 0 to 1."""
        per_cycle = int(self.accelerator.split("_")[-1])
        return self.macs / (self.cycles * per_cycle)

    @property
    def sram_in_all(self) -> int:
        """Bytes of SRAM, with weights and commands where the memory mode keeps them there."""
        return self.sram + (self.flash if self.memory == "Sram_Only" else 0)

    def __str__(self) -> str:
        memory = f"{self.sram_in_all / 1000:.0f} kB SRAM"
        if self.sram_in_all > self.sram:
            memory += f", of these {self.flash / 1000:.0f} kB weights and commands"
        elif self.flash:
            memory += f", {self.flash / 1000:.0f} kB flash"
        else:
            memory += f", {self.dram / 1000:.0f} kB DRAM"
        return (
            f"{self.accelerator}: {self.cycles / 1e6:.2f} M cycles, {self.macs / 1e6:.1f} M "
            f"multiply-accumulates ({self.utilization:.0%} of the multipliers busy), "
            f"{memory}"
        )


def family(target: str) -> str:
    """``ethos-u55`` for ``ethos-u55-128``.

    Raises:
        ExportError: for what Vela does not know, with the names that it does.
    """
    name, _, macs = target.rpartition("-")
    if name not in MACS or not macs.isdigit() or int(macs) not in MACS[name]:
        names = ", ".join(f"{one}-{n}" for one, counts in MACS.items() for n in counts)
        raise ExportError(f"Vela knows no accelerator {target}; it knows {names}.")
    return name


def estimate(tosa: bytes, target: str, system: str = "", memory: str = "") -> Report:
    """Compile a TOSA graph and read the report.

    Args:
        tosa: a flatbuffer as executorch writes it for the accelerator's family: the graph of an
            Ethos-U55 is written for what that one can do.
        target: accelerator and size, ``ethos-u55-128``.
        system: system configuration of Vela's ``Arm/vela.ini``; empty for executorch's choice.
        memory: memory mode of the same file; empty for executorch's choice.

    Raises:
        MissingRuntimeError: if Vela is not installed.
        ExportError: if Vela knows no such accelerator or refuses.
    """
    return read(*compiled(tosa, target, system, memory))


def compiled(tosa: bytes, target: str, system: str = "", memory: str = "") -> tuple[str, str]:
    """Vela's two tables of a TOSA graph as text, by layer and in sum; arguments as above."""
    default_system, default_memory = SYSTEM[family(target)]
    main = imported("ethosu.vela.vela", VELA, NPU).main
    with tempfile.TemporaryDirectory(prefix="mobilelab-") as folder:
        graph = Path(folder) / "part.tosa"
        graph.write_bytes(tosa)
        options = {
            "accelerator-config": target,
            "config": "Arm/vela.ini",
            "system-config": system or default_system,
            "memory-mode": memory or default_memory,
            "output-format": "raw",
            "output-dir": folder,
        }
        flags = [f"--{name}={value}" for name, value in options.items()]
        try:
            with quiet():
                status = main([str(graph), *flags, "--verbose-performance"])
        except (Exception, SystemExit) as error:  # Vela ends the process on what it refuses
            raise ExportError(
                f"Vela refuses {target}, {options['memory-mode']}: {error}."
            ) from error
        found = [*Path(folder).glob("*_per-layer.csv"), *Path(folder).glob("*_summary_*.csv")]
        if status or len(found) != 2:
            raise ExportError(f"Vela wrote no report for {target}, {options['memory-mode']}.")
        layers, summary = (path.read_text() for path in found)
    # what has no name is counted through, over all compilations of a process
    return re.sub(r",#\d+\s*$", ",", layers, flags=re.M), summary


def read(layers: str, summary: str) -> Report:
    """The report from Vela's two tables, the texts of its CSV files."""
    (total,) = csv.DictReader(io.StringIO(summary))
    kib = {name: float(total[f"{name}_memory_used"]) for name in _MEMORIES}
    parts = ("npu", "sram_access", "dram_access", "on_chip_flash_access", "off_chip_flash_access")
    return Report(
        accelerator=total["accelerator_configuration"],
        system=total["system_config"],
        memory=total["memory_mode"],
        clock_hz=float(total["core_clock"]),
        cycles=round(float(total["cycles_total"])),
        macs=round(float(total["nn_macs"])),
        sram=round(1024 * kib["sram"]),
        flash=round(1024 * (kib["on_chip_flash"] + kib["off_chip_flash"])),
        dram=round(1024 * kib["dram"]),
        weights=round(float(total["total_original_weights"])),
        packed=round(float(total["total_npu_encoded_weights"])),
        busy={name: round(float(total[f"cycles_{name}"])) for name in parts},
        layers=tuple(map(_layer, csv.DictReader(io.StringIO(layers)))),
    )


_MEMORIES = ("sram", "dram", "on_chip_flash", "off_chip_flash")


def _layer(row: dict[str, Any]) -> Layer:
    return Layer(
        name=row["Name"].strip(),
        operator=row["Original Operator"],
        runs_as=row["NNG Operator"],
        cycles=round(float(row["Op Cycles"])),
        macs=round(float(row["MAC Count"])),
        utilization=float(row["Util% (MAC)"]) / 100,
        sram=round(float(row["Staging Usage"])),
    )
