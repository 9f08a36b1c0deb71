"""What a submission may take here: limits in seconds follow from what the solution takes.

Time limits decide marks, and how far a second goes depends on the host and on what else it does.
So the exercise's own solution is graded first, in the same sandbox, and :func:`scaled` gives
submissions a multiple of its time, never less than the exercise states. The solution's times are
kept in the user's cache folder (``MOBILELAB_CACHE`` names another one) for each exercise and kind
of host. The solution runs alone, so it does not matter to it how many workers there are.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import platform
import tempfile
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import platformdirs

from mobilelab.core.errors import MobileLabError
from mobilelab.grading.assignment import Assignment
from mobilelab.grading.sandbox import Limits, Sandbox
from mobilelab.grading.scorer import score

#: How many times as long as the solution a submission may take, at least.
FACTOR = 10
#: How many times as long as the exercise states the solution itself may take.
GENEROUS = 10


class NotTimed(MobileLabError):
    """The solution could not be timed; the message says why, as half a sentence."""


@dataclass(frozen=True)
class Took:
    """What the solution took on one host, in seconds."""

    notebook: float
    """The whole notebook and all questions."""
    cell: float
    """The longest cell."""
    question: float
    """The longest question."""


def scaled(limits: Limits, took: Took) -> Limits:
    """``limits``, raised to :data:`FACTOR` times what the solution took where that is more."""
    cell = math.ceil(FACTOR * max(took.cell, took.question))
    notebook = math.ceil(FACTOR * took.notebook)
    return replace(limits, cell=max(limits.cell, cell), notebook=max(limits.notebook, notebook))


def words(limits: Limits, found: Took | NotTimed) -> str:
    """One sentence: which limits apply, and why."""
    said = f"cell {limits.cell} s, notebook {limits.notebook} s"
    if isinstance(found, Took):
        return f"Limits on this host: {said}; the solution took {found.notebook:.1f} s."
    return f"Limits as the exercise states them: {said}; {found}."


def took(assignment: Assignment, sandbox: Sandbox, *, again: bool = False) -> Took:
    """What the solution takes on this host: as it was kept, or measured now and then kept.

    Args:
        assignment: the exercise.
        sandbox: where the solution runs, as submissions do.
        again: measure in any case.

    Raises:
        NotTimed: if there is no solution, or it does not run.
        NoSandbox: if there is none.
    """
    path = place(assignment)
    if not again and (kept := _read(path)):
        return kept
    measured = _measure(assignment, sandbox)
    with suppress(OSError):  # a folder that cannot be written costs time, and no marks
        keep(path, measured)
    return measured


def place(assignment: Assignment) -> Path:
    """The file for this exercise, as its files are now, on this kind of host."""
    chosen = os.environ.get("MOBILELAB_CACHE")
    folder = Path(chosen or platformdirs.user_cache_dir("mobilelab", appauthor=False))
    parts = [_host(), *(f"{k} {_hash(c)}" for k, c in sorted(assignment.files.items()))]
    return folder / "grading" / f"{assignment.name}-{_hash(chr(10).join(parts).encode())[:16]}.json"


def keep(path: Path, measured: Took) -> None:
    """Write the file at once as a whole.

    Raises:
        OSError: if it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, suffix=".new", delete=False) as file:
        json.dump(asdict(measured), file)
    os.replace(file.name, path)


def _read(path: Path) -> Took | None:
    """What was kept; ``None`` if nothing was, or something else stands there."""
    try:
        kept = Took(**json.loads(path.read_bytes()))
        sound = all(0 < seconds < math.inf for seconds in asdict(kept).values())
    except (OSError, ValueError, TypeError, RecursionError):
        return None
    return kept if sound else None


def _measure(assignment: Assignment, sandbox: Sandbox) -> Took:
    solution = assignment.files.get("solution.ipynb")
    if solution is None:
        raise NotTimed("there is no solution.ipynb to time")
    stated = assignment.exercise.limits
    limits = replace(stated, cell=GENEROUS * stated.cell, notebook=GENEROUS * stated.notebook)
    result = score(
        assignment, solution, "solution", sandbox, secret=None, draws=b"solution", limits=limits
    )
    if result["end"] not in ("graded", "error"):  # a cell that fails on purpose is no hindrance
        said = " ".join(result["message"].split())[:200]
        raise NotTimed(f"the solution does not run here ({result['end']}: {said})")
    return Took(**result["took"])


def _host() -> str:
    """This kind of host: what of it decides how long something takes."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    cpu = {platform.processor()}
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu |= {line for line in lines if line.startswith(("model name", "CPU part"))}
    return f"{platform.system()} {platform.machine()}, {sorted(cpu)}, {cores} cores"


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
