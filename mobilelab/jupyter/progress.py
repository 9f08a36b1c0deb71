"""What a learner has answered so far, in one small file of their own.

The file lies in the user's data folder, or where the environment variable
``MOBILELAB_PROGRESS`` says. A damaged file is put aside, never overwritten.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path

import platformdirs

from mobilelab.core.errors import ProgressError

#: Environment variable: another place for the file.
PLACE = "MOBILELAB_PROGRESS"


@dataclass(frozen=True)
class Answer:
    """How a learner stands with one question."""

    right: bool
    """Whether a try was right; looking at other options afterwards takes nothing away."""
    tries: int
    first_right: bool
    """Whether the first try was right."""
    when: str
    """UTC date of the last try, ISO 8601."""


def path() -> Path:
    """Where the progress file is, or will be."""
    place = os.environ.get(PLACE)
    return Path(place) if place else platformdirs.user_data_path("mobilelab") / "progress.json"


def load() -> dict[str, Answer]:
    """Question key to answer; empty if there is no file yet.

    Raises:
        ProgressError: if the file is there and cannot be read. A damaged one is renamed to
            ``.damaged`` first, so that the next call starts afresh and nothing is lost.
    """
    return _load()[0]


def _load() -> tuple[dict[str, Answer], dict[str, set[str]]]:
    """Answers of the quizzes, and fingerprints of wrong tries at the exercises.

    Raises:
        ProgressError: as :func:`load`.
    """
    file = path()
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        answers = {key: Answer(**values) for key, values in content["quiz"].items()}
        return answers, {key: set(tries) for key, tries in content.get("tries", {}).items()}
    except FileNotFoundError:
        return {}, {}
    except OSError as error:
        raise ProgressError(
            f"Cannot read your progress in {file.name} ({error.strerror}); "
            f"set {PLACE} to a file that you may read and write."
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        aside = file.with_suffix(".damaged")
        try:
            file.replace(aside)
        except OSError:
            aside = file
        raise ProgressError(
            f"Your progress file was damaged; it is kept as {aside.name} and a new one begins. "
            "Answer again to go on."
        ) from error


def remember(key: str, right: bool) -> Answer:
    """Add one try at a question to the file; written whole or not at all.

    Raises:
        ProgressError: if the file cannot be read or written.
    """
    answers, tries = _load()
    before = answers.get(key)
    answers[key] = Answer(
        right=right or (before is not None and before.right),
        tries=before.tries + 1 if before else 1,
        first_right=before.first_right if before else right,
        when=datetime.now(timezone.utc).strftime("%Y-%m-%d"),
    )
    _save(answers, tries)
    return answers[key]


def tried(key: str, fingerprints: set[str]) -> set[str]:
    """Add wrong tries at an exercise's task to the file; all that it knows of.

    Raises:
        ProgressError: if the file cannot be read or written.
    """
    answers, tries = _load()
    known = tries.setdefault(key, set())
    if not fingerprints <= known:
        known |= fingerprints
        _save(answers, tries)
    return known


def _save(answers: dict[str, Answer], tries: dict[str, set[str]]) -> None:
    content: dict[str, object] = {
        "version": 1,
        "quiz": {k: asdict(a) for k, a in sorted(answers.items())},
    }
    if tries:
        content["tries"] = {k: sorted(v) for k, v in sorted(tries.items())}
    file = path()
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            "w", dir=file.parent, prefix=file.name, delete=False, encoding="utf-8"
        ) as out:
            json.dump(content, out, indent=1)
        Path(out.name).replace(file)
    except OSError as error:
        raise ProgressError(
            f"Your answer counts here but could not be kept in {file.name} ({error.strerror}); "
            f"set {PLACE} to a file that you may write."
        ) from error


@dataclass(frozen=True)
class Line:
    """One chapter's standing."""

    chapter: str
    questions: int
    right: int
    at_once: int
    """Of these, right at the first try."""


def summary(chapters: Mapping[str, Sequence[str]]) -> Iterator[Line]:
    """A line for every chapter with questions.

    Args:
        chapters: chapter to the keys of its questions.

    Raises:
        ProgressError: as :func:`load`.
    """
    answers = load()
    for chapter, asked in chapters.items():
        got = [answers[key] for key in asked if key in answers]
        yield Line(chapter, len(asked), sum(a.right for a in got), sum(a.first_right for a in got))
