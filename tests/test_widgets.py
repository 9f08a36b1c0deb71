"""The explorers without a browser: drawing functions and callbacks, also at their extremes."""

import contextlib
import csv
import dataclasses
import io
import math
import re
from pathlib import Path

import pytest
import torch
from matplotlib.colors import to_hex
from records import record
from rjsmin import jsmin
from torch.utils.flop_counter import FlopCounterMode
from traitlets import TraitError

from mobilelab import measure, models
from mobilelab.core.errors import MeasureError, MobileLabError, ProgressError
from mobilelab.course import questions, rounding, widgets
from mobilelab.course.plots import GREY
from mobilelab.course.widgets import (
    drawing,
    graph,
    page,
    pruning,
    quiz,
    resolution,
    scatter,
)
from mobilelab.course.widgets.fake_quantization import Setting
from mobilelab.course.widgets.pareto import pareto
from mobilelab.jupyter import progress
from mobilelab.measure.quantities import ACCURACY, LATENCY, MEMORY, SIZE, Axis
from mobilelab.measure.report import COURSE, Budget, Results
from mobilelab.recipes import remeasure, variants

SCRIPTS = Path(widgets.__file__).parent / "static"
TABLE = [
    record("big", file_kb=1500.0, median_ms=1.0, accuracy=0.99),
    record("small", file_kb=400.0, median_ms=4.2, accuracy=0.985),
    record("fits", file_kb=450.0, median_ms=2.0, accuracy=0.982),
    record("wrong", file_kb=100.0, median_ms=0.1, accuracy=0.1, verdict="DIFFERENT"),
]


@contextlib.contextmanager
def counted_work():
    """Every timing counts what a call computes instead: a sample is its millions of operations."""

    def count(calls, threads=1, least=15, **options):
        work = {}
        for name, call in calls.items():
            with FlopCounterMode(display=False) as counter, torch.no_grad():
                call()
            work[name] = counter.get_total_flops() / 1e6
        return {name: measure.Timing((n,) * least, threads, "counted") for name, n in work.items()}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measure, "time_in_turn", count)
        patch.setattr(measure.timing, "time_in_turn", count)
        yield


def picture(widget):
    """What the explorer shows is a PNG, and nothing went wrong."""
    assert widget.errors == []
    shown = drawing.small_png(widget.figure())
    assert shown.startswith(b"\x89PNG") and len(shown) > 3000
    return shown


def colors(figure):
    return {
        to_hex(line.get_markeredgecolor())
        for line in figure.axes[0].lines
        if line.get_marker() in ("o", "X")
    }


# --- trade-off ------------------------------------------------------------------------------


def test_pareto_front_leaves_out_who_is_beaten_and_who_answers_differently():
    names = [r.variant for r in pareto(TABLE, SIZE, LATENCY)]
    assert names == ["small", "fits", "big"]
    names = [r.variant for r in pareto(TABLE, ACCURACY, SIZE)]
    assert names == ["big", "small"]  # "fits" is larger and less accurate than "small"
    assert pareto([], SIZE, LATENCY) == []
    twins = [record("one", file_kb=5.0), record("two", file_kb=5.0)]
    assert pareto(twins, SIZE, ACCURACY) == twins
    unmeasured = [dataclasses.replace(r, peak_added_mib=None) for r in TABLE]
    assert pareto(unmeasured, MEMORY, SIZE) == []


def test_on_the_front_noise_beats_nobody():
    """A middle half of 0.1 ms: 1.00 and 1.04 ms are equal, 1.00 and 1.06 ms are not."""
    rows = [record("a", file_kb=300.0, median_ms=1.0), record("b", file_kb=200.0, median_ms=1.04)]
    assert [r.variant for r in pareto(rows, SIZE, LATENCY)] == ["b"]
    rows[1] = record("b", file_kb=200.0, median_ms=1.06)
    assert [r.variant for r in pareto(rows, SIZE, LATENCY)] == ["b", "a"]


def test_a_limit_that_nobody_set_is_none():
    explorer = widgets.TradeoffExplorer(TABLE, Budget(accuracy=0.9, p95_times_float=2.0))
    assert explorer.budget.file_kb == explorer.budget.median_ms == math.inf
    assert explorer.size.endless and explorer.latency.endless
    assert explorer.budget.p95_times_float == 2.0
    explorer.size.value = 300.0
    assert explorer.budget.file_kb == 300.0
    explorer.y.value = "p95"
    dashed = [line for line in explorer.figure().axes[0].lines if line.get_linestyle() == "--"]
    assert len(dashed) == 2


