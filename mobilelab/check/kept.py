"""What processes of one check hand to each other through its folder."""

from __future__ import annotations

import linecache
import pickle
from pathlib import Path
from typing import Any

import torch

from mobilelab import tasks
from mobilelab.check.subject import Subject
from mobilelab.core.trees import Answers

#: What the person's own process wrote, and what was made of it.
HANDED_IN, SUBJECT = "handed-in.pkl", "subject.pkl"
SOURCES = "sources.pkl"


def load(path: Path) -> Any:
    """What a process of this check wrote. The source of cells, which no file holds, comes first."""
    sources = path.with_name(SOURCES)
    if sources.exists():
        linecache.cache.update(pickle.loads(sources.read_bytes()))
    return pickle.loads(path.read_bytes())


def score(subject: Subject, found: Answers) -> float | None:
    """How good answers are, in the unit of the task's metric; ``None`` without targets."""
    if subject.targets is None:
        return None
    task = subject.task or tasks.guess(subject.reference)
    joined = found
    if all(isinstance(tree, torch.Tensor) and tree.ndim for tree in found):
        joined = torch.cat(list(found))
    return float(task.score(joined, subject.targets))
