"""House rules for the labs: those of the chapters, with other parts, and what leads to a lab."""

import re
from pathlib import Path

import nbformat
import pytest
from papermill import execute_notebook
from test_notebooks import (
    PREDICT,
    chapter_problems,
    code_cells,
    missing_when_quick,
    problems,
    tags,
)

ROOT = Path(__file__).resolve().parent.parent
ROOM = ROOT / "notebooks" / "labs"
LABS = sorted(ROOM.glob("[0-9]*.ipynb"))
DETECTION = ROOM / "03_detection.ipynb"
WANTED = (
    "## The budget", PREDICT, "## Exercises", "## Open task",
    "A good solution, in the eyes of a peer:", "## Sources",
)  # fmt: skip


def lab_problems(notebook):
    found = problems(notebook)
    return found + chapter_problems(notebook, WANTED, {"seed", "quick"}, r"# Lab \d\d \S")


@pytest.mark.parametrize("path", LABS, ids=lambda path: path.stem)
def test_house_rules(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert lab_problems(notebook) == []
    assert path.stat().st_size < 1_500_000
    assert all(cell.execution_count for cell in code_cells(notebook))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("# Lab 03", "# 03", "the first cell is not"),
        ("## Open task", "## More", "no '## Open task'"),
        ("seed = 0", "", "no parameters cell with ['quick', 'seed']"),
        ("A good solution, in the eyes", "Good, in the eyes", "no 'A good solution"),
        ("What you chose, and why", "Answer", "prediction is not resolved"),
        ("→ section 3", "", "points nowhere"),
        ("*Difficulty: open · 10", "*Difficulty: open · 25", "minutes of exercises; its cards say"),
    ],
)
def test_each_rule_turns_red(old, new, words):
    notebook = nbformat.read(DETECTION, as_version=4)
    for cell in notebook.cells:
        cell.source = cell.source.replace(old, new)
    assert any(words in problem for problem in lab_problems(notebook))


@pytest.mark.parametrize("path", LABS, ids=lambda path: path.stem)
def test_a_quick_run_misses_nothing(path):
    cells = code_cells(nbformat.read(path, as_version=4))
    assert missing_when_quick([(cell.source, tags(cell)) for cell in cells]) == set()


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("path", LABS, ids=lambda path: path.stem)
def test_lab_runs_from_the_command_line(tmp_path, path):
    execute_notebook(
        path, tmp_path / "out.ipynb", {"seed": 7, "quick": True}, engine_name="mobilelab",
        progress_bar=False, cwd=tmp_path, request_save_on_cell_execute=False,
        autosave_cell_every=0,
    )  # fmt: skip
    for cell in code_cells(nbformat.read(tmp_path / "out.ipynb", as_version=4)):
        assert (cell.execution_count is None) == ("skip-when-quick" in tags(cell)), cell.source


def test_every_lab_is_told_of():
    page, front = (ROOM / "README.md").read_text(), (ROOT / "README.md").read_text()
    assert LABS
    for path in LABS:
        assert f"]({path.name})" in page
        assert f"](notebooks/labs/{path.name})" in front
        assert re.search(rf"!\[[^\]]{{40,}}\]\(docs/lab{path.stem[:2]}\.png\)", front), path.stem
        assert (ROOT / "docs" / f"lab{path.stem[:2]}.png").stat().st_size < 400_000


def test_links_lead_somewhere():
    texts = {ROOM / "README.md": (ROOM / "README.md").read_text()}
    for path in LABS:
        cells = nbformat.read(path, as_version=4).cells
        texts[path] = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    for path, text in texts.items():
        for target in re.findall(r"\]\((?!https?://|#)([^)#\s]+)", text):
            assert (path.parent / target).exists(), f"{path.name}: {target}"
