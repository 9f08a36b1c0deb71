"""Plain data: the only thing that passes between a grader and a student's code.

A value is JSON plus blocks of bytes with a declared dtype and shape. There is no pickle and no
code in it, and :func:`decode` believes nothing: it counts, measures and names what it refuses.
Messages around values are msgspec's (``schema``). Values are not: msgspec has no union of forms
without a tag, and depth, number, length and what may be in a set have to be counted either way.
Nor are tensors safetensors': NumPy's complex numbers are complex128, which it does not have.

====================  ==========================================================
Python                on the wire
====================  ==========================================================
None, bool, int,      itself (numpy numbers and one-element tensors are asked
float, str            what they hold by whoever compares)
list, tuple, set      ``{"list": [...]}``, ``{"tuple": [...]}``, ``{"set": [...]}``
dict                  ``{"dict": [[key, value], ...]}``
Tensor, ndarray       ``{"tensor": block, "dtype": "float32", "shape": [2, 3]}``
ScriptModule, bytes   ``{"file": block, "kind": "torchscript"}``
anything else         ``{"other": "name of its type", "text": "..."}``
====================  ==========================================================
"""

from __future__ import annotations

import io
import itertools
import math
import numbers
import unicodedata
from collections.abc import Iterator, Mapping, Set, ValuesView
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mobilelab.grading.framing import NotPlain

DTYPES = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (
        torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.float16,
        torch.bfloat16, torch.float32, torch.float64, torch.complex64, torch.complex128,
    )
}  # fmt: skip
#: The deepest nesting and the most values in one message.
DEEPEST, MOST = 12, 20_000
#: The longest text.
LONGEST = 100_000


@dataclass(frozen=True)
class File:
    """The bytes of a file or of a saved model, never opened by the grader itself."""

    content: bytes
    kind: str = "file"


@dataclass(frozen=True)
class Other:
    """Something that cannot be sent: only the name of its type and a few words of it."""

    type: str
    text: str


def encode(value: Any) -> tuple[Any, list[bytes]]:
    """Turn a value into JSON and blocks of bytes.

    Honest variants become one form: views, subclasses and parameters become contiguous tensors,
    numpy arrays of any byte order become tensors, numpy numbers become numbers, ranges and
    iterators become lists, a ``ScriptModule`` becomes its file.
    """
    blocks: list[bytes] = []

    def block(content: bytes) -> int:
        blocks.append(content)
        return len(blocks) - 1

    def walk(it: Any, depth: int = 0) -> Any:
        if depth > DEEPEST:
            return {"other": "nested too deeply", "text": ""}
        if it is None or isinstance(it, (bool, np.bool_)):
            return None if it is None else bool(it)
        if isinstance(it, str):
            return str(it)[:LONGEST]
        if isinstance(it, (bytes, bytearray, memoryview)):
            return {"file": block(bytes(it)), "kind": "bytes"}
        if isinstance(it, File):
            return {"file": block(it.content), "kind": it.kind}
        if isinstance(it, Tensor) and not it.is_quantized and it.layout == torch.strided:
            plain = it.detach().as_subclass(Tensor).cpu().resolve_conj().resolve_neg().contiguous()
            dtype = str(plain.dtype).removeprefix("torch.")
            if dtype in ("uint16", "uint32"):
                return walk(plain.long(), depth)
            if dtype in DTYPES:
                raw = plain.reshape(-1).view(torch.uint8).numpy().tobytes()
                return {"tensor": block(raw), "dtype": dtype, "shape": list(plain.shape)}
        if isinstance(it, np.ndarray) and it.dtype.kind in "biufc":
            return walk(torch.from_numpy(_of_torch(it)), depth)
        if isinstance(it, numbers.Integral):
            return int(it)
        if isinstance(it, numbers.Real):
            return float(it)
        if isinstance(it, torch.jit.ScriptModule):
            buffer = io.BytesIO()
            torch.jit.save(it, buffer)
            return {"file": block(buffer.getvalue()), "kind": "torchscript"}
        if isinstance(it, Mapping):
            return {"dict": [[walk(k, depth + 1), walk(v, depth + 1)] for k, v in it.items()]}
        for name, kind in (("list", list), ("tuple", tuple), ("set", Set)):
            if isinstance(it, kind):
                return {name: [walk(v, depth + 1) for v in it]}
        if isinstance(it, (range, Iterator, ValuesView)):
            return {"list": [walk(v, depth + 1) for v in itertools.islice(it, MOST)]}
        return {"other": type(it).__name__, "text": repr(it)[:200]}

    return walk(value), blocks


