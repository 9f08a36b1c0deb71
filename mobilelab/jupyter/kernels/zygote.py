"""The process that kernels are forked from. ``client`` starts it; you don't.

It imports and never computes: no thread of torch, OpenMP or BLAS runs in it, it opens no file and
holds no random state that a kernel would go on using. Its only job is to wait at a socket. A
request comes with three standard streams and the read end of a pipe that its owner holds open; the
answer is the pid of a new kernel, and later its exit status.

Usage: ``python -m mobilelab.jupyter.kernels.zygote LISTENING_FD OWNER_FD SOCKET_PATH``
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import importlib.util
import json
import linecache
import os
import random
import selectors
import shutil
import signal
import socket
import sys
import threading
import traceback
import types
from collections.abc import Mapping
from pathlib import Path

#: What kernels find imported. Only modules that neither compute nor remember anything at import;
#: ``mobilelab.measure`` is not among them: ``mobilelab.core.threads`` sizes a pool of threads.
PRELOAD = (
    "torch",
    "torchvision",
    "matplotlib.pyplot",
    "matplotlib.backends.backend_agg",
    "torch.ao.quantization",
    "torch.jit.mobile",
    "torch.utils.flop_counter",
    "torch.utils.mobile_optimizer",
    "IPython.terminal.interactiveshell",
    "IPython.core.completer",
    "ipykernel.kernelapp",
    "ipykernel.ipkernel",
    "ipykernel.zmqshell",
    "ipykernel.debugger",
    "IPython.core.completerlib",
    "IPython.core.debugger",
    "IPython.core.oinspect",
    "IPython.core.pylabtools",
    "IPython.extensions.storemagic",
    "psutil",
    "tornado.platform.asyncio",
    "ipywidgets",
    "sqlite3",
    "jedi",
)
#: The most that a request may weigh in bytes.
LARGEST = 4 * 2**20
#: Variables that libraries read when they are loaded: a kernel that needs others is not forked.
READ_AT_LOAD = ("OMP_", "GOMP_", "KMP_", "MKL_", "OPENBLAS_", "LD_", "MALLOC_", "PYTHON", "TORCH_")
READ_AT_LOAD_NAMES = ("HOME", "MATPLOTLIBRC", "MPLCONFIGDIR")

#: For ipykernel: "you have a parent", and no poller for it (it would poll the zygote).
_OWNED = 1


#: The environment that libraries were loaded in, and what importing them has added to it.
_loaded_in = dict(os.environ)
_set_by_imports: dict[str, str] = {}


def preload() -> None:
    """Import everything, without a kernel's side effects."""
    gc.disable()
    os.environ["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"  # or the debugger prints a note here
    for name in PRELOAD:
        with contextlib.suppress(ImportError):  # a kernel that misses it says so itself
            importlib.import_module(name)
    del os.environ["PYDEVD_DISABLE_FILE_VALIDATION"]
    _set_by_imports.update({k: v for k, v in os.environ.items() if k not in _loaded_in})
    # What was imported stays for life: no collection touches it, so its memory stays shared.
    gc.collect()
    gc.freeze()


def serve(listening: socket.socket, owner: int, path: str) -> None:
    """Fork kernels on request until the owner is gone."""
    children: dict[int, socket.socket] = {}
    waker, wake = socket.socketpair()
    for end in (waker, wake):
        end.setblocking(False)
    signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    watch = selectors.DefaultSelector()
    watch.register(listening, selectors.EVENT_READ)
    watch.register(owner, selectors.EVENT_READ)
    watch.register(waker, selectors.EVENT_READ)
    while True:
        for key, _ in watch.select():
            if key.fileobj is listening:
                connection, _ = listening.accept()
                request = receive(connection)
                if request is None:
                    connection.close()
                    continue
                message, streams = request
                reason = cannot_be_forked(message["env"])
                if reason is None:
                    pid = os.fork()
                    if pid == 0:
                        watch.close()
                        for ours in (listening, waker, wake, connection, *children.values()):
                            ours.detach()
                        run_kernel(message, streams)  # never returns
                    children[pid] = connection
                    _tell(connection, {"pid": pid})
                else:
                    _tell(connection, {"refused": reason})
                    connection.close()
                for stream in streams:
                    os.close(stream)
            elif key.fileobj is waker:
                with contextlib.suppress(BlockingIOError):
                    waker.recv(4096)
                _reap(children)
            else:  # the owner's end of the pipe is closed: it has gone, however it went
                _remove(path)
                return


def _reap(children: dict[int, socket.socket]) -> None:
    while children:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        connection = children.pop(pid, None)
        if connection is not None:
            _tell(connection, {"exit": os.waitstatus_to_exitcode(status)})
            connection.close()


def _tell(connection: socket.socket, message: dict) -> None:
    with contextlib.suppress(OSError):  # whoever asked has gone
        connection.sendall(json.dumps(message).encode() + b"\n")


def _remove(path: str) -> None:
    with contextlib.suppress(OSError):
        Path(path).unlink()
    with contextlib.suppress(OSError):
        Path(path).parent.rmdir()


def receive(connection: socket.socket) -> tuple[dict, list[int]] | None:
    """A request and its four file descriptors; ``None`` if it is not one."""
    connection.settimeout(5)
    streams: list[int] = []
    try:
        data, streams, _, _ = socket.recv_fds(connection, 65536, 4)
        size, _, content = data.partition(b"\n")
        while len(content) < int(size) <= LARGEST:
            part = connection.recv(65536)
            if not part:
                break
            content += part
        message = json.loads(content)
        if len(streams) == 4 and {"arguments", "env", "cwd"} <= set(message):
            connection.settimeout(None)
            return message, streams
    except (OSError, ValueError, TypeError):
        pass
    for stream in streams:
        os.close(stream)
    return None


def cannot_be_forked(env: dict[str, str]) -> str | None:
    """Which variable a forked kernel could not obey any more; ``None`` if there is none."""

    def read_at_load(variables: Mapping[str, str]) -> dict[str, str]:
        return {
            name: value
            for name, value in variables.items()
            if name.startswith(READ_AT_LOAD) or name in READ_AT_LOAD_NAMES
        }

    here, there = read_at_load(_loaded_in), read_at_load(env)
    for name in sorted(set(here) | set(there)):
        if here.get(name) != there.get(name):
            return f"{name} differs, which libraries read when they are loaded"
    return None


def run_kernel(message: dict, streams: list[int]) -> None:
    """Become the kernel: what a freshly started interpreter would find, and nothing else."""
    status = 1
    try:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.setsid()
        *standard, alive = streams
        for target, source in enumerate(standard):
            os.dup2(source, target)
        kept = os.dup2(alive, 3, inheritable=False)
        os.closerange(4, _most_files())
        os.environ.clear()
        os.environ.update({**_set_by_imports, **message["env"]})
        os.chdir(message["cwd"])
        launcher = importlib.util.find_spec("ipykernel_launcher")
        assert launcher is not None and launcher.origin is not None
        sys.argv[:] = [launcher.origin, *message["arguments"]]
        sys.modules["__main__"] = types.ModuleType("__main__")
        _fresh_state()
        gc.enable()
        _die_with_owner(kept, message.get("sockets"))
        importlib.import_module("ipykernel.kernelapp").launch_new_instance(parent_handle=_OWNED)
        status = 0
    except SystemExit as end:
        code = end.code
        status = code if isinstance(code, int) else 0 if code is None else 1
    except BaseException:
        traceback.print_exc()
    finally:
        _leave(status)


def _most_files() -> int:
    try:
        return max(int(name) for name in os.listdir("/proc/self/fd")) + 1
    except (OSError, ValueError):
        return 4096


def _fresh_state() -> None:
    """Undo what imports have read or drawn before the fork."""
    import matplotlib
    import numpy as np
    import torch

    random.seed()
    np.random.seed()
    torch.seed()
    linecache.clearcache()
    # A cold kernel sets this variable before anybody imports matplotlib, which reads it then.
    backend = os.environ.get("MPLBACKEND") or "module://matplotlib_inline.backend_inline"
    matplotlib.rcParams["backend"] = backend
    if os.path.exists("matplotlibrc"):
        matplotlib.rcParams.update(matplotlib.rc_params_from_file("matplotlibrc"))


def _die_with_owner(alive: int, sockets: str | None) -> None:
    """End this process when the other end of the pipe is closed, as ipykernel's poller would.

    The folder of its sockets goes with it: nobody else is left to remove it.
    """

    def wait() -> None:
        with contextlib.suppress(OSError):
            os.read(alive, 1)
        if sockets:
            shutil.rmtree(sockets, ignore_errors=True)
        os._exit(1)

    threading.Thread(target=wait, name="owner", daemon=True).start()


def _leave(status: int) -> None:
    """What an interpreter does at its end, without returning into the zygote's code."""
    with contextlib.suppress(BaseException):
        threading._shutdown()  # pyright: ignore[reportAttributeAccessIssue] private, so no stub
    with contextlib.suppress(BaseException):
        atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(BaseException):
            stream.flush()
    os._exit(status)


def main(listening_fd: str, owner_fd: str, path: str) -> None:
    """Import, then serve."""
    listening = socket.socket(fileno=int(listening_fd))
    if sys.path[0] in ("", os.getcwd()):  # as ipykernel_launcher does
        del sys.path[0]
    preload()
    serve(listening, int(owner_fd), path)


if __name__ == "__main__":
    main(*sys.argv[1:])
