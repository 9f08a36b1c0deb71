"""What runs inside bubblewrap: a process with torch imported that forks sealed children.

``sandbox`` starts it; you don't. It holds no secret and no open file but one socket. A request
brings two more: one for the student's code, one for its warden. Every child gets namespaces of
its own (users, mounts, processes, network, shared memory), so that students share nothing but
read-only files, and a warden, process 1 of that namespace, which ends it when it takes too much
memory or too many processes, or when whoever asked has gone.

Usage: ``python -m mobilelab.grading.sandbox_process SOCKET_FD sealed|open [MODULE ...]``, with the
modules that students are going to import.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import platform
import resource
import signal
import socket
import sys
import tempfile
import time
from pathlib import Path

from mobilelab.grading.namespaces import (
    NEWCGROUP,
    NEWIPC,
    NEWNET,
    NEWNS,
    NEWPID,
    NEWUSER,
    NEWUTS,
    WRITABLE,
    libc,
    must,
    seal,
)

PRELOAD = (
    "mobilelab.grading.fast_import",
    "torch",
    "matplotlib.pyplot",
    "matplotlib.backends.backend_agg",
    "matplotlib_inline.backend_inline",
    "IPython.core.interactiveshell",
    "IPython.core.application",
    "IPython.core.completer",
    "IPython.core.completerlib",
    "IPython.core.logger",
    "IPython.core.magics",
    "IPython.core.pylabtools",
    "ipywidgets",
    "papermill",
    "mobilelab.grading.run_notebook",
    "mobilelab.grading.run_model",
    "mobilelab.runtimes.libraries",
)


def _memory(pid: str) -> int:
    """Bytes that a process holds, those included that it shares with the one it came from."""
    lines = Path("/proc", pid, "status").read_text().splitlines()
    return sum(int(k.split()[1]) * 1024 for k in lines if k.startswith(("RssAnon", "RssShmem")))


def _share(pid: str) -> int:
    """The same, shared memory divided by the number of those who share it; slower to find out."""
    for line in Path("/proc", pid, "smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0


def _used(path: str) -> int:
    state = os.statvfs(path)
    return (state.f_blocks - state.f_bfree) * state.f_frsize


def _kill_group(child: int) -> None:
    with contextlib.suppress(OSError):
        os.killpg(child, signal.SIGKILL)


def watch(child: int, line: socket.socket, limits: dict) -> None:
    """Process 1: wait for the child, count, and end everything when there is a reason to.

    When this process ends, the kernel ends all others of the namespace.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
    line.setblocking(False)

    def end(reason: str, **more: int) -> None:
        with contextlib.suppress(OSError):
            line.setblocking(True)
            line.sendall(json.dumps({"reason": reason, **more}).encode() + b"\n")
        os._exit(0)

    start = _memory("self")
    sealed = limits["sealed"]
    while True:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                end("died", code=255)
            if pid == child:
                end("died", code=os.waitstatus_to_exitcode(status))
            if pid == 0:
                break
        try:
            gone = not line.recv(1)
        except BlockingIOError:
            gone = False
        except OSError:
            gone = True
        if gone:  # nobody waits for an answer any more
            if not sealed:
                _kill_group(child)
            os._exit(0)
        if not sealed:
            time.sleep(0.04)
            continue
        others = [name for name in os.listdir("/proc") if name.isdigit() and name != "1"]
        if len(others) > limits["processes"]:
            end("processes")
        used = sum(_used(folder) for folder in WRITABLE)
        for pid in others:
            with contextlib.suppress(OSError, ValueError):
                used += max(0, _memory(pid) - start)
        if used > limits["memory"]:
            # Forked processes count shared memory several times: look closer before judging.
            used = sum(_used(folder) for folder in WRITABLE)
            for pid in others:
                try:
                    used += _share(pid)
                except OSError:
                    with contextlib.suppress(OSError, ValueError):
                        used += max(0, _memory(pid) - start)
            if used > limits["memory"]:
                end("memory")
        time.sleep(0.04)


