"""A place where a student's code can do no harm: bubblewrap, and warm processes inside it.

One :class:`Sandbox` is started per grading process. It imports torch once; every
:meth:`Sandbox.open` then forks a sealed process in a tenth of a second (see ``sandbox_process``).
What it sees: the system's programs, this Python and ``mobilelab``, all read-only, and three small
folders of its own in memory. What it does not see: the network, other processes, other submissions,
exercises, solutions, home folders, the gradebook, the environment.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from mobilelab.core.errors import MobileLabError
from mobilelab.grading.bubblewrap import (
    HOME,
    WANTED,
    NoSandbox,
    command_line,
    readable_folders,
    require,
)
from mobilelab.grading.framing import NotPlain, Reader, TooLarge, to_bytes

#: Seconds that the imports inside a new sandbox may take.
PATIENCE = 180.0


@dataclass(frozen=True)
class Limits:
    """What one submission may use.

    Times are the grader's: its clock starts them, and nothing that a submission does moves them.
    """

    cell: int = 60
    """Seconds for a cell, and for one question of the grader."""
    notebook: int = 240
    """Seconds for all cells of the notebook together."""
    memory: int = 2 * 2**30
    """Bytes beyond what importing torch takes, files in memory included."""
    disk: int = 256 * 2**20
    """Bytes for the files in each of the three writable folders."""
    processes: int = 32
    """Processes and workers at the same time."""

    @property
    def task(self) -> int:
        """Seconds for all questions about one task."""
        return 2 * self.cell

    @property
    def whole(self) -> int:
        """Seconds for everything, the notebook run again after it has ended its process."""
        return 3 * self.notebook


class Ended(MobileLabError):
    """The sealed process is gone.

    Attributes:
        reason: ``timeout``, ``memory``, ``processes``, ``died``, ``large`` (what it sent is too
            large) or ``nonsense`` (it sent what is not a message).
    """

    def __init__(self, reason: str, text: str = "") -> None:
        super().__init__(text or reason)
        self.reason = reason


class Inmate:
    """A connection to one sealed process: frames in, frames out, and an end that is explained."""

    def __init__(self, channel: socket.socket, line: socket.socket) -> None:
        self._channel, self._line = channel, line
        self._reader = Reader()
        self._frames: deque[tuple[dict[str, Any], list[bytes]]] = deque()
        self._notes = b""

    def send(
        self, message: Mapping[str, Any], blocks: Sequence[bytes] = (), *, until: float
    ) -> None:
        """Send one frame.

        Raises:
            Ended: if nobody has taken it ``until`` then, by :func:`time.monotonic`.
        """
        try:
            self._channel.settimeout(max(0.1, until - time.monotonic()))
            self._channel.sendall(to_bytes(message, list(blocks)))
        except TimeoutError as error:
            raise Ended("timeout", "it does not read what it is asked") from error
        except OSError as error:
            raise self._why() from error

    def receive(self, until: float) -> tuple[dict[str, Any], list[bytes]]:
        """The next frame. Whoever calls this again and again has to count what comes.

        Raises:
            Ended: if there is none ``until`` then, by :func:`time.monotonic`, if what comes is
                not a frame, or if the process is gone.
        """
        while not self._frames:
            left = until - time.monotonic()
            if left <= 0:
                raise Ended("timeout", "no answer in time")
            self._channel.settimeout(left)
            try:
                data = self._channel.recv(1 << 18)
                if not data:
                    raise self._why()
                self._frames.extend(self._reader.feed(data))
            except TimeoutError:
                continue
            except TooLarge as error:
                raise Ended("large", str(error)) from error
            except NotPlain as error:
                raise Ended("nonsense", str(error)) from error
            except OSError as error:
                raise self._why() from error
        return self._frames.popleft()

    def _why(self) -> Ended:
        """Ask the warden what happened."""
        self._line.settimeout(5)
        with contextlib.suppress(OSError):
            while not any(b'"sealed"' not in n for n in self._notes.splitlines() if n):
                part = self._line.recv(4096)
                if not part:
                    break
                self._notes += part
        for note in self._notes.splitlines():
            said = json.loads(note)
            if said["reason"] == "seal":
                raise NoSandbox(
                    f"A process could not be sealed ({said['text']}); bubblewrap works here, but "
                    "namespaces inside it do not. Allow nested user namespaces on this system."
                )
            if said["reason"] in ("memory", "processes"):
                return Ended(said["reason"])
            if said["reason"] == "died":
                code = said["code"]
                name = f"signal {-code}" if code < 0 else f"exit status {code}"
                with contextlib.suppress(ValueError):
                    name = signal.Signals(-code).name
                return Ended("died", f"the process ended with {name}")
        return Ended("died", "the process is gone")

    def close(self) -> None:
        """End the process and everything that it started."""
        self._channel.close()
        self._line.close()

    def __enter__(self) -> Inmate:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Sandbox:
    """bubblewrap with a warm Python in it.

    Args:
        modules: what the exercise imports; it is imported once, inside.
        sealed: ``False`` starts the same processes without any protection. Only for code that you
            would run yourself.

    Raises:
        NoSandbox: if bubblewrap is missing or does not work here.
    """

    def __init__(self, modules: Sequence[str] = (), *, sealed: bool = True) -> None:
        self.sealed, self.modules = sealed, tuple(modules)
        self._lock = threading.Lock()
        self._process: subprocess.Popen | None = None
        if sealed:
            require()

    def start(self) -> None:
        """Begin the imports inside without waiting for them; :meth:`open` would begin them too."""
        with self._lock:
            self._launch()

    def _launch(self) -> None:
        if self._process is not None and self._process.poll() is None:
            return
        self.close()
        self.ready = False
        ours, theirs = socket.socketpair()
        command = [
            sys.executable, "-I", "-m", "mobilelab.grading.sandbox_process", str(theirs.fileno()),
            "sealed" if self.sealed else "open", *self.modules,
        ]  # fmt: skip
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the process)
        try:
            self._process = subprocess.Popen(
                [*(command_line() if self.sealed else []), *command],
                pass_fds=(theirs.fileno(),),
                env=None if self.sealed else {**os.environ, **WANTED},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._complaints,
                start_new_session=True,
            )
        finally:
            theirs.close()
        self._socket = ours

    def _wait(self) -> None:
        if self.ready:
            return
        self._socket.settimeout(PATIENCE)
        with contextlib.suppress(OSError):
            self.ready = self._socket.recv(16) == b"ready\n"
        if not self.ready:
            self._complaints.seek(0)
            last = self._complaints.read().decode(errors="replace").strip().splitlines()[-1:]
            self.close()
            raise NoSandbox(
                f"The sandbox did not start ({' '.join(last) or 'no message'}); "
                "is this course installed for the user that grades?"
            )

    def open(self, role: str, limits: Limits) -> Inmate:
        """A new sealed process.

        Args:
            role: the module of ``mobilelab.grading`` whose ``main(socket)`` it runs.
            limits: what it may use.

        Raises:
            NoSandbox: if the sandbox cannot be started.
        """
        ours, theirs = socket.socketpair()
        line, wardens = socket.socketpair()
        covered = [
            p for p in readable_folders() if p.is_relative_to("/tmp") or p.is_relative_to(HOME)
        ]
        request = {
            **asdict(limits), "seconds": limits.whole, "role": role, "sealed": self.sealed,
            "seen": list(map(str, covered)),
        }  # fmt: skip
        try:
            with self._lock:
                self._launch()
                self._wait()
                socket.send_fds(
                    self._socket,
                    [json.dumps(request).encode()],
                    [theirs.fileno(), wardens.fileno()],
                )
        except BaseException:
            ours.close()
            line.close()
            raise
        finally:
            theirs.close()
            wardens.close()
        return Inmate(ours, line)

    def close(self) -> None:
        """End the sandbox with everything in it."""
        if self._process is not None:
            self._socket.close()
            self._process.kill()
            self._process.wait()
            self._complaints.close()
            self._process = None

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
