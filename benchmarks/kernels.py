"""Cold kernels against warm ones, side by side in one run.

    python benchmarks/kernels.py              time, memory, parallel starts, leaks
    python benchmarks/kernels.py --suite      the notebooks as tests, with and without

Prints tables with ratios. Nothing else should run meanwhile.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
import warnings
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from statistics import median

import psutil
from jupyter_client.manager import KernelManager
from jupyter_client.provisioning import LocalProvisioner
from jupyter_core.utils import ensure_event_loop
from rich.console import Console
from rich.progress import track
from rich.table import Table

from mobilelab import measure
from mobilelab.jupyter.kernels import client
from mobilelab.jupyter.kernels.provisioner import WarmProvisioner

ROOT = Path(__file__).resolve().parent.parent
WORK = """
import torch, torchvision, matplotlib.pyplot
x = torch.rand(64, 64) @ torch.rand(64, 64)
"""
GIB = 2**30
#: Open files of this process for one running kernel and its client: 32 were counted.
FILES = 40
console = Console(width=100)


class Kernel:
    """A started kernel that has done its first work, and how long that took."""

    def __init__(self, provisioner, code=WORK, patient=False):
        begin = time.perf_counter()
        self.manager = KernelManager(kernel_name="python3")
        self.manager.provisioner = provisioner(
            kernel_id="b", kernel_spec=self.manager.kernel_spec, parent=self.manager
        )
        self.manager.start_kernel(stderr=subprocess.DEVNULL)
        self.client = self.manager.client()
        try:
            self.client.start_channels()
            if patient:  # as nbclient, nbval and papermill do; 0.2 s of it are a fixed wait
                self.client.wait_for_ready(timeout=120)
            reply = self.client.execute(code, reply=True, timeout=120)
            assert reply["content"]["status"] == "ok"
        except BaseException:  # nobody else can close what was opened so far
            self.close()
            raise
        self.seconds = time.perf_counter() - begin
        self.forked = isinstance(self.manager.provisioner.process, client.ForkedKernel)

    def private(self):
        return psutil.Process(self.manager.provisioner.pid).memory_full_info().uss

    def close(self):
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=False)


def zygote():
    path = client.ensure()
    return next(p for p in psutil.process_iter(["cmdline"]) if path in (p.info["cmdline"] or []))


def start_and_memory(rounds):
    begin = time.perf_counter()
    Kernel(WarmProvisioner).close()
    first = time.perf_counter() - begin
    kinds = {"cold": LocalProvisioner, "warm": WarmProvisioner}
    taken, patient, private = ({"cold": [], "warm": []} for _ in range(3))
    for _ in track(range(rounds), "cold, warm, cold, warm ...", console=console, transient=True):
        for name, provisioner in kinds.items():
            kernel = Kernel(provisioner)
            assert kernel.forked == (name == "warm")
            taken[name].append(kernel.seconds)
            private[name].append(kernel.private())
            kernel.close()
        for name, provisioner in kinds.items():
            kernel = Kernel(provisioner, patient=True)
            patient[name].append(kernel.seconds)
            kernel.close()
    table = Table(title=f"One kernel, {rounds} of each in turn")
    for heading in ("", "cold", "warm", "ratio", "goal"):
        table.add_column(heading, justify="left" if not heading else "right")
    for text, seconds, goal in (
        ("start request to torch imported and a matmul done, median", taken, "at least 10x"),
        ("the same through wait_for_ready, which adds 0.2 s to both", patient, ""),
    ):
        ratios = [c / w for c, w in zip(seconds["cold"], seconds["warm"], strict=True)]
        table.add_row(
            text, f"{median(seconds['cold']):.2f} s", f"{median(seconds['warm']):.2f} s",
            f"{median(ratios):.1f}x ({min(ratios):.1f} to {max(ratios):.1f})", goal,
        )  # fmt: skip
    cold, warm = median(private["cold"]), median(private["warm"])
    table.add_row(
        "private memory (USS)", f"{cold / 2**20:.0f} MiB", f"{warm / 2**20:.0f} MiB",
        f"{warm / cold:.2f}", "at most 0.25",
    )  # fmt: skip
    shared = zygote().memory_info().rss
    fit = 16 * GIB / cold, (16 * GIB - shared) / warm
    table.add_row(
        "kernels in 16 GiB (warm: less the zygote)", f"{fit[0]:.0f}", f"{fit[1]:.0f}",
        f"{fit[1] / fit[0]:.1f}x", "",
    )  # fmt: skip
    console.print(table)
    console.print(
        f"The first warm kernel, imports of the zygote included: {first:.2f} s. "
        f"The zygote: {shared / 2**20:.0f} MiB resident, {zygote().num_threads()} thread."
    )


def parallel(count):
    kernels, failures, lock = [], [], threading.Lock()

    def one():
        try:
            kernel = Kernel(WarmProvisioner)
            with lock:
                kernels.append(kernel)
        except Exception as error:  # what the benchmark is looking for
            with lock:
                failures.append(repr(error))
        finally:  # jupyter_client made one for this thread, and leaves it to the collector
            ensure_event_loop().close()

    begin = time.perf_counter()
    threads = [threading.Thread(target=one) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - begin
    forked = sum(kernel.forked for kernel in kernels)
    for kernel in kernels:
        kernel.close()
    console.print(
        f"{count} parallel starts: {len(failures)} failures, {forked} forked, {seconds:.1f} s in "
        f"all, {1000 * seconds / count:.0f} ms each. {' '.join(failures[:3])}"
    )
    return not failures


def make_room(count):
    """Let this process open what ``count`` kernels at once need; libzmq aborts where it cannot."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = FILES * count + 100
    if hard != resource.RLIM_INFINITY and hard < needed:
        sys.exit(
            f"{count} kernels at once need up to {needed} open files and this system allows {hard} "
            f"(ulimit -Hn); start at most {max(0, hard - 100) // FILES} with --parallel."
        )
    if soft != resource.RLIM_INFINITY and soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def state():
    me, parent = psutil.Process(), zygote()
    return {
        "processes": len(me.children(recursive=True)) + len(parent.children(recursive=True)),
        "our file descriptors": me.num_fds(),
        "zygote's file descriptors": parent.num_fds(),
        "socket folders": len(list(Path(tempfile.gettempdir()).glob("mobilelab-k-*"))),
        "our memory, MiB": me.memory_full_info().uss / 2**20,
        "zygote's memory, MiB": parent.memory_full_info().uss / 2**20,
    }


