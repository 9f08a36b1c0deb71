"""Every road with one model: each in a process of its own, kept as it comes, timed at the end."""

from __future__ import annotations

import importlib.util
import json
import math
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import msgspec
from torch import nn

from mobilelab import measure
from mobilelab.check import advice, diagnosis, kept, roads
from mobilelab.check.launcher import Launcher, Outcome
from mobilelab.check.results import SCHEMA, Report, Row, loss
from mobilelab.check.roads import Road
from mobilelab.check.subject import SubjectError
from mobilelab.measure.report import Budget
from mobilelab.phone import cache
from mobilelab.tasks import Task

#: What is imported once for all roads that need it.
_IMPORTS = {
    "executorch": [
        "executorch.exir", "executorch.runtime",
        "executorch.backends.xnnpack.partition.xnnpack_partitioner",
        "executorch.backends.xnnpack.quantizer.xnnpack_quantizer",
        "torchao.quantization.pt2e.quantize_pt2e",
    ],
    "litert_torch": ["litert_torch", "ai_edge_litert.interpreter", "ai_edge_quantizer.quantizer"],
}  # fmt: skip


@dataclass(frozen=True)
class Limits:
    """What one road may take."""

    deadline: float = 180.0
    """Seconds."""
    memory_mib: float = 4096.0
    """Resident memory of its process and what that starts, in MiB."""
    seconds: float = 0.5
    """About how long a file is timed for."""


def check(
    model: nn.Module | Callable[[], nn.Module] | str,
    examples: Any = None,
    task: Task | None = None,
    targets: Any = None,
    *,
    names: Iterable[str] = ("all",),
    out: str | Path | None = None,
    limits: Limits | None = None,
    budget: Budget | None = None,
    on_row: Callable[[Row], None] = lambda row: None,
    **job: Any,
) -> Report:
    """What becomes of a model on every road to a phone.

    Args:
        model: a network, a function that makes one, or ``PACKAGE.MODULE:MODEL``.
        examples: a list of what the model is called with; for a name see
            :func:`mobilelab.check.examples.read`.
        task: what the answers are for; guessed from their shape without one.
        targets: what the task judges answers by; no score without them.
        names: roads or groups of them (:data:`mobilelab.check.roads.GROUPS`).
        out: folder for the files and results. A second call with the same model and folder goes
            on where the first one ended. Without it, the files are gone when this returns.
        limits: time and memory of each road.
        budget: what the recommendation has to meet.
        on_row: told each row when it is in, and once more when it was timed.
        job: further words for a model that is given by name (``task_text`` and
            ``targets_text``).

    Raises:
        SubjectError: if the model or its examples cannot be checked, with the fix.
        MobileLabError: for a road that there is not.
    """
    chosen, limits = roads.named(names), limits or Limits()
    paths = [str(Path(path).resolve()) for path in ("", *sys.path)]
    job = {**job, "paths": paths, "memory_mib": limits.memory_mib}
    if isinstance(model, str):
        job |= {"target": model, "examples": list(examples or [])}
    with tempfile.TemporaryDirectory(prefix="mobilelab-") as temporary:
        folder = Path(out or temporary).resolve()
        try:
            (folder / "files").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SubjectError(
                "out", f"Cannot write into {folder} ({error.strerror}); name another folder (out)."
            ) from error
        for name in (kept.HANDED_IN, kept.SOURCES):
            (folder / name).unlink(missing_ok=True)
        if not isinstance(model, str):
            kept.hand_in(model, examples, task, targets, folder)
        needs = [name for name in _IMPORTS if any(road.needs == name for road in chosen)]
        with Launcher(folder, [m for name in needs for m in _IMPORTS[name]]) as launcher:
            return _Check(folder, launcher, limits, job, on_row).run(chosen, budget or Budget())


def _plain(known: dict[str, Any]) -> dict[str, Any]:
    """What JSON knows, and everything else as text."""
    return {n: x if isinstance(x, (int, float, bool)) else str(x) for n, x in known.items()}


