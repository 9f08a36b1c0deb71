"""What the ``forward`` of a TorchScript file takes, by the annotations that it was compiled from.

The lite interpreter does not look at what it is called with: one tensor too many, or a list in the
place of a tensor, ends the process.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from mobilelab.core.errors import ShapeError
from mobilelab.core.signature import Example, described


@dataclass(frozen=True)
class Argument:
    """One input."""

    name: str
    annotation: str
    """Its type as Python writes it: ``Tensor``, ``Optional[Tensor]``, ``Dict[str, Tensor]``."""
    needed: bool = True
    """Whether there is no default for it."""


#: Python's classes of the plain types.
_PLAIN: dict[str, type | tuple[type, ...]] = {
    "Tensor": Tensor, "int": int, "float": (float, int), "bool": bool, "str": str,
    "number": (int, float, complex), "complex": (complex, float, int), "NoneType": type(None),
}  # fmt: skip


def fits(annotation: str, value: object) -> bool:
    """Whether a value is of an annotated type. What is not known here is taken for fitting.

    >>> fits("List[int]", [1, 2]), fits("Optional[Tensor]", None), fits("Tensor", 1.0)
    (True, True, False)
    """
    try:
        return _fits(ast.parse(annotation, mode="eval").body, value)
    except SyntaxError:
        return True


def _fits(kind: ast.expr, value: object) -> bool:
    if isinstance(kind, ast.Name):
        known = kind.id != "int" or not isinstance(value, bool)
        return known and isinstance(value, _PLAIN.get(kind.id, object))
    if not (isinstance(kind, ast.Subscript) and isinstance(kind.value, ast.Name)):
        return True
    parts = kind.slice.elts if isinstance(kind.slice, ast.Tuple) else [kind.slice]
    if kind.value.id == "Optional":
        return value is None or _fits(parts[0], value)
    if kind.value.id == "List":
        return isinstance(value, (list, tuple)) and all(_fits(parts[0], one) for one in value)
    if kind.value.id == "Dict":
        return isinstance(value, dict) and all(
            _fits(parts[0], name) and _fits(parts[1], one) for name, one in value.items()
        )
    if kind.value.id == "Tuple":
        if not isinstance(value, tuple) or len(value) != len(parts):
            return False
        return all(_fits(part, one) for part, one in zip(parts, value, strict=True))
    return True


def check_inputs(file: str, arguments: Sequence[Argument], example: Example) -> None:
    """Refuse inputs of another number, name or type than ``forward`` takes.

    Args:
        file: the file's name, for the sentence.
        arguments: what it takes.
        example: what it would be called with.

    Raises:
        ShapeError: naming what is wanted.
    """
    wanted = ", ".join(f"{it.name} ({it.annotation})" for it in arguments) or "none"
    given = described(example.leaves()) or "nothing"
    count, most = len(example.args) + len(example.named), len(arguments)
    needed = sum(it.needed for it in arguments)
    if not needed <= count <= most:
        many = str(needed) if needed == most else f"{needed} to {most}"
        raise ShapeError(
            f"{file} takes {many} input{'s' if many != '1' else ''}, {wanted}, and got {given}."
        )
    rest = [it.name for it in arguments[len(example.args) :]]
    if unknown := [name for name in example.named if name not in rest]:
        raise ShapeError(
            f"{file} has no input {', '.join(unknown)} beside its first {len(example.args)}; its "
            f"inputs are {wanted}."
        )
    values = dict(zip((it.name for it in arguments), example.args, strict=False))
    values |= example.named
    for it in arguments:
        if it.name not in values:
            if it.needed:
                raise ShapeError(f"{file} got no {it.name}; its inputs are {wanted}.")
        elif not fits(it.annotation, values[it.name]):
            got = type(values[it.name]).__name__
            raise ShapeError(
                f"{file} takes {it.annotation} as {it.name}, not {got}; its inputs are {wanted}."
            )
