"""What a task is: decisions, their agreement, and a metric."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar

import torch
from torch import Tensor

from mobilelab.core.errors import StructureError
from mobilelab.core.quantity import Quantity
from mobilelab.core.trees import Answers, Tree, leaves


@dataclass(frozen=True)
class Bounds:
    """Where ``same`` ends and where ``close`` ends.

    Attributes:
        same: relative L2 error of a leaf up to which two float computations are the same.
            Reordering float32 arithmetic costs 1e-7 to 1e-6, a wrong answer is around 1; 1e-4
            lies between the two, a hundred times above the one.
        close: relative L2 error of a leaf up to which a converted model is close. int8 costs the
            course's networks 0.02 to 0.1, half of the channels and an epoch of training 0.32;
            a preprocessing step that was lost costs 0.47.
        agree: share of decisions, 0 to 1, that have to be equal for it.

    >>> Bounds(close=0.1)
    Bounds(same=0.0001, close=0.1, agree=0.97)
    """

    same: float = 1e-4
    close: float = 0.4
    agree: float = 0.97


#: Answers that are decided upon (a class, a box): the decisions are what counts, so the scores
#: behind them may move by 40 % of their norm, and 97 % of the decisions must stay.
DECIDED = Bounds()
#: Answers that are used as they are (a temperature, a picture): 5 % of their norm.
USED = Bounds(close=0.05, agree=0.95)


class Task(ABC):
    """How answers are read.

    Answers are a tree whose leaves have the examples on their first axis, or an
    :class:`~mobilelab.core.trees.Answers` list with a tree for each example.

    A task of one's own says what is decided, and how good that is:

    >>> class Parity(Task):
    ...     metric = Quantity("right", "%")
    ...     def decide(self, answers):
    ...         return leaf_of(answers, "").round() % 2
    ...     def score(self, answers, targets):
    ...         return (self.decide(answers) == targets).double().mean().item()
    >>> Parity().agree(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([1.1, 2.2, 4.0]))
    (0.6666666666666666, 3)
    """

    metric: ClassVar[Quantity]
    #: What :meth:`agreement` counts, in the plural.
    decisions: ClassVar[str] = "predictions"
    bounds: Bounds = DECIDED
    #: Whether an answer has its place, so that two models' leaves have the same shapes. Boxes have
    #: none: in another order, or with one more, they are compared by their decisions alone.
    same_shapes: ClassVar[bool] = True
    #: Whether leaves of integers are numbers that may be a little off, and not counts.
    measures_integers: ClassVar[bool] = False
    #: Tasks of parts of the answers, by the parts' paths, each with a verdict of its own.
    heads: Mapping[str, Task] = MappingProxyType({})

    @abstractmethod
    def decide(self, answers: Tree) -> Any:
        """What one tree of answers decides: a tensor, or a list, of things that can be equal."""

    @abstractmethod
    def score(self, answers: Tree, targets: Any) -> float:
        """How good answers are, in the unit of :attr:`metric`."""

    def agreement(self, reference: Tree, candidate: Tree) -> tuple[float, int]:
        """How many decisions of one tree of answers are equal, and how many there are."""
        ours, theirs = self.decide(reference), self.decide(candidate)
        if isinstance(ours, Tensor):
            return (ours == theirs).sum().item(), ours.numel()
        if len(ours) != len(theirs):
            return 0, max(len(ours), len(theirs))
        return sum(a == b for a, b in zip(ours, theirs, strict=True)), len(ours)

    def agree(self, reference: Tree, candidate: Tree) -> tuple[float, int]:
        """:meth:`agreement` over all examples: the share of equal decisions, and their number."""
        equal, total = self.count(reference, candidate)
        return (equal / total if total else 1.0), total

    def count(self, reference: Tree, candidate: Tree) -> tuple[float, int]:
        """:meth:`agreement` summed up over all examples."""
        pairs = zip(each(reference), each(candidate), strict=True)
        counts = [self.agreement(a, b) for a, b in pairs]
        return sum(equal for equal, _ in counts), sum(total for _, total in counts)


def each(answers: Tree) -> list[Tree]:
    """The trees of an :class:`Answers` list; any other tree is one.

    >>> len(each(Answers([torch.zeros(1), torch.ones(1)]))), len(each(torch.zeros(2)))
    (2, 1)
    """
    return list(answers) if isinstance(answers, Answers) else [answers]


def leaf_of(answers: Tree, name: str) -> Tensor:
    """One leaf of a tree of answers, by its path; an empty name stands for the only one.

    Raises:
        StructureError: if there is no such leaf, or more than one where none was named.

    >>> leaf_of({"scores": torch.ones(1), "boxes": torch.zeros(4)}, "scores")
    tensor([1.])
    """
    found = leaves(answers)
    if name in found:
        return found[name]
    if not name and len(found) == 1:
        return next(iter(found.values()))
    listed = ", ".join(map(repr, found)) or "none"
    asked = f"called {name!r}" if name else "without a name"
    raise StructureError(
        f"A task reads a leaf {asked}, and the answers have {listed}; name one in the task, as in "
        "tasks.Classification('scores')."
    )


def part_of(answers: Tree, name: str) -> Tree:
    """A leaf, or the leaves of a branch without the branch's name.

    Raises:
        StructureError: if there is neither.
    """
    found = leaves(answers)
    if name in found:
        return found[name]
    start = f"{name}."
    part = {path.removeprefix(start): x for path, x in found.items() if path.startswith(start)}
    if not part:
        raise StructureError(
            f"The answers have no head {name!r}; they have {', '.join(found) or 'nothing'}."
        )
    return part


def paths_of(answers: Tree) -> list[str]:
    """The paths of all leaves, also of those that some trees of the list do not have."""
    return list(dict.fromkeys(path for tree in each(answers) for path in leaves(tree)))


def joined(answers: Tree, read: Callable[[Tree], Tensor]) -> Tensor:
    """What is read from each tree, along the first axis."""
    return torch.cat([read(tree) for tree in each(answers)])
