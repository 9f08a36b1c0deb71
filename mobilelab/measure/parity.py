"""Same answers? The comparison that comes before size and speed.

Every conversion in the course is followed by ``compare(reference, candidate)``: answers of
the float model against answers of whatever it was turned into, on the same real inputs.
Chapter 02 introduces it on class scores. It takes any tree of tensors, leaf by leaf.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from mobilelab.core.errors import ShapeError, StructureError
from mobilelab.core.trees import Answers, Tree, leaves
from mobilelab.measure.leaf import Leaf, Verdict, measured
from mobilelab.tasks import DECIDED, Bounds, Task, each, guess
from mobilelab.tasks.base import part_of, paths_of

#: Relative L2 error up to which two float computations count as the same answers.
SAME = DECIDED.same


@dataclass(frozen=True, repr=False)
class Parity:
    """How far a candidate's answers are from the reference's."""

    max_abs: float
    """Largest absolute difference of any single element, in the unit of the answers."""
    rel_l2: float
    """The largest relative L2 error of any leaf, see :class:`Leaf`; NaN, as ``max_abs``, where
    answers differ in number and only decisions could be compared."""
    agreement: float
    """Share of decisions, 0 to 1, that both take alike."""
    inputs: int
    """Number of decisions compared; in a classification, of inputs."""
    leaves: tuple[Leaf, ...]
    decisions: str = "predictions"
    """What was counted."""
    bounds: Bounds = DECIDED
    heads: tuple[tuple[str, Parity], ...] = ()
    """Of answers with several heads: each by its own task and bounds."""

    @property
    def verdict(self) -> Verdict:
        """Of the worst leaf and of the decisions; of several heads the worst."""
        if self.heads:
            return max((head.verdict for _, head in self.heads), key=list(Verdict).index)
        verdicts = [leaf.verdict(self.bounds) for leaf in self.leaves] or [Verdict.CLOSE]
        if Verdict.DIFFERENT in verdicts or self.agreement < self.bounds.agree:
            return Verdict.DIFFERENT
        exact = set(verdicts) == {Verdict.SAME} and self.agreement == 1.0
        return Verdict.SAME if exact else Verdict.CLOSE

    @property
    def worst(self) -> Leaf | None:
        """The leaf that decides the verdict; ``None`` where only decisions were compared."""
        order = list(Verdict)
        return max(
            self.leaves,
            key=lambda leaf: (order.index(leaf.verdict(self.bounds)), leaf.rel_l2),
            default=None,
        )

    def __repr__(self) -> str:
        if self.heads and self.verdict is not Verdict.SAME:
            order = list(Verdict)
            name, head = max(self.heads, key=lambda one: order.index(one[1].verdict))
            return f"{head!r} (head {name}, the worst of {len(self.heads)})"
        agree = f"{self.agreement:.1%} of {self.inputs} {self.decisions} agree"
        if self.worst is None:
            return f"{self.verdict}: {agree}"
        many = f" ({self.worst.path}, the worst of {len(self.leaves)})"
        one = self.worst
        alone = ""
        if one.verdict(self.bounds) is not replace(one, example=0.0).verdict(self.bounds):
            alone = f", of one example alone {one.example:.1e}"
        return (
            f"{self.verdict}: relative error {self.rel_l2:.1e}{alone}, largest difference "
            f"{self.max_abs:.1e}{many if len(self.leaves) > 1 else ''}, {agree}"
        )


def compare(reference: Tree, candidate: Tree, task: Task | None = None) -> Parity:
    """Compare a candidate's answers with the reference's.

    Args:
        reference: answers of the float model: a tensor such as class scores ``(n, classes)``, a
            tree of tensors with the examples on the first axis, or an
            :class:`~mobilelab.core.trees.Answers` list with a tree for each example.
        candidate: answers of the converted model to the same inputs, with the same leaves. Where
            it has a tuple or list of as many leaves under other names, as files without names
            give it, they are taken in their order.
        task: what the answers are for (:mod:`mobilelab.tasks`). Without one it is guessed from
            their shape, see :func:`mobilelab.tasks.guess`.

    Returns:
        Errors of each leaf, agreement and a verdict. NaN is equal to NaN and -inf to -inf, as a
        masked score is; where only one side has them the error is infinite. Complex numbers
        count as pairs, quantized tensors as the floats that they stand for, and an empty leaf
        is equal to an empty leaf.

    Raises:
        StructureError: if the two do not have the same leaves.
        ShapeError: if two leaves have different shapes, or there is nothing to compare.

    >>> exact = torch.tensor([[0.1, 2.0, 0.3], [5.0, 1.0, 1.0]])
    >>> compare(exact, exact * 1.1)
    close: relative error 1.0e-01, largest difference 5.0e-01, 100.0% of 2 predictions agree
    """
    ours, theirs = each(reference), each(candidate)
    if len(ours) != len(theirs) or not ours:
        raise ShapeError(
            f"There are answers to {len(ours)} and to {len(theirs)} examples; run both models on "
            "the same ones, at least one."
        )
    task = guess(reference) if task is None else task
    theirs = [_named_like(a, b) for a, b in zip(ours, theirs, strict=True)]
    pairs = [(leaves(a), leaves(b)) for a, b in zip(ours, theirs, strict=True)]
    if not any(leaf.numel() for tree, _ in pairs for leaf in tree.values()):
        shapes = [tuple(leaf.shape) for leaf in pairs[0][0].values()]
        raise ShapeError(f"There is nothing to compare in answers of shape {shapes}.")
    if task.heads:
        return _by_head(ours, theirs, task)
    found = _leaves(pairs, task)
    share, total = task.agree(Answers(ours), Answers(theirs))
    if not total and (not found or any(leaf.verdict(task.bounds) != "same" for leaf in found)):
        raise ShapeError(
            f"There are no {task.decisions} in either model's answers, and those are not the same: "
            "nothing can be said. Take examples with some, or another threshold in the task."
        )
    numbers = [leaf for leaf in found if not leaf.counts] or found
    return Parity(
        max_abs=_largest(leaf.max_abs for leaf in numbers),
        rel_l2=_largest(leaf.rel_l2 for leaf in numbers),
        agreement=share,
        inputs=total,
        leaves=found,
        decisions=task.decisions,
        bounds=task.bounds,
    )


def _leaves(
    pairs: Sequence[tuple[dict[str, Tensor], dict[str, Tensor]]], task: Task
) -> tuple[Leaf, ...]:
    """The leaves' errors; none where answers have no places and are not the same."""
    sized = all(a[path].shape == b[path].shape for a, b in pairs for path in a)
    if not task.same_shapes and not sized:
        return ()
    paths = dict.fromkeys(path for tree, _ in pairs for path in tree)  # None has no leaf
    found = tuple(
        measured(path, [(a[path], b[path]) for a, b in pairs if path in a], task) for path in paths
    )
    if not task.same_shapes and any(leaf.verdict(task.bounds) != "same" for leaf in found):
        return ()  # boxes in another order are the same boxes: only decisions can be compared
    return found


