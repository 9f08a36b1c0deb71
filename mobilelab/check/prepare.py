"""A model found, built, looked at and written down for the roads, in a process of its own."""

from __future__ import annotations

import copy
import hashlib
from pathlib import Path
from typing import Any

import msgspec
import torch

from mobilelab import tasks
from mobilelab.check import compared, diagnosis, examples, faults
from mobilelab.check.kept import HANDED_IN, SUBJECT, dumps, load, score
from mobilelab.check.subject import (
    Subject,
    SubjectError,
    answered,
    attribute,
    built,
    module_of,
    usable,
)
from mobilelab.core.errors import ShapeError
from mobilelab.core.signature import described
from mobilelab.core.trees import leaves
from mobilelab.runtimes.libraries import first_line


def prepare(job: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Find, build and look at a model, and write it down for the roads.

    Returns:
        What is known of it, or ``error`` and ``kind`` where it cannot be checked.
    """
    torch.manual_seed(0)
    try:
        subject, reasons = _subject(job, folder)
        facts = _facts(subject, reasons)
        try:
            content = dumps(subject, subject.model)
        except Exception as error:
            raise SubjectError(
                "cannot-be-sent",
                f"{subject.name} cannot be copied to another process ({type(error).__name__}: "
                f"{first_line(error)}); take what holds files, locks or generators out of it.",
            ) from error
    except SubjectError as error:
        return {"error": str(error), "kind": error.kind}
    (folder / SUBJECT).write_bytes(content)
    return facts


def _subject(job: dict[str, Any], folder: Path) -> tuple[Subject, list[diagnosis.Reason]]:
    if job.get("target"):
        subject = _found(job)
    else:
        given = load(folder / HANDED_IN)
        name = given["name"]
        model = usable(built(given["model"], name), name, job["memory_mib"])
        found = examples.listed(given["examples"], model)
        subject = Subject(name, model, found, given["task"], given["targets"])
    for place, example in enumerate(subject.examples):
        try:
            subject.examples[place] = example.positional(subject.model.forward)
        except ShapeError as error:
            raise SubjectError("examples-do-not-fit", str(error)) from error
    answered(subject.model, subject.examples[0], subject.name)
    reasons = faults.of_network(subject.model, subject.examples)
    subject.model.eval()
    if "fresh-batchnorm" in [reason.cause for reason in reasons]:
        subject.model = faults.with_statistics(subject.model, subject.examples)
    subject.reference = compared.answers_of(copy.deepcopy(subject.model), subject)
    if subject.drawn:
        reasons.append(diagnosis.told("drawn-examples"))
    return subject, reasons


def _found(job: dict[str, Any]) -> Subject:
    target = job["target"]
    module, name = module_of(target)
    torch.manual_seed(0)  # whatever the module drew while it was imported
    model = usable(built(attribute(module, name), name), name, job["memory_mib"])
    given, drawn = examples.read(job.get("examples") or [], module, model)
    return Subject(target, model, given, _task(job, module), _targets(job, module), drawn=drawn)


def _task(job: dict[str, Any], module: Any) -> tasks.Task | None:
    text = job.get("task_text") or ""
    if text.startswith(":"):
        return attribute(module, text[1:])
    if not text:
        return None
    known = {name.lower(): getattr(tasks, name) for name in tasks.__all__ if name[0].isupper()}
    kinds = {n: k for n, k in known.items() if isinstance(k, type) and issubclass(k, tasks.Task)}
    with_arguments = ("heads", "segmentation", "task")
    try:
        return kinds[text.lower()]()
    except (KeyError, TypeError) as error:
        raise SubjectError(
            "task",
            f"{text!r} is no task that could be made without arguments; write one of "
            f"{', '.join(sorted(kinds.keys() - set(with_arguments)))}, or :TASK for what stands "
            "beside the model.",
        ) from error


def _targets(job: dict[str, Any], module: Any) -> Any:
    text = job.get("targets_text") or ""
    if not text:
        return None
    if text.startswith(":"):
        return attribute(module, text[1:])
    return torch.as_tensor(examples._file(Path(text)))


def _facts(subject: Subject, reasons: list[diagnosis.Reason]) -> dict[str, Any]:
    tensors = {**dict(subject.model.named_parameters()), **dict(subject.model.named_buffers())}
    answer = described(leaves(subject.reference[0]))
    task = subject.task or tasks.guess(subject.reference)
    return {
        "model": subject.name,
        "fingerprint": _fingerprint(subject),
        "signature": f"{subject.examples[0].signature().inputs_text} -> {answer}",
        "examples": len(subject.examples),
        "task": type(task).__name__,
        "metric": task.metric.name,
        "metric_unit": task.metric.unit,
        "metric_more_is_better": task.metric.more_is_better,
        "score": score(subject, subject.reference),
        "parameters": sum(p.numel() for p in subject.model.parameters()),
        "weights_kb": sum(x.numel() * x.element_size() for x in tensors.values()) / 1000,
        "reasons": msgspec.to_builtins(reasons),
        "state": any(r.cause.startswith("state-in-") for r in reasons),
        "random": any(r.cause in ("dropout-on", "random-in-forward") for r in reasons),
    }


def _fingerprint(subject: Subject) -> str:
    """SHA-256 of the network's structure and weights, the examples and what it answers."""
    digest = hashlib.sha256(repr(subject.model).encode())
    trees = [dict(subject.model.state_dict()), *(e.leaves() for e in subject.examples)]
    for tree in [*trees, *map(leaves, subject.reference)]:
        for name, x in tree.items():
            digest.update(f"{name} {x.dtype} {tuple(x.shape)}".encode())
            plain = x.detach().cpu().contiguous().reshape(-1)
            digest.update(plain.resolve_conj().view(torch.uint8).numpy() if x.numel() else b"")
    return digest.hexdigest()
