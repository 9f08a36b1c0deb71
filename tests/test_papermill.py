"""The chapters as an instructor runs them: with papermill, on another data set."""

import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from papermill import execute_notebook
from test_datasets import make_mnist_like

ROOT = Path(__file__).resolve().parent.parent
SKIPPED = "skip-when-quick"  # as in mobilelab.jupyter.papermill_engine
CHAPTERS = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))
#: Those whose quick form takes about a minute at most.
QUICK = [path for path in CHAPTERS if "01" <= path.name[:2] <= "06" or path.name[:2] == "10"]


def papermill(source, target, *parameters):
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "papermill", "--engine", "mobilelab",
         "--no-progress-bar", str(source), str(target), *map(str, parameters)],
        capture_output=True, text=True, cwd=target.parent,
    )  # fmt: skip


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cache")
    make_mnist_like(folder, "FashionMNIST", train=160, test=60)
    return folder


def assert_it_ran(path):
    notebook = nbformat.read(path, as_version=4)
    injected = [c for c in notebook.cells if "injected-parameters" in c.metadata.get("tags", [])]
    assert len(injected) == 1
    assert 'dataset = "fashion-mnist"' in injected[0].source
    for cell in notebook.cells:
        if cell.cell_type == "code":
            left_out = SKIPPED in cell.metadata.get("tags", [])
            assert (cell.execution_count is None) == left_out, cell.source
            assert not (left_out and cell.outputs), "figures of another run stay in the notebook"


def test_chapter_runs_from_the_command_line(tmp_path, cache):
    done = papermill(
        CHAPTERS[0], tmp_path / "out.ipynb",
        "-p", "dataset", "fashion-mnist", "-p", "data_dir", cache, "-p", "seed", 7, "-p", "quick",
        True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert_it_ran(tmp_path / "out.ipynb")


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("path", QUICK, ids=lambda path: path.stem)
def test_chapter_runs_on_another_data_set(tmp_path, cache, path):
    """Written once at the end: papermill's saving around every cell takes up to ten seconds.

    Chapters 07 to 09 are left to nbval. They take minutes each; that their quick form misses no
    name is asked for in ``test_notebooks.py``.
    """
    execute_notebook(
        path, tmp_path / "out.ipynb",
        {"dataset": "fashion-mnist", "data_dir": str(cache), "seed": 7, "quick": True},
        engine_name="mobilelab", progress_bar=False, cwd=tmp_path,
        request_save_on_cell_execute=False, autosave_cell_every=0,
    )  # fmt: skip
    assert_it_ran(tmp_path / "out.ipynb")


KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}


def small(tmp_path, source, tags=()):
    notebook = nbformat.v4.new_notebook(metadata={"kernelspec": KERNEL})
    notebook.cells = [
        nbformat.v4.new_code_cell(source, metadata={"tags": list(tags)}),
        nbformat.v4.new_code_cell("print('reached')"),
    ]
    nbformat.write(notebook, tmp_path / "in.ipynb")
    return papermill(tmp_path / "in.ipynb", tmp_path / "out.ipynb")


def test_expected_error_is_kept_as_text_and_the_run_goes_on(tmp_path):
    done = small(tmp_path, "raise ValueError('on purpose')", ["raises-exception"])
    assert done.returncode == 0, done.stderr
    cells = nbformat.read(tmp_path / "out.ipynb", as_version=4).cells
    assert "on purpose" in cells[0].outputs[0].text
    assert cells[1].outputs[0].text == "reached\n"


@pytest.mark.parametrize("quick", [True, False])
def test_a_quick_run_leaves_out_what_takes_long(tmp_path, quick):
    notebook = nbformat.v4.new_notebook(metadata={"kernelspec": KERNEL})
    stored = nbformat.v4.new_output("stream", text="of another run")
    notebook.cells = [
        nbformat.v4.new_code_cell("quick = False", metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell("print('long')", metadata={"tags": [SKIPPED]}, outputs=[stored]),
        nbformat.v4.new_code_cell("print('reached')"),
    ]
    nbformat.write(notebook, tmp_path / "in.ipynb")
    done = papermill(tmp_path / "in.ipynb", tmp_path / "out.ipynb", "-p", "quick", quick)
    assert done.returncode == 0, done.stderr
    cells = nbformat.read(tmp_path / "out.ipynb", as_version=4).cells
    said = [o.text for cell in cells if cell.cell_type == "code" for o in cell.outputs]
    assert said == (["reached\n"] if quick else ["long\n", "reached\n"])


def test_unexpected_error_still_fails(tmp_path):
    done = small(tmp_path, "raise ValueError('by accident')")
    assert done.returncode == 1
    assert "by accident" in done.stderr
