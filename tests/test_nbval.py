"""nbval compares stored outputs: shown on a small notebook, under the course's own settings."""

import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parent.parent


def nbval(tmp_path, source, stored, tags=()):
    notebook = nbformat.v4.new_notebook()
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3"}
    output = nbformat.v4.new_output("stream", name="stdout", text=stored)
    notebook.cells = [
        nbformat.v4.new_code_cell(
            source, outputs=[output], execution_count=1, metadata={"tags": list(tags)}
        )
    ]
    path = tmp_path / "fixture.ipynb"
    nbformat.write(notebook, path)
    config = ROOT / "tests" / "nbval_sanitize.cfg"
    command = [
        sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "/dev/null",
        "--nbval", f"--nbval-sanitize-with={config}", str(path),
    ]  # fmt: skip
    return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)


@pytest.mark.parametrize(
    ("fresh", "stored"),
    [
        ("accuracy 98.6%", "accuracy 99.0%"),
        ("verdict DIFFERENT", "verdict same"),
        ("size 418 kB", "size 1465 kB"),
        ("relative error 1e+00", "relative error 2e-07"),
        ("relative error 3e-02", "relative error 2e-07"),
        ("eager  10.2%  1.5 ms", "eager  99.0%  1.5 ms"),
    ],
)
def test_a_changed_result_is_red(tmp_path, fresh, stored):
    done = nbval(tmp_path, f"print({fresh!r})", stored + "\n")
    assert done.returncode == 1, done.stdout
    assert "mismatch 'stdout'" in done.stdout


def test_what_is_measured_anew_each_time_is_green(tmp_path):
    fresh = "1.62 ms, p95 2.00 ms (200 calls), 1.50x (1.40 to 1.60), +5.9 MiB, 3e-07, 418 kB, 7.1 s"
    stored = (
        "9.99 ms,  p95 9.00 ms (15 calls), 3.20x (3.00 to 4.00), +6.0 MiB, 9e-06, 417 kB, 6.2 s"
    )
    done = nbval(tmp_path, f"print({fresh!r})", stored + "\n")
    assert done.returncode == 0, done.stdout


def test_an_error_that_nobody_expected_is_red(tmp_path):
    done = nbval(tmp_path, "print('x'); 1 / 0", "x\n")
    assert done.returncode == 1, done.stdout
    assert "ZeroDivisionError" in done.stdout


def test_only_the_tag_ignores(tmp_path):
    done = nbval(tmp_path, "print('a')", "b\n", tags=["nbval-ignore-output", "timing"])
    assert done.returncode == 0, done.stdout
    assert nbval(tmp_path, "print('a')", "b\n", tags=["timing"]).returncode == 1
