"""Loaded by every run of pytest in the project, also for a single notebook."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "tests"))
pytest_plugins = ["nbval_compare", "claims"]


def pytest_addoption(parser):
    """For runs that look at a chapter a second time."""
    parser.addoption(
        "--quick-notebooks", action="store_true",
        help="leave out the cells of notebooks that are tagged skip-when-quick",
    )  # fmt: skip


def pytest_collection_modifyitems(config, items):
    """Skip what takes long, where that was asked for."""
    if config.getoption("--quick-notebooks"):
        for item in items:
            cell = getattr(item, "cell", None)
            if cell is not None and "skip-when-quick" in cell.metadata.get("tags", []):
                item.add_marker(pytest.mark.skip(reason="left out by --quick-notebooks"))