class _Check:
    """One call of :func:`check`."""

    def __init__(
        self,
        folder: Path,
        launcher: Launcher,
        limits: Limits,
        job: dict[str, Any],
        on_row: Callable[[Row], None],
    ) -> None:
        self.folder, self.launcher, self.limits = folder, launcher, limits
        self.job, self.on_row = {**job, "folder": str(folder)}, on_row
        self.rows: dict[str, Row] = {}
        self.kept = folder / "rows.jsonl"

    def run(self, chosen: tuple[Road, ...], budget: Budget) -> Report:
        """Prepare, walk, time, and report."""
        started = time.monotonic()
        facts = self._prepare()
        self._continue(facts["fingerprint"])
        for row in self._walked(chosen, facts):
            self.on_row(row)
        timed = [self.rows[road.name] for road in chosen if road.timed]
        eager = [self._time(row) for row in timed]  # alone and in turn
        done = [row for row in timed if row.times_eager is not None and row.peak_added_mib is None]
        self._weigh([row for row in done if not row.file.endswith(".pt2")])
        rows = [self.rows[road.name] for road in chosen]
        known = {name: facts[name] for name in (
            "model", "signature", "examples", "task", "metric", "metric_unit",
            "metric_more_is_better", "score", "parameters", "weights_kb",
        )}  # fmt: skip
        report = Report(
            versions=diagnosis.versions(), host=_plain(asdict(measure.host())), rows=rows,
            eager_ms=next((ms for ms in eager if ms), None),
            reasons=msgspec.convert(facts["reasons"], list[diagnosis.Reason]),
            seconds=time.monotonic() - started, **known,
        )  # fmt: skip
        report.advice = advice.advise(report, budget)
        return report

    def _prepare(self) -> dict[str, Any]:
        job = {**self.job, "kind": "prepare"}
        done = self._run("prepare", job)
        if done.status == "done" and "error" not in done.answer:
            return done.answer
        if done.status == "done":
            raise SubjectError(done.answer["kind"], done.answer["error"])
        name = self.job.get("target") or "The model"
        sentences = {
            "too long": (
                "slow", f"{name} is not built and called within {self.limits.deadline:.0f} s; "
                "build it once, save its weights, and pass a function that loads them, or raise "
                "--deadline.",
            ),
            "too much memory": (
                "too-large", f"{name} takes more than {self.limits.memory_mib:.0f} MiB; raise "
                "--memory, or pass a smaller example.",
            ),
        }  # fmt: skip
        ended = f"{name} ended its process when it was built or called ({done.detail}); "
        crash = ("crashed", ended + "call it once in Python by itself, and mend that first.")
        raise SubjectError(*sentences.get(done.status, crash))

    def _continue(self, fingerprint: str) -> None:
        """Take over the rows of an earlier call for the same model and versions."""
        head = {"schema": SCHEMA, "fingerprint": fingerprint, "versions": diagnosis.versions()}
        lines = self.kept.read_text().splitlines() if self.kept.exists() else []
        try:
            if lines and json.loads(lines[0]) == head:
                rows = [msgspec.json.decode(line, type=Row) for line in lines[1:]]
                self.rows = {row.road: row for row in rows if self._has_file(row)}
                return
        except (ValueError, msgspec.DecodeError):  # cut off: the rows are walked again
            self.rows = {}
        self.kept.write_text(json.dumps(head) + "\n")

    def _has_file(self, row: Row) -> bool:
        return not row.file or (self.folder / "files" / row.file).exists()

    def _keep(self, row: Row) -> None:
        self.rows[row.road] = row
        with self.kept.open("a") as file:
            file.write(msgspec.json.encode(row).decode() + "\n")

    def _walked(self, chosen: tuple[Road, ...], facts: dict[str, Any]) -> Iterator[Row]:
        """The rows as they come, those that an earlier call has left first."""
        yield from (self.rows[road.name] for road in chosen if road.name in self.rows)
        made: dict[str, Future[Row]] = {}

        def one(road: Road) -> Row:
            before = made.get(road.after)  # it was begun earlier, so it does not wait for this
            return self._walk(road, facts, before.result() if before else self.rows.get(road.after))

        with self._pool() as pool:
            for road in chosen:
                if road.name not in self.rows:
                    made[road.name] = pool.submit(one, road)
            for done in as_completed(made.values()):
                self._keep(done.result())
                yield done.result()

    @contextmanager
    def _pool(self) -> Iterator[ThreadPoolExecutor]:
        """Threads that each wait for one process; what they wait for ends if this is left early."""
        pool = ThreadPoolExecutor(self.launcher.at_once(self.limits.memory_mib))
        try:
            yield pool
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            self.launcher.stop()
            raise
        finally:
            pool.shutdown()

    def _walk(self, road: Road, facts: dict[str, Any], before: Row | None) -> Row:
        blank = Row(road=road.name, title=road.title, exact=road.exact)
        if road.name == "phone" and not cache.ready():
            blank.status = "not installed"
            blank.reasons = [diagnosis.Reason("", "mobilelab phone fetch brings it.")]
            return blank
        if road.needs and importlib.util.find_spec(road.needs) is None:
            blank.status = "not installed"
            blank.reasons = [diagnosis.Reason("", f"{road.needs}: {road.brings} brings it.")]
            return blank
        if road.after and (before is None or before.status != "done"):
            blank.status = "needs another road"
            blank.reasons = [diagnosis.Reason("", f"It goes on from {road.after}'s file.")]
            return blank
        job = {**self.job, "kind": "road", "road": road.name}
        job |= {"state": facts["state"], "random": facts["random"]}
        done = self._run(road.name, job)
        row = msgspec.convert(done.answer, Row) if done.status == "done" else blank
        if done.status != "done":
            row.status, row.reasons = done.status, [_ended(done, road, self.limits)]
        if before is not None and row.status == "done":  # what is frozen in stays frozen in
            row.reasons += [r for r in before.reasons if r.cause.endswith("-frozen")]
        row.seconds, row.export_peak_mib = done.seconds, done.peak_mib
        row.cpu_seconds = None if math.isnan(done.cpu_seconds) else done.cpu_seconds
        if row.score is not None and facts["score"] is not None:
            row.score_loss = loss(row.score, facts["score"], facts["metric_more_is_better"])
        return row

    def _time(self, row: Row) -> float | None:
        """Time one file; returns the model's own time in ms."""
        if row.status != "done":
            return None
        if row.times_eager is not None and row.iqr_ms is not None:
            assert row.median_ms is not None
            return row.median_ms / row.times_eager
        job = {**self.job, "kind": "time", "file": row.file, "seconds": self.limits.seconds}
        taken = dict(self._run(f"{row.road}-time", job).answer)
        eager = taken.pop("eager_ms", None)
        for name, value in taken.items():
            setattr(row, name, value)
        if taken:
            self._keep(row)
            self.on_row(row)
        return eager

    def _weigh(self, rows: list[Row]) -> None:
        """Peak memory of files, which is a process's own, whatever runs beside it."""

        def weighed(row: Row) -> Row:
            job = {**self.job, "kind": "peak", "file": row.file}
            row.peak_added_mib = self._run(f"{row.road}-peak", job).answer.get("added_mib")
            return row

        with self._pool() as pool:
            for done in as_completed([pool.submit(weighed, row) for row in rows]):
                self._keep(done.result())

    def _run(self, name: str, job: dict[str, Any]) -> Outcome:
        return self.launcher.run(name, job, self.limits.deadline, self.limits.memory_mib)


def _ended(done: Outcome, road: Road, limits: Limits) -> diagnosis.Reason:
    """Why a process did not come to its end."""
    cause = {"too long": "endless", "too much memory": "memory"}.get(done.status, "crash")
    says = {
        "endless": f"The road was ended after {limits.deadline:.0f} s.",
        "memory": f"The road was ended at {done.peak_mib:.0f} MiB.",
        "crash": f"The process of the road ended by {done.detail}.",
    }[cause]
    return diagnosis.told(cause, f"{says} ({road.name}, {diagnosis.versions()}.)")
