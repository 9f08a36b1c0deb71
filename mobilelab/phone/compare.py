"""Does the phone give the answers that this computer gives?

A file goes through the runtime here and through the one on the phone, on the same images: a
``.ptl`` through the lite interpreter and that of torch 2.1.0, a ``.pte`` through ExecuTorch, a
``.tflite`` through LiteRT. int8 has to agree in every bit: its sums are whole numbers, so their
order does not matter. The exception is a ``.pte``: the phone's ExecuTorch is older than this
computer's and has another XNNPACK, and was seen to differ by a step here and there. float32 need
not agree so: kernels for ARM and for x86 may add in another order, and may round once or twice
where they multiply and add.
"""

from __future__ import annotations

import io
import pickle
import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan, nan
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mobilelab import runtimes
from mobilelab.core.errors import ModelFileError, ShapeError
from mobilelab.core.signature import Example
from mobilelab.core.trees import join, leaves, own
from mobilelab.measure import parity
from mobilelab.phone import software
from mobilelab.phone.errors import Refused
from mobilelab.phone.machine import Phone
from mobilelab.runtimes import lite
from mobilelab.runtimes.arguments import check_inputs
from mobilelab.tasks import Classification, Task

#: Relative L2 error up to which float32 scores of the two count as the same answers. Looser than
#: what was measured for the course's network (4e-7), and a hundred times tighter than the
#: bound for conversions in :data:`mobilelab.measure.parity.SAME`: here nothing was converted.
FLOAT_BOUND = 1e-6
#: The same for int8 scores of a ``.pte``. 2.4e-3 was seen for the course's network; a step is 1/255
#: of a range, and another engine made 1.1e-2 of a ``.ptl`` (chapter 07).
INT8_BOUND = 5e-3


@dataclass(frozen=True)
class Comparison:
    """One file on the phone and on this computer."""

    file: str
    cpu: str
    engine: str | None
    """Quantized engine that was set on the phone."""
    bytecode_version: int | None
    """``None`` for a file without bytecode: anything but a ``.ptl``."""
    operators: tuple[str, ...]
    """Operators that the file needs, sorted; those of a delegate after its name."""
    quantized: bool
    """Does the file compute in int8, so that answers have to be identical (a ``.pte``: near)?"""
    refusal: str | None
    """The phone's runtime's own words, or ``None`` if it took the file."""
    missing: tuple[str, ...] = ()
    """Operators among them that it does not have, as far as it names them."""
    images: int = 0
    """Decisions that were compared; in a classification, images."""
    max_abs: float = float("nan")
    """Largest absolute difference of any score, in the unit of the scores."""
    rel_l2: float = float("nan")
    identical: bool = False
    """Are all scores the same, bit for bit?"""
    agreement: float = 0.0
    """Share of images, 0 to 1, for which both give the same class."""
    host_accuracy: float = float("nan")
    """Share of right predictions on this computer, 0 to 1; the phone's is the next."""
    phone_accuracy: float = float("nan")

    @property
    def verdict(self) -> str:
        """``identical``, ``same`` (rounding only), ``DIFFERENT`` or ``refused``."""
        if self.refusal is not None:
            return "refused"
        if self.identical:
            return "identical"
        if self.quantized and software.for_file(Path(self.file).suffix).exact_int8:
            return "DIFFERENT"
        bound = INT8_BOUND if self.quantized else FLOAT_BOUND
        return "same" if self.rel_l2 <= bound and self.agreement == 1.0 else "DIFFERENT"

    @property
    def ok(self) -> bool:
        """May the file go to phones with this runtime, as far as answers are concerned?"""
        return self.verdict in ("identical", "same")

    def __str__(self) -> str:
        if self.refusal is not None:
            return f"refused: {self.refusal.splitlines()[0]}"
        text = (
            f"{self.verdict}: relative error {self.rel_l2:.1e}, largest difference "
            f"{self.max_abs:.1e}, {self.agreement:.1%} of {self.images} predictions agree"
        )
        if isnan(self.host_accuracy):
            return text
        here, there = f"{self.host_accuracy:.1%} here", f"{self.phone_accuracy:.1%} on the phone"
        return f"{text}, right {here} and {there}"


def compare(
    path: str | Path,
    inputs: Tensor | Sequence[Tensor],
    targets: Any,
    phone: Phone,
    batch_size: int | None = 50,
    task: Task | None = None,
) -> Comparison:
    """Run a model file on this computer and on the phone, and compare.

    Args:
        path: the file. Its checksums are verified first; no runtime does that.
        inputs: examples on the first axis, for instance float32 images of shape
            ``(n, channels, height, width)``, normally a whole test split; a list of such tensors
            for a network with several inputs.
        targets: what ``task`` judges answers by, class numbers of shape ``(n,)`` without one;
            ``None`` where they are not known.
        phone: where to run it; its runtime has to be the file's.
        batch_size: examples per inference, on both sides; ``None`` for all at once. No more than
            the file takes.
        task: how answers are compared; without it, see :func:`mobilelab.measure.parity.compare`.

    Raises:
        ModelFileError: if the file is missing, damaged, or of no kind that the phone takes, or if
            this computer's runtime refuses what the phone's accepts.
        ShapeError: if inputs and targets, or the two answers, do not belong together.
        PhoneError: if the phone stopped.
    """
    path = Path(path)
    given = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    if software.for_file(path.suffix).name != software.OWN:
        facts, batch_size = _program(path, given, batch_size)
    else:
        facts = _bytecode(path, given)
    count = _count(given, targets)
    known = {"file": path.name, "cpu": phone.cpu, "engine": phone.engine, **facts}
    try:
        known["engine"] = phone.load(path).engine
        there = phone.run(path, [x.numpy() for x in given], batch_size)
    except Refused as error:
        return Comparison(
            **known, refusal=error.text, missing=_missing(error.text, known["operators"])
        )
    here, there = _here(path, given, batch_size or count), leaves(there)
    distance = parity.compare(here, there, task)
    judge = task or Classification()
    return Comparison(
        **known,
        refusal=None,
        images=distance.inputs,
        max_abs=distance.max_abs,
        rel_l2=distance.rel_l2,
        identical=all(_same_bits(a, b) for a, b in zip(here.values(), there.values(), strict=True)),
        agreement=distance.agreement,
        host_accuracy=nan if targets is None else judge.score(here, targets),
        phone_accuracy=nan if targets is None else judge.score(there, targets),
    )


