"""Shared by the grader's tests: a sandbox or a clear skip, tiny notebooks, and grading them."""

import json
import os
import shutil
from pathlib import Path

import pytest

from mobilelab.grading import bubblewrap
from mobilelab.grading.assignment import Assignment

ROOT = Path(__file__).resolve().parent.parent
TINY = Path(__file__).parent / "tiny"
SECRET = b"CANARY-SECRET-0123456789abcdef"

SANDBOX = [
    pytest.mark.sandbox,
    pytest.mark.skipif(
        bubblewrap.missing() is not None and not os.environ.get("MOBILELAB_REQUIRE_SANDBOX"),
        reason=f"no sandbox here: {bubblewrap.missing()} (Debian: apt install bubblewrap)",
    ),
]


def needs_sandbox(test):
    """For a test that cannot be without bubblewrap; ``pytestmark = SANDBOX`` for a module."""
    for mark in SANDBOX:
        test = mark(test)
    return test


@pytest.fixture(scope="module", autouse=True)
def own_cache(tmp_path_factory):
    """Modules that import this time solutions for themselves, not for the user's cache folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOBILELAB_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def notebook(*cells, parameters="seed = 3"):
    """A submission with these code cells."""
    sources = [(parameters, ["parameters"]), *((cell, []) for cell in cells)]
    book = {
        "cells": [
            {"cell_type": "code", "id": f"c{i}", "metadata": {"tags": tags}, "source": source,
             "outputs": [], "execution_count": None}
            for i, (source, tags) in enumerate(sources)
        ],
        "metadata": {}, "nbformat": 4, "nbformat_minor": 5,
    }  # fmt: skip
    return json.dumps(book).encode()


DOUBLE = "def double(x):\n    return x + x"
ANSWER = "answer = 7 * seed + 1"
MODEL = """import torch
class Net(torch.nn.Module):
    def __init__(self, seed: int):
        super().__init__()
        self.seed = seed
    def forward(self, x):
        return 3 * x + self.seed
torch.jit.script(Net(seed))._save_for_lite_interpreter("net.ptl")"""
GOOD = notebook(DOUBLE, ANSWER, MODEL)
HALF = notebook(DOUBLE)


def tiny_with(cell, notebook):
    """The tiny exercise with other limits, in seconds."""
    files = Assignment.load(TINY).files
    stated, wanted = b"cell=4, notebook=12", b"cell=%d, notebook=%d" % (cell, notebook)
    assert stated in files["checks.py"]
    return Assignment("tiny", {**files, "checks.py": files["checks.py"].replace(stated, wanted)})


def points(result):
    return sum(task["points"] for task in result["tasks"].values())


def put(folder, **submissions):
    """Write submissions as NAME.ipynb into a fresh folder."""
    folder = Path(folder)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, content in submissions.items():
        (folder / f"{name}.ipynb").write_bytes(content)
    return folder
