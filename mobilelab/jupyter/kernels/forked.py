"""A kernel that a zygote forked, behind the interface of a process."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import socket
import subprocess
import time


class ForkedKernel:
    """A kernel that a zygote forked; behaves as ``subprocess.Popen`` where Jupyter looks."""

    stdin = stdout = stderr = None

    def __init__(self, pid: int, connection: socket.socket, held: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._connection = connection
        self._held = held
        self._said = b""
        try:
            self._pidfd = os.pidfd_open(pid)
        except OSError:  # it is over already
            self._pidfd = -1
        connection.setblocking(False)

    def poll(self) -> int | None:
        """The exit status, negative for a signal; ``None`` while it runs."""
        if self.returncode is None:
            try:
                while part := self._connection.recv(4096):
                    self._said += part
                ended = True
            except BlockingIOError:
                ended = False
            except OSError:
                ended = True
            if b"\n" in self._said:
                self._finish(json.loads(self._said)["exit"])
            elif ended and self._is_dead():
                # The zygote died first, and nobody else can know the status.
                self._finish(-signal.SIGKILL)
        return self.returncode

    def _is_dead(self) -> bool:
        if self._pidfd < 0:
            return True
        with selectors.DefaultSelector() as selector:
            selector.register(self._pidfd, selectors.EVENT_READ)
            return bool(selector.select(0))

    def _finish(self, status: int) -> None:
        self.returncode = status
        self._connection.close()
        for descriptor in (self._held, self._pidfd):
            if descriptor >= 0:
                os.close(descriptor)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end.

        Raises:
            subprocess.TimeoutExpired: if it takes longer.
        """
        began = time.monotonic()
        while (status := self.poll()) is None:
            if timeout is not None and time.monotonic() > began + timeout:
                raise subprocess.TimeoutExpired("kernel", timeout)
            time.sleep(0.005)
        return status

    def send_signal(self, number: int) -> None:
        """Send a signal to this very process, not to one that got its number later."""
        if self.poll() is None and self._pidfd >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, number)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        """SIGTERM."""
        self.send_signal(signal.SIGTERM)
