"""The explorers without a kernel and without a network: a page opened from a file."""

import csv
import dataclasses
import functools
import html
import json
import random
import re
from pathlib import Path

import nbformat
import pytest
import torch
from nbconvert import HTMLExporter
from playwright.sync_api import expect
from records import record
from solutions import ch06
from torch.utils.mobile_optimizer import optimize_for_mobile

from mobilelab import datasets, models
from mobilelab.course import rounding, widgets
from mobilelab.course.widgets import page as scripts
from mobilelab.course.widgets.pareto import pareto
from mobilelab.course.widgets.resolution import Cost
from mobilelab.course.widgets.wording import for_page
from mobilelab.jupyter import progress
from mobilelab.measure.quantities import ACCURACY, LATENCY, SIZE
from mobilelab.measure.report import Budget

ROOT = Path(__file__).resolve().parent.parent.parent
SHOTS = ROOT / "out" / "screenshots"
#: Checks a page against the rules of accessibility; from npm, version 4.14.1, unchanged.
AXE = Path(__file__).parent / "axe.min.js"
BUDGET = Budget(500, 4.0, 0.98)
TABLE = [
    record("big", file_kb=1500.0, median_ms=1.0, accuracy=0.99),
    record("small", file_kb=400.0, median_ms=4.2, accuracy=0.985),
    record("fits", file_kb=450.0, median_ms=2.0, accuracy=0.982),
    record("twin", file_kb=450.0, median_ms=2.0, accuracy=0.99),
    record("desk", file="desk.pt", file_kb=90.0, median_ms=0.5, accuracy=0.99),
    record("wrong", file_kb=100.0, median_ms=0.1, accuracy=0.1, verdict="DIFFERENT"),
]


def whole(body):
    """An HTML page around an explorer."""
    return (
        "<!DOCTYPE html><html lang='en'><head><meta charset='utf-8'><title>explorer</title>"
        "<meta name='viewport' content='width=device-width'></head>"
        f"<body><main><h1>Explorer</h1>{body}</main></body></html>"
    )


def made_tradeoff():
    explorer = widgets.TradeoffExplorer(TABLE, BUDGET)
    explorer.pinned.value = "big"
    return explorer


def made_resolution():
    sides = (64, 96, 128, 256, 384)
    costs = [Cost(s, 8.3 * (s / 64) ** 1.74, 20 + s / 3, 20_500 * s * s) for s in sides]
    return widgets.ResolutionExplorer(costs)


def made_graph():
    scripted = torch.jit.script(models.load_trained())
    frozen, mobile = torch.jit.freeze(scripted), optimize_for_mobile(scripted)
    stages = {"scripted": scripted, "frozen": frozen, "INSERT_FOLD_PREPACK_OPS": mobile}
    explorer = widgets.GraphExplorer(stages)
    explorer.step.value = "INSERT_FOLD_PREPACK_OPS"  # the widest name
    return explorer


def made_pruning():
    data = datasets.load("digits")
    return widgets.PruningExplorer(models.load_trained(), data, start=(0.4, 0.8), images=25)


def made_quantization():
    folded = models.QuantizableTinyMobileNet.from_float(models.load_trained()).fuse()
    playground = widgets.QuantizationPlayground(folded, datasets.load("digits"), images=10)
    playground.everywhere.value = True
    playground.symmetric.value = True  # is measured, and so can be shown without a kernel
    playground.symmetric.value = False
    return playground


MADE = {
    "tradeoff": made_tradeoff, "resolution": made_resolution, "graph": made_graph,
    "pruning": made_pruning, "quantization": made_quantization,
}  # fmt: skip


@functools.cache
def kept(name):
    """An explorer, made once for all tests that only read it."""
    return MADE[name]()


