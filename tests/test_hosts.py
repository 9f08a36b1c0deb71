"""Chapters on hosts that this one is not: their outputs and claims hold there, too."""

import os
import subprocess
import sys
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parent.parent
TESTS = ROOT / "tests"
CHAPTER = ROOT / "notebooks" / "03_quantization_and_pruning.ipynb"

#: As torch says it on an ARM computer: no engine for desktops.
ARM = """
import torch

type(torch.backends.quantized).supported_engines = ["qnnpack", "none"]
"""
#: From here to section 7 engines make no difference, and networks are trained.
ASIDE = "The relative error is a little smaller, and the file larger"
PROOF = "assert desktop == 'qnnpack' and torch.backends.quantized.engine == 'qnnpack'"


def on_arm(folder, proof):
    """nbval on chapter 03 up to the race of the engines, where torch has no engine for desktops."""
    notebook = nbformat.read(CHAPTER, as_version=4)
    [last] = [i for i, cell in enumerate(notebook.cells) if "int8, desktop" in cell.source][1:]
    [first] = [i for i, cell in enumerate(notebook.cells) if "## 7. Engines" in cell.source]
    [aside] = [i for i, cell in enumerate(notebook.cells) if cell.source.startswith(ASIDE)]
    notebook.cells = [
        nbformat.v4.new_code_cell(ARM.strip()),
        *notebook.cells[:aside],
        *notebook.cells[first : last + 1],
        nbformat.v4.new_code_cell(proof),
    ]
    nbformat.write(notebook, folder / CHAPTER.name)
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--nbval", "--nbval-current-env", "--rootdir", ".",
         "-p", "no:cacheprovider", "-p", "nbval_compare", "-p", "claims", "-c", "/dev/null",
         f"--nbval-sanitize-with={TESTS / 'nbval_sanitize.cfg'}", CHAPTER.name],
        cwd=folder, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), str(ROOT)])},
    )  # fmt: skip


def test_engines_of_another_processor_change_nothing_that_is_compared(tmp_path):
    done = on_arm(tmp_path, PROOF)
    assert done.returncode == 0, done.stdout