def test_until_the_slider_moves_a_time_is_judged_by_its_own_ratio_as_in_the_table():
    """On a busy host the ratio of the medians and the median of the ratios differ."""
    rows = [
        record("float", median_ms=3.0, float_ms=3.0, times_float=1.0),
        record("near", median_ms=9.0, float_ms=3.0, times_float=1.9),
        record("slow", median_ms=4.0, float_ms=3.0, times_float=2.1),
    ]
    budget = Budget(times_float=2.0)
    explorer = widgets.TradeoffExplorer(rows, budget)
    told = [row[-1] for row in Results(rows, budget).cells()[1]]
    assert told == ["met", "met", "2.10x the float model's time, too slow on this host"]
    assert [row[-1] for row in explorer.view().rows] == told
    assert "(drawn at 6.0 ms, from 3.00 ms beside them): float, near;" in explorer.view().alt
    explorer.latency.value = 8.5  # what is moved says a time, on this host
    now = ["met", "0.50 ms too slow on this host", "met"]
    assert [row[-1] for row in explorer.view().rows] == now


def test_a_file_that_no_phone_can_load_does_not_compete():
    rows = [record("pt", file="a.pt", file_kb=1.0), record("ptl", file_kb=5.0)]
    assert [r.variant for r in pareto(rows, SIZE, LATENCY)] == ["ptl"]
    assert [r.variant for r in pareto(rows[:1], SIZE, LATENCY)] == ["pt"]


def test_explorer_says_in_words_what_misses_the_budget():
    explorer = widgets.TradeoffExplorer(TABLE, Budget(500, 4.0, 0.98))
    assert "small misses the budget: 0.20 ms too slow on this host" in explorer.words.value
    assert "big misses the budget: 1000 kB too large" in explorer.words.value
    assert "<b>Fits the budget:</b> fits." in explorer.words.value
    explorer.latency.value = 5.0
    assert "<b>Fits the budget:</b> small, fits." in explorer.words.value
    explorer.accuracy.value = 100.0
    assert "<b>Fits the budget:</b> nothing." in explorer.words.value


def test_what_does_not_fit_is_gray():
    everything = Budget(10_000, 100, 0)
    some = scatter.draw(TABLE[:3], SIZE, LATENCY, ACCURACY, everything)
    assert to_hex(GREY) not in colors(some)
    nothing = scatter.draw(TABLE[:3], SIZE, LATENCY, ACCURACY, Budget(0, 0, 1))
    assert colors(nothing) == {to_hex(GREY)}


@pytest.mark.parametrize("x", [SIZE, LATENCY, ACCURACY, MEMORY])
@pytest.mark.parametrize("y", [SIZE, LATENCY, ACCURACY, MEMORY])
def test_every_pair_of_axes_can_be_drawn(x, y):
    for budget in (COURSE, Budget(0, 0, 1), Budget(1e6, 1e6, 0)):
        figure = scatter.draw(TABLE, x, y, ACCURACY, budget, "fits")
        assert x.label in figure.axes[0].get_xlabel()
        texts = [text.get_text() for text in figure.axes[0].texts]
        assert all(any(r.variant in text for text in texts) for r in TABLE)


def test_one_record_and_equal_records_can_be_drawn():
    assert picture(widgets.TradeoffExplorer(TABLE[:1]))
    assert picture(widgets.TradeoffExplorer([record("a"), record("b")]))
    with pytest.raises(MobileLabError, match="at least one record"):
        widgets.TradeoffExplorer([])


def test_the_courses_cells_belong_to_the_courses_own_files():
    """Another network's file of the same name has another recipe."""
    mine, ours = record("mobile", chapter=""), record("mobile-int8", chapter="05")
    explorer = widgets.TradeoffExplorer([mine, ours])
    assert set(explorer.contents()["code"]) == {"mobile-int8"}
    explorer.selected.value = "mobile"
    assert "your own cell builds it" in explorer.code.value
    explorer.selected.value = "mobile-int8"
    assert "optimize" in explorer.code.value


def test_sliders_at_their_ends_and_every_selection():
    explorer = widgets.TradeoffExplorer(TABLE)
    for slider in (explorer.size, explorer.latency, explorer.accuracy):
        for value in (slider.min, slider.max):
            slider.value = value
            picture(explorer)
        slider.value = slider.max + 1  # beyond the end is the end
        assert slider.value == slider.max
        with pytest.raises(TraitError, match="is not a number"):
            slider.value = "much"
    for name in explorer.selected.options:
        explorer.selected.value = name
        assert f"<b>{name}</b>" in explorer.words.value
    for control in (explorer.x, explorer.y, explorer.color):
        for name in control.options:
            control.value = name
            picture(explorer)


