"""Make ``data/speech.wav`` and ``data/speech.txt``: a voice among sounds, and where it speaks.

Run it with ``python scripts/make_speech.py FOLDER``. The folder holds the English voice of Debian's
package ``asterisk-core-sounds-en-wav`` 1.6.1-1 (``/usr/share/asterisk/sounds/en_US_f_Allison``):
mono, 8 kHz, 16 bits. The files are the same wherever it runs.

Where the voice speaks is read off the clean studio recordings, before hiss is added: from the first
loud stretch of 20 ms to the last, split where a pause is long. The marks are in the format of
Audacity's labels: begin and end in seconds, and a word. Afterwards bring ``data/SHA256SUMS`` up to
date.
"""

from __future__ import annotations

import io
import sys
import wave
from pathlib import Path

import numpy as np

RATE = 8000
#: Seconds of pause, the recording that follows, and whether it is the voice.
SCENE = (
    (0.8, "tt-somethingwrong", True),
    (0.7, "beep", False),
    (0.5, "tt-weasels", True),
    (0.6, "tt-monkeysintro", True),
    (0.4, "tt-monkeys", False),
    (0.8, "vm-goodbye", True),
)
#: Seconds that are taken of a recording at most; the monkeys go on for long.
MOST = 3.2
LAST_PAUSE = 0.7
#: Half of the loudest sample of the hiss, of 32768; it is uniform between both ends.
HISS = 50
#: A stretch is loud from that share of the loudest on; a pause parts from that many seconds on.
LOUD, PAUSE = 0.02, 0.25
STRETCH = RATE // 50


def read(path: Path) -> np.ndarray:
    """Samples of a recording, int16."""
    with wave.open(str(path)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (RATE, 1, 2)
        return np.frombuffer(file.readframes(file.getnframes()), "<i2")[: int(MOST * RATE)]


def spoken(sound: np.ndarray) -> list[tuple[int, int]]:
    """Where a clean recording speaks: from and to, in samples."""
    whole = sound[: len(sound) // STRETCH * STRETCH].astype(np.float64).reshape(-1, STRETCH)
    level = np.sqrt((whole**2).mean(1))
    found: list[tuple[int, int]] = []
    for place in np.flatnonzero(level >= LOUD * level.max()) * STRETCH:
        if found and place - found[-1][1] < PAUSE * RATE:
            found[-1] = (found[-1][0], int(place) + STRETCH)
        else:
            found.append((int(place), int(place) + STRETCH))
    return found


def make(folder: Path) -> tuple[bytes, str]:
    """Content of ``speech.wav`` and of ``speech.txt``."""
    parts, marks, at = [], [], 0
    for pause, name, voice in SCENE:
        sound = read(folder / f"{name}.wav")
        parts += [np.zeros(int(pause * RATE), np.int16), sound]
        at += len(parts[-2])
        marks += [(at + a, at + b) for a, b in spoken(sound)] if voice else []
        at += len(sound)
    parts.append(np.zeros(int(LAST_PAUSE * RATE), np.int16))
    clean = np.concatenate(parts)
    hiss = np.random.default_rng(0).integers(-2 * HISS, 2 * HISS, len(clean))
    noisy = np.clip(clean.astype(np.int64) + hiss, -32768, 32767).astype("<i2")
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(noisy.tobytes())
    text = "".join(f"{a / RATE:.3f}\t{b / RATE:.3f}\tspeech\n" for a, b in marks)
    return out.getvalue(), text


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    data = Path(__file__).resolve().parent.parent / "data"
    sound, text = make(Path(sys.argv[1]))
    (data / "speech.wav").write_bytes(sound)
    (data / "speech.txt").write_text(text)
    sys.stdout.write(f"wrote speech.wav, {len(sound)} bytes\n{text}")