def _bytecode(path: Path, given: Sequence[Tensor]) -> dict[str, Any]:
    """Of a ``.ptl``: its version and operators, and whether it is int8.

    Raises:
        ModelFileError: if it is none, or damaged.
        ShapeError: if the file takes other inputs.
    """
    path = lite.check(path)
    if (wanted := lite.arguments(path)) is not None:
        check_inputs(path.name, wanted, Example(tuple(given)))
    version, operators = contents(path)
    quantized = any(name.startswith("quantized::") for name in operators)
    return {"bytecode_version": version, "operators": operators, "quantized": quantized}


def _program(
    path: Path, given: Sequence[Tensor], batch_size: int | None
) -> tuple[dict[str, Any], int]:
    """Of a file without bytecode: the same, and how many examples it takes at once.

    Raises:
        ShapeError: if the file takes other inputs.
    """
    session = runtimes.load(path)
    wanted = session.signature.inputs if session.signature else ()
    if len(wanted) != len(given):
        raise ShapeError(f"{path.name} takes {len(wanted)} inputs, not {len(given)}.")
    most = min((port.shape or (1,))[0] or 1 for port in wanted)
    inside = session.inspect()
    taken = (f"{name}: {op}" for name, ops in inside.delegates.items() for op in ops)
    operators = tuple(sorted([*inside.operators, *taken]))
    facts = {"bytecode_version": None, "operators": operators, "quantized": inside.quantized}
    return facts, min(batch_size or most, most)


def _count(given: Sequence[Tensor], targets: Any) -> int:
    """How many examples there are, each with its target.

    Raises:
        ShapeError: if there are none, or not as many targets.
    """
    for leaf in given:
        if leaf.is_quantized or leaf.dtype == torch.bfloat16 or not leaf.ndim:
            raise ShapeError(
                f"The virtual phone is sent tensors with the examples first, and {leaf.dtype} of "
                f"shape {tuple(leaf.shape)} is none that it takes; convert it inside the network."
            )
    count = len(given[0]) if given else 0
    if not count or (targets is not None and len(targets) != count):
        raise ShapeError(
            f"A comparison needs one label for each image, but got {count} images and "
            f"{0 if targets is None else len(targets)} labels."
        )
    return count


def _here(path: Path, given: Sequence[Tensor], batch_size: int) -> dict[str, Tensor]:
    """The answers of this computer, by their path."""
    before = torch.backends.quantized.engine
    try:
        session = runtimes.load(path)
        parts = list(zip(*(x.split(batch_size) for x in given), strict=True))
        found = leaves(join([own(session(*part)) for part in parts], [len(x[0]) for x in parts]))
    finally:
        torch.backends.quantized.engine = before
    # as the phone sends them
    found = {path: x.dequantize() if x.is_quantized else x for path, x in found.items()}
    return {path: x.float() if x.dtype == torch.bfloat16 else x for path, x in found.items()}


def _same_bits(a: Tensor, b: Tensor) -> bool:
    alike = a.dtype == b.dtype and a.shape == b.shape
    return alike and torch.equal(*(x.contiguous().reshape(-1).view(torch.uint8) for x in (a, b)))


def _missing(text: str, operators: tuple[str, ...]) -> tuple[str, ...]:
    """Those of the operators that a message names as whole words."""
    if "ops cannot be found" not in text and "nknown" not in text:
        return ()
    named = set(re.findall(r"[\w.]+::[\w.]+", text))
    return tuple(name for name in operators if name in named)


# --- reading a file without loading it ----------------------------------------------------


class _Opaque:
    """Stands for every object that a pickle would make."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass

    def __setitem__(self, key: Any, value: Any) -> None:
        pass


class _Reader(pickle.Unpickler):
    """Reads tuples, strings and numbers. Resolves no name, so it runs no code."""

    def find_class(self, module: str, name: str) -> type:
        return _Opaque

    def persistent_load(self, pid: Any) -> _Opaque:
        return _Opaque()


def contents(path: str | Path) -> tuple[int, tuple[str, ...]]:
    """Bytecode version and operators of a ``.ptl``, from its ``bytecode.pkl`` (chapter 05).

    Works for files that no runtime here would load.

    Raises:
        ModelFileError: if the bytecode cannot be read.
    """
    path = Path(path)
    try:
        with zipfile.ZipFile(path) as archive:
            (name,) = [n for n in archive.namelist() if n.endswith("/bytecode.pkl")]
            version, *methods = _Reader(io.BytesIO(archive.read(name))).load()
        operators = set()
        for _, table, *_ in methods:
            for operator in dict(table)["operators"]:
                operators.add(".".join(part for part in operator[:2] if part))
    except Exception as error:  # a pickle can be wrong in any way
        raise ModelFileError(
            f"The bytecode of {path.name} cannot be read ({type(error).__name__}); export it again."
        ) from error
    return version, tuple(sorted(operators))