def test_moving_a_slider_changes_the_picture():
    explorer = widgets.TradeoffExplorer(TABLE)
    before = picture(explorer)
    explorer.size.value = 2000
    assert picture(explorer) != before


def test_a_page_that_moves_tells_the_controls_and_python_tells_the_page():
    explorer = widgets.TradeoffExplorer(TABLE)
    explorer.set_state({"state": {**explorer.state, "size": 123.0, "pinned": "big"}})
    assert (explorer.size.value, explorer.pinned.value) == (123.0, "big")
    assert explorer.budget.file_kb == 123.0
    explorer.selected.value = "wrong"
    assert explorer.state["selected"] == "wrong" and explorer.state["size"] == 123.0
    with pytest.raises(TraitError, match="'nobody' is none of"):
        explorer.selected.value = "nobody"


def test_all_files_compete_if_one_asks_for_it():
    rows = [record("pt", file="a.pt", file_kb=1.0), record("ptl", file_kb=5.0)]
    explorer = widgets.TradeoffExplorer(rows)
    assert "of files made for phones: ptl." in explorer.words.value
    explorer.everything.value = True
    assert "of all files: pt." in explorer.words.value
    assert [r["phone"] for r in explorer.data["measured"]["1 NCHW"]["records"]] == [False, True]


def test_a_file_far_below_the_others_is_drawn_outside_with_its_figure():
    """A file that is 10 % right once stood on the line of 98 %."""
    figure = scatter.draw(TABLE, SIZE, ACCURACY, LATENCY, COURSE)
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert [text for text in texts if "outside" in text] == ["wrong  outside: 10.0%  0.10 ms"]
    markers = [line.get_marker() for line in figure.axes[0].lines]
    assert markers.count("v") == 1 and "X" not in markers


def test_names_are_escaped():
    explorer = widgets.TradeoffExplorer([record("<b>x</b>", file_kb=9999.0)])
    assert "<b>x</b> misses" not in explorer.words.value
    assert "&lt;b&gt;x&lt;/b&gt; misses" in explorer.words.value
    assert "<b>x</b>" not in explorer._repr_mimebundle_()["text/html"].replace("<b>&lt;", "")
    named = widgets.TradeoffExplorer([record("</script><script>alert(1)")])
    assert named.static().count("</script>") == 2  # its own two, and none that a name brought


def test_ones_own_record_drops_in_and_any_quantity_can_be_an_axis():
    mine = record("mine", file_kb=50.0)
    extra = {"letters": Axis("letters", "", lambda r: float(len(r.variant)))}
    explorer = widgets.TradeoffExplorer([*TABLE, mine], extra=extra)
    explorer.selected.value, explorer.y.value = "mine", "letters"
    assert "Your own model" in explorer.code.value
    assert "letters" in explorer.words.value
    picture(explorer)


def test_csv_is_what_is_shown(tmp_path):
    explorer = widgets.TradeoffExplorer(TABLE, folder=tmp_path / "new")
    path = explorer.save_csv()
    assert path == tmp_path / "new" / "tradeoff.csv"
    rows = list(csv.DictReader(io.StringIO(path.read_text())))
    assert [row["variant"] for row in rows] == [r.variant for r in TABLE]
    assert {row["layout"] for row in rows} == {"NCHW"}


def test_csv_into_a_place_that_is_no_folder_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("x")
    explorer = widgets.TradeoffExplorer(TABLE, folder=tmp_path / "file")
    with pytest.raises(MobileLabError, match="another folder"):
        explorer.save_csv()


