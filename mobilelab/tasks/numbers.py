"""Classes, yes or no, numbers and vectors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from mobilelab.core.errors import ShapeError
from mobilelab.core.trees import Tree, leaves, plain
from mobilelab.tasks.base import USED, Bounds, Metric, Task, each, joined, leaf_of


@dataclass(frozen=True)
class Classification(Task):
    """One class for each example: the largest score along an axis.

    Args:
        output: path of the scores; empty where they are the only leaf.
        axis: where the classes are.
    """

    output: str = ""
    axis: int = 1
    metric: ClassVar[Metric] = Metric("accuracy", "%")

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


def share(decisions: Tensor, targets: Tensor) -> float:
    """Share of decisions that are the target's, 0 to 1."""
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
    """

    threshold: float = 0.5
    output: str = ""
    metric: ClassVar[Metric] = Metric("accuracy", "%")
    decisions: ClassVar[str] = "yes-or-no decisions"

    def decide(self, answers: Tree) -> Tensor:
        """1 and 0 in the shape of the scores; -1 where a score is NaN."""
        scores = plain(leaf_of(answers, self.output))
        return (scores > self.threshold).long().masked_fill(scores.isnan(), -1)

    def score(self, answers: Tree, targets: Tensor) -> float:
        """Share of right decisions, 0 to 1; ``targets`` are 0 and 1 in the scores' shape."""
        return share(joined(answers, self.decide), targets.long())


@dataclass(frozen=True)
class Regression(Task):
    """Numbers that are used as they are.

    Args:
        tolerance: two numbers agree if they differ by at most this share of the reference's
            standard deviation over all examples (of its size where there is one number only).
        output: path of the numbers; empty: all leaves.
    """

    tolerance: float = 0.05
    output: str = ""
    metric: ClassVar[Metric] = Metric("mean absolute error", more_is_better=False)
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
        chosen = [self.output] if self.output else list(leaves(each(reference)[0]))
        equal = total = 0
        for name in chosen:
            ours, theirs = (
                joined(answers, lambda tree, name=name: plain(leaf_of(tree, name)).flatten())
                for answers in (reference, candidate)
            )
            finite = ours[ours.isfinite()]
            spread = finite.std().item() if finite.numel() > 1 else finite.abs().sum().item()
            near = (ours - theirs).abs() <= self.tolerance * spread
            near |= (ours == theirs) | (ours.isnan() & theirs.isnan())
            equal, total = equal + near.sum().item(), total + near.numel()
        return equal, total

    def score(self, answers: Tree, targets: Tree) -> float:
        """Mean absolute error, in the unit of the numbers."""
        ours = joined(answers, self.decide)
        wanted = joined(targets, self.decide)
        if ours.shape != wanted.shape or not len(wanted):
            raise ShapeError(f"There are {len(ours)} numbers and {len(wanted)} targets.")
        return (ours - wanted).abs().mean().item()


@dataclass(frozen=True)
class Embedding(Task):
    """A vector for each example, whose direction counts.

    Args:
        least: two vectors agree if their cosine is at least this.
        output: path of the vectors, shape ``(n, size)``.
    """

    least: float = 0.99
    output: str = ""
    metric: ClassVar[Metric] = Metric("mean cosine", more_is_better=True)
    decisions: ClassVar[str] = "directions"
    bounds: Bounds = USED

    def decide(self, answers: Tree) -> Tensor:
        """Vectors of length 1."""
        return torch.nn.functional.normalize(plain(leaf_of(answers, self.output)), dim=-1)

    def agreement(self, reference: Tree, candidate: Tree) -> tuple[float, int]:
        """Vectors that point the same way."""
        cosine = (self.decide(reference) * self.decide(candidate)).sum(-1)
        return (cosine >= self.least).sum().item(), cosine.numel()

    def score(self, answers: Tree, targets: Tree) -> float:
        """Mean cosine with the targets, -1 to 1."""
        ours, wanted = joined(answers, self.decide), joined(targets, self.decide)
        return (ours * wanted).sum(-1).mean().item()
