"""What is done in a process of its own: prepare a model, walk one road, weigh it, time all.

Each job is a dictionary with its ``kind`` and the ``folder`` of the check; the answer is a
dictionary, too, and goes back as JSON.
"""

from __future__ import annotations

import copy
import hashlib
import linecache
import math
import pickle
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cloudpickle
import msgspec
import torch

from mobilelab import measure, tasks
from mobilelab.check import compared, diagnosis, examples, faults, roads
from mobilelab.check.results import Row
from mobilelab.check.roads import NotForThisNetwork, Road
from mobilelab.check.subject import Subject, SubjectError, answered, attribute, built, module_of
from mobilelab.check.subject import usable as _usable
from mobilelab.core.errors import MissingRuntimeError, ModelWarning, ShapeError
from mobilelab.core.signature import described
from mobilelab.core.trees import Answers, leaves
from mobilelab.runtimes.base import first_line

HANDED_IN, SUBJECT = "handed-in.pkl", "subject.pkl"


def main(job: dict[str, Any]) -> dict[str, Any]:
    """Do one job."""
    warnings.simplefilter("ignore")
    sys.path[:0] = [path for path in job.get("paths", ()) if path not in sys.path]
    folder = Path(job["folder"])
    return {"prepare": prepare, "road": road, "peak": peak, "time": timed}[job["kind"]](job, folder)


# --- prepare ------------------------------------------------------------------------------


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
            content = cloudpickle.dumps(subject)
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
        model = _usable(built(given["model"], name), name, job["memory_mib"])
        found = examples.listed(given["examples"])
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
    model = _usable(built(attribute(module, name), name), name, job["memory_mib"])
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
    try:
        return kinds[text.lower()]()
    except (KeyError, TypeError) as error:
        raise SubjectError(
            "task",
            f"{text!r} is no task that could be made without arguments; write one of "
            f"{', '.join(sorted(kinds))}, or :TASK for what stands beside the model.",
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
        "score": _score(subject, subject.reference),
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


def _score(subject: Subject, found: Answers) -> float | None:
    if subject.targets is None:
        return None
    task = subject.task or tasks.guess(subject.reference)
    joined = found
    if all(isinstance(tree, torch.Tensor) and tree.ndim for tree in found):
        joined = torch.cat(list(found))
    return float(task.score(joined, subject.targets))


def load(path: Path) -> Any:
    """What a process of ours wrote, with the source of cells that no file holds."""
    found = pickle.loads(path.read_bytes())
    if isinstance(found, dict):
        linecache.cache.update(found.get("sources", {}))
    return found


# --- one road -----------------------------------------------------------------------------


def road(job: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Walk one road: export, load again, compare, look into the file."""
    (chosen,) = [road for road in roads.ROADS if road.name == job["road"]]
    if (folder / HANDED_IN).exists():
        load(folder / HANDED_IN)  # brings the source of cells
    subject: Subject = load(folder / SUBJECT)
    row = Row(road=chosen.name, title=chosen.title, exact=chosen.exact)
    try:
        walk(chosen, subject, folder / "files", row, job)
    except NotForThisNetwork as error:
        row.status = "not for this network"
        row.reasons = [diagnosis.Reason("", str(error))]
    except MissingRuntimeError as error:
        row.status, row.reasons = "not installed", [diagnosis.Reason("", str(error))]
    except Exception as error:
        row.status = "refused"
        row.reasons = [diagnosis.diagnose(error, chosen.name)]
    return msgspec.to_builtins(row)


def walk(road: Road, subject: Subject, files: Path, row: Row, facts: dict[str, Any]) -> None:
    """Fill the row of one road.

    Args:
        road: which.
        subject: the model.
        files: where the files are.
        row: is filled.
        facts: ``state`` and ``random``, as ``prepare`` found them.
    """
    path = files / f"{road.name}{road.suffix}"
    path.unlink(missing_ok=True)
    if road.name == "phone":
        _on_the_phone(road, subject, files, row)
        return
    start = files / f"{road.after}{_suffix(road.after)}" if road.after else subject.model
    made = roads.walk(road, start, subject.examples, path)
    row.how, row.file, row.file_kb = made.how, path.name, measure.file_kb(path)
    call = compared.opened(path)
    found = compared.answers_of(call, subject)
    result, reasons = compared.same(subject, found)
    row.verdict = "DIFFERENT"
    if result is not None:
        row.verdict, row.agreement = str(result.verdict), result.agreement
        row.rel_l2, row.max_abs = _finite(result.rel_l2), _finite(result.max_abs)
        row.leaf = result.worst.path if result.worst and len(result.leaves) > 1 else ""
    if facts.get("random"):
        row.verdict = "random"
    row.score = _score(subject, found) if result is not None else None
    different = row.verdict == "DIFFERENT" or (road.exact and row.verdict == "close")
    reasons += compared.of_road(road, subject, made, call, different)
    if facts.get("state") and road.suffix != ".pt2":
        reasons += compared.lost_state(subject, call)
    row.reasons = reasons


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _suffix(name: str) -> str:
    return next(road.suffix for road in roads.ROADS if road.name == name)


def _on_the_phone(road: Road, subject: Subject, files: Path, row: Row) -> None:
    """Run the lite file on the virtual phone. Its time is nobody's, so none is taken."""
    from mobilelab.phone import compare as phones
    from mobilelab.phone.machine import Phone

    inputs = [list(example.leaves().values()) for example in subject.examples[:3]]
    if len({tuple(x.shape for x in one) for one in inputs}) > 1:
        inputs = inputs[:1]
    stacked = [torch.cat(column) for column in zip(*inputs, strict=True)]
    path = files / f"{road.after}{_suffix(road.after)}"
    with Phone() as phone:
        batch = len(inputs[0][0])
        found = phones.compare(path, stacked, None, phone, batch, task=subject.task)
    row.file, row.file_kb, row.how = path.name, measure.file_kb(path), found.cpu
    if found.refusal is not None:
        row.status = "refused"
        row.reasons = [diagnosis.diagnose(RuntimeError(found.refusal), road.name)]
        return
    row.verdict = "same" if found.ok else "DIFFERENT"
    row.rel_l2, row.max_abs = _finite(found.rel_l2), _finite(found.max_abs)
    row.agreement = found.agreement


# --- weigh and time -----------------------------------------------------------------------


def peak(job: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Peak memory of one file, in this process."""
    from mobilelab.measure import _peak_process

    subject: Subject = load(folder / SUBJECT)
    mine = subject.examples[0].own()
    path = str(folder / "files" / job["file"])
    return _peak_process.peaks(path, [(mine.args, dict(mine.named))], 3)[0]


def timed(job: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Each file in turn with the model itself, one thread, nothing beside it."""
    subject: Subject = load(folder / SUBJECT)
    mine = subject.examples[0].own()
    call = compared.opened(folder / "files" / job["file"])
    calls: dict[str, Callable[[], object]] = {
        "eager": lambda: subject.model(*mine.args),
        "road": lambda: call(*mine.args),
    }
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore", ModelWarning)
        started = time.perf_counter()
        calls["road"]()
        once = time.perf_counter() - started
        few = {"warmup": 1, "least": 3} if once > 0.3 else {"warmup": 3, "least": 9}
        found = measure.time_in_turn(calls, seconds=job["seconds"], **few)
    ratio = found["road"].ratio(found["eager"])
    return {
        "eager_ms": found["eager"].median_ms, "median_ms": found["road"].median_ms,
        "times_eager": ratio.median, "times_low": ratio.low, "times_high": ratio.high,
    }  # fmt: skip
