"""The package keeps small: a module fits on a few screens, a function on one."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "mobilelab"
#: Most lines of a module.
MODULE = 320
#: Most lines of a function, from ``def`` to its end, docstring counted.
FUNCTION = 60
#: Rooms that are not in order yet. Nothing may be added here.
LATER = ("cli", "grading")


def too_long(package, later=()):
    """What is longer than it may be, a line for each."""
    found = []
    for path in sorted(package.rglob("*.py")):
        name = path.relative_to(package)
        if name.parts[0] in later:
            continue
        text = path.read_text(encoding="utf-8")
        lines = len(text.splitlines())
        if lines > MODULE:
            found.append(f"{name}: {lines} lines, {MODULE} at most")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > FUNCTION:
                    found.append(
                        f"{name}:{node.lineno} {node.name}: {lines} lines, {FUNCTION} at most"
                    )
    return found


def test_no_module_and_no_function_is_too_long():
    found = too_long(PACKAGE, LATER)
    assert not found, "Split these by idea:\n" + "\n".join(found)


@pytest.mark.parametrize("lines, red", [(FUNCTION, False), (FUNCTION + 1, True)])
@pytest.mark.parametrize("start", ["def f():", "async def f():"])
def test_a_function_that_is_too_long_is_found(tmp_path, start, lines, red):
    body = "    pass\n" * (lines - 2)
    (tmp_path / "room").mkdir()
    (tmp_path / "room" / "m.py").write_text(f"# a method counts, too\nclass C:\n    {start}\n")
    with (tmp_path / "room" / "m.py").open("a") as file:
        file.write('        """Docstring."""\n' + body.replace("    ", "        "))
    expected = [f"room/m.py:3 f: {lines} lines, {FUNCTION} at most"] if red else []
    assert too_long(tmp_path) == expected
    assert too_long(tmp_path, ("room",)) == []


@pytest.mark.parametrize("lines, red", [(MODULE, False), (MODULE + 1, True)])
def test_a_module_that_is_too_long_is_found(tmp_path, lines, red):
    (tmp_path / "m.py").write_text("x = 1\n" * lines)
    assert too_long(tmp_path) == ([f"m.py: {lines} lines, {MODULE} at most"] if red else [])
