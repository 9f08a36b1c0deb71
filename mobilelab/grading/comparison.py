"""Whether an answer is the expected one, and both in words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Set
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mobilelab.grading.serialize import File, Other


def compare(expected: Any, got: Any, tolerance: float = 0.0) -> tuple[bool, str]:
    """Whether ``got`` is the right answer, and what is wrong with its kind if it is not.

    Only plain data is compared, of exactly the expected kind. What honest answers vary in is
    accepted: a tensor of another float dtype, a one-element tensor or a number of numpy's where a
    number is wanted, 3.0 where 3 is, a tuple for a list.
    """
    if isinstance(expected, Tensor):
        return _compare_tensors(expected, got, tolerance)
    if isinstance(got, np.generic):
        got = got.item()
    if type(got) is not type(expected) and isinstance(got, Tensor) and got.numel() == 1:
        got = got.item()
    if isinstance(expected, bool) or isinstance(got, bool):
        right_kind = isinstance(expected, bool) and isinstance(got, bool)
        return right_kind and expected is got, "" if right_kind else _kinds(expected, got)
    if isinstance(expected, int):
        if type(got) not in (int, float):
            return False, _kinds(expected, got)
        return bool(abs(got - expected) <= tolerance), ""
    if isinstance(expected, float):
        if type(got) not in (int, float):
            return False, _kinds(expected, got)
        if math.isnan(expected) or math.isnan(got):
            return math.isnan(expected) and math.isnan(got), ""
        return bool(got == expected or abs(got - expected) <= tolerance), ""
    if isinstance(expected, (list, tuple)):
        if not isinstance(got, (list, tuple)):
            return False, _kinds(expected, got)
        if len(got) != len(expected):
            return False, f"{len(got)} elements, {len(expected)} are wanted"
        for a, b in zip(expected, got, strict=True):
            ok, why = compare(a, b, tolerance)
            if not ok:
                return False, why
        return True, ""
    if isinstance(expected, Mapping):
        if not isinstance(got, Mapping):
            return False, _kinds(expected, got)
        if set(expected) != set(got):
            return False, "other keys are wanted"
        for key in expected:
            ok, why = compare(expected[key], got[key], tolerance)
            if not ok:
                return False, why
        return True, ""
    if isinstance(expected, Set):
        right_kind = isinstance(got, Set)
        return right_kind and set(got) == set(expected), "" if right_kind else _kinds(expected, got)
    if type(got) is not type(expected):
        return False, _kinds(expected, got)
    return got == expected, ""


def _compare_tensors(expected: Tensor, got: Any, tolerance: float) -> tuple[bool, str]:
    if not isinstance(got, Tensor):
        return False, f"{_kind(got)}, a tensor is wanted"
    if got.shape != expected.shape:
        return False, f"shape {tuple(got.shape)}, {tuple(expected.shape)} is wanted"
    if got.is_complex() != expected.is_complex():
        return False, f"dtype {got.dtype}, {expected.dtype} is wanted"
    if (got.dtype is torch.bool) != (expected.dtype is torch.bool):
        return False, f"dtype {got.dtype}, {expected.dtype} is wanted"
    wide = torch.complex128 if expected.is_complex() else torch.float64
    near = torch.isclose(got.to(wide), expected.to(wide), rtol=0, atol=tolerance)
    return bool(near.all()), ""


def _kind(value: Any) -> str:
    if isinstance(value, Other):
        return value.type
    if isinstance(value, File):
        return f"a {value.kind} file"
    return "a set" if isinstance(value, Set) else type(value).__name__


def _kinds(expected: Any, got: Any) -> str:
    return f"{_kind(got)}, {_kind(expected)} is wanted"


def side_by_side(expected: Any, got: Any, tolerance: float) -> tuple[str, str]:
    """Expected and got as text; of two tensors, the first place in which they differ."""
    if isinstance(expected, Tensor) and isinstance(got, Tensor) and got.shape == expected.shape:
        a, b = expected.double(), got.double()
        for place in (~torch.isclose(b, a, rtol=0, atol=tolerance)).nonzero().tolist()[:1]:
            where = f" at position {place}" if place else ""
            at = tuple(place)
            return f"{a[at].item():.6g}{where}", f"{b[at].item():.6g}{where}"
    return show(expected), show(got)


def _takes_long(value: Any) -> bool:
    """Whether a container holds so much that its text is not worth the time."""
    waiting, seen = [value], 0
    while waiting:
        one = waiting.pop()
        seen += 40 if isinstance(one, Tensor) else 1
        if seen > 2000:
            return True
        if isinstance(one, dict):
            waiting += [*one.keys(), *one.values()][:2000]
        elif isinstance(one, (list, tuple)):
            waiting += one[:2000]
    return False


def show(value: Any) -> str:
    """A value in a line."""
    if isinstance(value, Tensor):
        first = [round(v, 5) if isinstance(v, float) else v for v in value.flatten()[:6].tolist()]
        return f"tensor of shape {tuple(value.shape)}, {first}{'...' if value.numel() > 6 else ''}"
    if isinstance(value, Set):
        return "{" + ", ".join(repr(v) for v in sorted(value, key=repr)) + "}"
    if isinstance(value, Other):
        return f"{value.type}: {value.text}"
    if isinstance(value, File):
        return f"a {value.kind} file of {len(value.content)} bytes"
    if isinstance(value, (list, tuple, dict)) and _takes_long(value):
        return f"a {type(value).__name__} of {len(value)}"
    text = f"{value:.6g}" if isinstance(value, float) else repr(value)
    return text if len(text) <= 200 else text[:200] + "..."
