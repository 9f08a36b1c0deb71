"""Start the zygote, and ask it for kernels.

One zygote serves its owner and all processes that the owner starts: the place of its socket is
passed on in the environment variable ``MOBILELAB_ZYGOTE``.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from mobilelab.core.errors import WarmKernelError
from mobilelab.jupyter.kernels.forked import ForkedKernel

#: Environment variable: the socket of a zygote that may be used.
PLACE = "MOBILELAB_ZYGOTE"
#: Seconds to wait for the imports of a new zygote.
PATIENCE = 120.0

_lock = threading.Lock()
_own: Zygote | None = None


class Zygote:
    """A zygote that this process owns: it dies when this process does, however that happens.

    Raises:
        WarmKernelError: if its socket cannot be made or it cannot be started.
    """

    def __init__(self) -> None:
        self.owner = os.getpid()
        try:
            self.folder = tempfile.mkdtemp(prefix="mobilelab-")
            self.path = os.path.join(self.folder, "zygote")
            listening = socket.socket(socket.AF_UNIX)
            listening.bind(self.path)
            listening.listen(128)
            alive, self._held = os.pipe()
        except OSError as error:
            raise WarmKernelError(f"no place for its socket ({error.strerror})") from error
        environment = {k: v for k, v in os.environ.items() if k != "JPY_PARENT_PID"}
        command = [sys.executable, "-m", "mobilelab.jupyter.kernels.zygote"]
        try:
            self.process = subprocess.Popen(
                [*command, str(listening.fileno()), str(alive), self.path],
                pass_fds=(listening.fileno(), alive),
                stdin=subprocess.DEVNULL,
                env=environment,
                cwd="/",
                start_new_session=True,
            )
        except OSError as error:
            raise WarmKernelError(f"the zygote could not be started ({error.strerror})") from error
        finally:
            listening.close()
            os.close(alive)
        os.environ[PLACE] = self.path

    @property
    def running(self) -> bool:
        """Whether the process is there and the socket can be found."""
        return self.process.poll() is None and os.path.exists(self.path)

    def stop(self) -> None:
        """End the zygote and remove its socket. Kernels that it started stay."""
        if os.environ.get(PLACE) == self.path:
            del os.environ[PLACE]
        with contextlib.suppress(OSError):
            os.close(self._held)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(2)
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        with contextlib.suppress(OSError):
            os.unlink(self.path)
        with contextlib.suppress(OSError):
            os.rmdir(self.folder)


def ensure() -> str:
    """The socket of a running zygote: an inherited one, this process's own, or a new one.

    Raises:
        WarmKernelError: if there is none and none can be started.
    """
    global _own
    with _lock:
        if _own is not None and (_own.owner != os.getpid() or not _own.running):
            if _own.owner == os.getpid():
                _own.stop()
            _own = None
        if _own is not None:
            return _own.path
        inherited = os.environ.get(PLACE)
        if inherited and _answers(inherited):
            return inherited
        _own = Zygote()
        return _own.path


def stop() -> None:
    """End this process's own zygote, if it has one."""
    global _own
    with _lock:
        if _own is not None and _own.owner == os.getpid():
            _own.stop()
        _own = None


def _answers(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(5)
        try:
            probe.connect(path)
        except OSError:
            return False
        return True


def cannot_fork_here() -> str | None:
    """Why no kernel can be forked on this system, in words; ``None`` if it can."""
    return None if sys.platform == "linux" else "forking is safe on Linux only"


def cannot_be_forked(command: Sequence[str]) -> str | None:
    """Why a kernel must be started cold, in words; ``None`` if the zygote may be asked."""
    if reason := cannot_fork_here():
        return reason
    if os.path.abspath(command[0]) != os.path.abspath(sys.executable):
        return f"it runs another Python, {command[0]}"
    if list(command[1:3]) != ["-m", "ipykernel_launcher"]:
        return "its command is not the usual one of ipykernel"
    return None


def fork_kernel(
    command: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    cwd: str | Path | None = None,
    stdin: int | IO[Any] | None = None,
    stdout: int | IO[Any] | None = None,
    stderr: int | IO[Any] | None = None,
    sockets: str | None = None,
) -> ForkedKernel:
    """Ask the zygote for a kernel.

    Args:
        command: the kernelspec's command, ``[python, "-m", "ipykernel_launcher", ...]``.
        env: the kernel's environment, this process's by default.
        cwd: its folder, this process's by default.
        stdin: as for ``subprocess.Popen``, without ``PIPE``; nothing by default.
        stdout: the same; this process's by default.
        stderr: the same.
        sockets: a folder that the kernel removes if this process dies before it.

    Raises:
        WarmKernelError: if it cannot be forked; the message completes "because ...".
    """
    env = dict(os.environ if env is None else env)
    reason = cannot_be_forked(command)
    if reason:
        raise WarmKernelError(reason)
    path = ensure()
    message = json.dumps(
        {
            "arguments": list(command[3:]),
            "env": env,
            "cwd": str(cwd or os.getcwd()),
            "sockets": sockets,
        }
    ).encode()
    with contextlib.ExitStack() as stack:
        streams = [_descriptor(s, n, stack) for n, s in enumerate((stdin, stdout, stderr))]
        alive, held = os.pipe()
        stack.callback(os.close, alive)
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.settimeout(PATIENCE)
            connection.connect(path)
            pid = _ask(connection, message, [*streams, alive])
            return ForkedKernel(pid, connection, held)
        except (OSError, ValueError, WarmKernelError) as error:
            connection.close()
            os.close(held)
            if isinstance(error, WarmKernelError):
                raise
            raise WarmKernelError(f"the zygote cannot be reached ({error})") from error


def _ask(connection: socket.socket, message: bytes, descriptors: Sequence[int]) -> int:
    """The number of the process that the zygote forks for a message.

    Raises:
        WarmKernelError: if it refuses, or ends before it answers.
    """
    socket.send_fds(connection, [f"{len(message)}\n".encode()], descriptors)
    connection.sendall(message)
    answer = b""
    while not answer.endswith(b"\n"):
        part = connection.recv(1)
        if not part:
            raise WarmKernelError("the zygote ended before it answered")
        answer += part
    said = json.loads(answer)
    if "refused" in said:
        raise WarmKernelError(said["refused"])
    return said["pid"]


def _descriptor(stream: int | IO[Any] | None, number: int, stack: contextlib.ExitStack) -> int:
    if stream == subprocess.PIPE:
        raise WarmKernelError("its standard streams are wanted as pipes")
    if number == 2 and stream == subprocess.STDOUT:
        return 1
    if (stream is None and number == 0) or stream == subprocess.DEVNULL:
        descriptor = os.open(os.devnull, os.O_RDWR)
        stack.callback(os.close, descriptor)
        return descriptor
    if stream is None:
        return number
    return stream if isinstance(stream, int) else stream.fileno()
