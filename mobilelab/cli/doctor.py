"""Is this machine ready for the course? Every finding is one sentence, with its fix.

The checks take the facts as arguments, so that each can be shown to fail; :func:`examine`
gathers the facts of this machine. Nothing here needs torch to import.
"""

from __future__ import annotations

import importlib
import re
import shutil
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from types import ModuleType

TORCH, TORCHVISION = "2.12.1", "0.27.1"
ENGINES = ("qnnpack",)
DISK_GB, MEMORY_GB = 1.0, 2.0


@dataclass(frozen=True)
class Finding:
    """The outcome of one check."""

    name: str
    ok: bool
    detail: str
    """What was found."""
    fix: str = ""
    """What to do about it, where it is not ok."""
    group: str = "needed"
    """``needed`` by the course, or ``optional``: its lack is worth a word and no failure."""

    @property
    def verdict(self) -> str:
        """``ok``, ``MISSING (for whom; fix: ...)`` for what is optional, or the fix."""
        if self.ok:
            return "ok"
        return f"MISSING ({self.detail})" if self.group == "optional" else self.fix


def ill(findings: Iterable[Finding]) -> list[Finding]:
    """What keeps the course from running: needed, and not ok."""
    return [finding for finding in findings if finding.group == "needed" and not finding.ok]


def python(found: Sequence[int]) -> Finding:
    """Python 3.10 to 3.13. TorchScript does not support 3.14; 3.11 is what the pins are for."""
    text = ".".join(map(str, found[:3]))
    ok = (3, 10) <= tuple(found[:2]) <= (3, 13)
    why = "TorchScript does not support 3.14 or newer" if tuple(found[:2]) > (3, 13) else "too old"
    fix = (
        f"MobileLab needs Python 3.10 to 3.13 and this is {text} ({why}); install 3.11, delete "
        ".venv and run make lab."
    )
    return Finding("Python", ok, text, "" if ok else fix)


def torch_version(found: str) -> Finding:
    """The pinned release: the last whose wheels carry XNNPACK (pytorch#185297)."""
    release = found.split("+")[0]
    ok = release == TORCH
    numbers = [int(part) for part in release.split(".")[:2] if part.isdigit()]
    why = (
        "from 2.13 on, its wheels lack XNNPACK and optimize_for_mobile cannot run"
        if numbers >= [2, 13]
        else "the course is measured with another one"
    )
    fix = (
        f"torch {found} will not do: {why}; pip install torch=={TORCH} torchvision=={TORCHVISION}."
    )
    return Finding("torch", ok, found, "" if ok else fix)


def torchvision_version(found: str) -> Finding:
    """The release that belongs to the pinned torch."""
    ok = found.split("+")[0] == TORCHVISION
    fix = f"torchvision {found} does not match torch; pip install torchvision=={TORCHVISION}."
    return Finding("torchvision", ok, found, "" if ok else fix)


def xnnpack(enabled: bool) -> Finding:
    """The float kernels of the mobile runtime."""
    fix = f"This torch was built without XNNPACK; pip install torch=={TORCH}."
    return Finding("XNNPACK", enabled, "built in" if enabled else "missing", "" if enabled else fix)


def engines(found: Iterable[str]) -> Finding:
    """The int8 kernels that chapter 03 on uses."""
    found = sorted(set(found) - {"none"})
    missing = [engine for engine in ENGINES if engine not in found]
    fix = (
        f"The quantized engine {', '.join(missing)} is missing from this torch, so chapters 03 to "
        f"05 cannot run int8; pip install torch=={TORCH}."
    )
    return Finding("quantized engines", not missing, ", ".join(found), fix if missing else "")


def package(name: str, why: str) -> Finding:
    """A package that must be installed, for example ``jupyterlab``."""
    try:
        return Finding(name, True, version(name))
    except PackageNotFoundError:
        return Finding(name, False, "missing", f"{name} is not installed, {why}; run make lab.")


def data_files() -> Finding:
    """Checksums of everything in ``data/``."""
    from mobilelab import datasets
    from mobilelab.core.errors import DataError

    try:
        names = sorted(datasets.checksums())
        for name in names:
            datasets.verified(name)
    except (DataError, OSError, ValueError) as error:
        return Finding("bundled data", False, "damaged", str(error))
    return Finding("bundled data", True, f"{len(names)} files, checksums match")


