"""From probabilities to segments: the part of a voice recorder that is not the network (lab 07)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass
class Segmenter:
    """Joins pieces of sound into segments of speech, while they come in.

    A segment begins with a piece of at least ``start``. It ends where ``silence`` pieces in a row
    are below ``end``; these are no longer in it. Between the two nothing changes: so a probability
    that wavers around one threshold does not cut a word into crumbs.

    Args:
        start: probability, 0 to 1.
        end: probability, at most ``start``.
        silence: pieces, at least 1.

    >>> Segmenter(silence=2).segments([0.1, 0.9, 0.4, 0.2, 0.6, 0.1, 0.1, 0.1])
    [(1, 5)]
    """

    start: float = 0.5
    end: float = 0.35
    silence: int = 4
    pieces: int = 0
    """How many came in so far."""
    begin: int | None = None
    """The first piece of the segment that is open."""
    quiet: int = 0
    """Pieces below ``end`` at the end of the segment that is open."""

    def push(self, probability: float) -> tuple[int, int] | None:
        """One piece more; gives the segment that it ended: its first piece, and the one behind."""
        found = None
        if self.begin is None:
            if probability >= self.start:
                self.begin, self.quiet = self.pieces, 0
        else:
            self.quiet = 0 if probability >= self.end else self.quiet + 1
            if self.quiet == self.silence:
                found = (self.begin, self.pieces + 1 - self.silence)
                self.begin = None
        self.pieces += 1
        return found

    def finish(self) -> tuple[int, int] | None:
        """The sound is over; gives the segment that was open, without the quiet at its end."""
        if self.begin is None:
            return None
        found = (self.begin, self.pieces - self.quiet)
        self.begin = None
        return found

    def segments(self, probabilities: Iterable[float]) -> list[tuple[int, int]]:
        """All segments of a sound, each as its first piece and the one behind its last."""
        found = [*map(self.push, probabilities), self.finish()]
        return [one for one in found if one is not None]