def become(channel: int, limits: dict) -> None:
    """The student's process: nothing of the grader but one socket. Never returns."""
    code = 1
    try:
        os.setsid()
        nothing = os.open("/dev/null", os.O_RDWR)
        for target in (0, 1, 2):
            os.dup2(nothing, target)
        if channel != 3:
            os.dup2(channel, 3)
        os.set_inheritable(3, False)
        os.closerange(4, 4096)
        must(libc.prctl(4, 1, 0, 0, 0), "dumpable")
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        used = 0
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmData"):
                used = int(line.split()[1]) * 1024
        for name, value in {
            "DATA": used + limits["memory"], "FSIZE": limits["disk"], "NOFILE": 256, "CORE": 0,
            "NPROC": limits["processes"] + 64, "CPU": limits["seconds"] * 2, "MEMLOCK": 2**20,
        }.items():  # fmt: skip
            resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (value, value))
        os.chdir(WRITABLE[0] if limits["sealed"] else tempfile.mkdtemp(prefix="mobilelab-"))
        gc.enable()
        with contextlib.suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text("1000")
        module = importlib.import_module(f"mobilelab.grading.{limits['role']}")
        module.main(socket.socket(fileno=3))
        code = 0
    except SystemExit:
        code = 0
    except BaseException as error:
        # a bug of ours, or a student's code that tore down what it runs in: say what it was
        with contextlib.suppress(BaseException):
            text = f"{type(error).__name__}: {error}"[:500]
            frame = json.dumps({"broken": text, "sizes": []}).encode()
            os.write(3, len(frame).to_bytes(4, "big") + frame)
    finally:
        os._exit(code)


def fork_sealed(channel: int, line: int, limits: dict) -> None:
    """Fork the warden into new namespaces; the warden forks the student's process."""
    if not limits["sealed"]:
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            child = os.fork()
            if child == 0:
                become(channel, limits)
            os.close(channel)
            watch(child, socket.socket(fileno=line), limits)
        return
    flags = NEWUSER | NEWNS | NEWPID | NEWNET | NEWIPC | NEWUTS | NEWCGROUP
    user, group = os.getuid(), os.getgid()
    call = {"x86_64": 56, "aarch64": 220}[platform.machine()]
    pid = must(libc.syscall(call, flags | signal.SIGCHLD, 0, 0, 0, 0), "clone")
    if pid:
        return
    try:
        warden = socket.socket(fileno=line)
        try:
            seal(limits, user, group)
        except OSError as error:
            warden.sendall(json.dumps({"reason": "seal", "text": str(error)}).encode() + b"\n")
            os._exit(1)
        warden.sendall(b'{"reason": "sealed"}\n')
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        child = os.fork()
        if child == 0:
            become(channel, limits)
        os.close(channel)
        for number in range(3, 256):
            if number != line:
                with contextlib.suppress(OSError):
                    os.close(number)
        watch(child, warden, limits)
    finally:
        os._exit(1)


def uncover() -> None:
    """Take off what bubblewrap lays over ``/proc`` where root runs it.

    The kernel gives a child a ``/proc`` of its own only if ours is whole; theirs is read-only.
    """
    for name in ("sys", "sysrq-trigger", "irq", "bus"):
        libc.umount2(f"/proc/{name}".encode(), 2)


def main(descriptor: str, sealed: str, *modules: str) -> None:
    """Import, then fork on request until the other end of the socket is closed."""
    asked = socket.socket(fileno=int(descriptor))
    if sealed == "sealed":
        uncover()
    gc.disable()
    for name in PRELOAD:
        importlib.import_module(name)
    # an exercise may import a library that defines operators anew
    sys.modules["mobilelab.runtimes.libraries"].keep_operators()
    for name in modules:
        with contextlib.suppress(Exception):  # whoever needs it will see why
            importlib.import_module(name)
    sys.modules["mobilelab.grading.run_notebook"].warm()
    gc.freeze()  # what is imported stays: no child needs to look through it for garbage
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps the wardens
    asked.sendall(b"ready\n")
    while True:
        data, descriptors, _, _ = socket.recv_fds(asked, 4096, 2)
        if not data:
            return
        try:
            if len(descriptors) == 2:
                first, second = descriptors
                fork_sealed(first, second, json.loads(data))
        finally:
            for each in descriptors:
                os.close(each)


if __name__ == "__main__":
    main(*sys.argv[1:])