def disk(free_bytes: int) -> Finding:
    """Room for the files that the chapters write."""
    free = free_bytes / 1e9
    ok = free >= DISK_GB
    fix = f"Only {free:.1f} GB of disk are free; make room for at least {DISK_GB:.0f} GB."
    return Finding("free disk", ok, f"{free:.1f} GB", "" if ok else fix)


def memory(available_bytes: int) -> Finding:
    """Memory for a notebook and for the processes that measure."""
    free = available_bytes / 1e9
    ok = free >= MEMORY_GB
    fix = (
        f"Only {free:.1f} GB of memory are available; close other programs or kernels until "
        f"{MEMORY_GB:.0f} GB are."
    )
    return Finding("available memory", ok, f"{free:.1f} GB", "" if ok else fix)


def _optional(name: str, found: str | None, whom: str, fix: str) -> Finding:
    """A finding for something that the course can do without."""
    detail = found or f"for {whom} only; fix: {fix}"
    return Finding(name, found is not None, detail, "" if found else fix, "optional")


def grading_sandbox(reason: str | None) -> Finding:
    """bubblewrap, which only grading needs; ``reason`` says why it is not there, if it is not."""
    fix = f"grade on Linux with bubblewrap ({reason})"
    return _optional("sandbox", None if reason else "bubblewrap", "graders", fix)


def extra_runtime(extra: str, *packages: str) -> Finding:
    """A runtime that only chapters 08 to 10 need: all packages of the extra have to be there."""
    try:
        found = ", ".join(version(package) for package in packages)
    except PackageNotFoundError:
        found = None
    fix = f"make runtimes, or pip install -c constraints.txt -e '.[{extra}]'"
    return _optional(extra, found, "chapters 08 to 10", fix)


def _extras() -> dict[str, list[str]]:
    """Packages of each extra of this package but the developers', as its metadata name them."""
    found: dict[str, list[str]] = {}
    for line in requires("mobilelab") or ():
        named = re.fullmatch(r"""([\w.-]+).*extra == ["']([\w-]+)["'].*""", line)
        if named and named[2] != "dev":
            found.setdefault(named[2], []).append(named[1])
    return found


def npu_tools() -> Finding:
    """What only chapter 12 needs. They are installed without a resolver, as the Makefile says."""
    packages = ("executorch", "ethos-u-vela", "tosa-tools")
    try:
        found = ", ".join(f"{package} {version(package)}" for package in packages)
    except PackageNotFoundError:
        found = None
    fix = "make npu, or after make runtimes pip install --no-deps -r npu.txt"
    return _optional("npu", found, "chapter 12", fix)


def _imported(name: str) -> ModuleType | Finding:
    """The module, or the finding that says why it does not import."""
    try:
        return importlib.import_module(name)
    except Exception as error:  # a broken wheel raises OSError, RuntimeError, ImportError
        first = (str(error).splitlines() or [type(error).__name__])[0]
        return Finding(
            name,
            False,
            "does not import",
            f"{name} does not import ({first}); delete .venv and run make lab.",
        )


def examine() -> list[Finding]:
    """All checks on this machine, in the order in which they are worth mending."""
    from mobilelab.grading.bubblewrap import missing

    findings = [python(sys.version_info[:3])]
    torch = _imported("torch")
    if isinstance(torch, Finding):
        findings.append(torch)
    else:
        findings += [
            torch_version(torch.__version__),
            xnnpack(torch._C._is_xnnpack_enabled()),
            engines(torch.backends.quantized.supported_engines),
        ]
        vision = _imported("torchvision")
        findings.append(
            vision if isinstance(vision, Finding) else torchvision_version(vision.__version__)
        )
    findings.append(package("jupyterlab", "so there is nothing to open the notebooks with"))
    findings.append(package("anywidget", "so explorers would not show"))
    findings.append(package("ipywidgets", "so quizzes would not show"))
    if not isinstance(torch, Finding):
        findings.append(data_files())
    findings.append(disk(shutil.disk_usage(".").free))
    psutil = _imported("psutil")
    findings.append(
        psutil if isinstance(psutil, Finding) else memory(psutil.virtual_memory().available)
    )
    findings.append(grading_sandbox(missing()))
    findings += [extra_runtime(extra, *packages) for extra, packages in _extras().items()]
    findings.append(npu_tools())
    return findings
