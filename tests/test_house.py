"""The package keeps small: a module fits on a few screens, a function on one."""

import ast
import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "mobilelab"
#: Most lines of a module.
MODULE = 300
#: Most lines of a function, from ``def`` to its end, docstring counted; a command of the terminal
#: has its options in its first lines, which do not count.
FUNCTION = 60


def first_line(node):
    """Where a function begins; a command, whose arguments are annotated for typer, behind them."""
    if any("Annotated" in ast.dump(argument) for argument in node.args.args):
        return node.body[0].lineno
    return node.lineno


def too_long(package):
    """What is longer than it may be, a line for each."""
    found = []
    for path in sorted(package.rglob("*.py")):
        name = path.relative_to(package)
        text = path.read_text(encoding="utf-8")
        lines = len(text.splitlines())
        if lines > MODULE:
            found.append(f"{name}: {lines} lines, {MODULE} at most")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                lines = (node.end_lineno or node.lineno) - first_line(node) + 1
                if lines > FUNCTION:
                    found.append(
                        f"{name}:{node.lineno} {node.name}: {lines} lines, {FUNCTION} at most"
                    )
    return found


def test_no_module_and_no_function_is_too_long():
    found = too_long(PACKAGE)
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


@pytest.mark.parametrize("lines, red", [(MODULE, False), (MODULE + 1, True)])
def test_a_module_that_is_too_long_is_found(tmp_path, lines, red):
    (tmp_path / "m.py").write_text("x = 1\n" * lines)
    assert too_long(tmp_path) == ([f"m.py: {lines} lines, {MODULE} at most"] if red else [])


#: Tags of pages and tables. Widgets have their own, which belong to their page in JavaScript.
TAGS = re.compile(r"<(!doctype|html|table|td|th|tr|ul|li)\b", re.IGNORECASE)


def by_hand(package):
    """Modules that write HTML as text, and not as a template in which values are escaped."""
    return [
        name
        for path in sorted(package.rglob("*.py"))
        if not (name := path.relative_to(package).as_posix()).startswith("course/widgets/")
        and any(
            isinstance(node, ast.Constant) and isinstance(node.value, str)
            and TAGS.search(node.value) and "\n    >>> " not in node.value
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        )
    ]  # fmt: skip


def test_html_is_written_by_templates(tmp_path):
    assert by_hand(PACKAGE) == []
    for text in ('"<td>" + cell', 'f"<!doctype html>{title}"', "x = \"<TR class='a'>\""):
        (tmp_path / "m.py").write_text(text)
        assert by_hand(tmp_path) == ["m.py"]