@pytest.fixture
def opened(chromium, tmp_path):
    """Open an explorer's stored output from a file, with the network off."""
    contexts = []

    def call(body, **options):
        context = chromium.new_context(**{"viewport": {"width": 1000, "height": 900}, **options})
        contexts.append(context)
        context.set_offline(True)
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.problems = []
        page.on("pageerror", lambda error: page.problems.append(str(error)))
        page.on("request", lambda r: r.url.startswith("http") and page.problems.append(r.url))
        (tmp_path / "page.html").write_text(whole(body), encoding="utf-8")
        page.goto((tmp_path / "page.html").as_uri())
        return page

    yield call
    problems = [text for context in contexts for page in context.pages for text in page.problems]
    for context in contexts:
        context.close()
    assert problems == []


def serious(page):
    """What axe-core finds that is serious or critical."""
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("() => axe.run('.ml')")["violations"]
    return [
        f"{each['id']}: {node['html'][:200]}"
        for each in found
        if each["impact"] in ("serious", "critical")
        for node in each["nodes"]
    ]


def words(page):
    return page.locator(".mobilelab-words")


def random_record(rng, name):
    """A record with ties, twins, files for desks, unmeasured and wrong ones."""
    return record(
        name, file=f"{name}.{rng.choice(['ptl', 'ptl', 'pt', 'tflite'])}",
        file_kb=rng.choice([100.0, 200.5, 300.25, rng.uniform(50, 1500)]),
        median_ms=rng.choice([1.0, 1.04, 1.06, 2.125, rng.uniform(0.1, 5)]),
        iqr_ms=rng.choice([0.0, 0.1, 0.3]), p95_ms=rng.uniform(0.2, 6),
        accuracy=rng.choice([0.98, 0.99, None, rng.random()]),
        verdict=rng.choice(["same", "same", "close", "DIFFERENT"]),
        float_ms=rng.choice([None, 1.0]), times_float=rng.choice([None, 0.5, 1.0, 2.125]),
    )  # fmt: skip


_ALL = """
(tables) => tables.map(({ data, state }) => {
  const { records } = data.measured[data.first];
  const budget = limits(data, state);
  return {
    front: pareto(records, data.axes, state.x, state.y, state.everything).map((r) => r.name),
    misses: records.map((r) => misses(r, budget, data.metric)),
    fits: records.map((r) => fits(r, budget, data.metric)),
  };
})
"""


def test_front_and_reasons_are_the_same_in_the_page_in_python_and_in_the_exercise(chromium):
    rng, tables, expected = random.Random(0), [], []
    for number in range(150):
        rows = [random_record(rng, f"v{i}") for i in range(rng.randint(1, 12))]
        limit = Budget(
            rng.choice([float("inf"), 150.0, 300.0]), rng.choice([float("inf"), 1.0, 2.0]),
            rng.choice([None, 0.5, 0.98]), p95_times_float=rng.choice([float("inf"), 1.5]),
            times_float=rng.choice([float("inf"), 1.0, 1.5]),
        )  # fmt: skip
        explorer = widgets.TradeoffExplorer(rows, limit)
        explorer.x.value, explorer.y.value = rng.sample(("size", "latency", "accuracy"), 2)
        explorer.everything.value = bool(number % 2)
        if number % 3 == 0:
            explorer.latency.value = rng.choice([1.0, 2.0])
        axes = explorer.axes[explorer.x.value], explorer.axes[explorer.y.value]
        tables.append({"data": explorer.data, "state": explorer.state})
        missed = [explorer.budget.misses(r) for r in rows]
        expected.append({
            "front": [r.variant for r in pareto(rows, *axes, bool(number % 2))],
            "misses": missed, "fits": [not why for why in missed],
        })  # fmt: skip
        sure = [dataclasses.replace(r, iqr_ms=0.0, verdict="same", file="a.ptl") for r in rows]
        places = [(r.file_kb, r.median_ms) for r in sure]
        front = {r.variant for r in pareto(sure, SIZE, LATENCY)}
        assert {rows[i].variant for i in ch06.right_front(places)} == front
    page = chromium.new_page()
    page.add_script_tag(content=f"{scripts.script('tradeoff')}\nObject.assign(window, {{fixed}});")
    found = page.evaluate(_ALL, tables)
    assert found == expected
    assert sum(len(each["front"]) for each in found) > 150  # the tables are not empty ones
    numbers = [(rng.choice([rng.uniform(-9, 999), rng.randint(-4000, 4000) / 8]),
                rng.choice([None, 0, 1, 2, 3])) for _ in range(2000)]  # fmt: skip
    written = page.evaluate("(all) => all.map(([x, digits]) => fixed(x, digits))", numbers)
    assert written == [f"{x:{'.3g' if digits is None else f'.{digits}f'}}" for x, digits in numbers]
    page.close()


