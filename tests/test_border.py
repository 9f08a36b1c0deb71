"""Whatever the student's side sends: the scorer ends, with a result, and in its memory.

No process is started here. A thread plays the sealed side and says what it likes.
"""

import base64
import json
import socket
import threading
import time
import tracemalloc

import pytest
from grading import GOOD, TINY
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mobilelab.grading import oracle as oracles
from mobilelab.grading import schema, scorer
from mobilelab.grading.assignment import Assignment
from mobilelab.grading.framing import (
    LARGEST_JSON,
    MOST_BLOCKS,
    NotPlain,
    Reader,
    TooLarge,
    to_bytes,
)
from mobilelab.grading.sandbox import Ended, Inmate, Limits

TINY_ONE = Assignment.load(TINY)


class Liar:
    """A sandbox whose sealed processes send ``said`` and then are gone, or say no more."""

    def __init__(self, said, *, stays=False):
        self.said, self.stays, self.opened = said, stays, 0
        self.kept, self.talks = [], False

    def open(self, role, limits):
        self.opened += 1
        ours, theirs = socket.socketpair()
        line, warden = socket.socketpair()
        self.kept += [theirs, warden]

        def lie():
            try:
                for part in self.said:
                    theirs.sendall(part)
                if not self.stays:
                    theirs.shutdown(socket.SHUT_WR)
                    warden.sendall(b'{"reason": "died", "code": 1}\n')
            except OSError:
                pass  # nobody listens any more

        self.kept.append(threading.Thread(target=lie, daemon=True))
        self.kept[-1].start()
        return Inmate(ours, line)

    def close(self):
        """End all that was opened."""
        for it in self.kept:
            if isinstance(it, socket.socket):
                it.close()


def judged(said, *, stays=False, limits=None):
    """The result for a notebook whose process says this, and the liar."""
    liar = Liar(said, stays=stays)
    try:
        options = {"secret": None, "draws": b"x" * 32, "limits": limits}
        return scorer.score(TINY_ONE, GOOD, "eve", liar, **options), liar
    finally:
        liar.talks = any(it.is_alive() for it in liar.kept if isinstance(it, threading.Thread))
        liar.close()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=10,
)
WORDS = ("begins", "ended", "done", "reply", "outcome", "error", "value", "outputs", "changed",
         "broken", "sizes")  # fmt: skip
PLACES = st.sampled_from([-1, 0, 1, 2, 3, 4])
PICTURES = st.fixed_dictionaries({"kind": st.just("picture"), "block": PLACES})
HONEST = st.fixed_dictionaries(
    {},
    optional={
        "begins": PLACES,
        "ended": PLACES,
        "outcome": st.sampled_from(["ok", "error"]),
        "outputs": st.lists(PICTURES, max_size=9),
        "changed": st.dictionaries(st.just("seed"), JSON, max_size=1),
        "reply": st.integers(0, 9),
        "done": st.just(True),
        "value": JSON,
    },
)
MESSAGES = HONEST | st.dictionaries(st.sampled_from(WORDS), JSON, max_size=5)
FRAMES = st.builds(to_bytes, MESSAGES, st.lists(st.binary(max_size=9), max_size=3))


@settings(max_examples=150, suppress_health_check=list(HealthCheck))
@given(st.lists(FRAMES | st.binary(max_size=30), max_size=12))
def test_whatever_is_said_there_is_a_result(said):
    result, liar = judged(said)
    assert json.dumps(result)  # plain data, which goes into the gradebook
    assert set(result["tasks"]) == {"double", "number", "model"}
    assert result["tasks"]["double"]["points"] == result["tasks"]["model"]["points"] == 0
    assert liar.opened < 40


BEGINS = {"begins": 0}


@pytest.mark.parametrize(
    ("messages", "end"),
    [
        ([BEGINS, {"ended": 0, "outcome": "ok", "outputs": 7}], "disturbed messages"),
        ([BEGINS, {"ended": 0, "outcome": "ok", "outputs": [7]}], "disturbed messages"),
        ([BEGINS, {"ended": 0, "outcome": "ok", "outputs": [{"kind": "x"}]}], "disturbed messages"),
        ([BEGINS, {"ended": 0, "outcome": "ok", "changed": 7}], "disturbed messages"),
        ([BEGINS, {"ended": 0, "outcome": ["ok"]}], "disturbed messages"),
        ([BEGINS, {"ended": 0, "outcome": "fine"}], "disturbed messages"),
        ([BEGINS, {"ended": 1, "outcome": "ok"}], "disturbed messages"),
        ([BEGINS, {"ended": True, "outcome": "ok"}], "disturbed messages"),
        ([BEGINS] * 20, "disturbed messages"),
        ([BEGINS, {"nothing": 1}], "disturbed messages"),
        ([BEGINS, {"broken": "RuntimeError: x"}], "kernel died"),
    ],
    ids=str,
)
def test_what_is_no_answer_is_the_students_with_a_sentence(messages, end):
    result, _ = judged([to_bytes(message) for message in messages])
    assert result["end"] == end
    assert len(result["message"]) > 60 and result["message"].rstrip().endswith(".")


