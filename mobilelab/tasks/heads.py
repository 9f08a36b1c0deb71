"""Several answers at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mobilelab.core.errors import StructureError
from mobilelab.core.quantity import Quantity
from mobilelab.core.trees import Answers, Tree
from mobilelab.tasks.base import Task, each, part_of


class Heads(Task):
    """Several answers at once, each with a task, bounds and a verdict of its own; the worst counts.

    Args:
        heads: path of a leaf or branch to the task that reads it; the first gives the metric.

    >>> faces = Heads({"age": Regression(), "smiles": Binary()})
    >>> faces.metric.name
    'mean absolute error'
    """

    decisions = "decisions of all heads"

    def __init__(self, heads: Mapping[str, Task]) -> None:
        if not heads:
            raise StructureError("Heads needs at least one head.")
        self.heads = dict(heads)

    @property
    def metric(self) -> Quantity:  # type: ignore[override]
        """The first head's."""
        return next(iter(self.heads.values())).metric

    def decide(self, answers: Tree) -> list[Any]:
        """What each head decides, one after the other."""
        return [task.decide(part_of(answers, name)) for name, task in self.heads.items()]

    def agreement(self, reference: Tree, candidate: Tree) -> tuple[float, int]:
        """Equal decisions of all heads."""
        return self.count(reference, candidate)

    def count(self, reference: Tree, candidate: Tree) -> tuple[float, int]:
        """The same over all examples, each head by its own task."""
        counts = [
            task.count(*(
                Answers(part_of(tree, name) for tree in each(answers))
                for answers in (reference, candidate)
            ))
            for name, task in self.heads.items()
        ]  # fmt: skip
        return sum(equal for equal, _ in counts), sum(total for _, total in counts)

    def score(self, answers: Tree, targets: Mapping[str, Any]) -> float:
        """The first head's score; :meth:`scores` gives all."""
        return next(iter(self.scores(answers, targets).values()))

    def scores(self, answers: Tree, targets: Mapping[str, Any]) -> dict[str, float]:
        """The score of each head, in the unit of its own metric."""
        found = {}
        for name, task in self.heads.items():
            parts = Answers(part_of(tree, name) for tree in each(answers))
            found[name] = task.score(parts, targets[name])
        return found
