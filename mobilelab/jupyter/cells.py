"""Readable places in the error messages of notebooks that compile their cells.

TorchScript's messages name the file that a line came from. For a cell that is a temporary file
with a number that changes from run to run. :func:`name_cells` makes it ``cell-7`` instead.
"""

from __future__ import annotations

import itertools
import os

from IPython import get_ipython


def name_cells(here: int) -> None:
    """Call the code cells ``cell-1``, ``cell-2``, ... in error messages from now on.

    Args:
        here: the number of the code cell that calls this, counted from 1. The kernel's own
            count is not used: it is not the same under every tool that runs notebooks.

    The names reach ipykernel through ``IPYKERNEL_CELL_NAME``, which it reads whenever it
    compiles a cell. Outside IPython nothing happens.
    """
    shell = get_ipython()
    if shell is None:
        return
    number = itertools.count(here + 1)
    shell.events.register(
        "pre_run_cell",
        lambda info: os.environ.update(IPYKERNEL_CELL_NAME=f"cell-{next(number)}"),
    )
