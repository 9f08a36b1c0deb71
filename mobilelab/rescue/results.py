"""What a rescue comes to: a file, what was found in it, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from mobilelab.measure.parity import Verdict
from mobilelab.rescue.examples import Examples
from mobilelab.rescue.findings import Finding
from mobilelab.rescue.inspect import Contents
from mobilelab.rescue.proof import Row
from mobilelab.rescue.state import Kept
from mobilelab.runtimes.base import Inside


@dataclass
class Outcome:
    """One new file, or why there is none."""

    ending: str
    path: Path | None = None
    rows: list[Row] = field(default_factory=list)
    verdict: Verdict | None = None
    refusal: str = ""
    bytes: int = 0
    inside: Inside | None = None
    note: str = ""
    """What else is to be known of it."""
    old_ms: float | None = None
    """Median of the old file in one interleaved run on this host, in milliseconds."""
    new_ms: float | None = None

    @property
    def ok(self) -> bool:
        """Whether there is a file whose answers were compared."""
        return self.path is not None


@dataclass
class Rescued:
    """A file, what is in it, what is wrong with it, and what became of it."""

    path: Path
    inside: Contents
    findings: list[Finding]
    refusal: str = ""
    example: Examples | None = None
    outcomes: list[Outcome] = field(default_factory=list)
    kept: tuple[Kept, ...] = ()
    """Its state: what the new files take behind their inputs and give behind their answers."""

    @property
    def ok(self) -> bool:
        """Whether everything that was asked for was made."""
        return not self.refusal and all(outcome.ok for outcome in self.outcomes)
