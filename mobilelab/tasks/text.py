"""Answers that are read as text, or about tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import torch
from torch import Tensor

from mobilelab.core.errors import ShapeError
from mobilelab.core.quantity import Quantity
from mobilelab.core.trees import Tree, plain
from mobilelab.tasks.base import Task, each, joined, leaf_of
from mobilelab.tasks.numbers import Classification


@dataclass(frozen=True)
class Speech(Task):
    """Text from scores over letters, one step after the other (CTC, read greedily).

    Repeated letters are one, unless a blank lies between them (Graves et al. 2006).

    Args:
        letters: one for each class; the one at ``blank`` is never read.
        blank: class number of the blank.
        output: path of the scores, shape ``(n, steps, classes)``.

    >>> steps = torch.eye(3)[[1, 1, 0, 2, 2, 0, 2]][None]  # a a blank b b blank b
    >>> Speech("-ab").decide(steps)
    ['abb']
    """

    letters: str
    blank: int = 0
    output: str = ""
    metric: ClassVar[Quantity] = Quantity("word error rate", "%", more_is_better=False)
    decisions: ClassVar[str] = "sentences"

    def decide(self, answers: Tree) -> list[str]:
        """One text for each example."""
        scores = plain(leaf_of(answers, self.output))
        if scores.ndim != 3 or scores.shape[-1] != len(self.letters):
            raise ShapeError(
                f"Text is read from scores of shape (n, steps, {len(self.letters)}), one for each "
                f"letter, not {tuple(scores.shape)}."
            )
        texts = []
        for path in scores.argmax(-1):
            kept = path.unique_consecutive()
            texts.append("".join(self.letters[i] for i in kept.tolist() if i != self.blank))
        return texts

    def score(self, answers: Tree, targets: Sequence[str]) -> float:
        """Word error rate, 0 and up (torchmetrics)."""
        from torchmetrics.functional.text import word_error_rate

        return word_error_rate(self._read(answers), list(targets)).item()

    def letter_errors(self, answers: Tree, targets: Sequence[str]) -> float:
        """Character error rate, 0 and up (torchmetrics)."""
        from torchmetrics.functional.text import char_error_rate

        return char_error_rate(self._read(answers), list(targets)).item()

    def _read(self, answers: Tree) -> list[str]:
        return [text for tree in each(answers) for text in self.decide(tree)]


@dataclass(frozen=True)
class Tagging(Task):
    """A label for each token.

    Args:
        outside: label of a token that belongs to nothing; it does not count in the metric.
        output: path of the scores, shape ``(n, tokens, labels)``.

    >>> scores = torch.eye(3)[[0, 2, 2]][None]
    >>> Tagging().decide(scores), Tagging().score(scores, torch.tensor([[0, 2, 1]]))
    (tensor([[0, 2, 2]]), 0.5)
    """

    outside: int = 0
    output: str = ""
    metric: ClassVar[Quantity] = Quantity("F1", "%")
    decisions: ClassVar[str] = "tokens"

    def decide(self, answers: Tree) -> Tensor:
        """Label numbers, shape ``(n, tokens)``."""
        return Classification(self.output, axis=2).decide(answers)

    def score(self, answers: Tree, targets: Tensor) -> float:
        """F1 over the tokens that belong to something, 0 to 1 (micro average)."""
        tags, targets = joined(answers, self.decide), torch.as_tensor(targets)
        if tags.shape != targets.shape:
            raise ShapeError(f"There are tags {tuple(tags.shape)}, targets {tuple(targets.shape)}.")
        right = ((tags == targets) & (targets != self.outside)).sum().item()
        found, there = ((x != self.outside).sum().item() for x in (tags, targets))
        return 2 * right / (found + there) if found + there else 1.0


@dataclass(frozen=True)
class Extraction(Task):
    """A piece of a text: the token where it starts and the one where it ends.

    Args:
        start: path of the starts' scores, shape ``(n, tokens)``.
        end: path of the ends' scores, the same shape.

    >>> found = {"start_logits": torch.eye(4)[[1]], "end_logits": torch.eye(4)[[2]]}
    >>> Extraction().decide(found)
    [(1, 2)]
    """

    start: str = "start_logits"
    end: str = "end_logits"
    metric: ClassVar[Quantity] = Quantity("exact match", "%")
    decisions: ClassVar[str] = "pieces of text"

    def decide(self, answers: Tree) -> list[tuple[int, int]]:
        """First and last token of the piece whose two scores are the largest in sum."""
        starts, ends = (plain(leaf_of(answers, name)) for name in (self.start, self.end))
        both = starts[:, :, None] + ends[:, None, :]
        allowed = torch.ones_like(both[0], dtype=torch.bool).triu()
        best = both.masked_fill(~allowed, -torch.inf).flatten(1).argmax(1)
        return [divmod(place, both.shape[-1]) for place in best.tolist()]

    def score(self, answers: Tree, targets: Sequence[tuple[int, int]]) -> float:
        """Share of pieces that are exactly the target's, 0 to 1."""
        found = [piece for tree in each(answers) for piece in self.decide(tree)]
        return _equal_share(found, [tuple(target) for target in targets])

    def overlap(self, answers: Tree, targets: Sequence[tuple[int, int]]) -> float:
        """Mean F1 of the tokens in a piece and in its target, 0 to 1."""
        found = [piece for tree in each(answers) for piece in self.decide(tree)]
        common = [
            max(0, min(b, d) - max(a, c) + 1) * 2 / (b - a + d - c + 2)
            for (a, b), (c, d) in zip(found, targets, strict=True)
        ]
        return sum(common) / len(common)


