"""Which modules an exercise needs, read from its files without running or importing anything.

A sandbox imports them once, before the first student's code is forked from it.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator, Mapping
from pathlib import Path


def modules(files: Mapping[str, bytes]) -> tuple[str, ...]:
    """The modules that ``checks.py`` and the solution import, sorted.

    Args:
        files: the exercise's files by name. What is missing or cannot be parsed counts for nothing.
    """
    found: set[str] = set()
    for source in _sources(files):
        try:
            tree = ast.parse(source)
        except (SyntaxError, ValueError, RecursionError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                found.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module)
                if node.module == "mobilelab":  # its names are modules
                    found.update(f"mobilelab.{alias.name}" for alias in node.names)
    return tuple(sorted(found - {"checks", "__future__"}))


def modules_of(folder: Path) -> tuple[str, ...]:
    """The same for an exercise's folder; nothing if it cannot be read."""
    try:
        files = {name: (folder / name).read_bytes() for name in ("checks.py", "solution.ipynb")}
    except OSError:
        return ()
    return modules(files)


def _sources(files: Mapping[str, bytes]) -> Iterator[str]:
    yield files.get("checks.py", b"").decode("utf-8", "replace")
    try:
        cells = json.loads(files.get("solution.ipynb", b"{}"))["cells"]
        for cell in cells:
            if cell["cell_type"] == "code":
                lines = "".join(cell["source"]).splitlines()
                yield "\n".join(line for line in lines if not line.lstrip().startswith(("%", "!")))
    except (ValueError, KeyError, TypeError):
        return