FOREVER = Limits(cell=1, notebook=2)


@pytest.mark.parametrize(
    "drip",
    [to_bytes({"begins": 0}), to_bytes({"done": 1})[:1], b""],
    ids=["begins", "half a frame", "nothing"],
)
def test_nothing_that_is_sent_moves_a_deadline(monkeypatch, drip):
    monkeypatch.setattr(oracles, "GRACE", 0.1)

    class Drops:
        def __iter__(self):
            for _ in range(600):
                time.sleep(0.05)
                yield drip

    result, liar = judged(Drops(), stays=True, limits=FOREVER)
    assert result["end"] in ("timeout", "disturbed messages")
    # all together have 6 s: nobody waits for a process that has half a minute to say
    assert liar.opened <= 4 and liar.talks


def peak(work):
    """Bytes that Python allocates at most while it works."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def honest_frame():
    outputs = [{"kind": "picture", "block": i} for i in range(4)]
    message = {"ended": 0, "outcome": "ok", "outputs": outputs}
    return to_bytes(message, [b"\x89PNG\r\n\x1a\n" + bytes(299_000)] * 4)


@pytest.mark.parametrize(
    "items", [[{"kind": "picture", "block": 0}] * 40, [{"block": 0}] * 140_000], ids=len
)
def test_a_picture_that_is_named_often_iskept_once(items):
    png = b"\x89PNG\r\n\x1a\n" + bytes(299_000)
    bomb = to_bytes({"ended": 0, "outcome": "ok", "outputs": items}, [png])

    def take(frame):
        oracle = oracles.Oracle(None, TINY_ONE, [None], {})
        oracle._place = 0
        ((message, parts),) = Reader().feed(frame)
        try:
            oracle._record(schema.parsed(message, schema.CellEnded), parts)
        except Ended:
            return []
        return oracle.records[0].outputs

    kept = take(bomb)
    assert [base64.b64decode(item["png"]) for item in kept] in ([], [png])
    # what JSON of two megabytes takes as objects is allowed, copies of the picture are not
    assert peak(lambda: take(bomb)) < peak(lambda: take(honest_frame())) + 40 * LARGEST_JSON


def test_a_frame_of_many_blocks_is_refused_before_they_are_made():
    with pytest.raises(TooLarge, match="blocks"):
        Reader().feed(to_bytes({"begins": 0}, [b""] * (MOST_BLOCKS + 1)))
    ((_, blocks),) = Reader().feed(to_bytes({"begins": 0}, [b""] * MOST_BLOCKS))
    assert len(blocks) == MOST_BLOCKS


@pytest.mark.parametrize("length", [LARGEST_JSON, 2**32 - 1])
def test_a_long_message_is_refused_by_its_first_bytes(length):
    with pytest.raises(TooLarge, match="MB of text"):
        Reader().feed(length.to_bytes(4, "big"))


def test_large_data_is_refused_by_its_head():
    head = to_bytes({"sizes": [], "x": 1}).replace(b'"sizes": []', b'"sizes": [99999999]')
    head = (len(head) - 4).to_bytes(4, "big") + head[4:]
    with pytest.raises(TooLarge, match="32 MB of data"):
        Reader().feed(head)


def test_what_is_too_large_is_told_with_its_own_limit():
    begins, text = to_bytes({"begins": 0}), LARGEST_JSON.to_bytes(4, "big")
    result, _ = judged([begins + text])
    assert result["end"] == "answer too large"
    assert "It gave back more than 2 MB of text at once. Hand in" in result["message"]


@given(st.lists(FRAMES, max_size=5), st.integers(1, 60))
def test_frames_come_whole_however_they_are_cut(frames, cut):
    stream, reader, found = b"".join(frames), Reader(), []
    try:
        whole = Reader().feed(stream)
    except NotPlain:
        return
    for start in range(0, len(stream), cut):
        found += reader.feed(stream[start : start + cut])
    assert repr(found) == repr(whole)
