"""IPython in this process: a cell gets its time, and what it shows is trimmed as it comes."""

from __future__ import annotations

import base64
import contextlib
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any, cast

from IPython.core.displaypub import DisplayPublisher
from IPython.core.formatters import DisplayFormatter
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from mobilelab.grading.framing import (
    LARGEST_PICTURE,
    MOST_ITEMS,
    MOST_PICTURES,
    MOST_TEXT,
)


class OutOfTime(BaseException):
    """A cell, or a question, took longer than it may."""


@contextlib.contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Interrupt what runs here after ``seconds``, and again until it listens."""

    def ring(*_: object) -> None:
        raise OutOfTime(f"{seconds:.0f} s")

    signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds, 0.2)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


class Outputs:
    """What one cell prints and shows, trimmed as it comes."""

    def __init__(self) -> None:
        self.items: list[dict[str, Any]] = []
        self.left, self.pictures = MOST_TEXT, MOST_PICTURES

    def text(self, kind: str, text: str) -> None:
        """Text of a kind: ``out``, ``err`` or ``shown``."""
        if self.left <= 0:
            return
        if len(text) > self.left:
            text = text[: self.left] + "\n[trimmed: this cell printed more than is kept]\n"
        self.left -= len(text)
        if self.items and self.items[-1]["kind"] == kind and "text" in self.items[-1]:
            self.items[-1]["text"] += text
        elif len(self.items) < MOST_ITEMS:
            self.items.append({"kind": kind, "text": text})

    def show(self, data: dict[str, Any]) -> None:
        """One rich output: its picture if it has one, its text otherwise. No HTML, no script."""
        picture = data.get("image/png")
        if isinstance(picture, str):
            with contextlib.suppress(ValueError):
                picture = base64.b64decode(picture)
        kept = isinstance(picture, bytes) and len(picture) <= LARGEST_PICTURE
        if kept and self.pictures > 0 and len(self.items) < MOST_ITEMS:
            self.pictures -= 1
            self.items.append({"kind": "picture", "png": picture})
        else:
            self.text("shown", str(data.get("text/plain", "")) + "\n")


class _Stream:
    """A text file that writes to the outputs of the current cell."""

    encoding, errors, closed, name = "utf-8", "replace", False, "<cell>"

    def __init__(self, kind: str, now: Callable[[], Outputs]) -> None:
        self.kind, self.now = kind, now

    def write(self, text: str) -> int:
        self.now().text(self.kind, str(text))
        return len(text)

    def writelines(self, lines: list[str]) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None: ...

    def isatty(self) -> bool:
        return False

    def writable(self) -> bool:
        return True

    def readable(self) -> bool:
        return False


class _Published(DisplayPublisher):
    """Takes what ``display()`` shows."""

    show: Callable[[dict[str, Any]], None]

    def publish(self, data: dict[str, Any], *args: object, **kwargs: object) -> None:
        self.show(data)


def shell_of_this_process(now: Callable[[], Outputs]) -> InteractiveShell:
    """IPython without a history file, without colors, without a terminal.

    Args:
        now: the outputs of the current cell, which get what is printed, shown and returned.
    """
    config = Config()
    config.HistoryManager.enabled = False
    config.InteractiveShell.colors = "NoColor"
    config.InteractiveShell.cache_size = 0
    shell = InteractiveShell.instance(config=config)

    def result(value: object) -> None:
        if value is not None:
            formatter = cast(DisplayFormatter, shell.display_formatter)
            now().show(formatter.format(value)[0])

    sys.stdout, sys.stderr = _Stream("out", now), _Stream("err", now)
    shell.display_pub = _Published(shell=shell)
    shell.display_pub.show = lambda data: now().show(data)
    shell.display_trap.hook = result
    shell.enable_gui = lambda gui=None: None
    shell.enable_matplotlib("inline")
    shell.showtraceback = shell.showsyntaxerror = lambda *a, **k: None
    return shell
