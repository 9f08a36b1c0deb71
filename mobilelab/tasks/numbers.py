"""Classes, yes or no, numbers and vectors."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from mobilelab.core.errors import ShapeError
from mobilelab.core.quantity import Quantity
from mobilelab.core.trees import Tree, leaves, plain
from mobilelab.tasks.base import USED, Bounds, Task, each, joined, leaf_of, paths_of


@dataclass(frozen=True)
class Classification(Task):
    """One class for each example: the largest score along an axis.

    Args:
        output: path of the scores; empty where they are the only leaf.
        axis: where the classes are.

    >>> scores = torch.tensor([[0.1, 2.0, 0.3], [5.0, 1.0, 1.0]])
    >>> Classification().decide(scores), Classification().score(scores, torch.tensor([1, 2]))
    (tensor([1, 0]), 0.5)
    """

    output: str = ""
    axis: int = 1
    metric: ClassVar[Quantity] = Quantity("accuracy", "%")

    def decide(self, answers: Tree) -> Tensor:
        """Class numbers, shape of the scores without ``axis``; -1 where a score is NaN or inf."""
        scores = leaf_of(answers, self.output)
        if scores.ndim <= self.axis or scores.shape[self.axis] < 2:
            raise ShapeError(
                f"Classes are read from scores of two classes or more along axis {self.axis}, and "
                f"these have the shape {tuple(scores.shape)}; for one score use tasks.Binary, for "
                "a number tasks.Regression."
            )
        numbers = plain(scores)
        undecided = (numbers.isnan() | numbers.isposinf()).any(self.axis)
        return numbers.argmax(self.axis).masked_fill(undecided, -1)

    def score(self, answers: Tree, targets: Tensor) -> float:
        """Share of right classes, 0 to 1; ``targets`` are class numbers, shape ``(n,)``."""
        return share(joined(answers, self.decide), targets)


def share(decisions: Tensor, targets: Any) -> float:
    """Share of decisions that are the target's, 0 to 1."""
    targets = torch.as_tensor(targets)
    if decisions.shape != targets.shape or not targets.numel():
        raise ShapeError(
            f"There are decisions of shape {tuple(decisions.shape)} and targets of shape "
            f"{tuple(targets.shape)}; they have to be equal, and not empty."
        )
    return (decisions == targets).double().mean().item()


@dataclass(frozen=True)
class Binary(Task):
    """Yes or no for each score: also multi-label, with a column for each label.

    Args:
        threshold: a score above it means yes. For logits that is 0.
        output: path of the scores.

    >>> Binary(threshold=0.0).decide(torch.tensor([[3.2, -1.0]]))  # logits of two labels
    tensor([[1, 0]])
    """

    threshold: float = 0.5
    output: str = ""
    metric: ClassVar[Quantity] = Quantity("accuracy", "%")
    decisions: ClassVar[str] = "yes-or-no decisions"

    def decide(self, answers: Tree) -> Tensor:
        """1 and 0 in the shape of the scores; -1 where a score is NaN."""
        scores = plain(leaf_of(answers, self.output))
        return (scores > self.threshold).long().masked_fill(scores.isnan(), -1)

    def score(self, answers: Tree, targets: Tensor) -> float:
        """Share of right decisions, 0 to 1; ``targets`` are 0 and 1 in the scores' shape."""
        wanted = torch.as_tensor(targets)
        if not ((wanted == 0) | (wanted == 1)).all():
            raise ShapeError("Targets of yes-or-no decisions are 0 and 1, nothing between them.")
        return share(joined(answers, self.decide), wanted.long())


