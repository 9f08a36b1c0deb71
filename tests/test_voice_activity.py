"""Lab 07's parts: the recording, its marks, the segments in two languages, and the found file."""

import random
import runpy
import shutil
import struct
import wave
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
from test_apps import need, run

from mobilelab import datasets
from mobilelab.apps import render
from mobilelab.course.checks import lab07
from mobilelab.datasets import speech
from mobilelab.tasks.segments import Segmenter

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = runpy.run_path(str(ROOT / "scripts" / "make_speech.py"))


@pytest.fixture(scope="module")
def recording():
    return speech.recording()


# --- the recording ------------------------------------------------------------------------


def test_the_recorded_samples_are_among_the_doubled(recording):
    stored = speech.recorded()
    assert stored.dtype == torch.int16 and 8000 * 10 < len(stored) < 8000 * 20
    assert torch.equal(recording.sound[::2], stored.float() / 32768)
    assert recording.sound.shape == (2 * len(stored),) and recording.sound.abs().max() <= 1.1


@pytest.mark.parametrize("hertz", [50, 440, 3000])
def test_a_doubled_tone_is_the_tone(hertz):
    def tone(rate):
        return torch.sin(2 * torch.pi * hertz * torch.arange(rate, dtype=torch.float64) / rate)

    inside = slice(200, -200)
    far = (speech.doubled(tone(8000)) - tone(16000))[inside].abs().max()
    repeated = (tone(8000).repeat_interleave(2) - tone(16000))[inside].abs().max()
    assert far < 5e-3 < repeated


