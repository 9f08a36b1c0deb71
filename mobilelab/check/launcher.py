"""Processes with a deadline and a memory limit: what crashes or never ends costs itself only.

On Linux one process imports what all roads need and forks for each job, which saves the seconds of
those imports (:mod:`mobilelab.check.server`). Elsewhere each job is a fresh Python.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from mobilelab.core.errors import MeasureError

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
    """Starts jobs. Several threads may each :meth:`run` one.

    Args:
        folder: where jobs, answers and what they print are written.
        preload: modules that are imported once, before any job.
    """

    def __init__(self, folder: Path, preload: Sequence[str] = ()) -> None:
        self.folder = folder
        self.preload = list(preload)
        self._server: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._ended: dict[int, tuple[int, float]] = {}
        self._stopped = False
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

    def at_once(self, memory_mib: float) -> int:
        """How many jobs this machine has room for: two, if cores and memory suffice for both."""
        room = psutil.virtual_memory().available / 2**20
        return 2 if (os.cpu_count() or 1) > 1 and room > 2 * memory_mib else 1

    def stop(self) -> None:
        """End the jobs that run, and each that is started later: who waits for one sees to it."""
        self._stopped = True

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
            if end is None and self._stopped:  # also what was just being started
                watch.end()
            elif end is None:
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
        with self._lock:
            if self._server is None:
                self._server = subprocess.Popen(
                    _command(self.preload), stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
                )
            server = self._server
            assert server.stdin is not None and server.stdout is not None
            out = server.stdout
            server.stdin.write(f"{place}\n".encode())
            pid = None
            while pid is None:
                pid = self._heard(server)
                if pid == 0:
                    raise MeasureError(
                        "The process that roads are forked from ended with exit code "
                        f"{server.wait()}; look at what it printed above, or call mobilelab doctor."
                    )

        def waited(seconds: float) -> tuple[int, float] | None:
            with self._lock:
                if pid not in self._ended:
                    ready, _, _ = select.select([out], [], [], seconds)
                    if ready and self._heard(server) == 0:
                        return 1, 0.0
                return self._ended.pop(pid, None)

        return pid, waited

    def _heard(self, server: subprocess.Popen[bytes]) -> int | None:
        """Read one line of the server: the process that it started; ``None`` if one ended.

        0 if the server itself has ended.
        """
        assert server.stdout is not None
        line = server.stdout.readline()
        what, *values = line.split() or [b""]
        if what == b"started":
            return int(values[0])
        if what == b"ended":
            self._ended[int(values[0])] = int(values[1]), float(values[2])
        return None if line else 0  # what a library printed is nobody's answer


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
        kill(self.pid)


def kill(pid: int) -> None:
    """End a job's whole session: it is its own, so nobody else is in it."""
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)
        return
    with contextlib.suppress(psutil.Error):  # Windows has no sessions
        whole = psutil.Process(pid)
        for process in [*whole.children(recursive=True), whole]:
            process.kill()


def _died_of(code: int) -> str:
    if code < 0:
        with contextlib.suppress(ValueError):
            return f"signal {-code} ({signal.Signals(-code).name})"
    return f"exit code {code}"


def _command(preload: Sequence[str], *job: str) -> list[str]:
    return [sys.executable, "-m", "mobilelab.check.server", ",".join(preload), *job]