def test_a_callback_that_raises_shows_it_and_raises(monkeypatch):
    explorer = widgets.TradeoffExplorer(TABLE)
    monkeypatch.setattr(explorer, "moved", lambda names: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        explorer.size.value = 77
    assert explorer.problem == "ZeroDivisionError: division by zero"
    assert [type(error) for error in explorer.errors] == [ZeroDivisionError]
    monkeypatch.undo()
    explorer.size.value = 78  # the next move works, and takes the message away
    assert explorer.problem == ""


def test_switches_measure_once_and_remember():
    calls, told = [], []

    def again(threads, layout, on_step):
        calls.append((threads, layout))
        on_step("big")
        told.append(explorer.progress)
        return [dataclasses.replace(r, threads=threads, layout=layout) for r in TABLE]

    explorer = widgets.TradeoffExplorer(TABLE, remeasure=again)
    explorer.threads.value = 2
    assert "with 2 threads, input NCHW" in explorer.words.value
    explorer.layout_switch.value = "channels_last"
    assert "with 2 threads, input channels_last" in explorer.words.value
    explorer.threads.value, explorer.layout_switch.value = 1, "NCHW"
    assert "with 1 thread, input NCHW" in explorer.words.value
    assert calls == [(2, "NCHW"), (2, "channels_last"), (1, "channels_last")]
    assert told == [{"done": 1, "of": 5, "what": "measuring big"}] * 3
    assert explorer.progress == {}
    assert set(explorer.data["measured"]) == {
        "1 NCHW",
        "2 NCHW",
        "2 channels_last",
        "1 channels_last",
    }
    assert widgets.TradeoffExplorer(TABLE).threads.disabled


def test_a_measurement_that_fails_says_so_and_keeps_the_table():
    def again(threads, layout, on_step):
        raise MeasureError("The measuring process did not finish: no reason.")

    explorer = widgets.TradeoffExplorer(TABLE, remeasure=again)
    with pytest.raises(MeasureError):
        explorer.threads.value = 2
    assert "did not finish" in explorer.problem
    assert explorer.records == TABLE and explorer.progress == {}


def test_static_form_reads_without_a_kernel():
    bundle = widgets.TradeoffExplorer(TABLE)._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert "<img alt='Variants as points" in bundle["text/html"]
    assert "src='data:image/png;base64," in bundle["text/html"]
    assert "http" not in bundle["text/html"].replace("http://www.w3.org/", "")  # nothing is fetched
    for name in ("big", "small", "fits", "wrong"):
        assert name in bundle["text/plain"] and f">{name}</td>" in bundle["text/html"]


# --- measuring again ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def built(walk):
    return list(walk(*variants.named("eager", "frozen", "mobile")).values())


@pytest.mark.parametrize(("threads", "layout"), [(1, "channels_last"), (2, "NCHW")])
def test_measuring_again_compares_answers_and_says_how_it_was_measured(
    data, reference, built, threads, layout
):
    told = []
    records = remeasure.again(
        built, reference, data, threads=threads, layout=layout, seconds=0.05, on_step=told.append
    )
    assert told == ["eager", "frozen", "mobile", "latency"]
    for row in records:
        assert (row.verdict, row.threads, row.layout) == ("same", threads, layout)
        assert row.accuracy > 0.98 and row.median_ms > 0 and row.peak_added_mib is None


def test_measuring_again_refuses_what_it_cannot_do(data, reference, built, tmp_path):
    with pytest.raises(MeasureError, match="no layout 'NHCW'"):
        remeasure.again(built, reference, data, layout="NHCW")
    with pytest.raises(MeasureError, match="counted from 1"):
        remeasure.again(built, reference, data, threads=0)
    damaged = tmp_path / "mobile.ptl"
    damaged.write_bytes(built[2].path.read_bytes()[:5000])
    with pytest.raises(MeasureError, match=r"mobile.ptl is not a complete model archive"):
        remeasure.again([dataclasses.replace(built[2], path=damaged)], reference, data)


class Telltale(torch.nn.Module):
    """Says class 0 to images in NCHW, class 1 to those in channels_last."""

    def forward(self, x):
        scores = torch.zeros(x.shape[0], 10)
        scores[:, 1 if x.stride(1) == 1 else 0] = 1.0
        return scores


def test_the_layout_is_that_of_the_images_that_the_network_gets(data, built, tmp_path):
    """What channels_last is worth on this host, ``benchmarks/speed.py`` prints."""
    torch.jit.script(Telltale()).save(str(tmp_path / "telltale.pt"))
    telltale = dataclasses.replace(built[0], path=tmp_path / "telltale.pt")
    for answer, layout in enumerate(remeasure.LAYOUTS):
        expected = torch.eye(10)[answer].repeat(len(data.test), 1)
        (row,) = remeasure.again([telltale], expected, data, layout=layout, seconds=0)
        assert (row.layout, row.verdict) == (layout, "same")


# --- quantization ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def playground(data):
    folded = models.QuantizableTinyMobileNet.from_float(models.load_trained()).fuse()
    return widgets.QuantizationPlayground(folded, data)


def accuracy_of(playground):
    return playground.measured[playground.setting.key]


def test_eight_bits_cost_nothing_and_two_bits_cost_everything(playground):
    assert playground.setting.key in playground.measured  # what stands there is never unmeasured
    playground.everywhere.value = True
    playground.bits.value = 8
    eight = accuracy_of(playground)
    known = dict(playground.measured)
    for bits in (7, 6, 5, 4, 3, 2):
        playground.bits.value = bits
        for per_channel in (True, False):
            playground.per_channel.value = per_channel
    assert playground.measured == known  # all of it was measured beforehand
    two = accuracy_of(playground)
    assert eight > 0.96 and two < 0.6
    assert playground.measured["float"] > 0.96
    assert f"<b>{two:.1%}</b>" in playground.words.value
    playground.everywhere.value = False


def test_every_control_at_both_ends(playground):
    sheets = list(playground.sheets)
    assert len(sheets) == 4 and {name.split()[0] for name in sheets} == {"weights", "activations"}
    for name in (sheets[1], sheets[-1]):
        playground.tensor.value = name
        for observer in playground.observer.options:
            playground.observer.value = observer
            for percentile in playground.percentile.values[:: 3 if observer == "percentile" else 9]:
                playground.percentile.value = percentile
            for bits in (2, 8):
                playground.bits.value = bits
                picture(playground)
    for control, value in (("symmetric", True), ("per_channel", True), ("channel", 2)):
        getattr(playground, control).value = value
        picture(playground)
    for control, value in (("symmetric", False), ("per_channel", False), ("channel", 0)):
        getattr(playground, control).value = value
    playground.bits.value = 9  # beyond the end is the end
    assert playground.bits.value == 8


def test_figures_of_a_sheet_are_those_of_rounding(playground):
    """Every setting of a tensor, computed once more from the tensor itself."""
    for name in list(playground.sheets)[1:3]:
        x = playground.tensors[name]
        for setting, figures in playground.sheets[name].figures.items():
            grid = setting.grid(x)
            cost = rounding.cost(x, grid)
            assert figures.relative_error == pytest.approx(cost.relative_error, rel=1e-3)
            assert figures.largest_error == pytest.approx(cost.largest_error, rel=1e-3)
            assert figures.clipped == pytest.approx(cost.clipped, abs=1e-5)
            assert figures.levels_used == cost.levels_used <= 2**setting.bits
            shown = playground.sheets[name].channels if setting.per_channel else [0]
            assert [zero for _, zero in figures.grids] == [int(grid.zero_point[i]) for i in shown]
            scales = [grid.scale[i].item() for i in shown]
            assert [scale for scale, _ in figures.grids] == pytest.approx(scales, rel=1e-4)


def test_a_new_tensor_and_a_new_setting_are_measured_once_and_remembered(playground):
    asked, told, sheets = [], [], list(playground.sheets)
    playground.observer.value, playground.everywhere.value = "min-max", False
    tensors = playground.tensors
    scores, written = tensors.scores, []
    playground.observe(lambda change: written.append(len(change["new"]["accuracy"])), names="data")
    playground.observe(lambda change: told.append(change["new"].get("what", "")), names="progress")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tensors, "scores", lambda s, i: asked.append(s) or scores(s, i))
        new = next(n for n in tensors.names if n not in playground.sheets and "depth" in n)
        playground.tensor.value = new
        playground.bits.value = 3
        assert [setting.tensor for setting in asked] == [new, new]
        assert new in playground.data["sheets"]
        assert playground.setting.key in playground.data["accuracy"]
        playground.bits.value, playground.tensor.value = 8, sheets[0]
        playground.tensor.value = new
        playground.bits.value = 3
        assert len(asked) == 2
    assert len(written) == 2 and written[1] == written[0] + 1  # the page is told each time
    assert [text.split(":")[0] for text in told if text] == [
        "measuring rounding", "measuring accuracy", "measuring accuracy",
    ]  # fmt: skip
    assert playground.progress == {}
    playground.bits.value = 8


