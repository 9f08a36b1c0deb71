"""The claims beside the chapters' cells: each belongs to a cell, and a false one is red."""

import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from claims import CLAIMS

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize("chapter", CLAIMS)
def test_every_claim_belongs_to_a_code_cell(chapter):
    (path,) = (ROOT / "notebooks").rglob(f"{chapter}.ipynb")
    notebook = nbformat.read(path, as_version=4)
    kinds = {cell.id: cell.cell_type for cell in notebook.cells}
    assert {kinds.get(name) for name in CLAIMS[chapter]} == {"code"}


#: Claim of each cell, and what a red one says.
CASES = {
    "holds": ("x > 1", None),
    "fails": ("x > 2", "says: False"),
    "breaks": ("x > y", "name 'y' is not defined"),
}
CONFTEST = f"""
import sys
sys.path.insert(0, {str(ROOT / "tests")!r})
import claims
claims.CLAIMS = {{"chapter": { ({name: claim for name, (claim, _) in CASES.items()})!r}}}
pytest_plugins = ["claims"]
"""


def test_a_false_claim_is_red(tmp_path):
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [
        *(nbformat.v4.new_code_cell("x = 2", id=name, execution_count=1) for name in CASES),
        nbformat.v4.new_code_cell("assert 'claim' not in globals()", execution_count=2),
    ]
    nbformat.write(notebook, tmp_path / "chapter.ipynb")
    (tmp_path / "conftest.py").write_text(CONFTEST)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--nbval", "--nbval-current-env", "--rootdir", ".",
         "-p", "no:cacheprovider", "-c", "/dev/null", "chapter.ipynb"],
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    red = [told for _, told in CASES.values() if told]
    assert f"{len(red)} failed, {len(CASES) + 1 - len(red)} passed" in done.stdout, done.stdout
    assert all(told in done.stdout for told in red)
