"""Switch the virtual phone on, load models on it, run them, and count its instructions.

The guest is an arm64 Python with torch 2.1.0. Importing torch takes it many seconds under
emulation, so one process is kept and asked again and again. How long it takes says nothing about
a phone; how many instructions it executes does (:meth:`Phone.count`).
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mobilelab.phone import fetch
from mobilelab.phone.fetch import PhoneError

#: Element types that go over to the phone.
TYPES = ("float32", "float64", "float16", "int64", "int32", "int16", "int8", "uint8", "bool")
GUEST = Path(__file__).with_name("guest.py")
PLUGIN = Path(__file__).with_name("count.c")


@dataclass(frozen=True)
class Core:
    """An emulated core, and what the guest reads about it in ``/proc/cpuinfo``."""

    title: str
    part: int
    variant: int
    revision: int
    features: str
    """Of those that arm64 Linux lists, the ones that matter to kernels."""

    def cpuinfo(self, cores: int) -> str:
        """The text of ``/proc/cpuinfo`` on a phone that has only this kind of core."""
        return "".join(
            f"processor\t: {i}\nBogoMIPS\t: 38.40\nFeatures\t: {self.features}\n"
            f"CPU implementer\t: 0x41\nCPU architecture: 8\nCPU variant\t: {self.variant:#x}\n"
            f"CPU part\t: {self.part:#x}\nCPU revision\t: {self.revision}\n\n"
            for i in range(cores)
        )


_V8 = "fp asimd aes pmull sha1 sha2 crc32 cpuid"
_V82 = "fp asimd aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp"
#: Cores that qemu 7.2 knows and that were built into phones. Part, variant and revision are those
#: in qemu's own MIDR_EL1 register (target/arm/cpu64.c); part numbers as in Linux's cputype.h.
CORES: dict[str, Core] = {
    "cortex-a35": Core("Cortex-A35 (2015, smallest)", 0xD04, 1, 0, _V8),
    "cortex-a53": Core("Cortex-A53 (2012, small)", 0xD03, 0, 4, _V8),
    "cortex-a57": Core("Cortex-A57 (2012, big)", 0xD07, 1, 0, _V8),
    "cortex-a72": Core("Cortex-A72 (2015, big)", 0xD08, 0, 3, _V8),
    "cortex-a76": Core("Cortex-A76 (2018, big, dot product)", 0xD0B, 4, 1, _V82),
}
#: The core that one gets without asking.
USUAL = "cortex-a53"


class Refused(PhoneError):
    """The phone's runtime does not take a file, or fails while running it.

    Attributes:
        text: the runtime's own words.
    """

    def __init__(self, message: str, text: str) -> None:
        super().__init__(message)
        self.text = text


class NoCounter(PhoneError):
    """Instructions cannot be counted here, so there is no figure."""


@dataclass(frozen=True)
class Loaded:
    """What the old runtime says about a file that it took."""

    bytecode_version: int
    operators: tuple[str, ...]
    """Operators that the file calls, sorted; all of them are known to the phone."""
    engine: str
    """Quantized engine that was set while loading."""


@dataclass(frozen=True)
class Cost:
    """What one inference costs on an emulated ARM core. Counted, not timed."""

    instructions: int
    """ARM instructions, those of Python around the model left out."""
    mac_instructions: int
    """Instructions among them that multiply and add."""
    multiply_accumulates: int
    """Products that these added up: 4 for an FMLA on four lanes, 1 for a scalar one."""
    spread: float
    """Largest relative distance of a repetition's instructions from their median. Repetitions on
    one phone; int8 counts were seen to differ by 0.5 % with what had run on the phone before."""
    cpu: str
    inferences: int
    """Inferences over which the figures are an average, in each repetition."""

    def __str__(self) -> str:
        return (
            f"{self.instructions / 1e6:.2f} M ARM instructions, "
            f"{self.multiply_accumulates / 1e6:.2f} M multiply-accumulates "
            f"in {self.mac_instructions / 1e6:.2f} M instructions"
        )


def _check(arrays: Sequence[np.ndarray], batch_size: int | None, channels_last: bool) -> None:
    """Refuse what cannot be sent.

    Raises:
        PhoneError: saying why.
    """
    for x in arrays:
        if x.dtype.name not in TYPES:
            raise PhoneError(
                f"The phone takes inputs of the types {', '.join(TYPES)}, not {x.dtype}."
            )
        if channels_last and x.ndim != 4:
            raise PhoneError(f"channels_last is for images (n, c, h, w), not for {x.shape}.")
    if batch_size is None:
        return
    counts = {x.shape[:1] for x in arrays}
    if batch_size < 1 or len(counts) != 1 or not min(map(sum, counts)):
        shapes = ", ".join(f"{x.dtype} {x.shape}" for x in arrays)
        raise PhoneError(
            "The phone takes inputs with the same n > 0 examples on their first axis, in batches "
            f"of at least 1, but got {shapes or 'none'} and {batch_size}; with batch_size=None it "
            "is asked once, with the inputs as they are."
        )


class Phone:
    """One virtual phone, switched on when it is first needed.

    Args:
        cpu: a name from :data:`CORES`; ``native`` on an ARM computer.
        threads: threads that torch may use on the phone.
        engine: quantized engine that is set before a file is loaded. Phones have ``qnnpack``;
            ``None`` leaves torch's own choice.
        counting: start it with the counter, as :meth:`count` needs. It runs a little slower.
        seconds: longest time that one request may take, switching on included.

    Raises:
        PhoneError: for an unknown core, before the parts were fetched, or where it cannot run.
    """

    def __init__(
        self,
        cpu: str | None = None,
        threads: int = 1,
        *,
        engine: str | None = "qnnpack",
        counting: bool = False,
        seconds: float = 600.0,
    ) -> None:
        self.way = fetch.way()
        known = tuple(CORES) if self.way == "emulated" else ("native",)
        self.cpu = cpu or (USUAL if USUAL in known else "native")
        if self.cpu not in known:
            raise PhoneError(f"There is no core called {cpu!r} here; choose {', '.join(known)}.")
        if counting and self.way != "emulated":
            raise NoCounter(
                "Instructions are counted by the emulator, and on this computer the phone runs "
                "without one; count on Linux x86-64."
            )
        if counting and threads != 1:
            raise NoCounter("Instructions are counted on one thread; leave threads at 1.")
        self.threads, self.engine, self.counting, self.seconds = threads, engine, counting, seconds
        self._home = fetch.require()
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.RLock()

    # --- what one does with it ------------------------------------------------------------

    def about(self) -> dict[str, Any]:
        """Version of torch on the phone, its quantized engines, and the one that is set."""
        return self._ask({"do": "about"})[0]

    def load(self, path: str | Path) -> Loaded:
        """Load a ``.ptl`` into the phone's lite interpreter.

        Raises:
            Refused: if the old runtime does not take it; ``text`` holds its own words.
            PhoneError: if the file is missing, or the phone stopped.
        """
        path = Path(path).absolute()
        if not path.is_file():
            raise PhoneError(f"There is no file {path.name} to load; save the model first.")
        with self._lock:
            try:
                answer, _ = self._ask({"do": "load", "path": str(path), "engine": self.engine})
            except Refused as error:
                raise self._refused(path, "refuses", error) from None
        return Loaded(answer["version"], tuple(answer["operators"]), answer["engine"])

    def run(
        self,
        path: str | Path,
        inputs: np.ndarray | Sequence[np.ndarray],
        batch_size: int | None = 50,
        *,
        channels_last: bool = False,
    ) -> Any:
        """Run a ``.ptl`` on examples.

        Args:
            path: the file; it is loaded anew.
            inputs: an array with the examples first, for instance float32 images of shape
                ``(n, channels, height, width)``, or a list of such arrays, one for each input.
            batch_size: examples per inference; ``None`` for all of them at once.
            channels_last: hand the images over in that memory format.

        Returns:
            The answers, for instance float32 scores of shape ``(n, classes)``; a dictionary of
            arrays by their path where the model answers with more than one tensor.

        Raises:
            Refused: if the old runtime does not load or run it.
            PhoneError: if the inputs do not fit the description, or the phone stopped.
        """
        one = isinstance(inputs, (np.ndarray, np.generic))
        arrays = [np.asarray(x) for x in ([inputs] if one else inputs)]
        _check(arrays, batch_size, channels_last)
        request = {
            "do": "run", "batch": batch_size, "channels_last": channels_last,
            "inputs": [{"dtype": x.dtype.name, "shape": x.shape} for x in arrays],
        }  # fmt: skip
        block = b"".join(np.ascontiguousarray(x).tobytes() for x in arrays)
        with self._lock:
            self.load(path)
            try:
                answer, block = self._ask(request, block)
            except Refused as error:
                raise self._refused(Path(path), "fails to run", error) from None
        found, start = {}, 0
        for one in answer["outputs"]:
            size = np.dtype(one["dtype"]).itemsize * int(np.prod(one["shape"], dtype=np.int64))
            flat = np.frombuffer(block[start : start + size], dtype=one["dtype"])
            found[one["path"]] = flat.reshape(one["shape"]).copy()
            start += size
        return found[""] if list(found) == [""] else found

    def count(
        self,
        path: str | Path,
        inputs: np.ndarray | Sequence[np.ndarray],
        inferences: int = 16,
        repetitions: int = 3,
        *,
        channels_last: bool = False,
    ) -> Cost:
        """Count the instructions of one inference.

        After a warm-up of ``n``, ``n`` inferences are run and the counter is read before and
        after, while the guest waits. An empty request is counted, too, and subtracted.

        Args:
            path: the ``.ptl``.
            inputs: one example, for instance float32 ``(1, channels, height, width)``.
            inferences: ``n``.
            repetitions: how often that is done; the median is reported.
            channels_last: hand the input over in that memory format.

        Raises:
            NoCounter: if the phone was not made with ``counting=True``.
            Refused: if the old runtime does not load or run it.
        """
        if not self.counting:
            raise NoCounter("This phone does not count; make it with Phone(..., counting=True).")
        with self._lock:
            self.run(path, inputs, batch_size=None, channels_last=channels_last)
            self._counted(inferences)
            empty = np.median([self._counted(0) for _ in range(repetitions)], axis=0)
            each = [(self._counted(inferences) - empty) / inferences for _ in range(repetitions)]
        middle = np.median(each, axis=0)
        far = max(abs(one[0] - middle[0]) for one in each) / middle[0]
        instructions, macs, products = (round(value) for value in middle)
        return Cost(instructions, macs, products, float(far), self.cpu, inferences)

    # --- on and off -----------------------------------------------------------------------

    def start(self) -> None:
        """Switch on and wait until torch is imported. Any request does this, too."""
        self.about()

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

    def __enter__(self) -> Phone:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        with contextlib.suppress(Exception):
            self.close()

    def _launch(self) -> subprocess.Popen[bytes]:
        self._room = Path(tempfile.mkdtemp(prefix="mobilelab-phone-"))
        try:
            command = [*self._command(), str(GUEST), str(self.threads)]
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
            "PYTHONPATH": str(self._home / "site"), "PYTHONHASHSEED": "0", "PYTHONNOUSERSITE": "1",
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

    def _counted(self, times: int) -> np.ndarray:
        """What a request for so many inferences adds to the three sums."""
        before = self._sums()
        self._ask({"do": "repeat", "times": times})
        return self._sums() - before

    def _sums(self) -> np.ndarray:
        content = (self._room / "sums").read_bytes()
        return np.array(struct.unpack("<3Q", content), dtype=np.int64)

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
            return f"The virtual phone crashed with {signal.Signals(-code).name}{said}; {again}."
        return f"The virtual phone stopped with exit status {code}{said}; {again}."

    def _refused(self, path: Path, verb: str, error: Refused) -> Refused:
        first = error.text.splitlines()[0] if error.text else "no message"
        return Refused(f"The phone's runtime, torch 2.1.0, {verb} {path.name}: {first}", error.text)


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


# --- the counter --------------------------------------------------------------------------


def compiler() -> str:
    """The C compiler of this computer.

    Raises:
        NoCounter: if there is none.
    """
    found = shutil.which(os.environ.get("CC", "cc"))
    if found is None:
        raise NoCounter(
            "There is no C compiler on this computer to build the instruction counter with, so "
            "there is no figure; install one (Debian: apt install gcc)."
        )
    return found


def build_plugin(folder: Path) -> Path:
    """Compile ``count.c`` into ``folder``; takes a fraction of a second.

    Raises:
        NoCounter: if there is no compiler, or it fails.
    """
    target = folder / "count.so"
    done = subprocess.run(
        [compiler(), "-O2", "-shared", "-fPIC", "-nostdlib", "-ffreestanding",
         "-fvisibility=hidden", "-fno-stack-protector", "-o", str(target), str(PLUGIN)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise NoCounter(f"The instruction counter could not be compiled ({last}); no figure.")
    return target