def test_per_channel_is_for_weights_and_not_for_histograms(playground):
    playground.observer.value = "min-max"
    playground.tensor.value = next(n for n in playground.tensors.names if "depthwise" in n)
    playground.per_channel.value = True
    channels = len(playground.tensors[playground.tensor.value])
    assert f"{channels} scales" in playground.words.value
    sheet = playground.sheets[playground.tensor.value]
    widths = [bars["high"] - bars["low"] for bars in sheet.bars[1:]]
    assert widths == sorted(widths) and widths[0] < widths[2]
    for i, channel in enumerate(sheet.channels):
        playground.channel.value = i
        picture(playground)
        assert playground.view().rows[3][0] == f"zero point of channel {channel}"
    playground.observer.value = "histogram"
    assert "shown per tensor" in playground.words.value
    playground.observer.value = "min-max"
    playground.tensor.value = next(n for n in playground.tensors.names if "activations" in n)
    assert "Activations get one scale" in playground.words.value
    playground.per_channel.value = False


def test_percentile_clips_and_min_max_does_not(playground):
    playground.tensor.value = next(n for n in playground.sheets if "activations" in n)
    clipped = {}
    for observer in ("min-max", "percentile"):
        playground.observer.value, playground.percentile.value = observer, 99.0
        setting = playground.setting
        clipped[observer] = playground.sheets[setting.tensor].of(setting).clipped
    assert clipped["min-max"] == 0.0 and clipped["percentile"] > 0.005
    playground.observer.value = "min-max"


