"""What a model is for: how its answers are read, compared with another's, and judged.

A *task* says what a *decision* is (a class, a pixel's class, a box, a sentence), so that two models
can be asked how many decisions they share, and how good decisions are against targets. Metrics
are those of torchmetrics. A task of one's own is a subclass of :class:`Task` with ``decide``,
``score`` and a ``metric``.
"""

from __future__ import annotations

from mobilelab.core.quantity import Quantity
from mobilelab.core.trees import Tree, leaves, plain
from mobilelab.tasks.base import DECIDED, USED, Bounds, Task, each, leaf_of
from mobilelab.tasks.boxes import RawDetection
from mobilelab.tasks.heads import Heads
from mobilelab.tasks.numbers import Binary, Classification, Embedding, Regression
from mobilelab.tasks.pictures import Detection, ImageToImage, Segmentation
from mobilelab.tasks.text import Extraction, Sequences, Speech, Tagging

__all__ = [
    "DECIDED", "USED", "Binary", "Bounds", "Classification", "Detection", "Embedding",
    "Extraction", "Heads", "ImageToImage", "Quantity", "RawDetection", "Regression", "Segmentation",
    "Sequences", "Speech", "Tagging", "Task", "each", "guess", "leaf_of",
]  # fmt: skip


def guess(answers: Tree) -> Task:
    """The task that answers look like, where nobody has named one.

    Scores of shape ``(n, classes)`` with two classes or more are a classification; one column, or
    one number each, between 0 and 1 are probabilities; everything else are numbers, and what is
    no number but a count (integers, booleans) has to be equal.

    >>> guess(torch.tensor([[0.1, 2.0, 0.3]])), guess(torch.tensor([[0.9]]))
    (Classification(output='', axis=1), Binary(threshold=0.5, output=''))
    """
    found = [list(leaves(tree).values()) for tree in each(answers)]
    if found and all(len(one) == 1 and one[0].is_floating_point() for one in found):
        scores = [plain(one[0]) for one in found]
        if all(one.ndim == 2 and one.shape[1] > 1 for one in scores):
            return Classification()
        full = all(one.ndim == 2 and one.numel() for one in scores)
        if full and all(one.min() >= 0 and one.max() <= 1 for one in scores):
            return Binary()
    return Regression()
