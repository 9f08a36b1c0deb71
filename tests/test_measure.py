import copy
import json
import os
import subprocess
import sys
from itertools import groupby, pairwise
from pathlib import Path

import pytest
import torch

from mobilelab import measure
from mobilelab.core.errors import MeasureError, ShapeError
from mobilelab.measure import Timing
from mobilelab.recipes import variants


def test_summary_of_known_samples():
    timing = Timing(tuple(float(i) for i in range(1, 102)), threads=1)
    assert timing.median_ms == 51
    assert timing.iqr_ms == 50
    assert timing.p95_ms == 96


def test_ratio_of_known_samples():
    slow = Timing(tuple(2.0 * i for i in range(1, 102)), threads=1, run="one")
    fast = Timing(tuple(1.0 * i for i in range(1, 102)), threads=1, run="one")
    ratio = slow.ratio(fast)
    assert (ratio.median, ratio.low, ratio.high) == (2.0, 2.0, 2.0)


def test_ratio_interval_holds_the_median_and_narrows():
    torch.manual_seed(0)

    def width(n):
        a = Timing(tuple((1 + torch.rand(n)).tolist()), 1, "one")
        b = Timing(tuple((1 + torch.rand(n)).tolist()), 1, "one")
        ratio = a.ratio(b)
        assert ratio.low <= ratio.median <= ratio.high
        return ratio.high - ratio.low

    assert width(2000) < width(20)


def test_ratio_refuses_strangers():
    def alone(samples):
        return measure.latency(lambda: None, warmup=1, least=samples, most=samples)

    for one, other in ((alone(15), alone(15)), (alone(15), alone(16))):
        with pytest.raises(MeasureError, match="same time_in_turn call"):
            one.ratio(other)
    both = measure.time_in_turn({"a": lambda: None, "b": lambda: None}, most=15)
    assert copy.deepcopy(both["a"]).ratio(both["b"]).median > 0  # a copy is of the same call


# --- the clock ----------------------------------------------------------------------------


class Work:
    """A clock that stands still until a call says how many seconds it takes."""

    def __init__(self):
        self.now, self.done = 0.0, []

    def __call__(self):
        return self.now

    def takes(self, name, seconds):
        def call():
            self.done.append(name)
            self.now += seconds() if callable(seconds) else seconds

        return call


@pytest.fixture
def work(monkeypatch):
    clock = Work()
    monkeypatch.setattr(measure.clocks, "clock", clock)
    return clock


def test_time_in_turn_times_each_call_in_turn(work):
    calls = {"short": work.takes("short", 0.001), "long": work.takes("long", 0.01)}
    timings = measure.time_in_turn(calls, warmup=1, seconds=0.61)
    assert timings["short"].samples_ms == pytest.approx([1.0] * 20)  # 0.61 s / 3 calls of 10 ms
    assert timings["long"].samples_ms == pytest.approx([10.0] * 20)
    turns = [name for name, _ in groupby(work.done)]
    assert turns == ["short", "long"] * 21  # warm-up, and 20 samples


def test_what_slows_everything_down_leaves_the_ratio_alone(work):
    """A host that becomes ten times as slow while it measures."""
    calls = {
        "short": work.takes("short", lambda: 0.001 * (1 + work.now)),
        "long": work.takes("long", lambda: 0.004 * (1 + work.now)),
    }
    timings = measure.time_in_turn(calls, seconds=9, most=200)
    assert timings["short"].samples_ms[-1] > 10 * timings["short"].samples_ms[0]
    ratio = timings["long"].ratio(timings["short"])
    assert 4 <= ratio.low <= ratio.high < 4.1


def test_number_of_samples_follows_the_seconds_within_its_bounds(work):
    def samples(seconds):
        calls = {"one": work.takes("one", 0.01)}
        return len(measure.time_in_turn(calls, seconds=seconds, most=50)["one"].samples_ms)

    assert [samples(seconds) for seconds in (0, 0.61, 100)] == [15, 20, 50]


def test_clock_shows_so_many_times_the_time():
    base = Work()
    shown = measure.Clock.of("5,0", base)
    start = shown()
    for seconds in (1.0, 0.25, 0.0, 2.0):
        base.now += seconds
        assert shown() - start == 5 * seconds
        start = shown()


def test_jitter_stretches_every_interval_differently_and_each_time_alike():
    def intervals():
        base = Work()
        shown = measure.Clock(5, 0.3, base)
        seen = [shown()]
        for _ in range(1000):
            base.now += 1.0
            seen.append(shown())
        return [b - a for a, b in pairwise(seen)]

    some = intervals()
    assert 3.5 <= min(some) < 3.6 and 6.4 < max(some) <= 6.5
    assert len(set(some)) > 900
    assert some == intervals()