def plain(text):
    """Words without their markup and spaces."""
    return re.sub(r"\s+", "", html.unescape(re.sub(r"<[^>]+>", "", text)))


def test_words_and_table_are_those_of_python_wherever_the_controls_stand(opened):
    explorer = widgets.TradeoffExplorer(TABLE, BUDGET)
    page = opened(explorer.static())
    for moves in (
        {}, {"size": 300}, {"x": "accuracy", "everything": True}, {"y": "p95", "selected": "twin"},
        {"size": 0}, {"accuracy": 100}, {"color": "latency", "latency": 6},
    ):  # fmt: skip
        for name, value in moves.items():
            getattr(explorer, name).value = value
        page.goto("about:blank")
        page = opened(explorer.static())
        view = explorer.view()
        assert plain(words(page).inner_html()) == plain(view.words)
        table = page.locator(".ml-table table")
        assert table.locator("tbody tr").count() == len(view.rows)
        for shown, row in zip(table.locator("tbody tr").all(), view.rows, strict=True):
            assert [cell.strip() for cell in shown.locator("th,td").all_inner_texts()] == row


def test_every_control_of_the_trade_off_moves_with_the_keyboard_alone(opened):
    page = opened(widgets.TradeoffExplorer(TABLE, BUDGET).static())
    page.get_by_label("size at most (kB)").focus()
    page.keyboard.press("Home")
    expect(words(page)).to_contain_text("Fits the budget: nothing.")
    expect(page.get_by_role("status").first).to_have_text("0 of 6 fit: nothing.")
    page.keyboard.press("End")
    expect(words(page)).to_contain_text("Fits the budget: big, fits, twin, desk.")
    page.get_by_label("latency at most (ms)").focus()
    page.keyboard.press("Home")
    expect(words(page)).to_contain_text("small misses the budget: 4.20 ms too slow")
    page.keyboard.press("End")
    page.get_by_label("accuracy at least (%)").focus()
    page.keyboard.press("End")
    expect(words(page)).to_contain_text("twin misses the budget: accuracy 1.0 points too low")
    page.get_by_label("across", exact=True).select_option("accuracy")
    expect(words(page)).to_contain_text("Pareto front in accuracy and median latency")
    page.get_by_label("up", exact=True).select_option("size")
    page.get_by_label("color", exact=True).select_option("p95")
    expect(page.locator("svg")).to_contain_text("95th percentile:")
    page.get_by_label("all files compete").check()
    expect(words(page)).to_contain_text("of all files: desk")
    page.get_by_label("selected", exact=True).select_option("big")
    expect(page.locator(".mobilelab-code")).to_contain_text("The cell that builds big")
    assert page.get_by_role("radio", name="2 threads").is_disabled()  # was not measured

    page.locator("svg [data-name=big]").focus()
    page.keyboard.press("Home")
    expect(page.locator(".ml-shown")).to_contain_text(
        page.locator(":focus").get_attribute("data-name")
    )
    page.keyboard.press("End")
    page.keyboard.press("Enter")
    chosen = page.locator(":focus").get_attribute("data-name")
    expect(page.locator(":focus")).to_have_attribute("aria-pressed", "true")
    assert page.get_by_label("selected", exact=True).input_value() == chosen
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("p")
    other = page.locator(":focus").get_attribute("data-name")
    expect(words(page)).to_contain_text(f"{chosen} beside {other}:")
    page.keyboard.press("p")
    expect(words(page)).not_to_contain_text("beside")


