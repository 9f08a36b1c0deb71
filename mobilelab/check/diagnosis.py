"""Why a road ends: causes by their patterns, the person's own line, and the error as it was.

``causes.toml`` holds them. A cause is told only where one of its patterns stands in the error, and
where several do, the one that comes first in the file. An unknown error is passed on as it is.
"""

from __future__ import annotations

import linecache
import re
import sysconfig
import traceback
from collections.abc import Iterator
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import msgspec

from mobilelab.runtimes.libraries import first_line

FILE = Path(__file__).with_name("causes.toml")
#: Packages whose versions belong into a report.
PACKAGES = ("torch", "torchvision", "executorch", "torchao", "litert-torch", "ai-edge-litert")
_PACKAGE = str(Path(__file__).resolve().parent.parent)
_LIBRARIES = tuple({sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")})


class Cause(msgspec.Struct, frozen=True):
    """One cause of a failure or of a silent fault."""

    name: str
    says: str
    """What is the matter, in a sentence or two."""
    fix: str
    """What to write instead: at most two lines."""
    source: str
    """Where this is documented or was reported."""
    chapter: str = ""
    patterns: list[str] = []
    """Regular expressions for the text of the error; none for what is silent."""
    roads: list[str] = []
    """Where it can be told; everywhere if empty."""

    @property
    def silent(self) -> bool:
        """Whether it is found by looking and not by an error."""
        return not self.patterns


class Reason(msgspec.Struct, frozen=True):
    """Why a road ended, or what is wrong although it did not."""

    cause: str
    """Its name in the file of causes; empty for an error that is not known."""
    says: str
    fix: str = ""
    source: str = ""
    chapter: str = ""
    error: str = ""
    """The error's own words."""
    line: str = ""
    """The line of the person's source, where one is known: ``net.py:12: x.sub_(mean)``."""


@cache
def causes() -> dict[str, Cause]:
    """All causes by their names, in the order of the file."""

    class _File(msgspec.Struct):
        cause: list[Cause]

    found = msgspec.toml.decode(FILE.read_bytes(), type=_File).cause
    return {cause.name: cause for cause in found}


def chain(error: BaseException) -> Iterator[BaseException]:
    """An error and what it was raised from, the outermost first."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)


def diagnose(error: BaseException, road: str = "") -> Reason:
    """The reason that an error stands for.

    Args:
        error: as it was raised.
        road: on which road (:mod:`mobilelab.check.roads`); some causes belong to some roads.

    Returns:
        The cause with its fix; or, for an unknown error, its own last sentence with the road and
        the versions, ready to be pasted into a report.
    """
    cause = match(text(error), road)
    words, line = last_sentence(error), own_line(error)
    if cause is None:
        place = f" on the road {road}" if road else ""
        return Reason("", f"Unknown error{place} ({versions()}): {words}", error=words, line=line)
    return told(cause.name, error=words, line=line)


def text(error: BaseException) -> str:
    """What patterns are looked for in: each error of the chain, and the line that raised it."""
    parts = []
    for one in chain(error):
        parts.append(f"{type(one).__name__}: {one}")
        for frame in traceback.extract_tb(one.__traceback__)[-1:]:
            parts.append(f"at {Path(frame.filename).name}, {frame.name}: {frame.line}")
    return "\n".join(parts)


def match(text: str, road: str = "") -> Cause | None:
    """The first cause with a pattern in an error's text."""
    for cause in causes().values():
        if cause.roads and road and road not in cause.roads:
            continue
        if any(re.search(pattern, text) for pattern in cause.patterns):
            return cause
    return None


def told(name: str, says: str = "", error: str = "", line: str = "") -> Reason:
    """The reason of this name, with what is particular here in front of its explanation."""
    cause = causes()[name]
    words = f"{says} {cause.says}" if says else cause.says
    return Reason(name, words, cause.fix, cause.source, cause.chapter, error, line)


def last_sentence(error: BaseException) -> str:
    """What the error that was raised first says: torch's reason without its place in C++."""
    innermost = list(chain(error))[-1]
    text = str(innermost)
    if "Traceback of TorchScript" in text:  # the interpreter puts the reason last
        last = text.strip().splitlines()[-1]
        return re.sub(r"^\w*(Error|Exception): ", "", last).rstrip(".")
    return f"{type(innermost).__name__}: {first_line(innermost)}"


def own_line(error: BaseException) -> str:
    """The last line of the person's own source that an error carries; empty if it has none."""
    found = ""
    for one in chain(error):
        for frame in traceback.extract_tb(one.__traceback__):
            if is_own(frame.filename):
                found = place_of(frame.filename, frame.lineno or 0)
    for one in chain(error):  # compilers quote the line in the message
        for name, number in re.findall(r'File "([^"]+)", line (\d+)', str(one)):
            if is_own(name):
                found = place_of(name, int(number))
    return found


def place_of(filename: str, number: int) -> str:
    """A line of source in words: ``net.py:12: x.sub_(mean)``."""
    text = linecache.getline(filename, number).strip()
    return f"{Path(filename).name}:{number}" + (f": {text}" if text else "")


def is_own(filename: str) -> bool:
    """Whether a file is neither Python's, nor a library's, nor ours."""
    if filename.startswith("<") and not filename.startswith("<ipython"):
        return False
    path = str(Path(filename).resolve())
    return not path.startswith((_PACKAGE, *_LIBRARIES)) and "site-packages" not in path


@cache
def versions() -> str:
    """The versions that a report needs, in one line."""
    found = []
    for name in PACKAGES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return ", ".join(found)


def page() -> str:
    """All causes as Markdown, for the documentation: findable by the text of the error."""
    parts = [
        "# Causes\n\nWhy a road to a phone ends, and what is wrong although it did not: what "
        "`mobilelab check` tells. Search\nthis page for the words of your error. "
        "`python scripts/write_causes.py` writes it from `mobilelab/check/causes.toml`.\n"
    ]
    for cause in causes().values():
        chapter = f"Chapter {cause.chapter}. " if cause.chapter else ""
        errors = "".join(f"- `{_plain(pattern)}`\n" for pattern in cause.patterns)
        parts.append(
            f"## {cause.name}\n\n{cause.says}\n\n{errors}{chr(10) if errors else ''}"
            f"```python\n{cause.fix.strip()}\n```\n\n{chapter}[Source]({cause.source})\n"
        )
    return "\n".join(parts)


def _plain(pattern: str) -> str:
    """A pattern as a reader would look for it."""
    text = re.sub(r"\[\\s\\S\]\*|\.\*|\\d\+|\\w[*+]|\[\\w\.\]\+", "...", pattern)
    return re.sub(r"\\(.)", r"\1", text)
