"""The explorers in a real browser, on the real notebooks.

What is timed here is printed, not asserted: a busy machine is not a broken widget. Alone,
``pytest tests/browser`` says what a reader waits for.
"""

import json
import re
from pathlib import Path

import lab
import nbformat
import pytest
from playwright.sync_api import expect
from records import record

from mobilelab.course import widgets
from mobilelab.recipes import successors, variants

ROOT = Path(__file__).resolve().parent.parent.parent
SHOTS = ROOT / "out" / "screenshots"


def shot(page, output, name):
    """A screenshot for people to look at."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    output.scroll_into_view_if_needed()
    lab.settle(page, output)
    output.screenshot(path=SHOTS / f"{name}.png")


def opened(server, name, *cells):
    """A notebook of a chapter's code cells that have these texts, and of source of our own.

    nbval runs the chapters from end to end. Here their explorers get at once what the cells before
    them make. A text of more than one line is source of our own.
    """
    chapter = nbformat.read(ROOT / "notebooks" / name, as_version=4)
    chosen = []
    for text in cells:
        found = [c for c in chapter.cells if c.cell_type == "code" and text in c.source]
        if "\n" in text:
            found = [nbformat.v4.new_code_cell(text.strip())]
        [cell] = found
        cell.metadata.pop("jupyter", None)  # or its output would be folded
        chosen.append(cell)
    chapter.cells = chosen
    nbformat.write(chapter, server.folder / f"opened_{name}")
    return f"opened_{name}"


#: What every chapter's explorer needs.
LOADED = """
import torch
from pathlib import Path
from mobilelab import datasets, measure, models
from mobilelab.measure import report
from mobilelab.recipes import successors, variants
from mobilelab import runtimes
data, model, quick, seed = datasets.load("digits"), models.load_trained(), True, 0
torch.set_num_threads(1)
torch.backends.quantized.engine = "qnnpack"  # as the chapters set it
"""


def measured(built):
    """Source that measures files of the walk, which all tests share."""
    files = {name: str(each.path) for name, each in built.items()}
    return f"""
{LOADED}
named = {{each.name: each for each in (*variants.WALK, *successors.SUCCESSORS)}}
files = {{named[name]: Path(path) for name, path in {files}.items()}}
built = [variants.Built(each, path, runtimes.load(path)) for each, path in files.items()]
reference = measure.scores(model, data.test.images)
table = variants.measure_all(built, model, data, seconds=0.05, memory=False)
out = Path("out") / "opened"
"""


#: The network with stubs for int8, as chapter 03 makes it.
FUSED = f"""
{LOADED}
with_stubs = lambda: models.QuantizableTinyMobileNet.from_float(model).eval()
fuse = lambda network: network.fuse()
"""
#: What chapter 04 compares its passes on.
SCRIPTED = f"""
{LOADED}
from torch.utils.mobile_optimizer import optimize_for_mobile
from torch.utils.mobile_optimizer import MobileOptimizerType
scripted = torch.jit.script(model)
"""
#: The files of chapter 09, as it calls them.
NEW = ("et-fp32", "et-int8", "litert-fp32", "litert-int8")
COMPARED = """
from ai_edge_litert.interpreter import Interpreter
from mobilelab import runtimes
from mobilelab.runtimes import quiet

with quiet():
    from executorch.runtime import Runtime