def test_measuring_leaves_the_network_and_torch_as_they_were(playground):
    before = {k: v.clone() for k, v in playground.tensors.model.state_dict().items()}
    for name in (playground.tensors.names[0], playground.tensors.names[-1]):
        setting = Setting(name, 2, True, False, "min-max", 100.0, True)
        playground.tensors.scores(setting, playground.images.images[:3])
        assert torch.is_grad_enabled()
        assert not any(m._forward_hooks for m in playground.tensors.model.modules())
    after = playground.tensors.model.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)


# --- pruning --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pruner(data):
    with counted_work():
        return widgets.PruningExplorer(models.load_trained(), data, start=(0.3, 0.8))


def test_zeros_keep_the_file_and_channels_shrink_it(pruner):
    whole = pruner.at("magnitude", 0.0)
    zeros, channels = pruner.at("magnitude", 0.8), pruner.at("structured", 0.8)
    assert zeros.raw_kb == pytest.approx(whole.raw_kb, rel=0.01)
    assert zeros.compressed_kb < 0.7 * whole.compressed_kb
    assert channels.raw_kb < 0.6 * whole.raw_kb
    assert whole.accuracy > 0.96 > 0.5 > zeros.accuracy
    # Counted, so the same on every host: zeros are multiplied like any other number.
    assert zeros.latency == 1
    assert channels.latency == pytest.approx(0.33, abs=0.02)


def test_every_place_of_the_slider_was_measured_beforehand(pruner):
    assert pruner.sparsity.values == [0, 30, 80]
    assert len(pruner.points) == 6 and pruner.at("magnitude", 0.5) is None
    for method in pruning.METHODS:
        for percent in (80, 0, 30):
            pruner.method.value, pruner.sparsity.value = method, percent
            here = pruner.at(method, percent / 100)
            assert f"<b>{percent}% {pruning.KINDS[method]}" in pruner.words.value
            assert f"{here.accuracy:.1%} of 100 test images" in pruner.words.value
            picture(pruner)
    assert len(pruner.points) == 6
    with pytest.raises(TraitError, match="50 is none of"):
        pruner.sparsity.value = 50


@pytest.mark.parametrize("method", pruning.METHODS)
@pytest.mark.parametrize("sparsity", [0.0, 0.95])
def test_pruned_network_at_both_ends(data, method, sparsity):
    model = models.load_trained()
    smaller = pruning.pruned_network(model, method, sparsity)
    outputs = measure.scores(smaller, data.test.images[:4])
    assert outputs.shape == (4, 10) and outputs.isfinite().all()
    if sparsity == 0:
        assert torch.allclose(outputs, measure.scores(model, data.test.images[:4]), atol=1e-5)
    with pytest.raises(MobileLabError):
        pruning.pruned_network(model, method, 0.99)
    with pytest.raises(MobileLabError, match="no method"):
        pruning.pruned_network(model, "random", 0.5)


# --- graph ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stages():
    model = models.load_trained()
    scripted = torch.jit.script(model)
    return {"scripted": scripted, "frozen": torch.jit.freeze(scripted)}


def test_graph_explorer_shows_what_went_and_what_stayed(stages):
    explorer = widgets.GraphExplorer(stages)
    assert "Gone:" in explorer.words.value and "prim::If" in explorer.words.value
    assert "aten::conv2d" in explorer.lines.value
    everything = explorer.lines.value
    explorer.hide.value = True
    changed = explorer.lines.value
    assert len(changed) < len(everything) and changed.count("−") > 100
    explorer.against.value = True
    picture(explorer)
    same = widgets.GraphExplorer({"a": stages["frozen"], "b": stages["frozen"]})
    assert "Gone: nothing" in same.words.value
    same.hide.value = True
    assert "No operator changed" in same.lines.value
    with pytest.raises(MobileLabError, match="two stages"):
        widgets.GraphExplorer({"only": stages["frozen"]})


