"""One leaf of two trees of answers: how far the candidate's is from the reference's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum

import torch
from torch import Tensor

from mobilelab.core.errors import ShapeError
from mobilelab.core.signature import dtype_name
from mobilelab.core.trees import equal, plain
from mobilelab.tasks import Bounds, Task

#: How many times the error of all examples together one example may have by itself: examples
#: differ, and the bounds are those of the whole. For what is used as it is, half of its norm.
ALONE = 10
#: Elements that an example needs to be judged by itself: the norm of a few can be near 0 by chance.
MANY = 8
#: An example that is quieter than this share of the usual norm (their root mean square) is judged
#: as if it had it. Silence has no norm, and int8 leaves 0.7 % of the usual norm in it: a step is
#: 1/255 of a range of six standard deviations, and rounding to it costs 1 / sqrt(12) of a step.
QUIET = 0.02


class Verdict(str, Enum):
    """What a comparison comes to.

    >>> print(Verdict.CLOSE, Verdict.CLOSE.ok, Verdict.DIFFERENT.ok)
    close True False
    """

    SAME = "same"
    """Float rounding only."""
    CLOSE = "close"
    """As near as a quantized or pruned model may be."""
    DIFFERENT = "DIFFERENT"

    __str__ = str.__str__
    __hash__ = str.__hash__  # found in a dictionary by its word

    @property
    def ok(self) -> bool:
        """Whether the answers may be used in the reference's place."""
        return self is not Verdict.DIFFERENT


@dataclass(frozen=True)
class Leaf:
    """How far one leaf of the candidate's answers is from the reference's, over all examples."""

    path: str
    """Where it is in the tree; empty for an answer that is one tensor."""
    dtype: str
    """Element type in the reference."""
    max_abs: float
    """Largest absolute difference of any single element, in the unit of the answers."""
    rel_l2: float
    """L2 norm of the difference over the L2 norm of the reference; 0 is equal, 1 is as wrong
    as answering zero every time. Infinite where NaN or infinity stand in other places."""
    equal: float
    """Share of elements, 0 to 1, that are exactly equal."""
    measured: bool = False
    """Whether its task takes integers for numbers that may be a little off."""
    example: float = field(default=0.0, repr=False)
    """The largest error of one example against its own norm, so that none hides behind a louder
    one; 0 where an example has fewer than :data:`MANY` elements."""

    @property
    def counts(self) -> bool:
        """Whether it holds counts (integers, booleans), for which only equal is near."""
        kind = getattr(torch, self.dtype)
        numbers = kind.is_floating_point or kind.is_complex or "q" in self.dtype
        return not (numbers or self.measured)

    def verdict(self, bounds: Bounds) -> Verdict:
        """``same`` or ``close`` by the error, or by the share of equal elements for counts.

        The error of one example alone may be :data:`ALONE` times that of all together.
        """
        if self.counts:
            near = self.equal >= bounds.agree
            return Verdict.SAME if self.equal == 1 else Verdict.CLOSE if near else Verdict.DIFFERENT
        error = max(self.rel_l2, self.example / ALONE)
        near, same = error <= bounds.close, error <= bounds.same
        return Verdict.SAME if same else Verdict.CLOSE if near else Verdict.DIFFERENT


def measured(path: str, pairs: Sequence[tuple[Tensor, Tensor]], task: Task) -> Leaf:
    """One leaf over all examples.

    Raises:
        ShapeError: if an example's two leaves have different shapes.
    """
    largest, difference, size, alike, elements = 0.0, 0.0, 0.0, 0, 0
    gaps, norms = [], []
    sizes = [plain(ours) for ours, _ in pairs]
    sizes = [one[one.isfinite()].abs().max().item() for one in sizes if one.isfinite().any()]
    unit = max(sizes, default=0.0) or 1.0  # squares of numbers far from 1 leave float64
    for ours, theirs in pairs:
        if ours.shape != theirs.shape:
            called = f" of {path!r}" if path else ""
            raise ShapeError(
                f"Parity needs answers of one shape, but the reference's{called} have "
                f"{tuple(ours.shape)} and the candidate's {tuple(theirs.shape)}; run both models "
                "on the same batch."
            )
        same = equal(ours, theirs)
        alike, elements = alike + int(same.sum()), elements + same.numel()
        a, b = plain(ours), plain(theirs)
        b = b if b.shape == a.shape else b.reshape(-1).new_full(a.shape, math.nan)
        finite = a.isfinite() & b.isfinite()
        if not (finite | (a == b) | (a.isnan() & b.isnan())).all():
            largest = difference = math.inf
        gap, whole = ((x.where(finite, x.new_zeros(()))) / unit for x in (a - b, a))
        if gap.numel():
            largest = max(largest, gap.abs().max().item() * unit)
        difference += gap.square().sum().item()
        size += whole.square().sum().item()
        if (count := len(a) if len(pairs) == 1 and a.ndim > 1 else 1) and a.numel() >= count * MANY:
            gaps += gap.reshape(count, -1).norm(dim=1).tolist()
            norms += whole.reshape(count, -1).norm(dim=1).tolist()
    error = math.sqrt(difference / size) if size else (math.inf if difference else 0.0)
    dtype = dtype_name(pairs[0][0].dtype)
    share = alike / elements if elements else 1.0
    return Leaf(path, dtype, largest, error, share, task.measures_integers, _alone(gaps, norms))


def _alone(gaps: Sequence[float], norms: Sequence[float]) -> float:
    """The largest error of one example against its own norm, see :attr:`Leaf.example`."""
    usual = math.sqrt(sum(norm * norm for norm in norms) / len(norms)) if norms else 0.0
    floors = [max(norm, QUIET * usual) for norm in norms]
    return max((gap / floor for gap, floor in zip(gaps, floors, strict=True) if floor), default=0.0)
