"""Judge one submission. No student code runs in this process.

The notebook runs sealed off; this side sends it inputs, receives plain data and compares with
expected values that never leave it. A delivered model is run in a second sealed process, on inputs
that the notebook's process has never seen.
"""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from mobilelab.grading import answers, notebook
from mobilelab.grading.assignment import Assignment
from mobilelab.grading.frames import NotPlain
from mobilelab.grading.plain import File, clean, decode, encode
from mobilelab.grading.sandbox import Ended, Inmate, Limits, Sandbox
from mobilelab.grading.tasks import ENDS, Facts, Outcome, Question, Reply, Run, Task, look

#: How often a notebook is started again, without the cell or question that killed its process.
AGAIN = 2
#: Seconds that an interrupted cell gets to notice before its process is ended.
GRACE = 3.0


@dataclass
class CellRecord:
    """What became of one code cell."""

    place: int
    outcome: str = "not run"
    error: str = ""
    outputs: list[dict[str, Any]] = field(default_factory=list)


class Oracle:
    """A student's notebook in its sealed process, started again when it dies."""

    def __init__(
        self, sandbox: Sandbox, assignment: Assignment, cells: list[notebook.Cell],
        parameters: Mapping[str, Any], limits: Limits | None = None,
    ) -> None:  # fmt: skip
        self.sandbox, self.assignment, self.cells = sandbox, assignment, cells
        self.parameters = dict(parameters)
        self.limits: Limits = limits or assignment.exercise.limits
        self.began = time.monotonic()
        self.longest = {"cell": 0.0, "question": 0.0}
        self.records: dict[int, CellRecord] = {}
        self.changed: dict[str, int] = {}
        self.skip: set[int] = set()
        self.end: Ended | None = None
        self._inmate: Inmate | None = None
        self._model: Inmate | None = None
        self._files: dict[int, Reply] = {}
        self._starts = 0
        self._number = 0

    # --- the notebook ----------------------------------------------------------------------

    def run(self) -> None:
        """Run the notebook; a cell that kills its process is left out the next time."""
        while self._starts <= AGAIN:
            self._starts += 1
            place = None
            try:
                self._inmate = self.sandbox.open("run_notebook", self.limits)
                if self._starts == 1:  # what the sandbox itself has to import is nobody's time
                    self.began = time.monotonic()
                files = self.assignment.handed_out
                blocks = [*files.values(), notebook.rebuilt(self.cells)]
                self._inmate.send(
                    {
                        "files": {name: i for i, name in enumerate(files)},
                        "notebook": len(files),
                        "parameters": self.parameters,
                        "limits": {
                            "cell": self.limits.cell,
                            "notebook": max(0.1, self.deadline - time.monotonic()),
                        },
                        "skip": sorted(self.skip),
                    },
                    blocks,
                )
                while True:
                    message, parts = self._inmate.receive(self._patience())
                    if "done" in message:
                        return
                    if type(message.get("begins")) is int:
                        place, since = message["begins"], time.monotonic()
                    elif type(message.get("ended")) is int:
                        self._record(message, parts)
                        if place is not None:
                            self._note("cell", since)
                        place = None
            except Ended as end:
                self._stop()
                if place is None or not 0 <= place < len(self.cells):
                    self.end = end
                    return
                self.records[place] = CellRecord(place, _outcome(end), str(end))
                self.skip.add(place)
                if time.monotonic() >= self.deadline:
                    self.end = end
                    return
        self.end = Ended("died", "its cells ended the kernel again and again")

    @property
    def deadline(self) -> float:
        """When the notebook's time is up, by :func:`time.monotonic`."""
        return self.began + self.limits.notebook

    def _note(self, what: str, since: float) -> None:
        self.longest[what] = max(self.longest[what], time.monotonic() - since)

    def _patience(self) -> float:
        left = self.deadline - time.monotonic()
        return max(0.1, min(self.limits.cell, left)) + GRACE

    def _record(self, message: dict[str, Any], parts: list[bytes]) -> None:
        place = message["ended"]
        for name in message.get("changed") or []:
            if type(name) is str and name in self.parameters and self._injected_before(place):
                self.changed.setdefault(name, place)
        if not 0 <= place < len(self.cells):
            return
        outputs = []
        for item in message.get("outputs") or []:
            if type(item) is not dict:
                continue
            if type(item.get("text")) is str:
                outputs.append(
                    {
                        "kind": clean(str(item.get("kind")))[:10],
                        "text": clean(item["text"][:20_200]),
                    }
                )
            elif type(item.get("block")) is int and 0 <= item["block"] < len(parts):
                png = parts[item["block"]]
                if png.startswith(b"\x89PNG\r\n\x1a\n") and len(png) <= 300_000:
                    outputs.append({"kind": "picture", "png": base64.b64encode(png).decode()})
        known = ("ok", "error", "todo", "timeout", "memory")
        outcome = message.get("outcome") if message.get("outcome") in known else "error"
        error = message.get("error")
        said = clean(error[:2000]) if type(error) is str else ""
        self.records[place] = CellRecord(place, outcome, said, outputs[:40])

    def _injected_before(self, place: int) -> bool:
        """Whether the parameters were put in before this cell: in or before it they are not yet."""
        first = next((i for i, cell in enumerate(self.cells) if cell.parameters), -1)
        return place > first

    # --- questions -------------------------------------------------------------------------

    def ask(self, question: Question) -> Reply:
        """Put a question; whatever happens, there is a reply."""
        if isinstance(question, (Facts, Run)):
            return self._ask_model(question)
        if self._inmate is None:
            if self.end is None and self._starts <= AGAIN:
                self.run()
            if self._inmate is None:
                end = self.end or Ended("died")
                return Reply(_outcome(end), error=str(end))
        try:
            return self._exchange(self._inmate, *answers.to_message(question))
        except Ended as end:
            self._stop()
            return Reply(_outcome(end), error=str(end))

    def _exchange(self, inmate: Inmate, message: dict[str, Any], blocks: list[bytes]) -> Reply:
        self._number += 1
        since = time.monotonic()
        inmate.send({**message, "number": self._number}, blocks)
        until = time.monotonic() + self._patience()
        while True:
            said, parts = inmate.receive(max(0.0, until - time.monotonic()))
            if said.get("reply") == self._number:
                break
        self._note("question", since)
        outcome = said.get("outcome")
        error = said.get("error") if type(said.get("error")) is str else ""
        if outcome != "ok":
            return Reply(outcome if outcome in ENDS else "error", error=clean(error[:1000]))
        try:
            return Reply("ok", decode(said.get("value"), parts))
        except (NotPlain, RecursionError) as problem:
            return Reply("error", error=f"the answer cannot be read: {problem}")

    def _ask_model(self, question: Facts | Run) -> Reply:
        """Fetch the file, and look at it or run it in a sealed process of its own."""
        key = id(question.source)
        if key not in self._files:
            self._files[key] = self.ask(question.source)
        delivered = self._files[key]
        if delivered.outcome != "ok":
            return delivered
        if not isinstance(delivered.value, File):
            return Reply("error", error="a model file is wanted")
        inputs = list(question.inputs) if isinstance(question, Run) else []
        form, blocks = encode((delivered.value, inputs))
        kind = "run" if isinstance(question, Run) else "facts"
        for _ in range(2):
            try:
                if self._model is None:
                    self._model = self.sandbox.open("run_model", self.limits)
                return self._exchange(self._model, {"ask": kind, "with": form}, blocks)
            except Ended as end:
                self._model.close()
                self._model = None
                reply = Reply(_outcome(end), error=f"the delivered model: {end}")
                if end.reason != "died":
                    break
        return reply

    def _stop(self) -> None:
        if self._inmate is not None:
            self._inmate.close()
            self._inmate = None

    def close(self) -> None:
        """End both processes."""
        self._stop()
        if self._model is not None:
            self._model.close()


