"""From a slider's key to the repainted picture, for every explorer, in one run: live in JupyterLab,
live while the kernel is in an endless loop, and in a stored page opened from a file.

    python benchmarks/widgets.py

Prints the memory that 1000 moves leave behind, too, and what a notebook keeps of each. Needs
Chromium. Nothing else should run meanwhile.
"""

from __future__ import annotations

import random
import sys
import tempfile
from pathlib import Path
from statistics import median, quantiles

import nbformat
import torch
from playwright.sync_api import expect, sync_playwright
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "browser")]

import lab  # noqa: E402
from records import record  # noqa: E402

from mobilelab import datasets, models  # noqa: E402
from mobilelab.course import widgets  # noqa: E402
from mobilelab.course.widgets.resolution import Cost  # noqa: E402

MOVES, MANY = 100, 1000
LIVE = f"""import sys
sys.path[:0] = [{str(ROOT / "tests")!r}, {str(ROOT / "benchmarks")!r}]
import widgets
widgets.made(%r)"""
#: The explorers, and the slider that is moved.
EXPLORERS = {
    "trade-off, 11 points": "size at most (kB)",
    "trade-off, 300 points": "size at most (kB)",
    "quantization": "bits",
    "pruning": "sparsity (%)",
    "graph": "after the step",
    "resolution": "input size",
}


def rows(count):
    """So many made-up records."""
    rng = random.Random(0)
    return [
        record(
            f"variant-{i}", file_kb=rng.uniform(80, 1600), median_ms=rng.uniform(0.3, 3),
            accuracy=rng.uniform(0.97, 0.995),
        )
        for i in range(count)
    ]  # fmt: skip


def made(name):
    """One explorer; the networks are the course's, the records and costs are made up."""
    torch.set_num_threads(1)
    if name.startswith("trade-off"):
        return widgets.TradeoffExplorer(rows(int(name.split()[1])))
    if name == "resolution":
        costs = [Cost(64 * i, 2.0 * i * i, 3.0 * i, 10**6 * i * i) for i in range(1, 9)]
        return widgets.ResolutionExplorer(costs)
    model = models.load_trained()
    if name == "graph":
        scripted = torch.jit.script(model)
        frozen = torch.jit.freeze(scripted)
        names = ("frozen", "again", "and again")
        return widgets.GraphExplorer({"scripted": scripted, **dict.fromkeys(names, frozen)})
    data = datasets.load("digits")
    if name == "pruning":
        return widgets.PruningExplorer(model, data)
    playground = widgets.QuantizationPlayground(
        models.QuantizableTinyMobileNet.from_float(model).fuse(), data
    )
    playground.everywhere.value = True
    return playground


def timed(page, control, more=False):
    """The milliseconds of the moves, and what many more leave behind."""
    lab.moves(page, control, 20)
    ms = lab.moves(page, control, MOVES)
    if not more:
        return ms, ""
    before, nodes = lab.in_use(page)
    control.evaluate(
        """async (control, many) => { for (let i = 0; i < many; i++) {
             control.value = Number(control.min) + (i % 50) / 50 * (control.max - control.min);
             control.dispatchEvent(new Event('input', { bubbles: true }));
             await new Promise(requestAnimationFrame); } }""",
        MANY,
    )
    after, nodes_after = lab.in_use(page)
    return ms, f"{after - before:+.1f} MiB, {nodes_after - nodes:+d} nodes"


def stored(browser, line, folder, name):
    """The explorer of a stored output, opened from a file."""
    text = made(name).static()
    path = folder / "page.html"
    path.write_text(f"<!DOCTYPE html><meta charset='utf-8'>{text}", encoding="utf-8")
    page = browser.new_page(viewport={"width": 1250, "height": 1200})
    page.goto(path.as_uri())
    control = page.get_by_role("slider", name=EXPLORERS[name])
    line(name, "stored", *timed(page, control, more=True), f"{len(text.encode()) / 1000:.0f} kB")
    page.close()


def live(browser, server, line, name):
    """The explorer in JupyterLab; then the kernel goes into an endless loop."""
    cells = [nbformat.v4.new_code_cell(source) for source in (LIVE % name, "while True: pass")]
    notebook = nbformat.v4.new_notebook(cells=cells)
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3"}
    file = f"{name.replace(' ', '-').replace(',', '')}.ipynb"
    nbformat.write(notebook, server.folder / file)
    page = browser.new_page(viewport={"width": 1250, "height": 1200})
    opened = lab.Notebook(server, page, file)
    opened.run_cell("widgets.made")
    output = opened.output("widgets.made")
    control = output.get_by_role("slider", name=EXPLORERS[name])
    expect(control).to_be_visible(timeout=180_000)
    line(name, "live", *timed(page, control, more=True))
    opened.run_cell("while True")
    expect(page.locator(".jp-CodeCell .jp-InputPrompt").nth(1)).to_have_text("[*]:")
    line(name, "live, kernel in an endless loop", *timed(page, control))
    opened.command("notebook:interrupt-kernel")
    page.close()


def main():
    """Print the table."""
    console = Console(width=120)
    table = Table("explorer", "where", "p50 ms", "p95 ms", f"after {MANY} moves more", "stored")

    def line(name, where, ms, memory="", kept=""):
        p95 = quantiles(ms, n=20)[-1]
        table.add_row(name, where, f"{median(ms):.1f}", f"{p95:.1f}", memory, kept)

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=lab.CHROMIUM, args=lab.ARGUMENTS)
        server = lab.Server(Path(folder))
        try:
            with console.status("measuring"):
                for name in EXPLORERS:
                    stored(browser, line, Path(folder), name)
                    live(browser, server, line, name)
        finally:
            server.stop()
            browser.close()
    console.print(table)


if __name__ == "__main__":
    main()