@dataclass(frozen=True)
class Sequences(Task):
    """Token numbers, one sentence for each example, or scores over them (translation, captions).

    Args:
        end: number of the token that ends a sentence; what follows is not read.
        words: text of each token, for the metric's chrF.
        output: path of the numbers, shape ``(n, tokens)``, or of scores ``(n, tokens, words)``.

    >>> Sequences(end=0).decide(torch.tensor([[4, 7, 0, 9], [5, 0, 0, 0]]))
    [[4, 7], [5]]
    """

    end: int
    words: Sequence[str] = ()
    output: str = ""
    metric: ClassVar[Quantity] = Quantity("exact match", "%")
    decisions: ClassVar[str] = "sentences"
    same_shapes: ClassVar[bool] = False

    def decide(self, answers: Tree) -> list[list[int]]:
        """Token numbers of each sentence, up to its end."""
        found = leaf_of(answers, self.output)
        if found.is_floating_point():
            found = found.argmax(-1)
        rows = found.reshape(-1, found.shape[-1]).tolist()
        return [row[: row.index(self.end)] if self.end in row else row for row in rows]

    def score(self, answers: Tree, targets: Sequence[Sequence[int]]) -> float:
        """Share of sentences that are exactly the target's, 0 to 1."""
        found = [row for tree in each(answers) for row in self.decide(tree)]
        return _equal_share(found, [list(target) for target in targets])

    def chrf(self, answers: Tree, targets: Sequence[str]) -> float:
        """chrF of the sentences' text, 0 to 1 (Popović 2015, torchmetrics)."""
        from torchmetrics.functional.text import chrf_score

        found = [row for tree in each(answers) for row in self.decide(tree)]
        texts = [" ".join(self.words[token] for token in row) for row in found]
        found = chrf_score(texts, [[target] for target in targets], n_word_order=0)
        return float(cast(Tensor, found))


def _equal_share(found: Sequence[Any], targets: Sequence[Any]) -> float:
    if len(found) != len(targets) or not targets:
        raise ShapeError(f"There are {len(found)} answers and {len(targets)} targets.")
    return sum(a == b for a, b in zip(found, targets, strict=True)) / len(targets)
