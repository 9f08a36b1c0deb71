"""From a slider's key to the repainted picture, in one run: an explorer that the page draws, live
and stored, beside one that the kernel draws. Prints the memory that 1000 moves leave behind, too.

    python benchmarks/widgets.py

Needs Chromium. Nothing else should run meanwhile.
"""

from __future__ import annotations

import random
import sys
import tempfile
from pathlib import Path
from statistics import median, quantiles

import nbformat
from playwright.sync_api import expect, sync_playwright
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "browser")]

import lab  # noqa: E402
from records import record  # noqa: E402

from mobilelab.course import widgets  # noqa: E402

MOVES, MANY = 100, 1000
LIVE = f"""import sys
sys.path[:0] = [{str(ROOT / "tests")!r}, {str(ROOT / "benchmarks")!r}]
from widgets import rows
from mobilelab.course import widgets
widgets.TradeoffExplorer(rows(%d))"""
OLD = """from mobilelab.course import widgets
from mobilelab.course.widgets.resolution import Cost
costs = [Cost(64 * i, 2.0 * i * i, 3.0 * i, 10**6 * i * i) for i in range(1, 9)]
widgets.ResolutionExplorer(costs)"""


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


def line(table, name, ms, memory=""):
    """A row: what, median, 95th percentile, memory."""
    table.add_row(name, f"{median(ms):.1f}", f"{quantiles(ms, n=20)[-1]:.1f}", memory)


def timed(page, control):
    """The milliseconds of the moves, and what many more leave behind."""
    lab.page_moves(page, control, 20)
    ms = lab.page_moves(page, control, MOVES)
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


def stored(browser, table, folder, count):
    """The explorer of a stored output, opened from a file."""
    path = folder / f"{count}.html"
    path.write_text(f"<!DOCTYPE html>{widgets.TradeoffExplorer(rows(count)).static()}")
    page = browser.new_page(viewport={"width": 1250, "height": 1200})
    page.goto(path.as_uri())
    line(table, f"stored, {count} points", *timed(page, page.get_by_label("size at most (kB)")))
    page.close()


def live(browser, server, table, name, source):
    """The explorer in JupyterLab."""
    cells = [nbformat.v4.new_code_cell(source)]
    made = nbformat.v4.new_notebook(cells=cells)
    made.metadata.kernelspec = {"name": "python3", "display_name": "Python 3"}
    file = f"{name.replace(' ', '-').replace(',', '')}.ipynb"
    nbformat.write(made, server.folder / file)
    page = browser.new_page(viewport={"width": 1250, "height": 1200})
    notebook = lab.Notebook(server, page, file)
    notebook.run_all()
    output = notebook.output("widgets")
    if source == OLD:
        lab.moves(page, output, lab.slider(output, "input size"), 20)
        seen = lab.moves(page, output, lab.slider(output, "input size"), MOVES)
        line(table, name, seen["ms"])
    else:
        control = output.get_by_label("size at most (kB)")
        expect(control).to_be_visible(timeout=60_000)
        line(table, name, *timed(page, control))
    page.close()


def main():
    """Print the table."""
    console = Console(width=100)
    table = Table("explorer", "p50 ms", "p95 ms", f"after {MANY} moves more")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=lab.CHROMIUM, args=lab.ARGUMENTS)
        server = lab.Server(Path(folder))
        try:
            with console.status("measuring"):
                for count in (11, 300):
                    stored(browser, table, Path(folder), count)
                    live(browser, server, table, f"live, {count} points", LIVE % count)
                live(browser, server, table, "resolution, drawn by the kernel", OLD)
        finally:
            server.stop()
            browser.close()
    console.print(table)


if __name__ == "__main__":
    main()
