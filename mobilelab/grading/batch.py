"""Grade a class: many submissions at once, on this machine or on a Dask cluster.

The scheduler sees plain functions and plain data. Each worker keeps one sandbox; only this process
writes to the gradebook, one transaction per submission. Limits in seconds follow from what the
solution takes here (see ``calibration``); what hits one is graded once more at the end, alone.
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from functools import partial
from typing import Any, cast
from uuid import uuid4

import torch
from distributed import Client, as_completed
from distributed.comm.addressing import get_address_host

from mobilelab.core.errors import MobileLabError
from mobilelab.grading import calibration
from mobilelab.grading.assignment import Assignment
from mobilelab.grading.bubblewrap import NoSandbox
from mobilelab.grading.cluster import connected, threads_of
from mobilelab.grading.gradebook import Gradebook
from mobilelab.grading.sandbox import Limits, Sandbox
from mobilelab.grading.scorer import host_may_be_to_blame, score
from mobilelab.grading.static_imports import modules
from mobilelab.grading.submissions import Submission

#: What stands beside the limits of a second run.
ALONE = (
    "A first run hit a time limit or was killed by the system; this is the result of a second one, "
    "alone on the machine."
)
_lock = threading.Lock()
_sandboxes: dict[bool, Sandbox] = {}
_assignments: dict[str, Assignment] = {}


@dataclass
class Summary:
    """What a run of the grader did."""

    graded: int = 0
    known: int = 0
    failed: tuple[tuple[str, str], ...] = ()
    """Path and reason of the submissions that the grader itself could not judge. They are not in
    the gradebook; the next run tries them again."""
    limits: str = ""
    """Which limits applied, in words; nothing if nothing was graded."""


class NotJudged(MobileLabError):
    """A submission could not be judged, by a fault of the grader's."""


def judge(job: Mapping[str, Any]) -> dict[str, Any]:
    """What a worker does: one submission, in this process's sandbox.

    Raises:
        NoSandbox: if there is none on the worker's machine.
    """
    assignment, place = _here(job)
    try:
        return score(
            assignment, job["content"], job["student"], place,
            secret=job["secret"], draws=job["draws"], only=job["only"], limits=job["limits"],
            parameters=job["parameters"],
        )  # fmt: skip
    except (NoSandbox, ImportError):
        raise
    except Exception as error:
        said = f"{type(error).__name__}: {error}"[:300]
    # Raised here and not there: Dask never reports a job that ended in a deep recursion.
    raise NotJudged(said)


def time_solution(job: Mapping[str, Any], again: bool) -> calibration.Took:
    """What a worker does before the first submission.

    Raises:
        NotTimed: if there is no solution, or it does not run.
        NoSandbox: if there is none on the worker's machine.
    """
    return calibration.took(*_here(job), again=again)


def _here(job: Mapping[str, Any]) -> tuple[Assignment, Sandbox]:
    """The job's exercise and sandbox in this process."""
    mark = job["mark"]
    torch.set_num_threads(1)  # submissions run side by side; threads inside each would fight
    with _lock:
        if mark not in _assignments:
            assignment = Assignment(job["name"], job["files"], job["hidden"])
            assignment.require()
            _assignments[mark] = assignment
        if job["sealed"] not in _sandboxes:
            _sandboxes[job["sealed"]] = Sandbox(modules(job["files"]), sealed=job["sealed"])
        return _assignments[mark], _sandboxes[job["sealed"]]


def use(sandbox: Sandbox) -> None:
    """Let this process judge in ``sandbox``, which was started earlier."""
    with _lock:
        _sandboxes[sandbox.sealed] = sandbox


def close() -> None:
    """End this process's sandboxes."""
    with _lock:
        while _sandboxes:
            _sandboxes.popitem()[1].close()


def grade(
    assignment: Assignment,
    submissions: Sequence[Submission],
    book: Gradebook,
    *,
    secret: bytes | None = None,
    sealed: bool = True,
    scheduler: str | None = None,
    workers: int | None = None,
    again: bool = False,
    recalibrate: bool = False,
    parameters: Callable[[Submission], Mapping[str, Any]] | None = None,
    on_step: Callable[[int, int, str], None] | None = None,
) -> Summary:
    """Grade what the gradebook does not know yet; one bad submission never stops the others.

    Args:
        assignment: the exercise.
        submissions: what was handed in.
        book: where results are kept.
        secret: the class secret.
        sealed: ``False`` runs students' code without a sandbox.
        scheduler: address of a Dask scheduler. A local one is started otherwise.
        workers: worker processes of the local cluster; 0 grades in threads of this process.
        again: judge also what is known.
        recalibrate: time the solution also if its time on this host is known.
        parameters: those of a submission, where they do not follow from the secret.
        on_step: told after every submission: done, all, and the path.

    Raises:
        NoSandbox: if students' code could not be run safely.
        MissingRuntimeError: if the exercise needs a runtime that is not installed.
        SchedulerError: if the scheduler cannot be reached.
        GradebookError: if the gradebook cannot be written.
    """
    if scheduler is None:  # the machines of a cluster look for themselves
        assignment.require()
    book.note(assignment, submissions)
    jobs = [
        (submission, {**job, "sealed": sealed, "parameters": parameters and parameters(submission)})
        for submission, job in _jobs(assignment, submissions, book, secret, again)
    ]
    summary = Summary(known=len(submissions) - len(jobs))
    if not jobs:
        return summary
    keep = partial(_keep, assignment, book, secret, summary, len(jobs), on_step)
    with contextlib.ExitStack() as at_the_end:
        if scheduler is None:
            at_the_end.callback(close)
        client = at_the_end.enter_context(connected(scheduler, workers, len(jobs)))
        limits, summary.limits = _limits(client, assignment, jobs[0][1], recalibrate)
        late = []
        for one, result in _results(client, jobs, limits):
            if isinstance(result, dict) and host_may_be_to_blame(result):
                late.append(one)
            else:
                keep(one[0], result, summary.limits)
        if late:
            _once_more(client, assignment, late, keep)
    return summary


