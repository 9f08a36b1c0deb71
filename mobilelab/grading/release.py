"""From the solution notebook to the one that is handed out.

Between ``### BEGIN SOLUTION`` and ``### END SOLUTION`` a ``NotImplementedError`` takes the place of
the solution. Everything else is left as it is.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbformat

from mobilelab.grading import notebook
from mobilelab.grading.assignment import Assignment, ExerciseError

_BEGIN = re.compile(r"^(\s*)### BEGIN SOLUTION\s*$")
_END = re.compile(r"^\s*### END SOLUTION\s*$")


def without_solutions(source: str) -> tuple[str, bool]:
    """A cell's source for students, and whether the cell itself raises when it is run.

    Raises:
        ExerciseError: if the markers do not come in pairs.
    """
    lines, inside, raises = [], False, False
    for line in source.splitlines():
        begin = _BEGIN.match(line)
        if begin and not inside:
            inside = True
            raises |= not begin[1]
            lines += [
                f"{begin[1]}# your code here",
                f'{begin[1]}raise NotImplementedError("replace this line")',
            ]
        elif _END.match(line) and inside:
            inside = False
        elif begin or _END.match(line):
            raise ExerciseError("BEGIN SOLUTION and END SOLUTION do not come in pairs.")
        elif not inside:
            lines.append(line)
    if inside:
        raise ExerciseError("A BEGIN SOLUTION has no END SOLUTION.")
    return "\n".join(lines), raises


def solution(assignment: Assignment) -> nbformat.NotebookNode:
    """The solution notebook.

    Raises:
        ExerciseError: if there is none.
    """
    if "solution.ipynb" not in assignment.files:
        raise ExerciseError(f"{assignment.name} has no solution.ipynb, which is the one source.")
    return nbformat.reads(assignment.files["solution.ipynb"].decode(), as_version=4)


def student_notebook(assignment: Assignment) -> nbformat.NotebookNode:
    """The notebook for students, made from ``solution.ipynb``.

    Raises:
        ExerciseError: if there is no solution notebook, or nothing is marked in it.
    """
    book = solution(assignment)
    marked = 0
    for number, cell in enumerate(book.cells):
        cell.id = f"cell-{number}"
        if cell.cell_type != "code":
            continue
        cell.outputs, cell.execution_count = [], None
        source, raises = without_solutions(cell.source)
        marked += source != cell.source
        cell.source = source
        if raises:  # so that "run all" goes on behind it
            cell.metadata["tags"] = sorted({*cell.metadata.get("tags", []), "raises-exception"})
    if not marked:
        raise ExerciseError(f"{assignment.name}/solution.ipynb marks no solution.")
    book.metadata = nbformat.from_dict(
        {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    )
    return book


def text(book: nbformat.NotebookNode) -> str:
    """A notebook as it is written to a file."""
    return json.dumps(book, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def for_student(book: nbformat.NotebookNode, parameters: Mapping[str, Any]) -> str:
    """A student's own copy, with their parameters put in by papermill."""
    from papermill.parameterize import parameterize_notebook  # a grader need not wait for it

    book = copy.deepcopy(book)
    book.metadata["papermill"] = {}  # papermill expects this, and tags at every cell
    for cell in book.cells:
        cell.metadata.setdefault("tags", [])
    own = parameterize_notebook(book, dict(parameters), comment=notebook.YOURS)
    del own.metadata["papermill"]
    for number, cell in enumerate(own.cells):
        cell.id = f"cell-{number}"
        if not cell.metadata["tags"]:
            del cell.metadata["tags"]
    return text(own)


def write(
    assignment: Assignment,
    folder: str | Path,
    students: Mapping[str, Mapping[str, Any]] | None = None,
) -> list[Path]:
    """Write what is handed out: the notebook, and the files beside it.

    Args:
        assignment: the exercise.
        folder: where to; one folder for each student is made in it if there are any.
        students: student to parameters; without, one notebook with the default parameters.

    Returns:
        The notebooks written.

    Raises:
        ExerciseError: if the solution notebook cannot be used, or a file cannot be written.
    """
    book = student_notebook(assignment)
    written = []
    try:
        for student, parameters in (students or {"": None}).items():
            place = Path(folder, student)
            place.mkdir(parents=True, exist_ok=True)
            path = place / f"{assignment.name}.ipynb"
            path.write_text(for_student(book, parameters) if parameters else text(book), "utf-8")
            written.append(path)
            for name, content in assignment.handed_out.items():
                (place / name).write_bytes(content)
    except OSError as error:
        raise ExerciseError(f"Cannot write to {folder}: {error.strerror}.") from error
    return written
