import json
import os
import subprocess
import sys
import time

import pytest
import torch

from mobilelab import measure, variants
from mobilelab.errors import MeasureError, ShapeError
from mobilelab.measure import Timing


def test_summary_of_known_samples():
    timing = Timing(tuple(float(i) for i in range(1, 102)), threads=1)
    assert timing.median_ms == 51
    assert timing.iqr_ms == 50
    assert timing.p95_ms == 96


def test_ratio_of_known_samples():
    slow = Timing(tuple(2.0 * i for i in range(1, 102)), threads=1)
    fast = Timing(tuple(1.0 * i for i in range(1, 102)), threads=1)
    ratio = slow.ratio(fast)
    assert (ratio.median, ratio.low, ratio.high) == (2.0, 2.0, 2.0)


def test_ratio_interval_holds_the_median_and_narrows():
    torch.manual_seed(0)

    def width(n):
        a = Timing(tuple((1 + torch.rand(n)).tolist()), 1)
        b = Timing(tuple((1 + torch.rand(n)).tolist()), 1)
        ratio = a.ratio(b)
        assert ratio.low <= ratio.median <= ratio.high
        return ratio.high - ratio.low

    assert width(2000) < width(20)


def test_ratio_refuses_strangers():
    with pytest.raises(MeasureError, match="same time_in_turn call"):
        Timing((1.0, 2.0), 1).ratio(Timing((1.0,), 1))


def test_time_in_turn_puts_calls_in_order():
    calls = {"short": lambda: time.sleep(0.001), "long": lambda: time.sleep(0.01)}
    timings = measure.time_in_turn(calls, warmup=1, seconds=0.3)
    assert len(timings["short"].samples_ms) == len(timings["long"].samples_ms) >= 15
    assert timings["long"].ratio(timings["short"]).low > 1.5


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
    for mib in (1, 64):
        torch.jit.script(Large(mib)).save(str(tmp_path / f"{mib}.pt"))
    peaks = measure.peak_memories({m: tmp_path / f"{m}.pt" for m in (1, 64)}, (1, 4))
    extra = peaks[64].added_mib - peaks[1].added_mib
    assert 55 < extra < 220
    assert peaks[64].total_mib > peaks[64].added_mib + 50


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
import psutil, torch, torch.jit.mobile
{first}
torch.backends.quantized.engine = "qnnpack"
module = torch.jit.mobile._load_for_lite_interpreter({path!r})
if {two}: torch.set_num_threads(2)
module(torch.zeros(1, 1, 32, 32))
torch.set_num_threads(1)
from mobilelab import measure
def busy(thread): return thread.user_time + thread.system_time
start = {{t.id: busy(t) for t in psutil.Process().threads()}}
for _ in range(300): module(torch.zeros(1, 1, 32, 32))
spent = sorted(busy(t) - start.get(t.id, 0) for t in psutil.Process().threads())
print(spent[-2] > 0.2 * spent[-1])
"""


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="one core has one thread")
@pytest.mark.parametrize(
    ("first", "second_thread_works"), [("", True), ("from mobilelab import measure", False)]
)
def test_one_thread_is_one_thread_for_mobile_kernels(
    tmp_path, model, data, first, second_thread_works
):
    """Without the import, torch at "one thread" lets QNNPACK compute on two."""
    int8 = torch.jit.script(variants.quantize_static(model, data))
    int8._save_for_lite_interpreter(str(tmp_path / "int8.ptl"))
    code = POOL.format(first=first, path=str(tmp_path / "int8.ptl"), two=True)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True
    )
    assert done.stdout.strip() == str(second_thread_works), done.stderr
