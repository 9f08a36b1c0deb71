"""Right and typical wrong solutions of chapter 02's exercises.

``right_x`` and ``wrong_x_1`` ... belong to ``ch02.check_x``. For ``frozen_by_trace``, whose
answer is a set, the functions return the answer; the others are the answer themselves.
"""

from pathlib import Path

import torch
from torch import Tensor, nn


# 02.1: the check takes the returned set -----------------------------------------------------
def right_frozen_by_trace():
    return {"B", "C", "D"}


def wrong_frozen_by_trace_1():
    return {"B"}  # "only an if can be frozen"


def wrong_frozen_by_trace_2():
    return {"B", "C", "D", "E"}  # "torch.where is a branch"


def wrong_frozen_by_trace_3():
    return {"A", "B", "C", "D", "E", "F"}  # "a trace knows one input only"


# 02.2: the check takes the function ---------------------------------------------------------
def right_reject(scores: Tensor, threshold: float) -> Tensor:
    confidence, label = scores.softmax(1).max(1)
    return torch.where(confidence < threshold, torch.full_like(label, -1), label)


def wrong_reject_1(scores: Tensor, threshold: float) -> Tensor:
    confidence, label = scores.softmax(1).max(1)
    if confidence < threshold:  # one decision for the whole batch, frozen by trace
        return torch.full_like(label, -1)
    return label


def wrong_reject_2(scores, threshold):  # no annotation: threshold is taken for a Tensor
    confidence, label = scores.softmax(1).max(1)
    return torch.where(confidence < threshold, torch.full_like(label, -1), label)


def wrong_reject_3(scores: Tensor, threshold: float) -> Tensor:
    best, label = scores.max(1)  # raw score instead of confidence
    return torch.where(best < threshold, torch.full_like(label, -1), label)


def wrong_reject_4(scores: Tensor, threshold: float) -> Tensor:
    labels = []  # right in Python, but item() and the loop are frozen by trace
    for row in scores.softmax(1):
        sure = row.max().item() >= threshold
        labels.append(int(row.argmax()) if sure else -1)
    return torch.tensor(labels)


def wrong_reject_5(scores: Tensor, threshold: float) -> Tensor:
    confidence, label = scores.softmax(1).max(1)
    return torch.where(confidence < 0.9, torch.full_like(label, -1), label)  # not what was given


def wrong_reject_6(scores: Tensor, threshold: float) -> Tensor:
    confidence, label = scores.sigmoid().max(1)  # every score for itself
    return torch.where(confidence < threshold, torch.full_like(label, -1), label)


def wrong_reject_7(scores: Tensor, threshold: float) -> Tensor:
    confidence, label = scores.softmax(1).max(1)
    return torch.where(confidence < threshold, -1.0, label.float())  # no index any more


# 02.3: the check takes the function ---------------------------------------------------------
def right_export(model: nn.Module, path: Path) -> None:
    scripted = torch.jit.script(model.eval())
    torch.jit.freeze(scripted, preserved_attrs=["classes"]).save(str(path))


def wrong_export_1(model: nn.Module, path: Path) -> None:
    torch.jit.trace(model, torch.rand(1, 4)).save(str(path))  # no eval, trace, not frozen


def wrong_export_2(model: nn.Module, path: Path) -> None:
    torch.jit.freeze(torch.jit.script(model.eval())).save(str(path))  # labels lost


def wrong_export_3(model: nn.Module, path: Path) -> None:
    scripted = torch.jit.script(model.eval())
    torch.jit.freeze(scripted, preserved_attrs=["classes"])  # result thrown away
    scripted.save(str(path))


def wrong_export_4(model: nn.Module, path: Path) -> None:
    scripted = torch.jit.script(model)  # freeze refuses training mode
    torch.jit.freeze(scripted, preserved_attrs=["classes"]).save(str(path))


def wrong_export_5(model: nn.Module, path: Path) -> None:
    traced = torch.jit.trace(model.eval(), torch.rand(1, 4))  # the branch is frozen
    torch.jit.freeze(traced).save(str(path))


def wrong_export_6(model: nn.Module, path: Path) -> None:
    torch.save(model.eval().state_dict(), path)  # weights only, no program