def _keep(
    assignment: Assignment, book: Gradebook, secret: bytes | None, summary: Summary, jobs: int,
    on_step: Callable[[int, int, str], None] | None, submission: Submission, result: Any, said: str,
) -> None:  # fmt: skip
    """Write a result into the gradebook; ``said`` are the limits that applied, in words."""
    if isinstance(result, (NoSandbox, ImportError)):
        raise result
    if isinstance(result, BaseException):
        why = f"{type(result).__name__}: {result}"[:300]
        summary.failed = (*summary.failed, (submission.path, why))
    else:
        book.store(assignment, submission, secret, {**result, "limits": said})
        summary.graded += 1
    if on_step:
        on_step(summary.graded + len(summary.failed), jobs, submission.path)


def _once_more(
    client: Client, assignment: Assignment, late: Sequence[tuple[Submission, dict]],
    keep: Callable[[Submission, Any, str], None],
) -> None:  # fmt: skip
    """The host may have become busy, or has been so with the class itself: each of these again.

    With nothing beside it, and with limits from what the solution takes now.
    """
    limits, said = _limits(client, assignment, late[0][1], again=True)
    for one in late:
        for _, result in _results(client, [one], limits):
            keep(one[0], result, f"{said} {ALONE}")


def _jobs(
    assignment: Assignment, submissions: Sequence[Submission], book: Gradebook,
    secret: bytes | None, again: bool,
) -> Iterator[tuple[Submission, dict[str, Any]]]:  # fmt: skip
    """What a worker has to know of each submission of which something is not known yet."""
    content = b"".join(assignment.files[name] for name in sorted(assignment.files))
    common = {
        "mark": hashlib.sha256(content).hexdigest(), "name": assignment.name,
        "files": assignment.files, "hidden": assignment.complete, "secret": secret,
        "draws": book.draws(secret),
    }  # fmt: skip
    for submission in submissions:
        missing = [task.key for task in assignment.exercise.tasks]
        if not again:
            missing = book.missing(assignment, submission, secret)
        if missing:
            job = {"content": submission.content, "student": submission.student, "only": missing}
            yield submission, {**common, **job}


def _limits(
    client: Client, assignment: Assignment, job: Mapping[str, Any], again: bool
) -> tuple[Limits, str]:
    """The limits that follow from what the solution takes, and where they come from in words."""
    stated = assignment.exercise.limits
    try:
        took = _solution(client, job, again)
    except calibration.NotTimed as error:
        return stated, calibration.words(stated, error)
    limits = calibration.scaled(stated, took)
    return limits, calibration.words(limits, took)


def _solution(client: Client, job: Mapping[str, Any], again: bool) -> calibration.Took:
    """What the solution takes on the slowest of the hosts.

    Raises:
        NotTimed: if that cannot be said.
        NoSandbox: if there is none.
    """
    hosts = {get_address_host(address): address for address in threads_of(client)}
    futures = [
        client.submit(
            time_solution, job, again, workers=[address], allow_other_workers=True, pure=False
        )
        for address in hosts.values()
    ]
    try:
        times = cast("list[calibration.Took]", client.gather(futures))
        found = [astuple(took) for took in times]
    except (calibration.NotTimed, NoSandbox, ImportError):
        raise
    except Exception as error:  # whatever ended it, the submissions are graded all the same
        raise calibration.NotTimed(
            f"the solution could not be timed ({type(error).__name__}: {error})"[:300]
        ) from error
    return calibration.Took(*map(max, zip(*found, strict=True)))


def _results(
    client: Client, jobs: Sequence[tuple[Submission, dict]], limits: Limits
) -> Iterator[tuple]:
    """Jobs and outcomes as they come; a few for each thread are under way at a time."""
    threads = max(1, sum(threads_of(client).values()))
    waiting = list(reversed(jobs))
    running = {}

    def submit() -> Any:
        one = waiting.pop()
        job = {**one[1], "limits": limits}
        future = client.submit(judge, job, pure=False, key=f"judge-{uuid4()}")
        running[future.key] = one
        return future

    first = [submit() for _ in range(min(len(waiting), threads * 3))]
    completed = as_completed(first, loop=client.loop)
    for future in completed:
        one = running.pop(future.key)
        error = future.exception() if future.status != "finished" else None
        result = error if future.status != "finished" else future.result()
        future.release()
        if waiting:
            completed.add(submit())
        yield one, result