def test_compare_lines_up_what_is_equal():
    rows = graph.compare(["a", "b", "c"], ["a", "x", "c"])
    assert rows == [("kept", "a", "a"), ("gone", "b", ""), ("new", "", "x"), ("kept", "c", "c")]
    assert graph.compare([], ["a"]) == [("new", "", "a")]


def test_operators_inside_branches_count(stages):
    assert graph.operators(stages["frozen"]).count("aten::conv2d") == 26


# --- resolution -----------------------------------------------------------------------------


def test_exponent_of_a_power_law():
    assert resolution.exponent([1, 2, 4], [3, 12, 48]) == pytest.approx(2.0)
    assert 1.5 < resolution.exponent(*zip(*resolution.ANIMEGAN_PHONE.items(), strict=True)) < 2
    for sizes, values in (([1, 1], [1, 2]), ([1, 2], [0, 1])):
        with pytest.raises(MobileLabError):
            resolution.exponent(sizes, values)


def test_larger_pictures_cost_more_and_macs_grow_with_the_area():
    generator = models.TinyGenerator(width=4).eval()
    with counted_work():
        costs = resolution.measure_sizes(generator, (64, 256), seconds=0.05)
    small, large = costs
    assert large.macs == 16 * small.macs
    assert small.median_ms == pytest.approx(2 * small.macs / 1e6)  # in counted_work's unit
    assert large.median_ms == pytest.approx(16 * small.median_ms)
    assert large.added_mib > small.added_mib
    explorer = widgets.ResolutionExplorer(costs)
    for size in (64, 256):
        explorer.size.value = size
        for quantity in explorer.quantity.values:
            explorer.quantity.value = quantity
            picture(explorer)
            assert f"{size} x {size}" in explorer.words.value
    assert "cited" in explorer._repr_mimebundle_()["text/plain"]
    with pytest.raises(MobileLabError, match="at least two"):
        widgets.ResolutionExplorer(costs[:1])
    with pytest.raises(MobileLabError, match="at least one"):
        resolution.measure_sizes(generator, ())


def test_macs_are_those_of_a_convolution_by_hand():
    assert resolution.macs(torch.nn.Conv2d(3, 8, 3, padding=1), (1, 3, 10, 10)) == 3 * 8 * 9 * 100


def texts(code):
    """The text parts of a script's template literals; one within another is refused."""
    found, at = [], 0
    while (at := code.find("`", at)) >= 0:
        end = code.index("`", at + 1)
        inside = code[at + 1 : end]
        assert inside.rfind("${") <= inside.rfind("}"), inside
        found += re.split(r"\$\{[^}]*\}", inside)
        at = end + 1
    return found


@pytest.mark.parametrize("file", sorted(SCRIPTS.glob("*.js")), ids=lambda file: file.name)
def test_leaving_spaces_out_of_a_script_leaves_its_texts(file):
    """The tool that does it takes a template literal within another for code."""
    code = re.sub(r"^\s*(/\*\*(?:.|\n)*?\*/|//.*)$", "", file.read_text(), flags=re.M)
    assert texts(jsmin(code)) == texts(code)


@pytest.mark.parametrize("kind", ["tradeoff", "quantization", "pruning", "resolution", "graph"])
def test_no_two_scripts_of_an_explorer_use_one_name(kind):
    """One behind the other they are one module, which no browser loads otherwise."""
    order = page._in_order(kind, page._in_order("frame", []))
    texts = [(SCRIPTS / f"{name}.js").read_text() for name in order]
    names = re.findall(r"^(?:export )?(?:const|let|class|function) (\w+)", "".join(texts), re.M)
    assert len(names) > 10 and len(names) == len(set(names))


# --- quiz and progress ----------------------------------------------------------------------


@pytest.fixture
def place(tmp_path, monkeypatch):
    file = tmp_path / "deep" / "progress.json"
    monkeypatch.setenv(progress.PLACE, str(file))
    return file


def answer(shown, key, right):
    """What the page sends when an option of this kind is checked."""
    [question] = [each for each in shown.questions if each.key == key]
    chosen = next(i for i, o in enumerate(question.options) if o.right is right)
    shown._handle_custom_msg({"key": key, "option": chosen}, [])


def test_progress_is_kept(place):
    shown = widgets.Quiz("03")
    assert shown.standing == {}
    answer(shown, "03.1", right=False)
    assert shown.standing == {"03.1": {"right": False, "tries": 1}}
    answer(shown, "03.1", right=True)
    answer(shown, "03.1", right=False)  # reading another option takes nothing away
    assert shown.standing == {"03.1": {"right": True, "tries": 3}}
    assert widgets.Quiz("03").standing == shown.standing and widgets.Quiz("00").standing == {}
    lines = {line.chapter: line for line in progress.summary(questions.keys())}
    assert (lines["03"].right, lines["03"].at_once, lines["03"].questions) == (1, 0, 3)
    assert "1 of 3" in widgets.ProgressTable()._repr_html_()