def _outcome(end: Ended) -> str:
    return end.reason if end.reason in ENDS else "died"


def fingerprint(content: bytes) -> str:
    """What a submission is known by: its content."""
    return hashlib.sha256(content).hexdigest()


def score(
    assignment: Assignment,
    content: bytes,
    student: str,
    sandbox: Sandbox,
    *,
    secret: bytes | None,
    draws: bytes,
    only: Collection[str] | None = None,
    limits: Limits | None = None,
) -> dict[str, Any]:
    """Grade one submission.

    Args:
        assignment: the exercise.
        content: the submitted file.
        student: whose it is; parameters and hidden inputs depend on it.
        sandbox: where its code runs.
        secret: the class secret; without one everybody has the default parameters.
        draws: what hidden inputs are drawn from (the class secret, or any secret bytes).
        only: keys of the tasks to judge, all by default.
        limits: what it may use, by default what the exercise states.

    Returns:
        Plain data: ``end``, ``message``, ``tasks`` (key to task), ``cells``, ``seconds``, and, if
        it is a notebook, ``took``: seconds of the ``notebook`` with all questions, of the longest
        ``cell`` and of the longest ``question``.

    Raises:
        NoSandbox: if there is none. Nothing that a submission does raises.
    """
    began = time.monotonic()
    exercise = assignment.exercise
    parameters = assignment.parameters(secret, student)
    wanted = [task for task in exercise.tasks if only is None or task.key in only]
    result: dict[str, Any] = {"end": "graded", "message": "", "parameters": parameters}
    try:
        cells = notebook.read(content, parameters)
    except notebook.NotANotebook as error:
        result.update(end="not a notebook", message=str(error), cells=[])
        result["tasks"] = {
            task.key: _nothing(task, "not a notebook", str(error)) for task in wanted
        }
        return {**result, "seconds": time.monotonic() - began}
    oracle = Oracle(sandbox, assignment, cells, parameters, limits)
    try:
        oracle.run()
        tampered = oracle.changed
        judged = [t for t in wanted if not any(name in t.uses for name in tampered)]
        cases = {t.key: assignment.cases(t, parameters, draws, student) for t in judged}
        # All public cases before any hidden one: what is shown to the student afterwards was
        # answered by a process that had not seen a hidden input yet.
        seen = {t.key: look(cases[t.key][0], oracle.ask) for t in judged}
        unseen = {t.key: look(cases[t.key][1], oracle.ask) for t in judged}
        tasks = {
            t.key: _task(t, oracle, seen[t.key], unseen[t.key])
            if t in judged
            else _nothing(t, "tampered parameters", _tampering(tampered))
            for t in wanted
        }
        result["took"] = {"notebook": time.monotonic() - oracle.began, **oracle.longest}
    finally:
        oracle.close()
    if tampered:
        result["end"] = "tampered parameters"
        result["message"] = _tampering(tampered)
    else:
        result["end"], result["message"] = _worst(oracle)
    result["tasks"] = tasks
    result["cells"] = [
        {**asdict(oracle.records.get(i, CellRecord(i))), "source": cell.source[:20_000]}
        for i, cell in enumerate(cells)
        if cell.code and cell.source.strip()
    ]
    return {**result, "seconds": time.monotonic() - began}


