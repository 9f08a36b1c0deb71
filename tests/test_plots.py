from itertools import combinations

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
    lines = [line for text in drawn(plots.tradeoff(records, COURSE)) for line in text.split("\n")]
    assert all(any(line.startswith(f"v{i} ") for line in lines) for i in range(10))
    assert any(line.startswith("wrong ") for line in lines)


def crowd():
    """Thirteen files as in chapter 05: four lie on one another, three more nearly so."""
    sizes = (1533, 1621, 1456, 1030, 415, 419, 1439, 1465, 1466, 890, 419, 419, 271)
    times = (6.98, 4.74, 4.1, 3.42, 2.69, 2.79, 3.99, 3.92, 2.22, 2.2, 2.63, 2.62, 1.69)
    return [
        record(f"file-{i}", file_kb=float(kb), median_ms=ms)
        for i, (kb, ms) in enumerate(zip(sizes, times, strict=True))
    ]


def test_tradeoff_labels_cover_neither_marks_nor_each_other():
    picture = plots.tradeoff(crowd())
    picture.canvas.draw()
    ax = picture.axes[0]
    labels = [text for text in ax.texts if text.get_text().startswith("file")]
    assert sum(text.get_text().count("file") for text in labels) == 13 > len(labels)
    boxes = [Text.get_window_extent(label) for label in labels]
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))
    marks = ax.transData.transform([(r.file_kb, r.median_ms) for r in crowd()])
    assert not any(box.count_contains(marks) for box in boxes)
    room = ax.get_window_extent()
    assert all(room.count_contains(box.corners()) == 4 for box in boxes)


def test_a_line_to_a_label_runs_through_no_other_mark():
    picture = plots.tradeoff(crowd())
    picture.canvas.draw()
    ax = picture.axes[0]
    marks = ax.transData.transform([(r.file_kb, r.median_ms) for r in crowd()])
    joints = [line for line in ax.lines if line.get_linewidth() == 0.7]
    for joint in joints:
        one, other = ax.transData.transform(joint.get_xydata())
        along = one + torch.linspace(0, 1, 50)[:, None].numpy() * (other - one)
        near = [m for m in marks if min(((along - m) ** 2).sum(1)) < 6**2]
        own = [m for m in marks if ((one - m) ** 2).sum() < 15**2]
        assert len(near) <= len(own)


def test_a_name_may_hold_a_dollar():
    texts = drawn(plots.tradeoff([record("a$b^$c")]))
    assert any("a$b^$c" in text for text in texts)


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