@pytest.mark.parametrize("kind", ["5,0.3", "0.2,0.3", "5", "0.2"])
def test_a_ratio_is_the_same_on_every_clock(work, monkeypatch, kind):
    clock = measure.Clock.of(kind, work)
    monkeypatch.setattr(measure.clocks, "clock", clock)
    calls = {"short": work.takes("short", 0.001), "long": work.takes("long", 0.004)}
    timings = measure.time_in_turn(calls, seconds=100)
    assert timings["short"].median_ms == pytest.approx(clock.times, rel=0.1)
    ratio = timings["long"].ratio(timings["short"])
    assert ratio.median == pytest.approx(4, rel=0.1)
    assert (ratio.high - ratio.low > 0.1) == (clock.jitter > 0)


@pytest.mark.parametrize("text", ["slow", "5,much", "5,0.3,1", "5,", ",0.3", "nan,0.1,"])
def test_a_clock_that_is_none_is_one_sentence(text):
    with pytest.raises(MeasureError, match=r"^MOBILELAB_CLOCK is '.*', which is no clock; .*\.$"):
        measure.Clock.of(text)


@pytest.mark.parametrize("text", ["0", "-5", "inf", "nan", "5,1", "5,-0.1", "5,nan"])
def test_a_clock_that_cannot_be_is_one_sentence(text):
    with pytest.raises(MeasureError, match=r"^A clock cannot show .* from 0 to below 1\.$"):
        measure.Clock.of(text)


WHOSE = """
import time, timeit
from mobilelab import measure
from time import perf_counter
from torch.utils.benchmark import Timer
mine = Timer()._timer.timer, perf_counter, timeit.default_timer
same = all(clock is measure.clock for clock in mine)
print(same, getattr(measure.clock, "times", 1), getattr(measure.clock, "jitter", 0))
"""


@pytest.mark.parametrize(
    ("value", "expected"),
    [("5,0.3", "True 5.0 0.3"), ("0.2", "True 0.2 0.0"), ("", "True 1 0"), (None, "True 1 0")],
)
def test_a_whole_process_sees_the_clock_of_the_environment(value, expected):
    """A notebook that times something by itself sees the same clock as ``measure``."""
    env = {name: text for name, text in os.environ.items() if name != measure.CLOCK}
    env |= {} if value is None else {measure.CLOCK: value}
    done = subprocess.run([sys.executable, "-c", WHOSE], env=env, capture_output=True, text=True)
    assert done.stdout.strip() == expected, done.stderr


# --- what a call may do -------------------------------------------------------------------


def test_time_in_turn_leaves_threads_and_gradients_alone():
    seen = []
    before = torch.get_num_threads()
    measure.time_in_turn(
        {"x": lambda: seen.append((torch.get_num_threads(), torch.is_grad_enabled()))},
        seconds=0.01,
    )
    assert set(seen) == {(1, False)}
    assert torch.get_num_threads() == before
    assert torch.is_grad_enabled()


def test_accuracy_of_known_scores():
    scores = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 0.0]])
    assert measure.accuracy(scores, torch.tensor([0, 1, 1, 1])) == 0.5


@pytest.mark.parametrize(("n", "m"), [(3, 2), (0, 0)])
def test_accuracy_refuses_what_does_not_fit(n, m):
    with pytest.raises(ShapeError, match="for the same n > 0"):
        measure.accuracy(torch.zeros(n, 4), torch.zeros(m, dtype=torch.long))


def test_scores_in_batches_are_the_scores(model, data):
    images = data.test.images[:25]
    with torch.no_grad():
        expected = model(images)
    assert torch.allclose(measure.scores(model, images, batch=7), expected, atol=1e-5)


def test_file_kb_counts_thousands(tmp_path):
    (tmp_path / "x").write_bytes(b"\0" * 12345)
    assert measure.file_kb(tmp_path / "x") == 12.345
    with pytest.raises(MeasureError, match="no file"):
        measure.file_kb(tmp_path / "y")


class Large(torch.nn.Module):
    def __init__(self, mib):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(mib * 2**18))

    def forward(self, x):
        return x + self.weight.sum()