def _largest(errors: Iterable[float]) -> float:
    """The largest of those that were measured; NaN where none was, as with boxes in any order."""
    return max((error for error in errors if not math.isnan(error)), default=math.nan)


#: What stands for the leaves that belong to no head.
_REST = "the rest"


def _by_head(ours: list[Tree], theirs: list[Tree], task: Task) -> Parity:
    """Each head by its own task; what belongs to no head as one more."""
    found = []
    taken: set[str] = set()
    for name, head in task.heads.items():
        one, other = (Answers(part_of(tree, name) for tree in side) for side in (ours, theirs))
        found.append((name, compare(one, other, head)))
        taken |= {path for path in paths_of(Answers(ours)) if f"{path}.".startswith(f"{name}.")}
    rest = [path for path in paths_of(Answers(ours)) if path not in taken]
    if any(leaves(tree)[path].numel() for tree in ours for path in rest if path in leaves(tree)):
        one, other = (
            Answers({p: x for p, x in leaves(tree).items() if p in rest} for tree in side)
            for side in (ours, theirs)
        )
        found.append((_REST, compare(one, other)))
    total = sum(head.inputs for _, head in found)
    equal = sum(head.agreement * head.inputs for _, head in found)
    return Parity(
        max_abs=_largest(head.max_abs for _, head in found),
        rel_l2=_largest(head.rel_l2 for _, head in found),
        agreement=equal / total if total else 1.0,
        inputs=total,
        leaves=tuple(
            leaf if name == _REST else replace(leaf, path=f"{name}.{leaf.path}".rstrip("."))
            for name, head in found
            for leaf in head.leaves
        ),
        decisions=task.decisions,
        heads=tuple(found),
    )


def _named_like(reference: Tree, candidate: Tree) -> Tree:
    """The candidate with the reference's names, where it has the same leaves in order."""
    ours, theirs = leaves(reference), leaves(candidate)
    if ours.keys() == theirs.keys():
        return candidate
    flat = {name.replace(".", "_"): name for name in ours}  # as a .tflite writes paths
    if flat.keys() == theirs.keys():
        return {flat[name]: leaf for name, leaf in theirs.items()}
    if isinstance(candidate, (list, tuple, Tensor)) and len(ours) == len(theirs):
        return dict(zip(ours, theirs.values(), strict=True))

    def listed(names: object) -> str:
        return ", ".join(name or "one tensor" for name in names) or "nothing"  # type: ignore[attr-defined]

    raise StructureError(
        f"The reference answers with {listed(ours)}, the candidate with {listed(theirs)}; choose "
        "the leaves that belong together."
    )
