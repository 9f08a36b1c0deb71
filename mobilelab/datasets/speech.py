"""A recording with a voice among other sounds, and where it speaks (lab 07).

``data/speech.wav`` has 8,000 samples a second, as telephones have. The network of lab 07
wants 16,000, so :func:`recording` brings it to that rate.
"""

from __future__ import annotations

import wave
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mobilelab.datasets import verified

#: Samples a second of :attr:`Recording.sound`.
RATE = 16_000
#: Samples on each side that a new sample between two others is computed from.
_REACH = 16


@dataclass(frozen=True)
class Recording:
    """Sound, and where somebody speaks in it."""

    sound: Tensor
    """float32, shape ``(n,)``, -1 to 1, :data:`RATE` samples a second."""
    marks: tuple[tuple[float, float], ...]
    """From and to in seconds, in their order; they do not overlap."""

    def speech(self, samples: int = 512) -> Tensor:
        """Which pieces are speech: those that lie in the marks by at least a half.

        Args:
            samples: length of a piece. What is left over at the end is in none.

        Returns:
            bool, shape ``(pieces,)``.
        """
        inside = torch.zeros(len(self.sound))
        for begin, end in self.marks:
            inside[round(begin * RATE) : round(end * RATE)] = 1.0
        whole = len(inside) // samples * samples
        return inside[:whole].view(-1, samples).mean(1) >= 0.5


def recorded() -> Tensor:
    """The samples as they are stored: int16, shape ``(n,)``, 8,000 a second.

    Raises:
        DataError: if the file is missing or damaged.
    """
    with wave.open(str(verified("speech.wav"))) as file:
        content = file.readframes(file.getnframes())
    return torch.from_numpy(np.frombuffer(content, "<i2").copy())


def recording() -> Recording:
    """The bundled recording at :data:`RATE`.

    Raises:
        DataError: if a file is missing or damaged.
    """
    rows = [line.split("\t") for line in verified("speech.txt").read_text().splitlines()]
    marks = tuple((float(begin), float(end)) for begin, end, _ in rows)
    return Recording(doubled(recorded().float() / 32768), marks)


def doubled(sound: Tensor) -> Tensor:
    """Twice as many samples: those that there were, and between each two a new one.

    The new ones come from a windowed sinc (any text on sampling; the window is Hann's), so that
    almost nothing above the old highest frequency is added.

    Args:
        sound: float, shape ``(n,)``.

    Returns:
        The same type, shape ``(2 * n,)``; every second sample is the old one.
    """
    along = torch.arange(-_REACH, _REACH, dtype=torch.float64) + 0.5
    taps = torch.sinc(along) * torch.cos(torch.pi * along / (2 * _REACH)) ** 2
    taps = (taps / taps.sum()).to(sound.dtype)
    padded = F.pad(sound[None, None], (_REACH - 1, _REACH))
    between = F.conv1d(padded, taps[None, None])[0, 0]
    return torch.stack([sound, between], 1).flatten()
