"""The student's side of the grader: run the notebook, then answer questions about it.

This runs sealed off (see ``sandbox_process``), in the very process whose names the student's cells
define. Everything it sends is believed no more than an answer in an exam: it may be wrong, never
trusted. papermill puts in the parameters and keeps the book; the engine below runs the cells in
this process, goes on after one that fails, and gives each its time.
"""

from __future__ import annotations

import contextlib
import copy
import json
import os
import reprlib
import socket
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import papermill
from matplotlib.backends.registry import backend_registry
from papermill.engines import Engine, papermill_engines
from papermill.exceptions import PapermillExecutionError

from mobilelab.grading import questions
from mobilelab.grading.framing import (
    LARGEST,
    Reader,
    to_bytes,
)
from mobilelab.grading.serialize import encode
from mobilelab.grading.shell import (
    OutOfTime,
    Outputs,
    at_most,
    shell_of_this_process,
)

#: The place of the cell that papermill puts the parameters in; all others are counted from 0.
INJECTED = -1

Send = Callable[..., None]


class OracleEngine(Engine):
    """papermill's engine for the grader: the cells run here, and an error ends only its cell."""

    @classmethod
    def execute_managed_notebook(
        cls, nb_man: Any, kernel_name: str, *, run: Callable[[int, str], None], **kwargs: Any
    ) -> None:
        """Run every code cell through ``run(place, source)``."""
        for cell in nb_man.nb.cells:
            if cell.cell_type == "code" and cell.source.strip():
                run(cell.metadata.get("place", INJECTED), cell.source)


class Student:
    """The process as the grader's partner: it runs the cells and answers."""

    def __init__(self, send: Send, message: dict[str, Any]) -> None:
        self.send, self.limits = send, message["limits"]
        self.skip = set(message["skip"])
        self.start = os.getcwd()
        self.given = False  # whether the parameters have been put in
        self.deadline = time.monotonic() + self.limits["notebook"]
        self.outputs = Outputs()
        self.parameters = message["parameters"]
        self.shell = shell_of_this_process(lambda: self.outputs)

    def run(self, index: int, source: str) -> None:
        """Run one cell, tell that it begins and how it ended."""
        if index in self.skip:
            return
        self.send({"begins": index})
        self.outputs = Outputs()
        seconds = max(0.05, min(self.limits["cell"], self.deadline - time.monotonic()))
        try:
            with at_most(seconds):
                result = self.shell.run_cell(source, store_history=False)
            error = result.error_before_exec or result.error_in_exec
        except BaseException as late:
            error = late
        self.tell(index, error)

    def tell(self, index: int, error: BaseException | None) -> None:
        """One frame for a cell that has ended."""
        blocks: list[bytes] = []
        for item in self.outputs.items:
            if "png" in item:
                blocks.append(item.pop("png"))
                item["block"] = len(blocks) - 1
        outcome = "ok"
        said = None
        if error is not None:
            outcome = _kind_of(error)
            said = _in_words(error)
        self.given |= index == INJECTED
        self.send(
            {"ended": index, "outcome": outcome, "error": said, "outputs": self.outputs.items,
             "changed": self.set_back() if self.given else {}},
            blocks,
        )  # fmt: skip

    def set_back(self) -> dict[str, str]:
        """Give the parameters their values again, and say which had another: to what."""
        changed = {}
        for name, value in self.parameters.items():
            now = self.shell.user_ns.get(name)
            if not _same(now, value):
                gone = name not in self.shell.user_ns
                changed[name] = "none any more" if gone else reprlib.repr(now)[:200]
                self.shell.user_ns[name] = copy.deepcopy(value)
        return changed

    def reply(self, message: dict[str, Any], blocks: list[bytes]) -> None:
        """Answer one question."""
        self.outputs = Outputs()
        try:
            self.set_back()
            with at_most(message["seconds"]):
                value = questions.answer(self.shell.user_ns, message, blocks, self.start)
                form, out = encode(value)
            self.send({"reply": message["number"], "outcome": "ok", "value": form}, out)
        except questions.Missing as error:
            self.send({"reply": message["number"], "outcome": "missing", "error": str(error)})
        except BaseException as error:
            self.send(
                {"reply": message["number"], "outcome": _kind_of(error), "error": _in_words(error)}
            )


def _same(now: object, value: object) -> bool:
    return type(now) is type(value) and now == value


def _kind_of(error: BaseException) -> str:
    if isinstance(error, OutOfTime):
        return "timeout"
    if isinstance(error, MemoryError) or "can't allocate memory" in str(error)[:2000]:
        return "memory"
    return "todo" if isinstance(error, NotImplementedError) else "error"


def _in_words(error: BaseException) -> str:
    """Type and message, and the line of the student's own code that raised it."""
    words = "".join(traceback.format_exception_only(type(error), error)).strip()
    if isinstance(error, OutOfTime):
        words = f"stopped after {error}"
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if "ipykernel" in frame.filename or frame.filename.startswith("<ipython-input"):
            words += f"\n  in line {frame.lineno} of the cell: {(frame.line or '').strip()}"
            break
    return words[:2000]


def warm() -> None:
    """What every notebook would compute again: nbformat's schema, and matplotlib's backends."""
    nbformat.writes(nbformat.v4.new_notebook())
    backend_registry.resolve_gui_or_backend("inline")


def main(channel: socket.socket) -> None:
    """Serve one notebook on ``channel``."""
    reader = Reader(2 * LARGEST)  # what comes from the grader may hold all that was sent to it
    frames: list[Any] = []

    def send(message: dict[str, Any], blocks: list[bytes] | None = None) -> None:
        channel.sendall(to_bytes(message, blocks))

    def receive() -> tuple[dict[str, Any], list[bytes]]:
        while not frames:
            data = channel.recv(1 << 18)
            if not data:
                os._exit(0)
            frames.extend(reader.feed(data))
        return frames.pop(0)

    message, blocks = receive()
    for name, block in message["files"].items():
        Path(name).write_bytes(blocks[block])
    sys.path.insert(0, os.getcwd())
    book = nbformat.from_dict(json.loads(blocks[message["notebook"]]))
    student = Student(send, message)
    papermill_engines.register("mobilelab-oracle", OracleEngine)
    with contextlib.suppress(PapermillExecutionError):
        papermill.execute_notebook(
            book,
            None,
            parameters=message["parameters"],
            engine_name="mobilelab-oracle",
            kernel_name="python3",
            progress_bar=False,
            log_output=False,
            run=student.run,
        )
    send({"done": True})
    while True:
        message, blocks = receive()
        student.reply(message, blocks)
