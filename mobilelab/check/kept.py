"""What processes of one check hand to each other through its folder."""

from __future__ import annotations

import importlib.util
import linecache
import pickle
import sys
from pathlib import Path
from typing import Any

import cloudpickle
import torch
from torch import nn

from mobilelab import tasks
from mobilelab.check.subject import Subject, SubjectError
from mobilelab.core.trees import Answers
from mobilelab.runtimes.libraries import first_line

#: What the person's own process wrote, and what was made of it.
HANDED_IN, SUBJECT = "handed-in.pkl", "subject.pkl"
SOURCES = "sources.pkl"


def hand_in(model: Any, examples: Any, task: Any, targets: Any, folder: Path) -> None:
    """Write down what another process needs of objects that live in this one.

    Raises:
        SubjectError: if there is no example, or something cannot be copied.
    """
    name = getattr(model, "__name__", type(model).__name__)
    if examples is None:
        raise SubjectError("no-examples", f"{name} needs examples; pass check(model, [example]).")
    cells = {
        file: entry for file, entry in linecache.cache.items()
        if len(entry) == 4 and not Path(file).exists()
    }  # fmt: skip
    handed = {
        "name": name, "model": model, "examples": examples, "task": task, "targets": targets,
    }  # fmt: skip
    try:
        content = dumps(handed, model)
    except Exception as error:
        raise SubjectError(
            "cannot-be-sent",
            f"{name} cannot be copied to another process ({type(error).__name__}: "
            f"{first_line(error)}); take what holds files, locks or generators out of it, pass its "
            "plain network, or a function that builds it.",
        ) from error
    (folder / HANDED_IN).write_bytes(content)
    (folder / SOURCES).write_bytes(pickle.dumps(cells))


def dumps(things: Any, model: Any) -> bytes:
    """Things as bytes, with the classes that another process could not import: those of a script,
    of a cell, or of a module that was made while the program ran.
    """
    parts = model.modules() if isinstance(model, nn.Module) else [model]
    names = {cls.__module__ for part in parts for cls in type(part).__mro__}
    names |= {getattr(model, "__module__", "")}
    unknown = [sys.modules[name] for name in names if name in sys.modules and not _found(name)]
    for module in unknown:
        cloudpickle.register_pickle_by_value(module)
    try:
        return cloudpickle.dumps(things)
    finally:
        for module in unknown:
            cloudpickle.unregister_pickle_by_value(module)


def _found(name: str) -> bool:
    """Whether a module can be imported by its name; cloudpickle knows of ``__main__`` itself."""
    try:
        return name == "__main__" or importlib.util.find_spec(name) is not None
    except (ValueError, ImportError):
        return False


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
