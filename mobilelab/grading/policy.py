"""From attempts to grades: late days, and which attempt counts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from mobilelab.core.errors import MobileLabError
from mobilelab.grading.gradebook import Standing
from mobilelab.grading.serialize import same_name


class PolicyError(MobileLabError):
    """A rule of a class makes no sense."""


@dataclass(frozen=True)
class Policy:
    """The rules of a class.

    Args:
        due: when the work was due; ``None`` takes nothing off.
        free_days: late days that cost nothing.
        per_day: percent of the points that every further day, begun or whole, takes off.
        attempts: ``last`` or ``best`` (after lateness).

    Raises:
        PolicyError: if a rule makes no sense.
    """

    due: datetime | None = None
    free_days: int = 0
    per_day: float = 10.0
    attempts: str = "last"

    def __post_init__(self) -> None:
        if self.free_days < 0:
            raise PolicyError(f"{self.free_days} free days: give 0 or more.")
        if not 0 <= self.per_day <= 100:
            raise PolicyError(f"{self.per_day:g} percent off per day: give 0 to 100.")
        if self.attempts not in ("last", "best"):
            raise PolicyError("The attempt that counts is last or best.")

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
        times: student (as :func:`same_name` writes it) to the time of handing in, where files'
            own times cannot be trusted.
    """
    by_student: dict[str, list[Standing]] = {}
    for standing in standings:
        standing.handed_in = (times or {}).get(same_name(standing.student), standing.handed_in)
        standing.late_days = policy.late_days(standing.handed_in)
        standing.factor = policy.factor(standing.late_days)
        by_student.setdefault(standing.student, []).append(standing)
    chosen = []
    for own in by_student.values():
        own.sort(key=lambda s: (s.handed_in, s.path))
        chosen.append(own[-1] if policy.attempts == "last" else max(own, key=lambda s: s.points))
    return sorted(chosen, key=lambda s: s.student)


def attempts(
    standings: Iterable[Standing], chosen: Iterable[Standing], policy: Policy
) -> list[tuple[Standing, str]]:
    """Every attempt of those who handed in more than one, and why it counts or not."""
    counts = {id(standing) for standing in chosen}
    own: dict[str, list[Standing]] = {}
    for standing in standings:
        own.setdefault(standing.student, []).append(standing)
    return [
        (standing, f"counts: the {policy.attempts} one" if id(standing) in counts
         else f"does not count: the {policy.attempts} one does")
        for student in sorted(own) if len(own[student]) > 1
        for standing in sorted(own[student], key=lambda s: (s.handed_in, s.path))
    ]  # fmt: skip
