"""The gradebook: an SQLite file that can be killed at any moment and is never graded twice.

A result is kept under everything that it depends on: the submission's content, the student, their
parameters, what hidden inputs are drawn from, and the digest of the task's check. Grading again
looks up what is there and runs only what is missing.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import sqlite3
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from mobilelab.core.errors import MobileLabError
from mobilelab.grading.assignment import Assignment
from mobilelab.grading.scorer import fingerprint
from mobilelab.grading.submissions import Submission

_SCHEMA = """
CREATE TABLE IF NOT EXISTS about (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS submissions (
    exercise TEXT, student TEXT, path TEXT, content TEXT, handed_in TEXT,
    PRIMARY KEY (exercise, student, path, content));
CREATE TABLE IF NOT EXISTS results (
    key TEXT PRIMARY KEY, exercise TEXT, student TEXT, content TEXT, task TEXT,
    points REAL, most REAL, ending TEXT, data BLOB, graded_at TEXT);
CREATE TABLE IF NOT EXISTS runs (
    key TEXT PRIMARY KEY, exercise TEXT, student TEXT, content TEXT,
    ending TEXT, message TEXT, data BLOB, seconds REAL);
"""
_VERSION = "1"


class GradebookError(MobileLabError):
    """The gradebook cannot be opened or written."""


@dataclass
class Standing:
    """What one attempt of one student reached."""

    student: str
    path: str
    handed_in: datetime
    end: str
    message: str
    tasks: dict[str, dict[str, Any]]
    """Task key to its result, in the exercise's order."""
    cells: list[dict[str, Any]] = field(default_factory=list)
    parameters: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    limits: str = ""
    """Which limits applied, in words."""
    late_days: int = 0
    factor: float = 1.0
    """What is left of the points after lateness."""

    @property
    def points(self) -> float:
        """Points after lateness."""
        return round(sum(task["points"] for task in self.tasks.values()) * self.factor, 2)

    @property
    def most(self) -> float:
        """The most that can be reached."""
        return sum(task["max"] for task in self.tasks.values())


class Gradebook:
    """One file for a class.

    Raises:
        GradebookError: if the file cannot be opened, or is something else.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(self.path, timeout=30)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.executescript(_SCHEMA)
            with self._db:
                self._db.execute("INSERT OR IGNORE INTO about VALUES ('version', ?)", (_VERSION,))
                self._db.execute(
                    "INSERT OR IGNORE INTO about VALUES ('draws', ?)", (secrets.token_hex(32),)
                )
        except (sqlite3.Error, OSError) as error:
            raise GradebookError(
                f"Cannot use {self.path} as a gradebook ({error}); give another file with --out."
            ) from error
        if self._about("version") != _VERSION:
            raise GradebookError(f"{self.path} was written by another version; give a new file.")

    def _about(self, name: str) -> str:
        return self._db.execute("SELECT value FROM about WHERE name=?", (name,)).fetchone()[0]

    def draws(self, secret: bytes | None) -> bytes:
        """What hidden inputs are drawn from: the class secret, or this gradebook's own."""
        return secret if secret else bytes.fromhex(self._about("draws"))

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    # --- what is there ---------------------------------------------------------------------

    def missing(
        self, assignment: Assignment, submission: Submission, secret: bytes | None
    ) -> list[str]:
        """Keys of the tasks that have to be judged; none if all is known."""
        keys = self._keys(assignment, submission, secret)
        known = {
            row[0]
            for row in self._db.execute(
                f"SELECT key FROM results WHERE key IN ({','.join('?' * len(keys))})",
                list(keys.values()),
            )
        }
        return [task for task, key in keys.items() if key not in known]

    def _keys(
        self, assignment: Assignment, submission: Submission, secret: bytes | None
    ) -> dict[str, str]:
        base = self._base(assignment, submission, secret)
        return {
            task.key: _hash(base, task.key, assignment.digest(task))
            for task in assignment.exercise.tasks
        }

    def _base(self, assignment: Assignment, submission: Submission, secret: bytes | None) -> str:
        parameters = assignment.parameters(secret, submission.student)
        return _hash(
            assignment.name, submission.student, fingerprint(submission.content),
            json.dumps(parameters, sort_keys=True), hashlib.sha256(self.draws(secret)).hexdigest(),
        )  # fmt: skip

    # --- what comes in ---------------------------------------------------------------------

    def note(self, assignment: Assignment, submissions: Iterable[Submission]) -> None:
        """Remember which submissions there are; those that have gone are forgotten."""
        rows = [
            (assignment.name, s.student, s.path, fingerprint(s.content), s.handed_in.isoformat())
            for s in submissions
        ]
        with self._write():
            self._db.execute("DELETE FROM submissions WHERE exercise=?", (assignment.name,))
            self._db.executemany("INSERT OR REPLACE INTO submissions VALUES (?,?,?,?,?)", rows)

    def store(
        self, assignment: Assignment, submission: Submission, secret: bytes | None,
        result: Mapping[str, Any],
    ) -> None:  # fmt: skip
        """Keep what was found, all of it or nothing."""
        keys = self._keys(assignment, submission, secret)
        content = fingerprint(submission.content)
        now = datetime.now(timezone.utc).isoformat(timespec="seconds")
        who = (assignment.name, submission.student, content)
        extra = {"cells": result["cells"], "parameters": result["parameters"],
                 "limits": result.get("limits", "")}  # fmt: skip
        with self._write():
            for task, found in result["tasks"].items():
                self._db.execute(
                    "INSERT OR REPLACE INTO results VALUES (?,?,?,?,?,?,?,?,?,?)",
                    (keys[task], *who, task, found["points"], found["max"], found["end"],
                     _pack(found), now),
                )  # fmt: skip
            self._db.execute(
                "INSERT OR REPLACE INTO runs VALUES (?,?,?,?,?,?,?,?)",
                (self._base(assignment, submission, secret), *who, result["end"],
                 result["message"], _pack(extra), result["seconds"]),
            )  # fmt: skip

    def _write(self) -> sqlite3.Connection:
        """A transaction; a full disk or a read-only file is one sentence."""
        return _Transaction(self._db, self.path)  # type: ignore[return-value]

    # --- what goes out ---------------------------------------------------------------------

    def standing(
        self, assignment: Assignment, submission: Submission, secret: bytes | None
    ) -> Standing | None:
        """What is known of a submission; ``None`` if it is not graded to the end."""
        tasks = {}
        for task, key in self._keys(assignment, submission, secret).items():
            row = self._db.execute("SELECT data FROM results WHERE key=?", (key,)).fetchone()
            if row is None:
                return None
            tasks[task] = _unpack(row[0])
        base = self._base(assignment, submission, secret)
        row = self._db.execute(
            "SELECT ending, message, data, seconds FROM runs WHERE key=?", (base,)
        ).fetchone()
        if row is None:
            return None
        extra = _unpack(row[2])
        return Standing(
            submission.student, submission.path, submission.handed_in, row[0], row[1], tasks,
            extra["cells"], extra["parameters"], row[3], extra.get("limits", ""),
        )  # fmt: skip


class _Transaction:
    def __init__(self, db: sqlite3.Connection, path: Path) -> None:
        self.db, self.path = db, path

    def __enter__(self) -> None:
        try:
            self.db.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            raise self._sentence(error) from error

    def __exit__(self, kind: type | None, error: BaseException | None, _: object) -> None:
        try:
            if kind is None:
                self.db.commit()
                return
            self.db.rollback()
        except sqlite3.Error as problem:
            raise self._sentence(problem) from problem
        if isinstance(error, sqlite3.Error):
            raise self._sentence(error) from error

    def _sentence(self, error: sqlite3.Error) -> GradebookError:
        return GradebookError(
            f"Cannot write to {self.path} ({error}); what was graded before is kept. "
            "Free the disk or the file and run the same command again."
        )


def _hash(*parts: str) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _pack(data: Any) -> bytes:
    return zlib.compress(json.dumps(data).encode())


def _unpack(data: bytes) -> Any:
    return json.loads(zlib.decompress(data))
