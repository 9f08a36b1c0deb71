"""A student's notebook in its sealed process: what it is asked, and what became of it."""

from __future__ import annotations

import base64
import time
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mobilelab.grading import notebook, questions
from mobilelab.grading.assignment import Assignment
from mobilelab.grading.framing import (
    LARGEST_PICTURE,
    MOST_PICTURE_BYTES,
    MOST_PICTURES,
    MOST_TEXTS,
    NotPlain,
)
from mobilelab.grading.sandbox import Ended, Inmate, Limits, Sandbox
from mobilelab.grading.schema import Answered, CellEnded, parsed
from mobilelab.grading.serialize import File, clean, decode, encode
from mobilelab.grading.tasks import ENDS, Facts, Here, Question, Reply, Run

#: How often a notebook is started again without a cell that ended its process, and how often
#: because of questions about one task.
AGAIN = 2


#: Seconds that an interrupted cell gets, at least, to notice before its process is ended.
GRACE = 3.0


@dataclass
class CellRecord:
    """What became of one code cell."""

    place: int
    outcome: str = "not run"
    error: str = ""
    outputs: list[dict[str, Any]] = field(default_factory=list)


class Oracle:
    """A student's notebook in its sealed process, started again when it dies.

    All times are absolute and this side's: the notebook's, each cell's, each question's, each
    task's, and all together.
    """

    def __init__(
        self, sandbox: Sandbox, assignment: Assignment, cells: list[notebook.Cell],
        parameters: Mapping[str, Any], limits: Limits | None = None,
    ) -> None:  # fmt: skip
        self.sandbox, self.assignment, self.cells = sandbox, assignment, cells
        self.parameters = dict(parameters)
        self.limits: Limits = limits or assignment.exercise.limits
        self.grace = max(GRACE, self.limits.cell / 10)
        self.began: float | None = None
        self.longest = {"cell": 0.0, "question": 0.0}
        self.records: dict[int, CellRecord] = {}
        self.changed: dict[str, tuple[int, str]] = {}
        self.skip: set[int] = set()
        self.end: Ended | None = None
        self._inmate: Inmate | None = None
        self._model: Inmate | None = None
        self._files: dict[int, Reply] = {}
        self._cells_again = AGAIN
        self._deaths: Counter[str] = Counter()
        self._spent: defaultdict[str, float] = defaultdict(float)
        self._number = 0
        self.killed = False
        self._letters_left, self._bytes_left = MOST_TEXTS, MOST_PICTURE_BYTES

    # --- the notebook ----------------------------------------------------------------------

    def run(self) -> None:
        """Run the notebook; a cell that kills its process is left out the next time."""
        while True:
            self._place = None
            try:
                self._inmate = self.sandbox.open("run_notebook", self.limits)
                self._run(self._inmate)
                return
            except Ended as end:
                self._stop(end)
                place = self._place
                if place is not None and 0 <= place < len(self.cells):
                    said = in_words(end, self.limits, self.limits.cell)
                    self.records[place] = CellRecord(place, outcome_of(end), said)
                    self.skip.add(place)
                    self._cells_again -= 1
                    if self._cells_again >= 0 and time.monotonic() < self._until:
                        continue
                self.end = end
                return

    def _run(self, inmate: Inmate) -> None:
        now = time.monotonic()
        if self.began is None:  # what the sandbox itself has to import is nobody's time
            self.began = now
            self._last = now + self.limits.whole
        self._until = until = min(now + self.limits.notebook, self._last)
        files = self.assignment.handed_out
        inmate.send(
            {
                "files": {name: i for i, name in enumerate(files)},
                "notebook": len(files),
                "parameters": self.parameters,
                "limits": {"cell": self.limits.cell, "notebook": max(0.1, until - now)},
                "skip": sorted(self.skip),
            },
            [*files.values(), notebook.rebuilt(self.cells)],
            until=until + self.grace,
        )
        since = now
        # A cell begins and ends, papermill's own too; then the notebook is done.
        for _ in range(2 * len(self.cells) + 3):
            running = self._place is not None
            patience = min(until, since + self.limits.cell) if running else until
            message, parts = inmate.receive(patience + self.grace)
            if "done" in message:
                return
            if type(message.get("begins")) is int:
                self._place, since = message["begins"], time.monotonic()
            elif "ended" in message:
                self._record(parsed(message, CellEnded), parts)
                self._note("cell", since)
                self._place = None
            elif type(message.get("broken")) is str:
                raise Ended("died", clean(message["broken"][:500]))
            else:
                raise Ended("nonsense", "it sent a message that is none of a cell's")
        raise Ended("nonsense", "it sent more messages than it has cells")

    def _note(self, what: str, since: float) -> None:
        self.longest[what] = max(self.longest[what], time.monotonic() - since)

    def _record(self, said: CellEnded, parts: list[bytes]) -> None:
        place = said.ended
        if place != self._place:
            raise Ended("nonsense", "it says of another cell that it has ended")
        for name, value in said.changed.items():
            if name in self.parameters:
                self.changed.setdefault(name, (place, clean(value)))
        if not 0 <= place < len(self.cells):
            return
        outputs, pictures = [], dict(enumerate(parts[:MOST_PICTURES]))
        for item in said.outputs:
            if item.kind != "picture":
                outputs.append({"kind": item.kind, "text": clean(item.text)[: self._letters_left]})
                self._letters_left -= len(outputs[-1]["text"])
                continue
            png = pictures.pop(item.block, b"")  # each block is one picture, and only once
            most = min(LARGEST_PICTURE, self._bytes_left)
            if png.startswith(b"\x89PNG\r\n\x1a\n") and len(png) <= most:
                self._bytes_left -= len(png)
                outputs.append({"kind": "picture", "png": base64.b64encode(png).decode()})
        self.records[place] = CellRecord(place, said.outcome, clean(said.error or ""), outputs)

    # --- questions -------------------------------------------------------------------------

    def ask(self, question: Question, task: str = "") -> Reply:
        """Put a question about a task; whatever happens, there is a reply.

        A task has time of its own, and after an answer that ended the process the notebook is run
        again without it: what is wrong with one task costs no other.
        """
        if isinstance(question, (Facts, Run)):
            return self._ask_model(question, task)
        if self._deaths[task] > AGAIN:
            return Reply("died", error="earlier questions about this task ended the process")
        if self._inmate is None and self.end is None:
            self.run()
        if self._inmate is None:
            end = self.end or Ended("died")
            return Reply(outcome_of(end), error=in_words(end, self.limits, self.limits.notebook))
        assert not isinstance(question, Here)  # chapters ask those, exercises do not
        try:
            return self._exchange(self._inmate, task, *questions.to_message(question))
        except Ended as end:
            self._stop(end)
            self._deaths[task] += 1
            return Reply(outcome_of(end), error=in_words(end, self.limits, self.limits.cell))

    def _exchange(
        self, inmate: Inmate, task: str, message: dict[str, Any], blocks: list[bytes]
    ) -> Reply:
        since = time.monotonic()
        left = min(self.limits.task - self._spent[task], self._last - since)
        if left <= 0:
            most = self.limits.task if since < self._last else self.limits.whole
            return Reply("timeout", error=f"all questions together took longer than {most} s")
        self._number += 1
        until = since + min(self.limits.cell, left)
        try:
            inmate.send(
                {**message, "number": self._number, "seconds": until - since}, blocks,
                until=until + self.grace,
            )  # fmt: skip
            raw, parts = inmate.receive(until + self.grace)
        finally:
            self._spent[task] += time.monotonic() - since
        said = parsed(raw, Answered)
        if said.reply != self._number:
            raise Ended("nonsense", "it answered what was not asked")
        self._note("question", since)
        if said.outcome != "ok":
            return Reply(said.outcome, error=clean(said.error))
        try:
            return Reply("ok", decode(said.value, parts))
        except (NotPlain, RecursionError) as problem:
            return Reply("error", error=f"the answer cannot be read: {problem}")

    def _ask_model(self, question: Facts | Run, task: str) -> Reply:
        """Fetch the file, and look at it or run it in a sealed process of its own."""
        key = id(question.source)
        if key not in self._files:
            self._files[key] = self.ask(question.source, task)
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
                return self._exchange(self._model, task, {"ask": kind, "with": form}, blocks)
            except Ended as end:
                assert self._model is not None  # opening it ends otherwise
                self._model.close()
                self._model = None
                self.killed |= "SIGKILL" in str(end)
                said = in_words(end, self.limits, self.limits.cell)
                reply = Reply(outcome_of(end), error=f"the delivered model: {said}")
                if end.reason != "died":
                    break
        return reply

    def _stop(self, end: Ended | None = None) -> None:
        self.killed |= end is not None and "SIGKILL" in str(end)
        if self._inmate is not None:
            self._inmate.close()
            self._inmate = None

    def close(self) -> None:
        """End both processes."""
        self._stop()
        if self._model is not None:
            self._model.close()


def outcome_of(end: Ended) -> str:
    """The outcome of a question or a cell whose process is gone."""
    return end.reason if end.reason in ENDS else "died"


def in_words(end: Ended, limits: Limits, seconds: float) -> str:
    """What happened, and what to do about it."""
    said = str(end) if str(end) != end.reason else ""
    words = {
        "timeout": f"It took longer than {seconds:.0f} s. Look for a loop that does not end, or do "
        "the same with less data.",
        "memory": f"It took more memory than the {limits.memory / 2**30:.1f} GB that a submission "
        "may have. Work on a part of the data at a time.",
        "processes": f"It started more than {limits.processes} processes and threads. A DataLoader "
        "needs none of its own: num_workers=0.",
        "large": f"It gave back {said}. Hand in a smaller file, or return less.",
        "nonsense": f"It disturbed the grader's own messages: {said}. Leave file descriptors alone "
        "that your code has not opened.",
    }
    died = (
        "It ended its Python process"
        + (f" ({said})" if said else "")
        + ". exit(), os.kill and a crash in native code do that: restart the kernel, run all cells "
        "in order, and see at which one it dies."
    )
    return words.get(end.reason, died)
