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
from html import escape
from itertools import combinations

from mobilelab.grading.feedback import number, page
from mobilelab.grading.gradebook import Standing
from mobilelab.grading.submissions import Remark

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


def _second(pair: Pair) -> str:
    return f"<em>{SOLUTION}</em>" if pair.with_solution else escape(pair.second)


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
    parts = [f"<h1>{escape(title)}: class report</h1>"]
    if totals:
        parts.append(
            f"<p>{len(totals)} students, {number(standings[0].most)} points to reach: median "
            f"{number(statistics.median(totals))}, lowest {number(totals[0])}, highest "
            f"{number(totals[-1])}.</p>"
        )
    ends = collections.Counter(s.end for s in standings if s.end != "graded")
    if ends:
        listed = "; ".join(
            f"{escape(end)}: {escape(', '.join(s.student for s in standings if s.end == end))}"
            for end in ends
        )
        parts.append(f'<p class="note">Notebooks that did not run as they should. {listed}.</p>')
    for said, times in collections.Counter(s.limits for s in standings if s.limits).items():
        parts.append(f"<p>{escape(said)} ({times} of {len(standings)} students)</p>")
    parts.append(
        "<h2>Tasks</h2><table><tr><th>task</th><th>points</th><th>mean</th>"
        "<th>students by share of the points: 0, ≤¼, ≤½, ≤¾, &lt;1, all</th><th>most missed</th>"
        "<th>how it ended</th></tr>"
    )
    for line in task_lines(standings):
        how = ", ".join(f"{escape(end)} {times}" for end, times in line.ends.items())
        parts.append(
            f"<tr><td>{escape(line.title)}</td><td>{number(line.most)}</td>"
            f'<td>{number(line.mean)}</td><td class="bars">{_bars(line.shares)}</td>'
            f"<td>{escape(line.missed)}</td><td>{how}</td></tr>"
        )
    parts.append("</table><h2>Alike</h2>")
    if pairs:
        parts.append(
            "<p>These share code beyond what was handed out and what a third of the class wrote. "
            "It is a reason to look, not a finding.</p><table>"
            "<tr><th>student</th><th>student</th><th>in common</th></tr>"
        )
        parts += [
            f"<tr><td>{escape(p.first)}</td><td>{_second(p)}</td><td>{p.share:.0%}</td></tr>"
            for p in pairs[:50]
        ]
        parts.append("</table>")
    else:
        parts.append("<p>No two submissions share much beyond what was handed out.</p>")
    parts.append(
        "<h2>Students</h2><table><tr><th>student</th><th>points</th><th>late</th><th>end</th></tr>"
    )
    for s in standings:
        late = f"{s.late_days} d" if s.late_days else ""
        parts.append(
            f"<tr><td>{escape(s.student)}</td><td>{number(s.points)}</td><td>{late}</td>"
            f"<td>{escape(s.end)}</td></tr>"
        )
    parts.append("</table>")
    if absent:
        parts.append(f"<h2>Nothing handed in</h2><p>{escape(', '.join(absent))}</p>")
    if attempts:
        parts.append("<h2>Attempts</h2><table><tr><th>student</th><th>file</th><th>points</th>"
                     "<th></th></tr>")  # fmt: skip
        parts += [
            f"<tr><td>{escape(s.student)}</td><td>{escape(s.path)}</td><td>{number(s.points)}</td>"
            f"<td>{escape(why)}</td></tr>"
            for s, why in attempts
        ]
        parts.append("</table>")
    if remarks:
        parts.append("<h2>Files to look at</h2><table><tr><th>file</th><th></th></tr>")
        parts += [f"<tr><td>{escape(r.path)}</td><td>{escape(r.text)}</td></tr>" for r in remarks]
        parts.append("</table>")
    return page(f"{title}: class report", "\n".join(parts))


def _bars(shares: Sequence[int]) -> str:
    """The numbers, and bars of that height beside them."""
    top = max(shares) or 1
    bars = "".join(
        f'<rect x="{i * 16}" y="{30 - 28 * n / top:.1f}" width="12" '
        f'height="{28 * n / top:.1f}" fill="#0072b2"/>'
        for i, n in enumerate(shares)
    )
    words = ", ".join(str(n) for n in shares)
    return f'<svg width="96" height="31" role="img" aria-label="{words}">{bars}</svg> {words}'
