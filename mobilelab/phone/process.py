"""The guest's process: its command line, the requests that it answers, and why it stops."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mobilelab.phone.cores import CORES
from mobilelab.phone.counter import build_plugin
from mobilelab.phone.errors import PhoneError, Refused

GUEST = Path(__file__).with_name("guest.py")


class GuestProcess:
    """A process that runs ``guest.py``, started by the first request and kept for the next ones.

    Args:
        way: how it runs on this computer, from :func:`mobilelab.phone.lock.way`.
        home: the folder of the unpacked phone.
        cpu: a name from :data:`mobilelab.phone.cores.CORES`, or ``native``.
        threads: threads that torch may use.
        counting: start it with the counter.
        runtime: what loads files there, from :func:`mobilelab.phone.software.known`.
        site: folder of that runtime's packages, where they are not the phone's own.
        seconds: longest time that one request may take, switching on included.
    """

    def __init__(
        self,
        way: str,
        home: Path,
        cpu: str,
        threads: int,
        counting: bool,
        seconds: float,
        runtime: str = "lite",
        site: Path | None = None,
    ) -> None:
        self.way, self.cpu = way, cpu
        self.threads, self.counting, self.seconds = threads, counting, seconds
        self._home = home
        self.runtime, self._sites = runtime, [*([site] if site else []), home / "site"]
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.RLock()

    def close(self) -> None:
        """Switch off. The next request would switch on again."""
        with self._lock:
            process, self._process = self._process, None
            if process is not None:
                assert process.stdin is not None and process.stdout is not None  # both are pipes
                process.kill()
                process.wait()
                with contextlib.suppress(OSError):  # what it never read is still in the buffer
                    process.stdin.close()
                process.stdout.close()
                self._complaints.close()
                shutil.rmtree(self._room, ignore_errors=True)

    def __del__(self) -> None:
        with contextlib.suppress(Exception):
            self.close()

    def _launch(self) -> subprocess.Popen[bytes]:
        self._room = Path(tempfile.mkdtemp(prefix="mobilelab-phone-"))
        try:
            command = [*self._command(), str(GUEST), str(self.threads), self.runtime]
            self._complaints = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the process)
            self._process = process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._complaints,
                env=self._environment(), cwd=self._room, start_new_session=True,
            )  # fmt: skip
        except BaseException as error:
            shutil.rmtree(self._room, ignore_errors=True)
            if isinstance(error, OSError):
                raise PhoneError(
                    f"The virtual phone does not start ({error}); delete {self._home} and run "
                    "`mobilelab phone fetch` again."
                ) from error
            raise
        return process

    def _environment(self) -> dict[str, str]:
        wanted = {
            "PYTHONPATH": os.pathsep.join(map(str, self._sites)),
            "PYTHONHASHSEED": "0", "PYTHONNOUSERSITE": "1",
            "OMP_NUM_THREADS": str(self.threads), "HOME": str(self._room), "LANG": "C.UTF-8",
            "PATH": "/usr/bin:/bin", "TMPDIR": str(self._room),
        }  # fmt: skip
        if self.way != "mac":
            wanted["PYTHONHOME"] = str(self._home / "guest/usr")
        return wanted

    def _command(self) -> list[str]:
        """The command line up to Python and its options."""
        if self.way == "mac":
            return [sys.executable, "-S"]
        guest = self._home / "guest"
        python = str(guest / "usr/bin/python3.11")
        if self.way == "native":
            libraries = [guest / "lib/aarch64-linux-gnu", guest / "usr/lib/aarch64-linux-gnu"]
            return [
                str(guest / "lib/ld-linux-aarch64.so.1"), "--library-path",
                ":".join(map(str, libraries)), python, "-S",
            ]  # fmt: skip
        host = self._home / "host"
        libraries = [host / "lib/x86_64-linux-gnu", host / "usr/lib/x86_64-linux-gnu"]
        command = [
            str(host / "lib64/ld-linux-x86-64.so.2"), "--library-path",
            ":".join(map(str, libraries)), str(host / "usr/bin/qemu-aarch64"),
            "-L", str(self._front()), "-cpu", self.cpu,
        ]  # fmt: skip
        if self.counting:
            (self._room / "sums").write_bytes(bytes(24))
            command += ["-plugin", f"{build_plugin(self._room)},sums={self._room / 'sums'}"]
            # QNNPACK does about 2 % more or less work depending on where tensors happen to lie.
            # Without malloc's caches they lie in the same places in each inference, nearly.
            command += ["-E", "GLIBC_TUNABLES=glibc.malloc.tcache_count=0"]
        return [*command, python, "-S"]

    def _front(self) -> Path:
        """What the guest sees in place of some of this computer's files.

        Its libraries, and what Linux says about the processor: torch picks kernels by that, and
        must not read there of an x86 one.
        """
        front = self._room / "front"
        cpus = front / "sys/devices/system/cpu"
        for folder in (front / "proc", cpus):
            folder.mkdir(parents=True)
        for name in ("lib", "usr"):
            (front / name).symlink_to(self._home / "guest" / name)
        (front / "proc/cpuinfo").write_text(CORES[self.cpu].cpuinfo(self.threads))
        for name in ("possible", "present", "online"):
            numbers = "0" if self.threads == 1 else f"0-{self.threads - 1}"
            (cpus / name).write_text(f"{numbers}\n")
        return front

    # --- asking ---------------------------------------------------------------------------

    def _ask(self, request: Mapping[str, Any], block: bytes = b"") -> tuple[dict[str, Any], bytes]:
        with self._lock:
            process = self._process or self._launch()
            assert process.stdin is not None and process.stdout is not None  # both are pipes
            late = threading.Event()
            with _deadline(process, self.seconds, late):
                try:
                    line = json.dumps({**request, "bytes": len(block)}).encode() + b"\n"
                    process.stdin.write(line + block)
                    process.stdin.flush()
                    answer = json.loads(process.stdout.readline())
                    content = process.stdout.read(answer["bytes"])
                    if len(content) != answer["bytes"]:
                        raise EOFError
                except (OSError, ValueError, EOFError) as error:
                    reason = self._why(process, late.is_set())
                    self.close()
                    raise PhoneError(reason) from error
                except BaseException:  # interrupted: the answer would be taken for the next one
                    self.close()
                    raise
        if "error" in answer:
            raise Refused(answer["error"], plain(answer["error"]))
        return answer, content

    def _why(self, process: subprocess.Popen[bytes], late: bool) -> str:
        """Why the guest does not answer, in one sentence."""
        again = "the next request starts a new one"
        if late:
            return (
                f"The virtual phone did not answer within {self.seconds:.0f} s and was switched "
                f"off; {again}."
            )
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
        code = process.returncode
        self._complaints.seek(0)
        last = self._complaints.read().decode(errors="replace").strip().splitlines()[-1:]
        said = f" ({last[0]})" if last else ""
        if code == -signal.SIGKILL:
            return f"The virtual phone was killed, often for want of memory; {again}."
        if code is not None and code < 0:
            name = signal.Signals(-code).name
            if code == -signal.SIGILL:
                name += f": its runtime used an instruction that a {self.cpu} does not have"
            return f"The virtual phone crashed with {name}{said}; {again}."
        return f"The virtual phone stopped with exit status {code}{said}; {again}."


def plain(text: str) -> str:
    """A runtime's message without the C++ frames and the lines of source that follow it."""
    return text.split("\nException raised from")[0].strip().removesuffix(" ()")


@contextlib.contextmanager
def _deadline(
    process: subprocess.Popen[bytes], seconds: float, late: threading.Event
) -> Iterator[None]:
    """End the process if what is inside takes too long."""

    def end() -> None:
        late.set()
        process.kill()

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