def test_marks_are_in_order_and_speech_is_louder_than_its_surroundings(recording):
    edges = [second for mark in recording.marks for second in mark]
    assert edges == sorted(edges) and len(edges) >= 8
    assert edges[-1] < len(recording.sound) / speech.RATE
    marked = recording.speech()
    assert marked.shape == (len(recording.sound) // 512,) and 0.3 < marked.float().mean() < 0.7
    loud = recording.sound[: len(marked) * 512].view(-1, 512).square().mean(1)
    assert loud[marked].median() > 100 * loud[~marked].median()


def test_a_piece_is_speech_from_a_half_on():
    found = speech.Recording(torch.zeros(2048), ((0.016, 0.064), (0.0801, 0.096))).speech()
    assert found.tolist() == [True, True, False, False]
    assert speech.Recording(torch.zeros(2047), ()).speech(512).shape == (3,)


def test_the_script_marks_the_voice_and_nothing_else(tmp_path):
    tone = (8000 * np.sin(np.arange(8000) * 0.3)).astype("<i2")
    quiet = np.zeros(4000, "<i2")
    for name in {name for _, name, _ in SCRIPT["SCENE"]}:
        with wave.open(str(tmp_path / f"{name}.wav"), "wb") as file:
            file.setparams((1, 2, 8000, 0, "NONE", ""))
            file.writeframes(np.concatenate([quiet, tone, quiet]).tobytes())
    sound, text = SCRIPT["make"](tmp_path)
    at, expected = 0.0, []
    for pause, _, voice in SCRIPT["SCENE"]:
        at += pause
        expected += [(at + 0.5, at + 1.5)] if voice else []
        at += 2.0
    found = [tuple(map(float, line.split("\t")[:2])) for line in text.splitlines()]
    assert np.abs(np.array(found) - np.array(expected)).max() < 1e-6
    assert SCRIPT["make"](tmp_path) == (sound, text)


def test_a_long_pause_parts_two_marks_and_a_short_one_does_not():
    tone = np.full(1600, 5000, np.int16)
    for pause, many in ((1600, 1), (2400, 2)):
        sound = np.concatenate([tone, np.zeros(pause, np.int16), tone])
        assert len(SCRIPT["spoken"](sound)) == many


# --- segments -----------------------------------------------------------------------------

LOW, BETWEEN, HIGH = 0.1, 0.4, 0.9


@pytest.mark.parametrize(
    ("probabilities", "silence", "found"),
    [
        ([], 2, []),
        ([LOW] * 5, 2, []),
        ([BETWEEN] * 5, 2, []),  # below start: nothing begins
        ([LOW, HIGH, LOW, LOW, LOW], 2, [(1, 2)]),
        ([HIGH, LOW, HIGH, LOW, LOW], 2, [(0, 3)]),  # one quiet piece is no pause
        ([HIGH, LOW, BETWEEN, LOW, LOW], 2, [(0, 3)]),  # in a row
        ([HIGH, BETWEEN, BETWEEN, BETWEEN], 2, [(0, 4)]),  # not below end: it goes on
        ([HIGH, LOW], 2, [(0, 1)]),  # the sound is over
        ([HIGH, LOW, LOW, HIGH], 2, [(0, 1), (3, 4)]),
        ([0.5, 0.35, 0.35], 1, [(0, 3)]),  # at least, and below
        ([HIGH, float("nan"), LOW, LOW], 2, [(0, 1)]),  # not a number is no speech
        ([HIGH, *[float("nan")] * 3], 2, [(0, 1)]),  # and does not record for ever
        ([float("nan")] * 3, 1, []),
    ],
)
def test_segments_by_hand(probabilities, silence, found):
    assert Segmenter(silence=silence).segments(probabilities) == found


def test_a_second_sound_is_counted_on():
    one = Segmenter(silence=1)
    assert one.segments([HIGH, LOW]) == [(0, 1)]
    assert one.segments([HIGH, LOW]) == [(2, 3)]


def test_the_lab_spells_out_the_same_class():
    notebook = nbformat.read(ROOT / "notebooks/labs/07_voice_activity.ipynb", as_version=4)
    (cell,) = [c.source for c in notebook.cells if c.source.startswith("class Segmenter")]
    found = {}
    exec(cell, found)
    for seed in range(12):
        settings = {"start": 0.5, "end": 0.375, "silence": 1 + seed % 6}
        theirs = found["Segmenter"](**settings)
        said = [*map(theirs.push, wavering(seed)), theirs.finish()]
        ours = Segmenter(**settings).segments(wavering(seed))
        assert [one for one in said if one] == ours and len(ours) > 1


# --- the same in C ------------------------------------------------------------------------

HARNESS = """
#include <cstdio>
#include <cstring>
#include "segments.h"
int main(int, char **arguments) {
    if (!strcmp(arguments[1], "segments")) {
        ml_segmenter s = {0, 0, 0, 0, 0, 0, 0};
        int n, first, last;
        float p;
        if (scanf("%lf %lf %d %d", &s.start, &s.end, &s.silence, &n) != 4) return 1;
        for (int i = 0; i < n; i++) {
            if (scanf("%f", &p) != 1) return 1;
            if (ml_push(&s, p, &first, &last)) printf("%d %d\\n", first, last);
        }
        if (ml_finish(&s, &first, &last)) printf("%d %d\\n", first, last);
        return 0;
    }
    ml_cutter cutter = {{0}, 0};
    static int16_t buffer[9999];
    for (int n; scanf("%d", &n) == 1;) {
        for (int i = 0; i < n; i++) if (scanf("%hd", buffer + i) != 1) return 1;
        for (int at = 0, used; at < n; at += used)
            if (ml_cut(&cutter, buffer + at, n - at, &used)) {
                for (float x : cutter.piece) {
                    unsigned bits;
                    memcpy(&bits, &x, 4);
                    printf("%u ", bits);
                }
                printf("\\n");
            }
    }
}
"""


@pytest.fixture(scope="module")
def native(tmp_path_factory):
    """The app's C, compiled with warnings as errors; called with a task and numbers."""
    compiler = need(shutil.which("g++"), "there is no g++")
    folder = tmp_path_factory.mktemp("native")
    (folder / "harness.cpp").write_text(HARNESS)
    headers = Path(render.__file__).parent / "templates/ios/audio/MobileLab"
    run(
        compiler, "-std=c++17", "-O2", "-Wall", "-Wextra", "-Werror", "-I", headers,
        folder / "harness.cpp", "-o", folder / "harness",
    )  # fmt: skip
    return lambda task, numbers: run(
        folder / "harness", task, stdin=" ".join(map(str, numbers))
    ).splitlines()


def wavering(seed):
    """Probabilities in float32 that wander about both thresholds, and hit them exactly."""
    draw = random.Random(seed)
    values = [0.0, 0.1, 0.374, 0.375, 0.376, 0.45, 0.5, 0.51, 0.9, 1.0]
    value, found = 0.1, []
    for _ in range(200):
        value = draw.choice(values) if draw.random() < 0.4 else value
        found.append(struct.unpack("f", struct.pack("f", value))[0])
    return found


@pytest.mark.parametrize("seed", range(12))
def test_c_finds_the_same_segments(native, seed):
    start, end, silence = 0.5, 0.375, 1 + seed % 6  # both are exact in float32
    probabilities = wavering(seed)
    said = native("segments", [start, end, silence, 200, *map(repr, probabilities)])
    found = [tuple(map(int, line.split())) for line in said]
    assert found == Segmenter(start, end, silence).segments(probabilities)
    assert 1 < len(found) < 100
    assert found != Segmenter(start, start, silence).segments(probabilities)


@pytest.mark.parametrize("lengths", [[512] * 3, [480] * 9, [4000], [1, 511, 513, 2000, 7], [300]])
def test_c_cuts_the_same_pieces(native, lengths):
    sound = torch.randint(-32768, 32768, (sum(lengths),), dtype=torch.int16)
    sound[:2] = torch.tensor([-32768, 32767])
    buffers = list(sound.split(lengths))
    said = native("cut", [x for one in buffers for x in (len(one), *one.tolist())])
    expected = lab07._pieces(buffers, 512)
    assert len(said) == len(expected) == sum(lengths) // 512
    for line, piece in zip(said, expected, strict=True):
        words = np.array(line.split(), dtype=np.uint32)
        assert np.array_equal(words.view("<f4"), piece.numpy())


# --- the found file -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def pieces(recording):
    return recording.sound[: len(recording.speech()) * 512].view(-1, 1, 512)


def found():
    return torch.jit.load(str(datasets.verified("silero_vad.jit")))


def right(likely, recording):
    return ((torch.cat(likely)[:, 0] > 0.5) == recording.speech()).float().mean().item()


def test_the_file_hears_the_voice_if_its_state_is_kept(recording, pieces):
    vad, forgetful = found(), found()
    with torch.no_grad():
        kept = [vad(piece, 16000) for piece in pieces]
        lost = []
        for piece in pieces:
            forgetful.reset_states()
            lost.append(forgetful(piece, 16000))
        whole = found().audio_forward(pieces.flatten(), 16000)
    assert torch.allclose(torch.cat(kept).flatten(), whole.flatten(), atol=1e-5)
    assert right(kept, recording) > 0.9 > right(lost, recording) + 0.05
