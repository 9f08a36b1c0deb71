"""nbval compares stored outputs: shown on a small notebook, under the course's own settings."""

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import nbformat
import pytest

ROOT = Path(__file__).resolve().parent.parent
CHANGED = (
    ("accuracy 98.6%", "accuracy 99.0%"),
    ("verdict DIFFERENT", "verdict same"),
    ("size 418 kB", "size 1465 kB"),
    ("relative error 1e+00", "relative error 2e-07"),
    ("relative error 3e-02", "relative error 2e-07"),
    ("eager  10.2%  1.5 ms", "eager  99.0%  1.5 ms"),
)
MEASURED_ANEW = (
    "1.62 ms, p95 2.00 ms (200 calls), 1.50x (1.40 to 1.60), +5.9 MiB, 3e-07, 418 kB, 7.1 s",
    "9.99 ms,  p95 9.00 ms (15 calls), 3.20x (3.00 to 4.00), +6.0 MiB, 9e-06, 417 kB, 6.2 s",
)


def cell(source, stored, *tags):
    output = nbformat.v4.new_output("stream", name="stdout", text=stored + "\n")
    return nbformat.v4.new_code_cell(
        source, outputs=[output], execution_count=1, metadata={"tags": list(tags)}
    )


CELLS = {
    **{stored + fresh: cell(f"print({fresh!r})", stored) for fresh, stored in CHANGED},
    "measured": cell(f"print({MEASURED_ANEW[0]!r})", MEASURED_ANEW[1]),
    "ignored": cell("print('a')", "b", "nbval-ignore-output", "timing"),
    "timing": cell("print('a')", "b", "timing"),
    "error": cell("print('x'); 1 / 0", "x"),  # last: nbval skips what comes after it
}


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    """What nbval says of each cell; an empty text is a green one."""
    folder = tmp_path_factory.mktemp("nbval")
    notebook = nbformat.v4.new_notebook(cells=list(CELLS.values()))
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3"}
    nbformat.write(notebook, folder / "fixture.ipynb")
    config = ROOT / "tests" / "nbval_sanitize.cfg"
    command = [
        sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "/dev/null",
        "--junitxml=said.xml", "--nbval", f"--nbval-sanitize-with={config}", "fixture.ipynb",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder)
    assert done.returncode == 1, done.stdout
    cases = ElementTree.parse(folder / "said.xml").iter("testcase")
    texts = ["".join(part.text or part.get("message") for part in case) for case in cases]
    assert len(texts) == len(CELLS), done.stdout
    return dict(zip(CELLS, texts, strict=True))


@pytest.mark.parametrize(("fresh", "stored"), CHANGED)
def test_a_changed_result_is_red(said, fresh, stored):
    assert "mismatch 'stdout'" in said[stored + fresh]


def test_what_is_measured_anew_each_time_is_green(said):
    assert said["measured"] == ""


def test_an_error_that_nobody_expected_is_red(said):
    assert "ZeroDivisionError" in said["error"]


def test_only_the_tag_ignores(said):
    assert said["ignored"] == ""
    assert "mismatch 'stdout'" in said["timing"]
