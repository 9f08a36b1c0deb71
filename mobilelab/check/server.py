"""The process that roads are forked from: ``python -m mobilelab.check.server``, which the launcher
starts. With a job behind the modules to import it works on that one and ends.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import select
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from mobilelab.check.launcher import LOOK, kill

#: What works on a job: a module with ``main(job) -> dict``.
WORK = "mobilelab.check.work"


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
    """Fork for each job that a line names; print which process it is, and later how it ended."""
    from mobilelab.runtimes.libraries import quiet

    with quiet():
        for name in [WORK, *preload]:
            with contextlib.suppress(ImportError):
                importlib.import_module(name)
    gc.collect()
    gc.freeze()
    running: set[int] = set()
    for line in _lines(running):
        if line:
            running.add(pid := _forked(line))
            print("started", pid, flush=True)
        while running:
            pid, status, used = os.wait4(-1, os.WNOHANG)
            if pid == 0:
                break
            running.discard(pid)
            cpu = used.ru_utime + used.ru_stime
            print("ended", pid, os.waitstatus_to_exitcode(status), f"{cpu:.3f}", flush=True)
    for pid in running:  # nobody waits for them any more
        kill(pid)


def _lines(running: set[int]) -> Iterator[str]:
    """Lines of the standard input; an empty one after each look at the jobs that run."""
    rest = b""
    while True:
        ready, _, _ = select.select([0], [], [], LOOK if running else None)
        if ready:
            more = os.read(0, 2**16)
            if not more:
                return
            *lines, rest = (rest + more).split(b"\n")
            yield from (line.decode() for line in lines)
        yield ""


def _forked(line: str) -> int:
    """The process that works on the job of a line."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.setsid()
            os.close(0)
            _work(Path(line))
            code = 0
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    return pid


if __name__ == "__main__":
    chosen = [name for name in sys.argv[1].split(",") if name]
    if sys.argv[2:]:
        _work(Path(sys.argv[2]))
    else:
        _serve(chosen)
