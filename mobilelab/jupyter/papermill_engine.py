"""A papermill engine for chapters that raise errors on purpose.

``papermill --engine mobilelab notebooks/02_torchscript.ipynb out.ipynb -p seed 7``

papermill reports any stored error as a failure, also that of a cell which is tagged
``raises-exception`` and is meant to fail. This engine stores the error of such a cell as text
on stderr, so that the notebook reads the same and papermill's exit status means what it says.

With the parameter ``quick`` it leaves out the cells that are tagged ``skip-when-quick``.
"""

from __future__ import annotations

from typing import Any

from nbformat.v4 import new_output
from papermill.engines import NBClientEngine

#: Tag of cells that a quick run leaves out.
SKIPPED = "skip-when-quick"


class ExpectedErrorsEngine(NBClientEngine):
    """papermill's own engine, with expected errors kept as text and without what takes long."""

    @classmethod
    def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, **kwargs: Any) -> None:
        """Run the notebook, then turn the errors of ``raises-exception`` cells into text."""
        if nb_man.nb.metadata.papermill.parameters.get("quick"):
            kwargs["skip_cells_with_tag"] = SKIPPED
            for cell in _tagged(nb_man.nb, SKIPPED):
                cell.outputs, cell.execution_count = [], None
        super().execute_managed_notebook(nb_man, kernel_name, **kwargs)
        for cell in _tagged(nb_man.nb, "raises-exception"):
            cell.outputs = [_as_text(output) for output in cell.outputs]


def _tagged(notebook: Any, tag: str) -> list[Any]:
    return [
        cell
        for cell in notebook.cells
        if cell.cell_type == "code" and tag in cell.metadata.get("tags", [])
    ]


def _as_text(output: Any) -> Any:
    if output.output_type != "error":
        return output
    return new_output("stream", name="stderr", text="\n".join(output.traceback) + "\n")
