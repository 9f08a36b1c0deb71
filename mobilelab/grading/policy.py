"""From attempts to grades: late days, and which attempt counts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from mobilelab.grading.gradebook import Standing


@dataclass(frozen=True)
class Policy:
    """The rules of a class.

    Args:
        due: when the work was due; ``None`` takes nothing off.
        free_days: late days that cost nothing.
        per_day: percent of the points that every further day, begun or whole, takes off.
        attempts: ``last`` or ``best`` (after lateness).
    """

    due: datetime | None = None
    free_days: int = 0
    per_day: float = 10.0
    attempts: str = "last"

    def late_days(self, handed_in: datetime) -> int:
        """Days late, a begun day counts; 0 if in time."""
        if self.due is None or handed_in <= self.due:
            return 0
        return math.ceil((handed_in - self.due) / timedelta(days=1))

    def factor(self, late_days: int) -> float:
        """What is left of the points, 0 to 1."""
        return max(0.0, 1 - self.per_day / 100 * max(0, late_days - self.free_days))


def grades(
    standings: Iterable[Standing], policy: Policy, times: Mapping[str, datetime] | None = None
) -> list[Standing]:
    """One standing per student, the attempt that counts, by student.

    Args:
        standings: all attempts.
        policy: the rules.
        times: student to the time of handing in, where files' own times cannot be trusted.
    """
    by_student: dict[str, list[Standing]] = {}
    for standing in standings:
        standing.handed_in = (times or {}).get(standing.student, standing.handed_in)
        standing.late_days = policy.late_days(standing.handed_in)
        standing.factor = policy.factor(standing.late_days)
        by_student.setdefault(standing.student, []).append(standing)
    chosen = []
    for own in by_student.values():
        own.sort(key=lambda s: (s.handed_in, s.path))
        chosen.append(own[-1] if policy.attempts == "last" else max(own, key=lambda s: s.points))
    return sorted(chosen, key=lambda s: s.student)
