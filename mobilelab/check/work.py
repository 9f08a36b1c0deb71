"""What is done in a process of its own: prepare a model, walk one road, weigh it, time all.

Each job is a dictionary with its ``kind`` and the ``folder`` of the check; the answer is a
dictionary, too, and goes back as JSON.
"""

from __future__ import annotations

import math
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import torch

from mobilelab import measure
from mobilelab.check import compared, diagnosis, roads
from mobilelab.check.exporters import NotForThisNetwork
from mobilelab.check.kept import SUBJECT, load, score
from mobilelab.check.prepare import prepare
from mobilelab.check.results import Row
from mobilelab.check.roads import Road
from mobilelab.check.subject import Subject
from mobilelab.core.errors import MissingRuntimeError, ModelWarning

#: Roads that trace whatever the network is.
TRACED = ("trace", "recipe")


def main(job: dict[str, Any]) -> dict[str, Any]:
    """Do one job."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)  # two jobs with two threads each would wait for one another
    sys.path[:0] = [path for path in job.get("paths", ()) if path not in sys.path]
    folder = Path(job["folder"])
    return {"prepare": prepare, "road": road, "peak": peak, "time": timed}[job["kind"]](job, folder)


# --- one road -----------------------------------------------------------------------------


def road(job: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Walk one road: export, load again, compare, look into the file."""
    (chosen,) = [road for road in roads.ROADS if road.name == job["road"]]
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
    row.score = score(subject, found) if result is not None else None
    different = row.verdict == "DIFFERENT" or (road.exact and row.verdict == "close")
    traced = road.name in TRACED or made.how.endswith("traced")
    state, random = bool(facts.get("state")), bool(facts.get("random"))
    reasons += compared.of_road(road, subject, call, different, state, traced, random)
    if row.verdict == "DIFFERENT" and all(one.cause in compared.SLOW_ONLY for one in reasons):
        reasons.append(_not_explained(road))
    row.reasons = reasons


def _not_explained(road: Road) -> diagnosis.Reason:
    """What is said of other answers for which no fault was found."""
    if not road.exact:
        return diagnosis.told("int8-coarse")
    return diagnosis.Reason(
        "", f"The answers differ, and no known fault explains it (the road {road.name}, "
        f"{diagnosis.versions()}).",
    )  # fmt: skip


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _suffix(name: str) -> str:
    return next(road.suffix for road in roads.ROADS if road.name == name)


def _on_the_phone(road: Road, subject: Subject, files: Path, row: Row) -> None:
    """Run the lite file on the virtual phone. Its time is nobody's, so none is taken."""
    from mobilelab.phone import compare as phones
    from mobilelab.phone.machine import Phone

    path = files / f"{road.after}{_suffix(road.after)}"
    with Phone() as phone:  # each example by itself: its first axis need not be that of examples
        found = [
            phones.compare(path, list(one.leaves().values()), None, phone, None, task=subject.task)
            for one in subject.examples[:3]
        ]
    row.file, row.file_kb, row.how = path.name, measure.file_kb(path), found[0].cpu
    if refused := [one.refusal for one in found if one.refusal is not None]:
        row.status = "refused"
        row.reasons = [diagnosis.diagnose(RuntimeError(refused[0]), road.name)]
        return
    row.verdict = "same" if all(one.ok for one in found) else "DIFFERENT"
    row.rel_l2 = _finite(max(one.rel_l2 for one in found))
    row.max_abs = _finite(max(one.max_abs for one in found))
    row.agreement = min(one.agreement for one in found)


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
        "iqr_ms": found["road"].iqr_ms, "p95_ms": found["road"].p95_ms,
        "times_eager": ratio.median, "times_low": ratio.low, "times_high": ratio.high,
    }  # fmt: skip