def _of_torch(array: np.ndarray) -> np.ndarray:
    """A contiguous copy in a dtype and byte order that torch has; the numbers stay."""
    kind, size = array.dtype.kind, array.dtype.itemsize
    wanted = array.dtype.newbyteorder("=")
    if kind == "u" and size > 1:
        fits = size < 8 or not array.size or int(array.max()) < 2**63
        wanted = np.dtype(np.int64 if fits else np.float64)
    elif kind == "f" and size > 8:
        wanted = np.dtype(np.float64)
    elif kind == "c" and size > 16:
        wanted = np.dtype(np.complex128)
    return np.array(array, dtype=wanted, order="C", subok=False)


def decode(form: Any, blocks: list[bytes]) -> Any:
    """The value of a message.

    Raises:
        NotPlain: if it is not exactly of the form above, or a tensor's bytes, dtype and shape
            do not fit each other.
    """
    left = MOST

    def content(number: Any) -> bytes:
        if type(number) is not int or not 0 <= number < len(blocks):
            raise NotPlain("a block of bytes is missing")
        return blocks[number]

    def walk(it: Any, depth: int = 0) -> Any:
        nonlocal left
        left -= 1
        if left < 0 or depth > DEEPEST + 1:
            raise NotPlain("the answer has too many or too deeply nested values")
        if it is None or type(it) in (bool, float):
            return it
        if type(it) is int:
            if it.bit_length() > 256:
                raise NotPlain("a whole number is too long")
            return it
        if type(it) is str:
            if len(it) > LONGEST:
                raise NotPlain("a text is too long")
            return clean(it)
        if type(it) is not dict:
            raise NotPlain("a value has no known form")
        keys = set(it)
        if keys == {"tensor", "dtype", "shape"}:
            return _tensor(content(it["tensor"]), it["dtype"], it["shape"])
        if keys == {"file", "kind"} and type(it["kind"]) is str:
            return File(content(it["file"]), it["kind"][:40])
        if keys == {"other", "text"} and type(it["other"]) is type(it["text"]) is str:
            return Other(clean(it["other"][:80]), clean(it["text"][:200]))
        if len(keys) == 1:
            name, items = next(iter(it.items()))
            if type(items) is list and name in ("list", "tuple"):
                return {"list": list, "tuple": tuple}[name](walk(v, depth + 1) for v in items)
            try:
                if type(items) is list and name == "set":
                    return frozenset(walk(v, depth + 1) for v in items)
                if type(items) is list and name == "dict":
                    return {walk(k, depth + 1): walk(v, depth + 1) for k, v in items}
            except (TypeError, ValueError) as error:
                raise NotPlain("a set or dict holds something that cannot be in one") from error
        raise NotPlain("a value has no known form")

    return walk(form)


def _tensor(content: bytes, dtype: Any, shape: Any) -> Tensor:
    if type(dtype) is not str or dtype not in DTYPES:
        raise NotPlain("a tensor has an unknown dtype")
    if type(shape) is not list or len(shape) > 8 or any(
        type(n) is not int or not 0 <= n < 2**31 for n in shape
    ):  # fmt: skip
        raise NotPlain("a tensor has no proper shape")
    kind = DTYPES[dtype]
    if math.prod(shape) * kind.itemsize != len(content):
        raise NotPlain("a tensor's bytes do not fit its dtype and shape")
    if not content:
        try:
            return torch.empty(shape, dtype=kind)
        except RuntimeError as error:  # [2**31 - 1, 2**31 - 1, 2**31 - 1, 0] has no strides
            raise NotPlain("a tensor has no proper shape") from error
    raw = torch.frombuffer(bytearray(content), dtype=torch.uint8)
    return (raw != 0 if kind is torch.bool else raw.view(kind)).reshape(shape)


def same_name(name: str) -> str:
    """The form in which two ways to write a name are equal: NFC, without blanks around, no case."""
    return unicodedata.normalize("NFC", name).strip().casefold()


def clean(text: str) -> str:
    """Text that can be written as UTF-8: half characters become question marks."""
    return text.encode("utf-8", "replace").decode("utf-8")
