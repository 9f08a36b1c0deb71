"""Loaded by every run of pytest in the project, also for a single notebook."""

import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "tests"))
pytest_plugins = ["nbval_compare", "claims"]

#: What trains is trained once in a run: chapters, tests and the tour share it (memo.once).
OURS = "MOBILELAB_MADE" not in os.environ  # not a worker's, nor of a run that a test starts
if OURS:
    os.environ["MOBILELAB_MADE"] = tempfile.mkdtemp(prefix="mobilelab-made-")


def pytest_unconfigure(config):
    """Take away what was shared in this run."""
    if OURS:
        shutil.rmtree(os.environ["MOBILELAB_MADE"], ignore_errors=True)


def pytest_addoption(parser):
    """For runs that look at a chapter a second time."""
    parser.addoption(
        "--quick-notebooks", action="store_true",
        help="leave out the cells of notebooks that are tagged skip-when-quick",
    )  # fmt: skip


#: Modules that take more than a few seconds, for whoever edits another one: ``-m "not slow"``.
SLOW = {
    "test_apps", "test_attacks", "test_check", "test_check_causes", "test_check_subject",
    "test_claims", "test_detection", "test_exercise_executorch", "test_exercise_rescue",
    "test_exercises", "test_explorers", "test_grading",
    "test_hosts", "test_kernels", "test_papermill", "test_phone", "test_phone_runtimes",
    "test_runtimes", "test_tour",
    "test_training", "test_variants", "test_voice_activity", "test_widgets",
}  # fmt: skip
MARKED = {"test_explorers": "browser", "test_phone": "phone", "test_phone_runtimes": "phone"}


def pytest_collection_modifyitems(config, items):
    """Mark modules as a whole, and skip what takes long, where that was asked for."""
    for item in items:
        if item.path.suffix == ".ipynb" or item.path.stem in SLOW:
            item.add_marker("slow")
        if item.path.stem in MARKED:
            item.add_marker(MARKED[item.path.stem])
    if config.getoption("--quick-notebooks"):
        for item in items:
            cell = getattr(item, "cell", None)
            if cell is not None and "skip-when-quick" in cell.metadata.get("tags", []):
                item.add_marker(pytest.mark.skip(reason="left out by --quick-notebooks"))