def test_two_points_are_compared_in_a_sentence(opened):
    rows = [
        record("one", file_kb=100.0, median_ms=2.6, iqr_ms=0.1, accuracy=0.986),
        record("other", file_kb=400.0, median_ms=2.0, iqr_ms=0.1, accuracy=0.99),
    ]
    explorer = widgets.TradeoffExplorer(rows, BUDGET)
    explorer.selected.value, explorer.pinned.value = "one", "other"
    expect(words(opened(explorer.static()))).to_contain_text(
        "one beside other: a quarter of the size, 1.3 times the time, one answer in 250 lost."
    )
    rows[0] = dataclasses.replace(rows[0], median_ms=2.04, accuracy=0.99)
    explorer = widgets.TradeoffExplorer(rows, BUDGET)
    explorer.selected.value, explorer.pinned.value = "one", "other"
    expect(words(opened(explorer.static()))).to_contain_text(
        "a quarter of the size, a time that cannot be told apart, the same accuracy."
    )


def test_what_lies_outside_has_an_arrow_and_what_lies_on_top_fans_out(opened):
    explorer = widgets.TradeoffExplorer(TABLE, BUDGET)
    explorer.y.value = "accuracy"
    page = opened(explorer.static())
    expect(page.locator(".ml-names")).to_contain_text("wrong 10.0%")
    bottom = page.locator(".ml-axes .ml-rule").first.bounding_box()["y"]
    box = page.locator("[data-name=wrong] .ml-mark").bounding_box()
    assert bottom - 20 < box["y"] < bottom + 2
    explorer.y.value = "latency"
    page = opened(explorer.static())
    expect(page.locator(".ml-heap")).to_have_text("×2")
    places = (
        "() => [...document.querySelectorAll('.ml-point')].map((p) => p.getAttribute('transform'))"
    )
    before = page.evaluate(places)
    assert len(set(before)) == len(TABLE) - 1
    page.locator("[data-name=twin]").focus()
    assert len(set(page.evaluate(places))) == len(TABLE)
    page.locator("[data-name=big]").focus()
    assert page.evaluate(places) == before


def test_state_goes_out_as_json_and_link_picture_as_png_and_svg_table_as_csv(opened, tmp_path):
    explorer = widgets.TradeoffExplorer(TABLE, BUDGET)
    page = opened(explorer.static(), permissions=["clipboard-read", "clipboard-write"])
    page.get_by_label("selected", exact=True).select_option("twin")
    page.get_by_role("button", name="Copy as JSON").click()
    expect(page.locator(".ml-told")).to_have_text("State copied.")
    copied = json.loads(page.evaluate("() => navigator.clipboard.readText()"))
    assert copied["state"] == {**explorer.state, "selected": "twin"}
    page.get_by_role("button", name="Copy as link").click()
    expect(page.locator(".ml-told")).to_have_text("Link copied.")
    link = page.evaluate("() => navigator.clipboard.readText()")
    saved = {}
    for kind in ("PNG", "SVG", "CSV"):
        with page.expect_download() as download:
            page.get_by_role("button", name=f"as {kind}").click()
        saved[kind] = tmp_path / download.value.suggested_filename
        download.value.save_as(saved[kind])
    assert saved["PNG"].read_bytes().startswith(b"\x89PNG")
    assert "var(" not in saved["SVG"].read_text() and ">twin<" in saved["SVG"].read_text()
    rows = list(csv.reader(saved["CSV"].read_text(encoding="utf-8").splitlines()))
    view = explorer.view()
    assert rows == [list(view.headings), *view.rows]
    page.goto("about:blank")
    page.goto(link)
    expect(words(page)).to_contain_text("twin (chapter 01): twin.ptl")
    page.goto("about:blank")
    page.goto(link.split("=")[0] + "=%7B%22selected%22%3A%22nobody%22%2C%22size%22%3A-5%7D")
    expect(words(page)).to_contain_text(
        f"{explorer.selected.value} (chapter 01): "
    )  # nonsense is left out


