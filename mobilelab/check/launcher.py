"""Processes with a deadline and a memory limit: what crashes or never ends costs itself only.

On Linux one process imports what all roads need and forks for each job, which saves the seconds of
those imports. Elsewhere each job is a fresh Python. ``python -m mobilelab.check.launcher`` is that
process; you don't start it.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import math
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from mobilelab.core.errors import MeasureError

#: What works on a job: a module with ``main(job) -> dict``.
WORK = "mobilelab.check.work"
#: Seconds between two looks at a job.
LOOK = 0.05
_FORKS = sys.platform == "linux"


@dataclass(frozen=True)
class Outcome:
    """How a job ended."""

    status: str
    """``done``, ``crashed``, ``too long`` or ``too much memory``."""
    answer: dict[str, Any]
    seconds: float
    cpu_seconds: float
    """What the processor worked for it, whatever else it did meanwhile; NaN where unknown."""
    peak_mib: float
    """Largest resident memory that was seen, of the job and what it started, in MiB."""
    detail: str = ""


class Launcher:
    """Starts jobs, one at a time.

    Args:
        folder: where jobs, answers and what they print are written.
        preload: modules that are imported once, before any job.
    """

    def __init__(self, folder: Path, preload: Sequence[str] = ()) -> None:
        self.folder = folder
        self.preload = list(preload)
        self._server: subprocess.Popen[bytes] | None = None
        (folder / "jobs").mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> Launcher:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process that jobs are forked from."""
        if self._server is not None:
            assert self._server.stdin is not None and self._server.stdout is not None
            with contextlib.suppress(OSError):
                self._server.stdin.close()
            self._server.wait()
            self._server.stdout.close()
            self._server = None

    def run(self, name: str, job: dict[str, Any], deadline: float, memory_mib: float) -> Outcome:
        """Run one job to its end, or to the end of its time or memory.

        Args:
            name: name of its files.
            job: what ``work.main`` is called with.
            deadline: seconds.
            memory_mib: resident memory of the job and of what it starts, in MiB.
        """
        place = self.folder / "jobs" / f"{name}.json"
        answer = place.with_suffix(".answer")
        answer.unlink(missing_ok=True)
        place.write_text(json.dumps(job))
        pid, ended = self._start(place)
        started = time.monotonic()  # what is imported once for all roads is nobody's time
        watch = _Watch(pid, started + deadline, memory_mib)
        end = None
        while end is None:
            end = ended(LOOK)
            if end is None:
                watch.look()
        code, cpu = end
        watch.end()
        seconds = time.monotonic() - started
        if watch.why:
            return Outcome(watch.why, {}, seconds, cpu, watch.peak)
        if answer.exists():
            return Outcome("done", json.loads(answer.read_text()), seconds, cpu, watch.peak)
        return Outcome("crashed", {}, seconds, cpu, watch.peak, _died_of(code))

    def _start(self, place: Path) -> tuple[int, Any]:
        """The process that works on a job, and a way to wait a little for its exit code."""
        if not _FORKS:
            process = subprocess.Popen(_command([], str(place)), start_new_session=True)

            def poll(seconds: float) -> tuple[int, float] | None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    return process.wait(seconds), math.nan
                return None

            return process.pid, poll
        if self._server is None:
            self._server = subprocess.Popen(
                _command(self.preload), stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
        server = self._server
        assert server.stdin is not None and server.stdout is not None
        out = server.stdout
        server.stdin.write(f"{place}\n".encode())
        server.stdin.flush()
        line = out.readline()
        if not line:
            raise MeasureError(
                f"The process that roads are forked from ended with exit code {server.wait()}; "
                "look at what it printed above, or call mobilelab doctor."
            )
        pid = int(line)

        def waited(seconds: float) -> tuple[int, float] | None:
            ready, _, _ = select.select([out], [], [], seconds)
            if not ready:
                return None
            code, cpu = (out.readline() or b"1 0").split()
            return int(code), float(cpu)

        return pid, waited


class _Watch:
    """Looks at a process and what it started, and ends it where it goes too far."""

    def __init__(self, pid: int, until: float, memory_mib: float) -> None:
        self.pid, self.until, self.limit = pid, until, memory_mib
        self.peak, self.why = 0.0, ""

    def look(self) -> None:
        if self.why:
            return
        used = 0
        with contextlib.suppress(psutil.Error):
            whole = psutil.Process(self.pid)
            for process in [whole, *whole.children(recursive=True)]:
                with contextlib.suppress(psutil.Error):
                    used += process.memory_info().rss
        self.peak = max(self.peak, used / 2**20)
        if self.peak > self.limit:
            self.why = "too much memory"
        elif time.monotonic() > self.until:
            self.why = "too long"
        if self.why:
            self.end()

    def end(self) -> None:
        """End the job's whole session: it is its own, so nobody else is in it."""
        if hasattr(os, "killpg"):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
            return
        with contextlib.suppress(psutil.Error):  # Windows has no sessions
            whole = psutil.Process(self.pid)
            for process in [*whole.children(recursive=True), whole]:
                process.kill()


def _died_of(code: int) -> str:
    if code < 0:
        with contextlib.suppress(ValueError):
            return f"signal {-code} ({signal.Signals(-code).name})"
    return f"exit code {code}"


def _command(preload: Sequence[str], *job: str) -> list[str]:
    return [sys.executable, "-m", "mobilelab.check.launcher", ",".join(preload), *job]


# --- inside of the process ----------------------------------------------------------------


def _work(place: Path) -> None:
    """Do one job, and write its answer beside it; what it prints goes into a log."""
    log = os.open(place.with_suffix(".log"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(log, 1)
    os.dup2(log, 2)
    found = importlib.import_module(WORK).main(json.loads(place.read_text()))
    new = place.with_suffix(".new")
    new.write_text(json.dumps(found))
    os.replace(new, place.with_suffix(".answer"))


def _serve(preload: Sequence[str]) -> None:
    """Fork for each job that a line names; print its process id, and later how it ended."""
    from mobilelab.runtimes.libraries import quiet

    with quiet():
        for name in [WORK, *preload]:
            with contextlib.suppress(ImportError):
                importlib.import_module(name)
    gc.collect()
    gc.freeze()
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                os.setsid()
                sys.stdin.close()
                _work(Path(line.rstrip("\n")))
                code = 0
            except BaseException:
                import traceback

                traceback.print_exc()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
        print(pid, flush=True)
        _, status, used = os.wait4(pid, 0)
        cpu = used.ru_utime + used.ru_stime
        print(os.waitstatus_to_exitcode(status), f"{cpu:.3f}", flush=True)


if __name__ == "__main__":
    chosen = [name for name in sys.argv[1].split(",") if name]
    if sys.argv[2:]:
        _work(Path(sys.argv[2]))
    else:
        _serve(chosen)