def test_damaged_progress_is_put_aside(place):
    place.parent.mkdir()
    for content in ("{", "[]", '{"quiz": {"03.1": {"x": 1}}}', '{"quiz": 3}'):
        place.write_text(content)
        with pytest.raises(ProgressError, match="kept as progress.damaged"):
            progress.load()
        assert place.with_suffix(".damaged").read_text() == content
        assert progress.load() == {}


def test_what_a_check_raises_is_shown(place, monkeypatch):
    def fails(*args):
        raise RuntimeError("<img src=x onerror=alert(1)>")

    monkeypatch.setattr(progress, "remember", fails)
    shown = widgets.Quiz("03")
    with pytest.raises(RuntimeError):
        shown.answer("03.1", 0)
    assert shown.problem == "RuntimeError: <img src=x onerror=alert(1)>"


def test_damaged_progress_does_not_stop_a_quiz_or_a_table(place):
    place.parent.mkdir()
    place.write_text("{")
    shown = widgets.Quiz("00")
    assert "damaged" in shown.problem
    answer(shown, "00.1", right=True)
    assert shown.problem == "" and shown.standing["00.1"]["right"]
    place.write_text("{")
    assert "damaged" in repr(widgets.ProgressTable())


def test_place_that_cannot_be_written_is_one_sentence(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("x")
    monkeypatch.setenv(progress.PLACE, str(tmp_path / "file" / "progress.json"))
    with pytest.raises(ProgressError, match="MOBILELAB_PROGRESS"):
        progress.remember("03.1", True)
    shown = widgets.Quiz("03")
    answer(shown, "03.1", right=True)
    assert "MOBILELAB_PROGRESS" in shown.problem and shown.standing == {}


def test_quiz_reads_without_a_kernel(place):
    bundle = widgets.Quiz("06")._repr_mimebundle_()
    for question in quiz.of_chapter("06"):
        for option in question.options:
            assert bundle["text/html"].count(quiz.marked_up(option.why)) == 1
            assert option.text in bundle["text/plain"]


@pytest.mark.parametrize(
    "text",
    [
        "## 09.1\n\nWhich?\n\n- [ ] One.\n\n  No.\n\n- [ ] Two.\n\n  No, neither.\n",
        "## 09.1\n\nWhich?\n\n- [x] One.\n\n  Yes.\n\n- [x] Two.\n\n  Yes, too.\n",
        "## 09.1\n\nWhich?\n\n- [x] One.\n\n- [ ] Two.\n\n  No.\n",
        "## 09.1\n\n- [x] One.\n\n  Yes.\n",
    ],
)
def test_a_question_that_is_not_one_is_named(tmp_path, text):
    (tmp_path / "09.md").write_text(text)
    with pytest.raises(MobileLabError, match=r"Question 09\.1 in 09\.md needs .* exactly one"):
        questions.read(tmp_path / "09.md")


def test_every_chapter_has_questions_with_one_right_option():
    walk = Path(__file__).resolve().parent.parent / "notebooks"
    assert questions.chapters() == tuple(sorted(p.name[:2] for p in walk.glob("[0-9]*.ipynb")))
    keys = [q.key for q in questions.QUESTIONS]
    assert len(set(keys)) == len(keys)
    places = []
    for question in questions.QUESTIONS:
        assert 3 <= len(question.options) <= 4
        (right,) = [i for i, option in enumerate(question.options) if option.right]
        places.append(right)
        assert len({option.text for option in question.options}) == len(question.options)
        assert all(len(option.why) > 40 for option in question.options)
    assert max(places.count(i) for i in set(places)) <= len(places) / 2
    with pytest.raises(MobileLabError, match="no questions for chapter '99'"):
        questions.of_chapter("99")


# --- all ------------------------------------------------------------------------------------


def test_exported_page_shows_picture_and_table_without_a_widget():
    import nbformat
    from nbconvert import HTMLExporter

    path = Path(__file__).resolve().parent.parent / "notebooks" / "06_choose_within_a_budget.ipynb"
    page, _ = HTMLExporter().from_notebook_node(nbformat.read(path, as_version=4))
    assert page.count('alt="Variants as points') + page.count("alt='Variants as points") == 3
    assert "misses the budget" in page and "widget-view+json" not in page