LOOKS = {
    "light": {}, "dark": {"color_scheme": "dark"},
    "390": {"viewport": {"width": 390, "height": 844}}, "forced": {"forced_colors": "active"},
    "print": {},
}  # fmt: skip


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("name", MADE)
def test_axe_finds_nothing_serious_and_nothing_is_wider_than_the_screen(opened, name, look):
    page = opened(kept(name).static(), **LOOKS[look])
    if look == "print":
        page.emulate_media(media="print")
        expect(page.get_by_role("button", name="Copy as JSON")).to_be_hidden()
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SHOTS / f"page-{name}-{look}.png", full_page=True)
    assert page.evaluate("() => document.documentElement.scrollWidth - innerWidth") <= 0
    assert serious(page) == []


@pytest.mark.parametrize("name", MADE)
def test_what_a_notebook_keeps_is_at_most_80_kb_and_reads_without_scripts(opened, name):
    explorer = kept(name)
    text = explorer.static()
    assert len(text.encode()) < 80_000
    view = explorer.view()
    page = opened(text, java_script_enabled=False)
    expect(page.get_by_role("img", name=view.alt, exact=True)).to_be_visible()
    assert plain(view.words) in plain(page.locator(".mobilelab-explorer").inner_html())
    assert page.locator("tbody tr").count() == len(view.rows)