def cycles(count):
    def cycle():
        Kernel(WarmProvisioner, "pass").close()

    for _ in range(10):  # caches fill
        cycle()
    before = state()
    for _ in track(range(count), "start, stop ...", console=console, transient=True):
        cycle()
    after = state()
    table = Table(title=f"{count} start / stop cycles")
    for heading in ("", "before", "after"):
        table.add_column(heading, justify="left" if not heading else "right")
    for name in before:
        table.add_row(name, f"{before[name]:.0f}", f"{after[name]:.0f}")
    console.print(table)


def suite():
    """All notebooks through nbval on two workers, cold and warm in turn."""
    table = Table(title="The notebooks as tests, two workers")
    for heading in ("", "wall", "sum of cell times", "2 x wall / cells"):
        table.add_column(heading, justify="left" if not heading else "right")
    cells = {}
    for name, chosen in (("cold", "local-provisioner"), ("warm", "mobilelab-warm")):
        with tempfile.TemporaryDirectory() as folder:
            report = Path(folder) / "report.xml"
            begin = time.perf_counter()
            done = subprocess.run(
                [sys.executable, "-m", "pytest", "-q", "-n", "2", "--dist", "loadscope",
                 f"--junitxml={report}", "notebooks", "tests/test_front_door.py"],
                cwd=ROOT, capture_output=True, text=True,
                env={**os.environ, "OMP_NUM_THREADS": "1",
                     "JUPYTER_DEFAULT_PROVISIONER_NAME": chosen},
            )  # fmt: skip
            wall = time.perf_counter() - begin
            tests = ElementTree.parse(report).iter("testcase")
            times = [float(test.get("time")) for test in tests]
        cells[name] = sum(times)
        ending = "" if done.returncode == 0 else " (some failed)"
        table.add_row(
            name + ending, f"{wall:.0f} s", f"{sum(times):.0f} s", f"{2 * wall / sum(times):.2f}"
        )
    console.print(table)
    console.print("Goal for warm: 2 x wall at most 1.3 times the sum of the cell times.")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--suite", action="store_true")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--parallel", type=int, default=50)
    parser.add_argument("--cycles", type=int, default=200)
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    console.print(f"Measured on: {measure.host()}")
    if options.suite:
        suite()
        return 0
    make_room(options.parallel)
    start_and_memory(options.rounds)
    fine = parallel(options.parallel)
    cycles(options.cycles)
    client.stop()
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