def test_peak_memory_follows_the_model(tmp_path):
    for mib in (1, 65):
        torch.jit.script(Large(mib)).save(str(tmp_path / f"{mib}.pt"))
    peaks = measure.peak_memories({m: tmp_path / f"{m}.pt" for m in (1, 65)}, (1, 4))
    extra = peaks[65].added_mib - peaks[1].added_mib
    # 64 MiB of weights are there once, and may be there a second time while they are read.
    assert 64 - 16 < extra < 2 * 64 + 16
    # Beside the model the whole process holds at least torch's own code.
    assert peaks[65].total_mib > peaks[65].added_mib + 50


def test_peak_memory_of_a_bad_file_is_one_sentence(tmp_path):
    (tmp_path / "bad.ptl").write_bytes(b"not a model")
    with pytest.raises(MeasureError, match="peak memory of bad.ptl.*not a complete model archive"):
        measure.peak_memory(tmp_path / "bad.ptl", (1, 1, 32, 32))


def test_record_knows_where_it_was_measured(tmp_path, model, data, reference):
    (tmp_path / "m.pt").write_bytes(b"\0" * 2000)
    timing = Timing((1.0, 2.0, 3.0, 4.0), 1)
    record = measure.record("x", tmp_path / "m.pt", reference, reference, data.test, timing)
    assert record.file_kb == 2.0
    assert record.verdict == "same"
    assert record.median_ms == 2.5
    assert record.peak_added_mib is None
    assert record.host.torch == torch.__version__
    assert record.host.cores >= 1
    assert json.loads(json.dumps(record.as_dict()))["host"]["cpu"]


def test_host_names_no_machine_and_no_user():
    import getpass
    import socket

    text = str(measure.host()).lower().split()
    assert socket.gethostname().lower() not in text
    assert getpass.getuser().lower() not in text


POOL = """
import os, sys, torch, torch.jit.mobile
{first}
torch.backends.quantized.engine = "qnnpack"
module = torch.jit.mobile._load_for_lite_interpreter({path!r})

def spent(threads):
    return sum(int(open(f"/proc/self/task/{{t}}/schedstat").read().split()[0]) for t in threads)

before = set(os.listdir("/proc/self/task"))
torch.set_num_threads(2)
pool = set(os.listdir("/proc/self/task")) - before
torch.set_num_threads(1)
from mobilelab import measure
start = spent(pool)
for _ in range(30): module(torch.zeros(1, 1, 32, 32))
print(len(pool), "beside the main one,", "working" if spent(pool) > start else "not working")
"""


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="threads are counted in /proc")
@pytest.mark.parametrize(
    ("first", "expected"),
    [
        ("", "1 beside the main one, working"),
        ("from mobilelab import measure", "0 beside the main one, not working"),
    ],
)
def test_one_thread_is_one_thread_for_mobile_kernels(tmp_path, model, data, first, expected):
    """Without the import, torch at "one thread" lets QNNPACK compute on two."""
    int8 = torch.jit.script(variants.quantize_static(model, data))
    int8._save_for_lite_interpreter(str(tmp_path / "int8.ptl"))
    code = POOL.format(first=first, path=str(tmp_path / "int8.ptl"))
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True
    )
    assert done.stdout.strip() == expected, done.stderr


def test_an_interval_is_never_printed_as_a_point():
    assert str(measure.Ratio(0.94, 0.90, 0.97)) == "0.94x (0.90 to 0.97)"
    assert str(measure.Ratio(0.941, 0.940, 0.943)) == "0.941x (0.940 to 0.943)"
    assert str(measure.Ratio(10.06, 9.96, 10.1)) == "10.06x (9.96 to 10.10)"
    assert str(measure.Ratio(12.34, 11.11, 13.77)) == "12.3x (11.1 to 13.8)"
    assert str(measure.Ratio(258.33, 237.23, 262.66)) == "258x (237 to 263)"
    assert str(measure.Ratio(258.33, 258.31, 258.36)) == "258.3x (258.3 to 258.4)"
    assert str(measure.Ratio(1, 1, 1)) == "1.0000x (1.0000 to 1.0000)"


def test_scores_do_not_cut_a_sequence_into_batches():
    rows, network = torch.randn(12, 3, 8), torch.nn.GRU(8, 4).eval()
    with pytest.raises(ShapeError, match=r"its GRU is not batch_first.*measure\.answers"):
        measure.scores(network, rows, batch=6)
    assert measure.scores(network, rows)[0].shape == (12, 3, 4)  # one call, nothing is cut
    turned = torch.nn.GRU(8, 4, batch_first=True).eval()
    whole, parts = (measure.scores(lambda x: turned(x)[0], rows, batch=n) for n in (12, 5))
    assert torch.allclose(whole, parts, atol=1e-6)
