"""Run notebooks and store their outputs, ready to commit.

``python scripts/refresh_notebooks.py notebooks/03_quantization.ipynb ...`` (all of
``notebooks/`` without arguments). Metadata that changes from run to run is dropped and cell
ids are numbered, so that a diff shows what a reader would see change. A notebook that fails
is left as it was. Of a widget only its picture, text and table are stored: the live one needs
a kernel. What a reader is asked to predict is stored folded.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from rich.console import Console

ROOT = Path(__file__).resolve().parent.parent
PREDICT, SOLUTION = "### Predict, then run", "What you chose, and why"


def refresh(path: Path) -> None:
    """Run one notebook in its folder and write it back with its outputs."""
    notebook = nbformat.read(path, as_version=4)
    # Stored quizzes are those of a reader who has not answered yet.
    os.environ["MOBILELAB_PROGRESS"] = str(ROOT / "out" / "no-progress.json")
    NotebookClient(
        notebook,
        timeout=600,
        kernel_name="python3",
        coalesce_streams=True,
        resources={"metadata": {"path": path.parent}},
    ).execute()
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    predicting = False
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number:03}"
        tags = cell.metadata.get("tags", [])
        cell.metadata = {"tags": tags} if tags else {}
        if cell.cell_type == "markdown":
            predicting = PREDICT in cell.source or (predicting and SOLUTION not in cell.source)
        elif predicting and cell.outputs:
            # JupyterLab and Notebook fold such an output, so that one can choose before one sees.
            cell.metadata["jupyter"] = {"outputs_hidden": True}
        for output in cell.get("outputs", []):
            output.get("data", {}).pop("application/vnd.jupyter.widget-view+json", None)
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    nbformat.write(notebook, path)


def main(arguments: list[str]) -> int:
    """Refresh the named notebooks, or all; returns the exit status."""
    console = Console()
    paths = [Path(a) for a in arguments] or sorted((ROOT / "notebooks").rglob("[0-9]*.ipynb"))
    failed = 0
    for path in paths:
        start = time.perf_counter()
        try:
            refresh(path)
        except CellExecutionError as error:
            failed += 1
            console.print(f"[red]{path.name} failed[/red]\n{error}", markup=True)
            continue
        size = path.stat().st_size / 1000
        console.print(f"{path.name}: {time.perf_counter() - start:.1f} s, {size:.0f} kB")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
