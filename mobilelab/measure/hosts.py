"""Where it was measured, and what holds only there."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import torch


def on_this_host(text: str) -> None:
    """Print what holds on this host only, behind the words "on this host: ".

    Lines that begin so are for reading. The notebooks' tests never compare them, because another
    host, or the same one when it is busy, says something else.

    >>> on_this_host("median 1.62 ms")
    on this host: median 1.62 ms
    """
    print("on this host:", text)


@dataclass(frozen=True)
class Host:
    """The machine and the versions behind a figure. No host name, no user name.

    >>> print(Host("a CPU", 2, "Linux x86_64", "3.11.7", "2.12.1", "qnnpack", "2026-01-01"))
    a CPU, 2 cores, Linux x86_64, Python 3.11.7, torch 2.12.1, 2026-01-01
    """

    cpu: str
    cores: int
    system: str
    python: str
    torch: str
    quantized_engine: str
    measured: str
    """UTC date of the measurement, ISO 8601."""

    def __str__(self) -> str:
        return (
            f"{self.cpu}, {self.cores} cores, {self.system}, Python {self.python}, "
            f"torch {self.torch}, {self.measured}"
        )


def host() -> Host:
    """The machine that this process runs on.

    >>> host().torch == torch.__version__
    True
    """
    return Host(
        cpu=_cpu_model(),
        cores=os.cpu_count() or 1,
        system=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
        torch=torch.__version__,
        quantized_engine=torch.backends.quantized.engine,
        measured=datetime.now(timezone.utc).strftime("%Y-%m-%d"),
    )


def _cpu_model() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