"""


def words(output):
    return output.locator(".mobilelab-words").first


def healthy(notebook):
    """No explorer shows an error, and no cell failed that should not."""
    assert notebook.problems() == []
    for text in notebook.page.locator("[data-mime-type$='stderr']").all_inner_texts():
        assert "Traceback" not in text, text


def many_moves(server, page, control, name, printed, count):
    """Moves that the page answers by itself, and that fill no memory on either side."""
    lab.moves(page, control, 20)
    outputs = page.locator(".jp-OutputArea-child").count()
    heap, nodes = lab.in_use(page)
    kernel = server.kernel_mib()
    printed(lab.summary(name, lab.moves(page, control, count)))
    assert page.locator(".jp-OutputArea-child").count() == outputs
    heap_after, nodes_after = lab.in_use(page)
    grown = server.kernel_mib() - kernel
    assert heap_after - heap < 8 and nodes_after - nodes < 500 and grown < 30


@pytest.mark.parametrize("app", ["lab/tree", "notebooks"])
def test_the_explorer_moves_while_the_kernel_is_in_an_endless_loop(server, page, app):
    made = nbformat.v4.new_notebook(
        cells=[
            nbformat.v4.new_code_cell(source)
            for source in (
                "import sys\nsys.path.insert(0, r'" + str(ROOT / "tests") + "')\n"
                "from records import record\nfrom mobilelab import widgets\n"
                "mine = widgets.TradeoffExplorer([record('a', file_kb=90.0), record('b')])\nmine",
                "print('size is', mine.size.value)",
                "mine.selected.value = 'b'",
                "while True: pass",
            )
        ]
    )
    made.metadata.kernelspec = {"name": "python3", "display_name": "Python 3"}
    name = f"endless-{app.split('/')[0]}.ipynb"
    nbformat.write(made, server.folder / name)
    notebook = lab.Notebook(server, page, name, app=app)
    notebook.run_cell("import sys")
    output = notebook.output("import sys")
    control = output.get_by_label("size at most (kB)")
    expect(control).to_be_visible(timeout=120_000)
    control.focus()
    page.keyboard.press("Home")
    expect(words(output)).to_contain_text("Fits the budget: nothing.")
    page.keyboard.press("ArrowRight")  # and not to another cell
    expect(control).to_have_value("10")
    lab.settle(page, output)  # moves wait while the kernel has not answered the one before
    notebook.run_cell("size is")  # the kernel was told
    expect(notebook.output("size is")).to_contain_text("size is 10")
    notebook.run_cell("selected.value")  # and tells the page
    expect(output.locator(".mobilelab-code")).to_contain_text("The cell that builds b")
    notebook.run_cell("while True")
    expect(page.locator(".jp-CodeCell .jp-InputPrompt").nth(3)).to_have_text("[*]:")
    control.focus()
    page.keyboard.press("End")
    expect(words(output)).to_contain_text("Fits the budget: a, b.")
    output.get_by_label("selected", exact=True).select_option("a")
    expect(output.locator(".mobilelab-code")).to_contain_text("The cell that builds a")
    healthy(notebook)
    notebook.command("notebook:interrupt-kernel")  # which leaves a traceback


def test_chapter_06_explores_a_budget(server, page, printed, walk):
    name = opened(
        server, "06_choose_within_a_budget.ipynb", measured(walk(*variants.walk(quick=True))),
        "game = report.Budget", "again = partial", "measure_sizes", "meter = report.Budget",
        "FlopCounterMode", "class Traffic", "MAC_PJ = ", "import Axis", "sensor = widgets",
    )  # fmt: skip
    notebook = lab.Notebook(server, page, name)
    notebook.run_all()
    healthy(notebook)
    output = notebook.output("again = partial")
    size = output.get_by_label("size at most (kB)")
    many_moves(server, page, size, "trade-off, size", printed, 40)
    accuracy = output.get_by_label("accuracy at least (%)")
    many_moves(server, page, accuracy, "trade-off, accuracy", printed, 40)

    size.focus()
    page.keyboard.press("Home")
    expect(words(output)).to_contain_text("Fits the budget: nothing.")
    expect(words(output)).to_contain_text("mobile-int8 misses the budget: 419 kB too large")
    page.keyboard.press("End")
    expect(words(output)).to_contain_text("mobile-nhwc")

    output.get_by_label("selected", exact=True).select_option("int8")
    expect(output.locator(".mobilelab-code")).to_contain_text("prepare(network)")
    output.get_by_label("across", exact=True).select_option("accuracy")
    expect(words(output)).to_contain_text("Pareto front in accuracy and 95th percentile")
    shot(page, output, "06-accuracy")
    output.get_by_label("across", exact=True).select_option("size")

    with page.expect_download() as download:
        output.get_by_role("button", name="Save table as CSV").click()
    expect(output).to_contain_text("Saved 8 rows")
    saved = Path(download.value.path()).read_text().splitlines()
    assert len(saved) == 9

    texts = lab.texts_from_now_on(output)
    output.get_by_text("2 threads", exact=True).click()
    expect(words(output)).to_contain_text("with 2 threads", timeout=120_000)
    told = [text.strip() for text in texts() if text.startswith(" measuring ")]
    names = [line.split(",")[0] for line in saved[1:]]
    assert told == [f"measuring {name}" for name in (*names, "latency")]
    output.get_by_text("1 thread", exact=True).click()
    expect(words(output)).to_contain_text("with 1 thread,")
    shot(page, output, "06-tradeoff")
    output.get_by_text("channels_last", exact=True).click()
    expect(words(output)).to_contain_text("input channels_last", timeout=120_000)

    resolution = notebook.output("measure_sizes")
    side = resolution.get_by_role("slider", name="input size")
    many_moves(server, page, side, "resolution, input size", printed, 40)
    side.press("Home")
    expect(words(resolution)).to_contain_text("16 x 16: median")
    resolution.get_by_text("MACs", exact=True).first.click()
    expect(resolution.locator("svg").first).to_contain_text("multiply-accumulates (million)")
    resolution.get_by_text("latency", exact=True).click()
    shot(page, resolution, "06-resolution")
    shot(page, notebook.output("sensor = widgets"), "06-energy")
    healthy(notebook)


def test_chapter_03_plays_with_bits_and_prunes(server, page, printed):
    name = opened(
        server, "03_quantization_and_pruning.ipynb", FUSED,
        "QuantizationPlayground", "widgets.PruningExplorer",
    )  # fmt: skip
    notebook = lab.Notebook(server, page, name)
    notebook.run_all()
    healthy(notebook)
    output = notebook.output("QuantizationPlayground")
    expect(output).to_contain_text(re.compile(r"20 tensors and settings measured in [\d.]+ s"))
    bits = output.get_by_role("slider", name="bits")
    many_moves(server, page, bits, "quantization, bits", printed, 100)
    bits.press("Home")
    expect(words(output)).to_contain_text("of 4 levels")
    expect(words(output)).to_contain_text(re.compile(r"float, \d+\.\d% with all weights"))
    output.get_by_text("per channel", exact=True).click()
    expect(words(output)).to_contain_text("512 scales")
    shot(page, output, "03-playground")
    # What was not measured yet is asked of the kernel, with a bar.
    texts = lab.texts_from_now_on(output)
    output.get_by_label("observer").select_option("percentile")
    output.get_by_text("symmetric", exact=True).click()
    expect(words(output)).to_contain_text(
        re.compile(r"\d% with all weights rounded"), timeout=120_000
    )
    assert any("measuring accuracy: all weights, 2 bits" in text for text in texts())
    tensor = output.get_by_label("tensor", exact=True)
    tensor.select_option("weights classifier")
    expect(words(output)).to_contain_text("weights classifier, shape (10, 512)", timeout=120_000)
    expect(output.locator("progress")).to_have_count(0)
    healthy(notebook)

    pruning = notebook.output("widgets.PruningExplorer")
    expect(pruning).to_contain_text(re.compile(r"11 pruned networks measured in [\d.]+ s"))
    share = pruning.get_by_role("slider", name="sparsity (%)")
    share.press("End")
    expect(words(pruning)).to_contain_text("80% weights set to zero")
    pruning.get_by_text("whole channels", exact=True).click()
    expect(words(pruning)).to_contain_text("hidden channels cut out")
    many_moves(server, page, share, "pruning, sparsity", printed, 40)
    shot(page, pruning, "03-pruning")
    healthy(notebook)


def test_chapter_04_steps_through_the_passes(server, page, printed):
    name = opened(
        server, "04_optimize_for_mobile.ipynb", SCRIPTED, "stages = {", "widgets.GraphExplorer"
    )
    notebook = lab.Notebook(server, page, name)
    notebook.run_all()
    healthy(notebook)
    output = notebook.output("widgets.GraphExplorer")
    step = output.get_by_role("slider", name="after the step")
    many_moves(server, page, step, "graph, step", printed, 40)
    step.press("Home")
    expect(words(output)).to_contain_text("frozen, no pass")
    step.press("ArrowRight")
    expect(words(output)).to_contain_text("Gone: 26 aten::batch_norm")
    output.get_by_text("only changes", exact=True).click()
    expect(output.locator(".mobilelab-graph")).to_contain_text("aten::batch_norm")
    expect(output.locator(".mobilelab-graph")).not_to_contain_text("aten::conv2d")
    shot(page, output, "04-graph")
    healthy(notebook)


#: The four explorers that ask nothing of the kernel once they are made, small, and by the name of
#: a slider what the words say at its end.
SMALL = {
    "input size": (
        "from mobilelab.course.widgets.resolution import Cost\n"
        "widgets.ResolutionExplorer([Cost(s, s / 9, s / 3, s * s) for s in (64, 96, 128)])",
        "128 x 128: median",
    ),
    "after the step": (
        "scripted = torch.jit.script(model)\n"
        "frozen = torch.jit.freeze(scripted)\n"
        "widgets.GraphExplorer({'scripted': scripted, 'frozen': frozen, 'again': frozen})",
        "→ again",
    ),
    "sparsity (%)": (
        "widgets.PruningExplorer(model, data, start=(0.4, 0.8), images=25)",
        "80% weights set to zero",
    ),
    "bits": (
        "folded = models.QuantizableTinyMobileNet.from_float(model).fuse()\n"
        "widgets.QuantizationPlayground(folded, data, images=10)",
        "of 256 levels",
    ),
}


def test_the_other_explorers_are_live_in_notebook_7(server, page):
    sources = [LOADED + "from mobilelab import widgets", *(source for source, _ in SMALL.values())]
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(s) for s in sources])
    made.metadata.kernelspec = {"name": "python3", "display_name": "Python 3"}
    nbformat.write(made, server.folder / "small.ipynb")
    notebook = lab.Notebook(server, page, "small.ipynb", app="notebooks")
    notebook.run_all()
    healthy(notebook)
    for label, (source, said) in SMALL.items():
        output = notebook.output(source.splitlines()[0])
        slider = output.get_by_role("slider", name=label)
        slider.focus()
        page.keyboard.press("End")
        expect(words(output)).to_contain_text(said)
        page.keyboard.press("Home")
        expect(words(output)).not_to_contain_text(said)
    healthy(notebook)


def test_chapter_09_explores_three_runtimes(server, page, walk):
    new = [v for v in successors.SUCCESSORS if v.name in NEW]
    built = walk(*variants.named("mobile-nhwc", "mobile-int8"), *new)
    name = opened(
        server, "09_litert.ipynb", measured(built) + COMPARED, "loading = ", "again = partial"
    )
    notebook = lab.Notebook(server, page, name)
    notebook.run_all()
    healthy(notebook)
    output = notebook.output("again = partial")
    size = output.get_by_label("size at most (kB)")
    size.focus()
    page.keyboard.press("End")
    for name in ("mobile-nhwc", "et-fp32", "et-int8", "litert-fp32", "litert-int8"):
        expect(words(output)).to_contain_text(name)
    selected = output.get_by_label("selected", exact=True)
    selected.select_option("et-int8")
    expect(output.locator(".mobilelab-code")).to_contain_text("prepare_pt2e(")
    selected.select_option("litert-int8")
    expect(output.locator(".mobilelab-code")).to_contain_text("add_static_config")
    output.get_by_label("up", exact=True).select_option("load time")
    expect(words(output)).to_contain_text("Pareto front in file size and load time")
    output.get_by_label("up", exact=True).select_option("latency")

    output.get_by_text("2 threads", exact=True).click()
    expect(words(output)).to_contain_text("with 2 threads", timeout=120_000)
    shot(page, output, "09-runtimes")
    output.get_by_text("1 thread", exact=True).click()
    expect(words(output)).to_contain_text("with 1 thread,")
    healthy(notebook)


def choose(page, box, option):
    """Choose an option and check it with the keyboard alone."""
    box.get_by_role("radio").first.focus()
    page.keyboard.press("Space")
    for _ in range(option):
        page.keyboard.press("ArrowDown")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")


def test_quiz_by_keyboard_in_notebook_7_is_remembered(server, page):
    notebook = lab.Notebook(server, page, "00_start_here.ipynb", app="notebooks")
    notebook.run_all()
    healthy(notebook)
    output = notebook.output("widgets.Quiz")
    box = output.locator(".mlq").first
    choose(page, box, 0)
    expect(box.get_by_role("status")).to_contain_text("Not this")
    choose(page, box, 2)
    expect(box.get_by_role("status")).to_contain_text("Right")
    expect(box).to_contain_text("right, 2 tries")
    shot(page, output, "00-quiz")
    notebook.run_cell("widgets.ProgressTable()")  # the kernel has the answers by now
    expect(notebook.output("widgets.ProgressTable")).to_contain_text("1 of 3")
    assert json.loads(server.progress.read_text())["quiz"]["00.1"]["tries"] == 2
    shot(page, notebook.output("widgets.ProgressTable"), "00-progress")


@pytest.mark.parametrize("app", ["lab/tree", "notebooks"])
def test_stored_notebook_shows_picture_and_table_without_running(server, page, app):
    name = "stored-06.ipynb"
    (server.folder / name).write_bytes(
        (ROOT / "notebooks" / "06_choose_within_a_budget.ipynb").read_bytes()
    )
    notebook = lab.Notebook(server, page, name, app=app)
    notebook.unfold("again = partial")  # what is to be predicted is stored folded
    output = notebook.output("again = partial")
    image = output.locator("img[alt^='Variants as points']")
    expect(image).to_be_visible()
    assert image.evaluate("img => img.naturalWidth") > 500
    expect(output.locator("table")).to_contain_text("mobile-nhwc")
    shot(page, output, f"06-stored-{app.split('/')[0]}")


@pytest.mark.parametrize("app", ["lab/tree", "notebooks"])
def test_stored_explorer_moves_once_it_is_trusted_and_no_cell_was_run(server, page, app):
    rows = [record("small", file_kb=90.0), record("large", file_kb=900.0)]
    shown = {"text/html": widgets.TradeoffExplorer(rows).static()}
    output = nbformat.v4.new_output("display_data", shown)
    cell = nbformat.v4.new_code_cell("explorer", outputs=[output])
    made = nbformat.v4.new_notebook(cells=[cell])
    made.metadata.kernelspec = {"name": "python3", "display_name": "Python 3"}
    name = f"kept-{app.split('/')[0]}.ipynb"
    nbformat.write(made, server.folder / name)
    notebook = lab.Notebook(server, page, name, app=app)
    output = notebook.output("explorer")
    # Untrusted, as a file from elsewhere is: no script runs, and the picture is there.
    expect(output.locator("img[alt^='Variants as points']")).to_be_visible()
    expect(output.locator("input")).to_have_count(0)
    page.evaluate(
        """() => { for (const cell of window.jupyterapp.shell.currentWidget.content.model.cells)
             cell.trusted = true; }"""
    )
    size = output.get_by_label("size at most (kB)")
    expect(size).to_be_visible()
    size.focus()
    page.keyboard.press("Home")
    expect(words(output)).to_contain_text("Fits the budget: nothing.")
    shot(page, output, f"stored-trusted-{app.split('/')[0]}")


def test_callback_that_raises_is_shown_in_the_explorer(server, page):
    source = """
import sys
sys.path.insert(0, TESTS)
from records import record
from mobilelab import widgets
class Touchy(widgets.TradeoffExplorer):
    def moved(self, names):
        12 / self.size.value
Touchy([record('a', file_kb=90.0)])
""".replace("TESTS", repr(str(ROOT / "tests")))
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source.strip())])
    made.metadata.kernelspec = {"name": "python3", "display_name": "Python 3"}
    nbformat.write(made, server.folder / "touchy.ipynb")
    notebook = lab.Notebook(server, page, "touchy.ipynb")
    notebook.run_all()
    output = notebook.output("Touchy")
    size = output.get_by_label("size at most (kB)")
    size.press("Home")
    expect(output.get_by_role("alert")).to_have_text("ZeroDivisionError: division by zero")
    assert notebook.problems() == ["ZeroDivisionError: division by zero"]
    size.press("ArrowRight")
    expect(output.get_by_role("alert")).to_have_text("")