def timed_out(result: Mapping[str, Any]) -> bool:
    """Whether anything in a result of :func:`score` ended because its time was up."""
    cases = [case for task in result["tasks"].values() for case in task["cases"]]
    return (
        result["end"] == ENDS["timeout"]
        or any(cell["outcome"] == "timeout" for cell in result["cells"])
        or any(case["end"] == ENDS["timeout"] for case in cases)
    )


def _worst(oracle: Oracle) -> tuple[str, str]:
    """How the notebook as a whole ended, and at which cell."""
    if oracle.end is not None:
        return ENDS[_outcome(oracle.end)], str(oracle.end)
    for outcome in ("died", "memory", "processes", "timeout", "error"):
        for place, record in sorted(oracle.records.items()):
            if record.outcome == outcome:
                return ENDS[outcome], f"Cell {place + 1}: {record.error or ENDS[outcome]}"
    return "graded", ""


def _tampering(places: Mapping[str, int]) -> str:
    which = ", ".join(f"{name} (cell {place + 1})" for name, place in sorted(places.items()))
    return (
        f"The notebook gives parameters another value than they were given: {which}. Use another "
        "name there; tasks that depend on them score nothing."
    )


def _task(task: Task, oracle: Oracle, seen: list[Outcome], unseen: list[Outcome]) -> dict[str, Any]:
    total = sum(outcome.weight for outcome in unseen)
    right = sum(outcome.weight for outcome in unseen if outcome.ok)
    end, message = _end(task, oracle, seen, unseen)
    return {
        "title": task.title,
        "points": round(task.points * right / total, 2) if total else 0.0,
        "max": task.points,
        "end": end,
        "message": message,
        "cases": [
            *({**asdict(o), "public": True} for o in seen),
            # what a hidden case expected or got stays here; its name and its hint go out
            *({**asdict(o), "public": False, "expected": "", "got": ""} for o in unseen),
        ],
    }


def _nothing(task: Task, end: str, message: str) -> dict[str, Any]:
    return {
        "title": task.title, "points": 0.0, "max": task.points, "end": end, "message": message,
        "cases": [],
    }  # fmt: skip


_WORST_FIRST = (
    "kernel died", "out of memory", "too many processes", "timeout", "error", "not done",
)  # fmt: skip


def _end(task: Task, oracle: Oracle, seen: list[Outcome], unseen: list[Outcome]) -> tuple[str, str]:
    """How a task ended as a whole, and the student's own words for it.

    Only the public cases are quoted: an error's text could carry a hidden input out.
    """
    ends = [outcome.end for outcome in [*seen, *unseen] if not outcome.ok]
    if not ends:
        return "right", ""
    # the name is not there: was there a cell that should have made it, and what became of it?
    if "missing task" in ends:
        for places in notebook.makers(oracle.cells, task.names).values():
            for place in places:
                record = oracle.records.get(place)
                if record is not None and record.outcome not in ("ok", "not run"):
                    return ENDS[record.outcome], f"Cell {place + 1}: {record.error}"
        if any(record.outcome == "todo" for record in oracle.records.values()):
            return ENDS["todo"], ""
        return "missing task", f"The notebook has no {' or '.join(task.names)}."
    for end in _WORST_FIRST:
        if end in ends:
            quoted = [o.got for o in seen if o.end == end]
            return end, quoted[0] if quoted else "on a hidden case"
    return "wrong answer", ""
