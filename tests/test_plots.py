from itertools import pairwise

import pytest
import torch
from matplotlib.text import Text
from records import record

from mobilelab.course import plots
from mobilelab.measure.report import COURSE
from mobilelab.recipes.training import Epoch


def drawn(picture):
    """Draw it for real, and give back all text in it."""
    assert picture._repr_png_().startswith(b"\x89PNG")
    return [text.get_text() for ax in picture.axes for text in ax.findobj(match=_is_text)]


def _is_text(artist):
    return hasattr(artist, "get_text")


@pytest.mark.parametrize("n", [1, 10, 11])
def test_images_carry_their_titles(n):
    picture = plots.images(torch.rand(n, 1, 8, 8), [f"t{i}" for i in range(n)], wrong=[0])
    assert {f"t{i}" for i in range(n)} <= set(drawn(picture))


def test_flat_and_colored_images():
    drawn(plots.images(torch.zeros(2, 3, 8, 8), ["a", "b"]))


def test_training_curve_of_one_epoch_and_of_many():
    for n in (1, 30):
        epochs = [Epoch(i, 1 / i, i / n) for i in range(1, n + 1)]
        assert "training loss (cross-entropy)" in drawn(plots.training_curve(epochs))


def test_bars_label_their_values():
    panels = {"ms": {"conv": 3.14159, "relu": 1}, "kB": {"relu": 2.0, "conv": 44.444}}
    assert {"conv", "relu", "3.14", "44.4", "ms", "kB"} <= set(drawn(plots.bars(panels)))
    assert "no figure" not in drawn(plots.bars(panels))


def test_a_bar_that_is_missing_is_said():
    picture = plots.bars({"A": {"x": 1.25, "z": 3.5}, "B": {"x": 2.0, "y": 4.75, "z": 6.0}})
    found = drawn(picture)
    assert found.count("no figure") == 1 and {"1.25", "3.5", "4.75"} <= set(found)
    names = [text.get_text() for text in picture.axes[0].get_yticklabels()]
    assert names == ["x", "y", "z"]
    assert [round(bar.get_y() + bar.get_height() / 2) for bar in picture.axes[0].patches] == [0, 2]


def test_tradeoff_names_every_variant():
    records = [record(f"v{i}", median_ms=1.0, file_kb=100.0) for i in range(10)]
    records.append(record("wrong", verdict="DIFFERENT", median_ms=90.0, file_kb=9000.0))
    texts = drawn(plots.tradeoff(records, COURSE))
    assert all(any(text.startswith(f"v{i} ") for text in texts) for i in range(10))
    assert any(text.startswith("wrong ") for text in texts)


def test_tradeoff_labels_do_not_overlap():
    records = [record(f"v{i}", median_ms=1.0 + i / 100) for i in range(10)]
    picture = plots.tradeoff(records)
    picture.canvas.draw()
    labels = [text for text in picture.axes[0].texts if text.get_text().startswith("v")]
    heights = sorted(label.get_window_extent().y0 for label in labels)
    tall = max(Text.get_window_extent(label).height for label in labels)
    assert len(heights) == 10
    assert all(b - a > tall for a, b in pairwise(heights))


def test_tradeoff_of_a_single_record():
    drawn(plots.tradeoff([record()]))


def test_workflow_marks_the_chapter():
    texts = drawn(plots.workflow("03"))
    assert {"01", "02", "03", "04", "05"} <= set(texts)
    faces = {p.get_facecolor() for p in plots.workflow("03").axes[0].patches}
    assert len(faces) > len({p.get_facecolor() for p in plots.workflow("").axes[0].patches})


def test_a_second_line_for_batch_statistics():
    epochs = [Epoch(1, 2.0, 0.1), Epoch(2, 1.0, 0.3)]
    assert "BatchNorm with the batch's own statistics" not in drawn(plots.training_curve(epochs))
    assert "BatchNorm with the batch's own statistics" in drawn(
        plots.training_curve(epochs, [0.3, 0.8])
    )


def test_titles_say_who_said_what():
    assert plots.answer_titles(["3", "9"], ["3", "5"]) == ["3", "said 9, is 5"]


def test_a_staircase_and_its_error():
    values = torch.linspace(-2, 3, 50)
    texts = drawn(plots.rounding(values, values.round().clamp(-1, 2), 1.0, (-1.0, 2.0)))
    assert {"float", "after rounding", "clipped", "half a step"} <= set(texts)


def test_zeros_have_two_sizes():
    rows = [(0.0, 0.99, 1400.0, 1300.0), (0.8, 0.1, 1400.0, 400.0)]
    assert {"budget", "file", "file, compressed"} <= set(drawn(plots.zeros(rows, 0.98)))


def test_the_lost_bias_is_drawn_in_four_steps():
    assert {"the trace", "rewritten", "after folding", "after freezing"} <= set(
        drawn(plots.lost_bias())
    )
