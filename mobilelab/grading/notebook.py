"""Read a submitted file as a notebook, without believing anything about it.

What goes on from here is rebuilt from scratch: the cells' kind, source and the tag of the
parameters cell. Stored outputs, metadata, widgets and attachments stay behind.
"""

from __future__ import annotations

import ast
import codecs
import contextlib
import functools
import json
import re
import threading
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from mobilelab.core.errors import MobileLabError
from mobilelab.grading.serialize import clean

#: The largest file, the most cells, and the most letters of source: in all, and in one cell that is
#: parsed to find the names it binds. Python's parser takes a kilobyte and more for each word.
LARGEST, MOST_CELLS, MOST_SOURCE, MOST_PARSED = 50 * 2**20, 2000, 2_000_000, 200_000

#: Whoever parses Python, also inside torch.jit, waits for this lock: CPython 3.11's parser counts
#: its depth for all threads together and gives up when two of them parse at once.
ONE_AT_A_TIME = threading.RLock()


#: What stands above the parameters that a student was given, as a comment.
YOURS = "Yours alone; leave them be"


class NotANotebook(MobileLabError):
    """The file cannot be read as a Jupyter notebook; the message says why and what to do."""


@dataclass(frozen=True)
class Cell:
    """One cell of a submission."""

    code: bool
    source: str
    parameters: bool = False
    """Whether it is the cell that the parameters are put in after."""
    injected: bool = False
    """Whether it is the cell that ``mobilelab release`` put a student's own parameters in."""


def read(content: bytes, parameters: Collection[str] = ()) -> list[Cell]:
    """The cells of a notebook.

    Args:
        content: the file.
        parameters: names of the exercise's parameters; they find the parameters cell where its
            tag was lost.

    Raises:
        NotANotebook: if it is none.
    """
    again = "open it in Jupyter, save it, and hand it in again"
    size = f"larger than {LARGEST >> 20} MB"
    if len(content) > LARGEST:
        raise NotANotebook(f"The file is {size}; clear the outputs, {again}.")
    if not content.strip():
        raise NotANotebook(f"The file is empty; {again}.")
    try:
        book = json.loads(_text(content))
    except UnicodeDecodeError as error:
        raise NotANotebook(f"The file is not UTF-8 text; {again}.") from error
    except (ValueError, RecursionError) as error:
        raise NotANotebook(f"The file is not a complete JSON document; {again}.") from error
    if not isinstance(book, dict) or not isinstance(book.get("cells"), list):
        version = book.get("nbformat") if isinstance(book, dict) else None
        if isinstance(version, int) and version < 4:
            raise NotANotebook(f"The notebook is of the old format {version}; {again}.")
        raise NotANotebook(f"The file is JSON but not a notebook; {again}.")
    if book.get("nbformat") != 4:
        raise NotANotebook(f"The notebook's format is not version 4; {again}.")
    if len(book["cells"]) > MOST_CELLS:
        raise NotANotebook(f"The notebook has more than {MOST_CELLS} cells.")
    cells = [_cell(it) for it in book["cells"]]
    if sum(len(cell.source) for cell in cells) > MOST_SOURCE:
        raise NotANotebook("The notebook's cells hold more text than anybody wrote.")
    if parameters and not any(cell.parameters for cell in cells):
        for i, cell in enumerate(cells):
            held_all = cell.code and all(name in cell.source for name in parameters)
            if held_all and set(assigned(cell.source)) >= set(parameters):
                cells[i] = Cell(True, cell.source, True)
                break
    return cells


def _text(content: bytes) -> str:
    """UTF-8, or UTF-16 where a byte order mark says so, as some editors on Windows save it."""
    utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return content.decode("utf-16" if utf16 else "utf-8-sig")


def _cell(it: Any) -> Cell:
    if not isinstance(it, dict):
        return Cell(False, "")
    source = it.get("source", "")
    if isinstance(source, list):
        source = "".join(part for part in source if isinstance(part, str))
    if not isinstance(source, str):
        source = ""
    # a lone half of a surrogate pair is JSON but cannot be written as UTF-8
    source = clean(source)
    metadata = it.get("metadata")
    tags = metadata.get("tags") if isinstance(metadata, dict) else None
    tags = [t for t in tags if isinstance(t, str)] if isinstance(tags, list) else []
    code = it.get("cell_type") == "code"
    own = "injected-parameters" in tags or source.startswith(f"# {YOURS}\n")
    return Cell(code, source, code and "parameters" in tags, code and own)


def held(cells: Sequence[Cell], names: Collection[str]) -> dict[str, Any] | None:
    """The parameters that a notebook was handed out with; ``None`` if it has no cell of its own.

    They are read, not run: only ``name = literal`` counts.
    """
    source = next((cell.source for cell in cells if cell.injected), None)
    if source is None:
        return None
    found = {}
    broken = (SyntaxError, ValueError, TypeError, RecursionError, MemoryError)
    with contextlib.suppress(*broken), ONE_AT_A_TIME:
        for statement in ast.parse(source if len(source) <= MOST_PARSED else "").body:
            if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
                value = ast.literal_eval(statement.value)
                repr(value)  # a number of 5000 digits cannot be printed: it is nobody's
                found[statement.targets[0].id] = value
    return {name: found[name] for name in names if name in found}


def rebuilt(cells: list[Cell]) -> bytes:
    """A clean notebook of these cells; every cell knows its place."""
    book = new_notebook(
        metadata={
            "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}
        }
    )
    first = next((i for i, cell in enumerate(cells) if cell.parameters), None)
    for place, cell in enumerate(cells):
        tags = ["parameters"] if place == first else []
        make = new_code_cell if cell.code else new_markdown_cell
        book.cells.append(make(cell.source, metadata={"place": place, "tags": tags}))
    return nbformat.writes(book).encode()


_OWN_SCOPE = (ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


@functools.lru_cache(maxsize=256)
def assigned(source: str) -> tuple[str, ...]:
    """Names that a cell binds at its top level, also inside ``if``, ``for`` and ``with``."""
    # lines of IPython's own (%magic, !command) are not Python: they bind nothing that counts
    lines = [re.sub(r"^(\s*)[%!].*", r"\1pass", line) for line in source.splitlines()]
    try:
        if len(source) > MOST_PARSED:
            raise MemoryError
        with ONE_AT_A_TIME:
            tree = ast.parse("\n".join(lines))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        found = re.findall(r"(?m)^(?:def|class)\s+(\w+)|^(\w+)\s*=", source)
        return tuple(a or b for a, b in found)
    names: list[str] = []
    waiting: list[ast.AST] = [tree]  # a stack: Python's own ends at a deep expression
    while waiting:
        node = waiting.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.append(node.name)
            continue
        if isinstance(node, _OWN_SCOPE):
            continue
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.append(node.id)
        if isinstance(node, ast.alias):
            names.append((node.asname or node.name).split(".")[0])
        waiting += reversed(list(ast.iter_child_nodes(node)))
    return tuple(names)


def makers(cells: list[Cell], names: Collection[str]) -> dict[str, list[int]]:
    """For each name, the places of the cells that bind it, or mention it if it is a file."""
    found: dict[str, list[int]] = {name: [] for name in names}
    for place, cell in enumerate(cells):
        if not cell.code:
            continue
        bound = set(assigned(cell.source))
        for name in names:
            # the name of a file holds a dot, which no name of Python does
            if name in bound or ("." in name and name in cell.source):
                found[name].append(place)
    return found