MOVES = {
    "resolution": ({}, {"size": 64}, {"quantity": "memory"}, {"quantity": "MACs", "size": 128}),
    "graph": (
        {}, {"step": "frozen"}, {"step": "INSERT_FOLD_PREPACK_OPS"}, {"against": True},
        {"hide": True}, {"step": "frozen"},
    ),
    "pruning": ({}, {"sparsity": 80}, {"method": "structured"}, {"sparsity": 0}),
    "quantization": (
        {}, {"bits": 2}, {"per_channel": True}, {"channel": 2, "bits": 5},
        {"per_channel": False, "bits": 8}, {"symmetric": True},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MOVES)
def test_the_page_says_what_python_says_wherever_the_controls_stand(opened, name):
    explorer = MADE[name]()
    page = opened(explorer.static())
    frame = page.locator(".mobilelab-explorer")
    for moves in MOVES[name]:
        for control, value in moves.items():
            getattr(explorer, control).value = value
            moved(frame, getattr(explorer, control), value)
        view = explorer.view()
        assert plain(words(page).inner_html()) == plain(view.words)
        expect(frame.locator(".ml-picture svg")).to_have_attribute("aria-label", view.alt)
        table = frame.get_by_role("region", name=f"{explorer.title}: table").locator("tr")
        found = [[cell.strip() for cell in row.locator("th,td").all_inner_texts()]
                 for row in table.all()]  # fmt: skip
        assert found == [list(view.headings), *map(list, view.rows)]


def moved(frame, control, value):
    """Move a control of the page with the keyboard."""
    at = control.values.index(value) if hasattr(control, "values") else value - control.min
    if control.kind == "slider":
        box = frame.get_by_label(control.label, exact=True)
        box.focus()
        box.press("Home")
        for _ in range(at):
            box.press("ArrowRight")
    elif control.kind == "buttons":
        group = frame.get_by_role("radiogroup", name=control.label, exact=True)
        group.get_by_role("radio").nth(at).press("Space")
    else:
        box = frame.get_by_label(control.label, exact=True)
        box.select_option(index=at)


def test_a_click_on_a_point_moves_the_slider(opened):
    page = opened(kept("resolution").static())
    page.locator(".ml-dot.ml-curve-0").first.click()
    expect(words(page)).to_contain_text("64 x 64: median 8.3 ms")
    expect(page.get_by_role("slider")).to_have_value("0")
    expect(page.locator(".ml-ringed").first).to_be_visible()
    before = page.locator(".ml-at").get_attribute("x1")
    page.locator(".ml-dot.ml-curve-1").last.click()  # cited: nothing was measured there
    assert page.locator(".ml-at").get_attribute("x1") == before


def test_the_playground_offers_what_was_computed_and_says_what_was_not(opened):
    explorer = kept("quantization")
    page = opened(explorer.static())
    tensor = page.get_by_label("tensor", exact=True)
    able = [o.inner_text() for o in tensor.locator("option").all() if o.is_enabled()]
    assert sorted(able) == sorted(explorer.sheets)
    expect(page.get_by_label("percentile")).to_be_disabled()
    expect(page.get_by_label("channel by its range")).to_be_disabled()
    expect(words(page)).to_contain_text(re.compile(r"\d% with all weights rounded"))
    page.get_by_label("observer").select_option("percentile")
    expect(page.get_by_label("percentile")).to_be_enabled()
    expect(words(page)).to_contain_text("not measured for this setting with all weights rounded")
    page.get_by_label("observer").select_option("histogram")
    expect(page.get_by_role("radio", name="per channel")).to_be_disabled()
    tensor.select_option(able[-1])
    assert able[-1].startswith("activations")
    expect(words(page)).to_contain_text(f"{able[-1]}, shape (50, ")


def test_levels_of_the_page_are_those_of_torch(opened):
    """The first and the last line over the histogram, in the values of its axis."""
    explorer = kept("quantization")
    page = opened(explorer.static())
    page.get_by_label("tensor", exact=True).select_option(list(explorer.sheets)[1])
    x = explorer.tensors[list(explorer.sheets)[1]]
    page.get_by_label("bits").press("Home")
    for symmetric in (False, True):
        page.get_by_role("radio", name="symmetric" if symmetric else "affine").press("Space")
        expect(page.locator(".ml-legend")).to_contain_text("the 4 levels")
        lines = re.findall(r"M([-\d.]+),", page.locator("svg > .ml-levels").get_attribute("d"))
        zero = page.locator("svg > .ml-zero").get_attribute("d")
        zero = float(re.match(r"M([-\d.]+),", zero)[1])
        places = [float(text) - zero for text in lines]
        levels = rounding.choose_grid(x, 2, symmetric=symmetric).levels().tolist()
        widest = max(levels, key=abs)
        scale = places[levels.index(widest)] / widest
        assert places == pytest.approx([scale * level for level in levels], abs=0.05)


def test_two_graphs_stand_side_by_side_as_python_compares_them(opened):
    explorer = made_graph()
    page = opened(explorer.static())
    lines = page.locator(".mobilelab-graph")
    for moves in MOVES["graph"]:
        for control, value in moves.items():
            getattr(explorer, control).value = value
            moved(page.locator(".mobilelab-explorer"), getattr(explorer, control), value)
        shown = [plain(t) for t in lines.locator("tbody td").all_inner_texts() if t]
        if lines.locator("summary").count():
            lines.locator("summary").click()
            shown += [plain(t) for t in lines.locator("pre").inner_text().split("\n")]
        expected = [plain(line) for line in explorer.lines.value.split("\n")]
        kept_lines = [line for line in expected if line[0] not in "−+N"]
        # What stayed stands on both sides.
        assert sorted(set(shown)) == sorted(set(expected))
        assert len(shown) >= len(expected) - len(kept_lines)


def test_axe_would_find_a_control_without_a_name(opened):
    page = opened(widgets.TradeoffExplorer(TABLE, BUDGET).static())
    page.evaluate("() => document.querySelector('select').removeAttribute('aria-label')")
    page.evaluate("() => document.querySelector('.ml-control span').remove()")
    assert any(found.startswith("select-name") for found in serious(page))


def test_an_exported_notebook_moves_without_kernel_and_network(opened, tmp_path):
    stored = [widgets.TradeoffExplorer(TABLE, limit).static() for limit in (BUDGET, Budget())]
    outputs = [nbformat.v4.new_output("display_data", {"text/html": text}) for text in stored]
    cells = [nbformat.v4.new_code_cell("explorer", outputs=[output]) for output in outputs]
    exporter = HTMLExporter(mathjax_url="", require_js_url="")
    text, _ = exporter.from_notebook_node(nbformat.v4.new_notebook(cells=cells))
    (tmp_path / "chapter.html").write_text(text, encoding="utf-8")
    page = opened("")
    page.goto((tmp_path / "chapter.html").as_uri())
    explorers = page.locator(".mobilelab-explorer[data-explorer^=tradeoff]")
    assert explorers.count() == 2
    for explorer in explorers.all():
        explorer.get_by_label("size at most (kB)").focus()
        page.keyboard.press("Home")
        expect(words(explorer)).to_contain_text("Fits the budget: nothing.")
    page.problems.clear()  # what the export itself asks the network for is not ours


def test_own_records_open_with_one_line_and_are_small(opened):
    """What a notebook keeps of an explorer: at most 80 kB."""
    mine = [record(f"mine-{i}", file_kb=100.0 + i, median_ms=1.0 + i / 10) for i in range(11)]
    text = widgets.TradeoffExplorer(mine).static()
    assert len(text.encode()) < 80_000
    expect(words(opened(text))).to_contain_text("mine-0")
    quantities = {"size": SIZE, "latency": LATENCY, "p95": LATENCY, "accuracy": ACCURACY}
    assert for_page({(1, "NCHW"): mine}, (1, "NCHW"), quantities, BUDGET, {})["code"] == {}


# --- the quiz -------------------------------------------------------------------------------


@pytest.fixture
def asked(tmp_path, monkeypatch):
    monkeypatch.setenv(progress.PLACE, str(tmp_path / "progress.json"))
    return widgets.Quiz("00")


def kept_quiz(asked):
    return asked._repr_mimebundle_()["text/html"]


@pytest.mark.parametrize("look", LOOKS)
def test_a_stored_quiz_is_answered_by_keyboard_and_says_of_every_option_why(opened, asked, look):
    page = opened(kept_quiz(asked), **LOOKS[look])
    for question, box in zip(asked.questions, page.locator(".mlq").all(), strict=True):
        check, why = box.get_by_role("button", name="Check"), box.get_by_role("status")
        expect(check).to_be_disabled()
        box.get_by_role("radio").first.focus()
        page.keyboard.press("Space")
        right = False
        for tries, option in enumerate(question.options, start=1):
            expect(why).to_be_empty()  # another choice takes the explanation away
            page.keyboard.press("Tab")
            page.keyboard.press("Enter")
            sign = "✓ Right." if option.right else "✗ Not this."
            expect(why).to_have_text(f"{sign} {option.why.replace('`', '')}")
            right = right or option.right
            stands = f"{'right' if right else 'not yet right'}, {tries} tr"
            expect(box.locator(".mlq-row")).to_contain_text(stands)
            page.keyboard.press("Shift+Tab")
            page.keyboard.press("ArrowDown")
    page.screenshot(path=SHOTS / f"page-quiz-{look}.png", full_page=True)
    assert page.evaluate("() => document.documentElement.scrollWidth - innerWidth") <= 0
    assert serious(page) == []


def test_a_stored_quiz_reads_without_scripts_and_two_do_not_mix(opened, asked):
    text = kept_quiz(asked)
    assert len(text.encode()) < 20_000
    page = opened(text, java_script_enabled=False)
    assert page.locator("details").count() == sum(len(q.options) for q in asked.questions)
    page = opened(text + text)
    first, last = page.locator(".mlq").first, page.locator(".mlq").last
    first.get_by_role("radio").first.check()
    last.get_by_role("radio").last.check()
    expect(first.get_by_role("radio").first).to_be_checked()
    twin = page.locator(".mlq").nth(len(asked.questions))  # the same question once more
    expect(twin.get_by_role("button", name="Check")).to_be_disabled()
