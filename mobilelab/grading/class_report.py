"""What the class knows: points per task, the case most missed, and work that looks alike."""

from __future__ import annotations

import builtins
import collections
import io
import keyword
import statistics
import tokenize
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from mobilelab.grading.files import Remark
from mobilelab.grading.gradebook import Standing
from mobilelab.grading.pages import render

#: Tokens that a piece of code must have in common to be noticed, and the share of alike pieces
#: from which two submissions are shown.
PIECE, ALIKE = 12, 0.6


@dataclass(frozen=True)
class TaskLine:
    """How the class did in one task."""

    title: str
    most: float
    mean: float
    median: float
    shares: tuple[int, ...]
    """Number of students who reached 0, up to a quarter, a half, three quarters, less than all
    and all of its points."""
    missed: str
    """The hidden case that most students missed, with how many; empty if none was."""
    ends: dict[str, int]


@dataclass(frozen=True)
class Pair:
    """Two submissions that share more than the task explains."""

    first: str
    second: str
    share: float
    """Pieces of code in common, over those of the smaller of the two; 0 to 1."""
    with_solution: bool = False
    """Whether the second is the course's own solution."""


def task_lines(standings: Sequence[Standing]) -> list[TaskLine]:
    """One line per task."""
    if not standings:
        return []
    lines = []
    for key, any_task in standings[0].tasks.items():
        found = [s.tasks[key] for s in standings]
        points = [task["points"] for task in found]
        shares = [0] * 6
        for task in found:
            reached = task["points"] / task["max"] if task["max"] else 1.0
            if reached == 0:
                shares[0] += 1
            elif reached == 1:
                shares[5] += 1
            else:
                shares[1 + min(3, int(reached * 4))] += 1
        missed = collections.Counter(
            c["name"] for task in found for c in task["cases"] if not c["public"] and not c["ok"]
        )
        name, times = missed.most_common(1)[0] if missed else ("", 0)
        lines.append(
            TaskLine(
                any_task["title"], any_task["max"], statistics.mean(points),
                statistics.median(points), tuple(shares), f"{name} ({times})" if name else "",
                dict(collections.Counter(task["end"] for task in found).most_common()),
            )
        )  # fmt: skip
    return lines


def pieces(sources: Sequence[str]) -> set[int]:
    """Overlapping runs of tokens of code, as hashes; names, comments and layout do not matter."""
    known = set(keyword.kwlist) | set(dir(builtins)) | {"torch", "nn", "F"}
    found: set[int] = set()
    for source in sources:
        words: list[str] = []
        try:
            for token in tokenize.generate_tokens(io.StringIO(source).readline):
                if token.type == tokenize.NAME:
                    words.append(token.string if token.string in known else "name")
                elif token.type in (tokenize.OP, tokenize.NUMBER):
                    words.append(token.string)
                elif token.type == tokenize.STRING:
                    words.append("text")
        except (tokenize.TokenError, SyntaxError):
            pass  # what came before the error counts
        found |= {hash(tuple(words[i : i + PIECE])) for i in range(len(words) - PIECE + 1)}
    return found


#: The name of the solution among the students whose work looks alike.
SOLUTION = "the solution"


def alike(
    standings: Sequence[Standing], handed_out: Sequence[str], solution: Sequence[str] = ()
) -> list[Pair]:
    """Pairs of students whose own code has much in common, most alike first.

    The course's own ``solution`` takes part under the name :data:`SOLUTION`: it is public, and a
    lone copy of it is like nobody else's. What was handed out does not count, nor does what more
    than a third of the class (and more than two students) wrote. Two good solutions of a small
    task may look alike: a pair is a reason to look, not a finding.
    """
    given = pieces(handed_out)
    # the solution is no student, whatever a student is called
    own = {
        (False, s.student): pieces([cell["source"] for cell in s.cells]) - given for s in standings
    }  # fmt: skip
    if solution:
        own[True, SOLUTION] = pieces(solution) - given
    common = collections.Counter(piece for found in own.values() for piece in found)
    often = {piece for piece, times in common.items() if times > max(2, len(own) / 3)}
    own = {name: found - often for name, found in own.items()}
    pairs = []
    for a, b in combinations(sorted(own), 2):
        smaller = min(len(own[a]), len(own[b]))
        if smaller >= PIECE:
            share = len(own[a] & own[b]) / smaller
            if share >= ALIKE:
                pairs.append(Pair(a[1], b[1], share, with_solution=b[0]))
    return sorted(pairs, key=lambda pair: -pair.share)


def to_html(
    title: str,
    standings: Sequence[Standing],
    pairs: Sequence[Pair],
    remarks: Sequence[Remark] = (),
    absent: Sequence[str] = (),
    attempts: Sequence[tuple[Standing, str]] = (),
) -> str:
    """The report for the instructor.

    Args:
        title: the exercise's.
        standings: the attempt that counts of each student.
        pairs: from :func:`alike`.
        remarks: what was found and not graded, or needs a word.
        absent: students on the roster who handed in nothing.
        attempts: every attempt of those who made several, and why it counts or not.
    """
    totals = sorted(s.points for s in standings)
    ends: dict[str, list[str]] = {}
    for one in standings:
        if one.end != "graded":
            ends.setdefault(one.end, []).append(one.student)
    return render(
        "class_report", title=title, standings=standings, totals=totals, ends=ends,
        median=statistics.median(totals) if totals else 0.0,
        limits=collections.Counter(s.limits for s in standings if s.limits),
        tasks=task_lines(standings), pairs=pairs, absent=absent, attempts=attempts,
        remarks=remarks,
    )  # fmt: skip
