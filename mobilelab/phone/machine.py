"""Switch the virtual phone on, load models on it, run them, and count its instructions.

The guest is an arm64 Python with torch 2.1.0, ExecuTorch or LiteRT. Importing torch takes it many
seconds under emulation, so one process is kept and asked again and again. How long it takes says
nothing about a phone; how many instructions it executes does (:meth:`Phone.count`).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mobilelab.phone import cache, lock, software
from mobilelab.phone.cores import CORES, USUAL
from mobilelab.phone.counter import Cost
from mobilelab.phone.errors import NoCounter, PhoneError, Refused
from mobilelab.phone.process import GuestProcess

#: Element types that go over to the phone.
TYPES = ("float32", "float64", "float16", "int64", "int32", "int16", "int8", "uint8", "bool")


@dataclass(frozen=True)
class Loaded:
    """What the phone's runtime says about a file that it took."""

    bytecode_version: int | None
    """``None`` for a file without bytecode."""
    operators: tuple[str, ...]
    """Operators that the file calls, sorted; all of them are known to the phone. Empty where the
    runtime does not tell."""
    engine: str | None
    """Quantized engine that was set while loading; only the lite interpreter has one."""


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


class Phone(GuestProcess):
    """One virtual phone, switched on when it is first needed.

    Args:
        cpu: a name from :data:`mobilelab.phone.cores.CORES`; ``native`` on an ARM computer.
        threads: threads that torch may use on the phone.
        engine: quantized engine that is set before a file is loaded. Phones have ``qnnpack``;
            ``None`` leaves torch's own choice.
        counting: start it with the counter, as :meth:`count` needs. It runs a little slower.
        runtime: what loads files: ``lite`` for a ``.ptl``, ``executorch`` for a ``.pte``,
            ``litert`` for a ``.tflite``.
        seconds: longest time that one request may take, switching on included.

    Raises:
        PhoneError: for an unknown core or runtime, before the parts were fetched, or where it
            cannot run.
    """

    def __init__(
        self,
        cpu: str | None = None,
        threads: int = 1,
        *,
        engine: str | None = "qnnpack",
        counting: bool = False,
        runtime: str = "lite",
        seconds: float = 600.0,
    ) -> None:
        way = lock.way()
        self.software = software.named(runtime)
        known = tuple(CORES) if way == "emulated" else ("native",)
        chosen = cpu or (USUAL if USUAL in known else "native")
        if chosen not in known:
            raise PhoneError(f"There is no core called {cpu!r} here; choose {', '.join(known)}.")
        if counting and way != "emulated":
            raise NoCounter(
                "Instructions are counted by the emulator, and on this computer the phone runs "
                "without one; count on Linux x86-64."
            )
        if counting and threads != 1:
            raise NoCounter("Instructions are counted on one thread; leave threads at 1.")
        home = cache.require()
        added = None if runtime == "lite" else cache.require(runtime) / "site"
        super().__init__(way, home, chosen, threads, counting, seconds, runtime, added)
        self.engine = engine if runtime == "lite" else None

    # --- what one does with it ------------------------------------------------------------

    def about(self) -> dict[str, Any]:
        """Versions of what is on the phone, its quantized engines, and the one that is set."""
        return self._ask({"do": "about"})[0]

    def load(self, path: str | Path) -> Loaded:
        """Load a file into the phone's runtime.

        Raises:
            Refused: if the runtime does not take it; ``text`` holds its own words.
            PhoneError: if the file is missing or for another runtime, or the phone stopped.
        """
        path = Path(path).absolute()
        if not path.is_file():
            raise PhoneError(f"There is no file {path.name} to load; save the model first.")
        wanted = software.for_file(path.suffix)
        if wanted is not self.software:
            raise PhoneError(
                f"{path.name} is for another runtime than this phone's {self.software.title}; make "
                f"the phone with runtime={wanted.name!r}."
            )
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
        """Run a model file on examples.

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
            Refused: if the runtime does not load or run it.
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
            path: the file.
            inputs: one example, for instance float32 ``(1, channels, height, width)``.
            inferences: ``n``.
            repetitions: how often that is done; the median is reported.
            channels_last: hand the input over in that memory format.

        Raises:
            NoCounter: if the phone was not made with ``counting=True``.
            Refused: if the runtime does not load or run it.
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

    def __enter__(self) -> Phone:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _counted(self, times: int) -> np.ndarray:
        """What a request for so many inferences adds to the three sums."""
        before = self._sums()
        self._ask({"do": "repeat", "times": times})
        return self._sums() - before

    def _sums(self) -> np.ndarray:
        content = (self._room / "sums").read_bytes()
        return np.array(struct.unpack("<3Q", content), dtype=np.int64)

    def _refused(self, path: Path, verb: str, error: Refused) -> Refused:
        first = error.text.splitlines()[0] if error.text else "no message"
        return Refused(
            f"The phone's runtime, {self.software.title}, {verb} {path.name}: {first}", error.text
        )