@dataclass(frozen=True)
class Regression(Task):
    """Numbers that are used as they are.

    Args:
        tolerance: two numbers agree if they differ by at most this share of the reference's
            standard deviation over all examples (of its size where there is one number only).
            Outputs beside each other, such as boxes in pixels and scores, may have other units:
            each index of the second and of the last axis has a deviation of its own, from 20
            numbers on. What differs by rounding only (``bounds.same``) agrees as well.
        output: path of the numbers; empty: all leaves.

    >>> Regression().score(torch.tensor([1.0, 2.0]), torch.tensor([1.5, 2.5]))
    0.5
    """

    tolerance: float = 0.05
    output: str = ""
    metric: ClassVar[Quantity] = Quantity("mean absolute error", more_is_better=False)
    decisions: ClassVar[str] = "numbers"
    bounds: Bounds = USED

    def decide(self, answers: Tree) -> Tensor:
        """All numbers, one after the other."""
        chosen = [leaf_of(answers, self.output)] if self.output else leaves(answers).values()
        return torch.cat([plain(leaf).flatten() for leaf in chosen] or [torch.empty(0)])

    def agreement(self, reference: Tree, candidate: Tree) -> tuple[float, int]:
        """How many numbers are within the tolerance of the reference's."""
        return self.count(reference, candidate)

    def count(self, reference: Tree, candidate: Tree) -> tuple[float, int]:
        """The same over all examples: the spread is theirs, in one batch or one by one."""
        equal = total = 0
        for name in [self.output] if self.output else paths_of(reference):
            ours, theirs = (
                [plain(leaf_of(tree, name)) for tree in each(answers) if self._has(tree, name)]
                for answers in (reference, candidate)
            )
            near = self._near(ours, theirs)
            equal, total = equal + near.sum().item(), total + near.numel()
        return equal, total

    def _has(self, tree: Tree, name: str) -> bool:
        return name == self.output or name in leaves(tree)

    def _near(self, ours: list[Tensor], theirs: list[Tensor]) -> Tensor:
        """Which numbers of one leaf agree, over all examples, one after the other."""
        a, b = (torch.cat([leaf.flatten() for leaf in side]) for side in (ours, theirs))
        if a.shape != b.shape:
            raise ShapeError(
                f"There are {len(a)} numbers in the reference's answers and {len(b)} in the "
                "candidate's (a complex one counts as two)."
            )
        allowed = torch.full_like(a, _spread(a))
        ranks = {leaf.ndim for leaf in ours if a.numel()} or {0}
        for axis in {1, -1} if ranks == {max(ranks)} and max(ranks) > 1 else ():
            indices = torch.cat([_along(leaf, axis).flatten() for leaf in ours])
            allowed = allowed.minimum(_spreads(a, indices)[indices])
        gap = (a - b).abs()
        near = gap <= (self.tolerance * allowed).maximum(self.bounds.same * a.abs())
        return near | (a == b) | (a.isnan() & b.isnan())

    def score(self, answers: Tree, targets: Tree) -> float:
        """Mean absolute error, in the unit of the numbers."""
        names = [self.output] if self.output else paths_of(answers)
        ours = torch.cat([_numbers(answers, name) for name in names])
        wanted = torch.cat(
            [_numbers(targets, name) for name in paths_of(targets)] or [torch.empty(0)]
        )
        if ours.shape != wanted.shape or not len(wanted):
            raise ShapeError(f"There are {len(ours)} numbers and {len(wanted)} targets.")
        return (ours - wanted).abs().mean().item()


def _numbers(answers: Tree, name: str) -> Tensor:
    """All numbers of one leaf, over all examples."""
    return torch.cat([plain(leaf_of(tree, name)).flatten() for tree in each(answers)])


def _spread(numbers: Tensor) -> float:
    finite = numbers[numbers.isfinite()]
    return finite.std().item() if finite.numel() > 1 else finite.abs().sum().item()


def _spreads(numbers: Tensor, groups: Tensor) -> Tensor:
    """Standard deviation of each group; infinity for a group of fewer than 20 finite numbers."""
    finite = numbers.isfinite()
    many = int(groups.max()) + 1
    held, groups = numbers[finite], groups[finite]
    count = groups.bincount(minlength=many)
    mean = held.new_zeros(many).index_add(0, groups, held) / count
    squares = held.new_zeros(many).index_add(0, groups, (held - mean[groups]).square())
    return (squares / (count - 1)).sqrt().masked_fill(count < 20, math.inf)


def _along(leaf: Tensor, axis: int) -> Tensor:
    """For each element its index along an axis."""
    shape = [1] * leaf.ndim
    shape[axis] = leaf.shape[axis]
    return torch.arange(leaf.shape[axis]).reshape(shape).expand(leaf.shape)


@dataclass(frozen=True)
class Embedding(Task):
    """A vector for each example, whose direction counts.

    Args:
        least: two vectors agree if their cosine is at least this.
        output: path of the vectors, shape ``(n, size)``.

    >>> Embedding().agree(torch.tensor([[3.0, 4.0]]), torch.tensor([[0.6, 0.8]]))
    (1.0, 1)
    """

    least: float = 0.99
    output: str = ""
    metric: ClassVar[Quantity] = Quantity("mean cosine", more_is_better=True)
    decisions: ClassVar[str] = "directions"
    bounds: Bounds = USED

    def decide(self, answers: Tree) -> Tensor:
        """Vectors of length 1."""
        return torch.nn.functional.normalize(plain(leaf_of(answers, self.output)), dim=-1)

    def agreement(self, reference: Tree, candidate: Tree) -> tuple[float, int]:
        """Vectors that point the same way."""
        ours, theirs = self.decide(reference), self.decide(candidate)
        near = (ours * theirs).sum(-1) >= self.least
        near |= (ours == 0).all(-1) & (theirs == 0).all(-1)  # a vector of zeros has no direction
        return near.sum().item(), near.numel()

    def score(self, answers: Tree, targets: Tree) -> float:
        """Mean cosine with the targets, -1 to 1."""
        ours, wanted = joined(answers, self.decide), joined(targets, self.decide)
        if ours.shape != wanted.shape:
            raise ShapeError(
                f"There are vectors {tuple(ours.shape)} and targets {tuple(wanted.shape)}."
            )
        return (ours * wanted).sum(-1).mean().item()
