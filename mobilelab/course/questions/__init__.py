"""The quiz questions of the chapters: every option explains itself.

A chapter's questions stand in the Markdown file with its number, beside this one:

    ## 03.1

    The question.

    - [ ] An option that is wrong.

      What is wrong about it; names the misconception.

    - [x] The one that is right.

      Why it is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from mobilelab.core.errors import MobileLabError

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Option:
    """One answer that can be chosen."""

    text: str
    why: str
    """What is right or wrong about it; names the misconception where it is wrong."""
    right: bool = False


@dataclass(frozen=True)
class Question:
    """A multiple-choice question with exactly one right option."""

    key: str
    """Chapter and number, for example ``03.1``."""
    text: str
    options: tuple[Option, ...]


def read(path: Path) -> tuple[Question, ...]:
    """The questions of one file.

    Raises:
        MobileLabError: if it is not written as above, naming the question.
    """
    _, *parts = re.split(r"^## (.+)$", path.read_text(encoding="utf-8"), flags=re.M)
    found = []
    for key, body in zip(parts[::2], parts[1::2], strict=True):
        text, *rest = re.split(r"^- \[([ x])\] ", body, flags=re.M)
        options = []
        for mark, option in zip(rest[::2], rest[1::2], strict=True):
            said, _, why = option.partition("\n\n")
            options.append(Option(_one_line(said), _one_line(why), mark == "x"))
        question = Question(key.strip(), _one_line(text), tuple(options))
        explained = all(option.text and option.why for option in options)
        if not (question.text and explained and sum(option.right for option in options) == 1):
            raise MobileLabError(
                f"Question {question.key} in {path.name} needs a text and options with an "
                "explanation each, and exactly one of them marked [x]."
            )
        found.append(question)
    return tuple(found)


def _one_line(text: str) -> str:
    return " ".join(text.split())


QUESTIONS: tuple[Question, ...] = tuple(
    question for path in sorted(FOLDER.glob("*.md")) for question in read(path)
)


def chapters() -> tuple[str, ...]:
    """The chapters that have questions, in order."""
    return tuple(dict.fromkeys(question.key.split(".")[0] for question in QUESTIONS))


def keys() -> dict[str, list[str]]:
    """Chapter to the keys of its questions."""
    return {chapter: [q.key for q in of_chapter(chapter)] for chapter in chapters()}


def of_chapter(chapter: str) -> tuple[Question, ...]:
    """The questions of one chapter, in order.

    Args:
        chapter: two digits, for example ``"03"``.

    Raises:
        MobileLabError: there are no questions for this chapter.
    """
    found = tuple(q for q in QUESTIONS if q.key.partition(".")[0] == chapter)
    if not found:
        raise MobileLabError(
            f"There are no questions for chapter {chapter!r}; choose from {', '.join(chapters())}."
        )
    return found
