import csv
import io
import json
import math

import pytest
from matplotlib.text import Text
from records import record
from rich.console import Console

from mobilelab.core.errors import MobileLabError
from mobilelab.core.quantity import Quantity
from mobilelab.course import plots
from mobilelab.course.widgets import scatter
from mobilelab.measure.quantities import LATENCY, SIZE, quality
from mobilelab.measure.report import COURSE, Budget, Results

BUDGET = Budget(file_kb=100, median_ms=1.0, accuracy=0.98)


def test_exactly_on_the_budget_meets_it():
    assert BUDGET.misses(record(file_kb=100, median_ms=1.0, accuracy=0.98)) == []


def test_every_miss_is_said_in_words():
    bad = record(file_kb=150, median_ms=1.25, accuracy=0.93, verdict="DIFFERENT")
    assert BUDGET.misses(bad) == [
        "answers differ from the float model",
        "50 kB too large",
        "0.25 ms too slow on this host",
        "accuracy 5.0 points too low",
    ]


def test_a_share_of_the_float_models_time_is_decided_without_milliseconds():
    budget = Budget(times_float=1.5)
    assert budget.misses(record(median_ms=900.0, times_float=1.5)) == []
    assert budget.misses(record(median_ms=0.1, times_float=1.6)) == [
        "1.60x the float model's time, too slow on this host"
    ]
    assert budget.misses(record(times_float=None)) == [
        "its time was not taken in turn with the float model's"
    ]


def test_a_limit_in_milliseconds_follows_from_the_rows():
    rows = [record(median_ms=4.0, times_float=2.0), record(median_ms=1.0, times_float=0.5)]
    assert Budget(times_float=1.5).limit_ms(rows) == 3.0
    assert Budget(times_float=1.5, median_ms=2.5).limit_ms(rows) == 2.5
    assert Budget(times_float=1.5).limit_ms([record(times_float=None)]) == math.inf
    assert Budget(file_kb=1.0).limit_ms(rows) == math.inf


def test_a_budget_says_the_limits_that_it_has():
    assert str(COURSE) == (
        "at most 500 kB, at most 1.5 times the float model's time, at least 98.0% right"
    )
    assert str(Budget(median_ms=2.0)) == "at most 2.0 ms on this host at one thread"
    assert str(Budget()) == "no limits"


def test_text_and_html_hold_every_row():
    results = Results([record("one"), record("<two>", peak_added_mib=None)], BUDGET)
    text, markup = repr(results), results._repr_html_()
    assert text.splitlines()[2].startswith("one ")
    assert text.splitlines()[3].split()[0] == "<two>"
    assert "&lt;two&gt;" in markup
    assert markup.count("<tr>") == 3
    assert "met" in text


def test_empty_results():
    assert repr(Results([])).splitlines()[0].startswith("variant")
    assert Results([]).csv().strip() == ""
    assert json.loads(Results([]).json()) == []


def test_terminal_table_fits_80_columns():
    longest = record("mobile-pruned", verdict="DIFFERENT", rel_l2=2.0, max_abs=12.0, file_kb=14000)
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(Results([longest]).rich("title"))
    text = console.export_text()
    assert "mobile-pruned" in text and "DIFFERENT" in text and "14000" in text
    assert "…" not in text


def test_csv_and_json_say_where_it_was_measured():
    results = Results([record("one"), record("two", median_ms=2.5)])
    rows = list(csv.DictReader(io.StringIO(results.csv())))
    assert [row["variant"] for row in rows] == ["one", "two"]
    assert float(rows[1]["median_ms"]) == 2.5
    assert rows[0]["host_cpu"] == "cpu" and rows[0]["host_torch"] == "2.12.1"
    assert json.loads(results.json())[1]["host"]["cores"] == 2


def test_verdicts_name_the_reason():
    lines = Results([record("good"), record("big", file_kb=300)], BUDGET).verdicts()
    assert lines == ["good: meets it", "big: misses it, 200 kB too large"]


def test_a_table_of_chosen_columns():
    chosen = Results([record(file_kb=600)], COURSE, columns=("variant", "size", "budget"))
    headings, [row] = chosen.cells()
    assert headings == ["variant", "size", "budget"]
    assert row[1:] == ["600 kB", "100 kB too large"]
    with pytest.raises(MobileLabError, match="No column is called 'weight'; choose of variant, "):
        Results([record()], columns=("weight",))


def test_a_95th_percentile_is_held_against_the_float_models_median():
    budget = Budget(p95_times_float=0.4)
    assert str(budget) == "95th percentile at most 0.4 times the float model's time"
    ok = record(p95_ms=1.5, float_ms=4.0)
    assert budget.misses(ok) == []
    late = record(p95_ms=1.7, float_ms=4.0)
    assert "95th percentile 0.42x the float model's time" in budget.misses(late)[0]
    assert "not taken in turn" in budget.misses(record(float_ms=None))[0]


ERRORS = Quantity("word error rate", "%", more_is_better=False)
LOUDNESS = Quantity("PSNR", "dB")


@pytest.mark.parametrize(
    ("metric", "value", "limit", "text", "miss", "drawn"),
    [
        (ERRORS, 0.12, 0.05, "12.0%", "word error rate 7.0 points too high", 12.0),
        (LOUDNESS, 31.4159, 40.0, "31.4 dB", "PSNR 8.58 dB too low", 31.4159),
    ],
)
def test_table_csv_budget_picture_and_explorer_read_one_quantity(
    metric, value, limit, text, miss, drawn
):
    row, budget = record(accuracy=value, metric=metric), Budget(accuracy=limit)
    results = Results([row], budget, columns=("accuracy", "budget"))
    assert results.cells()[1] == [[text, miss]]
    [stored] = csv.DictReader(io.StringIO(results.csv()))
    assert (stored["metric"], stored["metric_unit"]) == (metric.name, metric.unit)
    assert stored["metric_more_is_better"] == str(metric.more_is_better)
    axis = quality(metric)
    assert axis.known(row) == pytest.approx(drawn) and axis.more_is_better is metric.more_is_better
    assert axis.limit(budget, [row]) == pytest.approx(drawn / value * limit)
    words = [t.get_text() for t in plots.tradeoff([row], budget).findobj(Text)]
    assert f"a  {text}" in words
    words = [t.get_text() for t in scatter.draw([row], SIZE, LATENCY, axis, budget).findobj(Text)]
    assert f"a  {text}" in words


def test_a_figure_on_the_limit_misses_nothing_and_nan_misses_it():
    assert ERRORS.gap(0.05, limit=0.05) == LOUDNESS.gap(40.0, limit=40.0) == ""
    assert ERRORS.gap(0.04, limit=0.05) == LOUDNESS.gap(41.0, limit=40.0) == ""
    assert "too high" in ERRORS.gap(math.nan, limit=0.05)
    assert "too low" in LOUDNESS.gap(math.nan, limit=40.0)
