"""README, environment.yml, constraints.txt, Makefile and the modules' order tell one story."""

import ast
import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest
import yaml
from importlinter.api import read_configuration

from mobilelab import datasets
from mobilelab.cli import doctor

ROOT = Path(__file__).resolve().parent.parent
PINS = dict(
    line.split("==")
    for name in ("constraints.txt", "npu.txt")
    for line in (ROOT / name).read_text().split()
    if "==" in line
)


def test_constraints_hold_names_and_versions_only():
    both = "".join((ROOT / name).read_text() for name in ("constraints.txt", "npu.txt"))
    for line in both.splitlines():
        assert re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+", line), line
    assert PINS["torch"] == doctor.TORCH
    assert PINS["torchvision"] == doctor.TORCHVISION


def test_what_is_installed_is_what_is_pinned():
    wrong = []
    for name, pin in PINS.items():
        try:
            found = version(name).split("+")[0]
        except PackageNotFoundError:
            continue  # belongs to another platform
        if found != pin:
            wrong.append(f"{name} {found}, pinned {pin}")
    assert wrong == []


def test_environment_yml_uses_the_same_pins():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert "python=3.11" in environment["dependencies"]
    (pip,) = [d["pip"] for d in environment["dependencies"] if isinstance(d, dict)]
    assert "-c constraints.txt" in pip
    assert any(line.startswith("-e .") for line in pip)


def test_readme_names_commands_that_exist():
    readme, makefile = (ROOT / "README.md").read_text(), (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^(\w+):", makefile, re.M))
    assert {"lab", "test", "tour"} <= targets
    assert set(re.findall(r"`make (\w+)", readme)) <= targets
    assert {"lab", "test", "tour"} <= set(re.findall(r"make (\w+)", readme))


def test_readme_links_and_pictures_are_there():
    readme = (ROOT / "README.md").read_text()
    assert not re.search(r"!\[\s*\]\(", readme)
    for target in re.findall(r"\]\((?!https?://|#)([^)#\s]+)", readme):
        assert (ROOT / target).exists(), target


def test_every_bundled_file_has_a_checksum_and_a_line_in_the_datasheet():
    sheet = (ROOT / "data" / "README.md").read_text()
    files = {p.relative_to(ROOT / "data") for p in (ROOT / "data").rglob("*") if p.is_file()}
    bundled = {file.as_posix() for file in files} - {"README.md", "SHA256SUMS"}
    assert bundled == set(datasets.checksums())
    assert all(f"`{file.name}`" in sheet for file in files if str(file) in bundled)
    assert all(datasets.verified(name) for name in bundled)


# --- modules import downwards ---------------------------------------------------------------


def floors():
    """The layers of the contract, from the ground up, each a set of names."""
    configuration = read_configuration(str(ROOT / "pyproject.toml"))
    (contract,) = configuration["contracts_options"]
    return [set(re.findall(r"\w+", layer)) for layer in reversed(contract["layers"])]


def broken(folder):
    """What import-linter says of the package in a folder; empty if the contract is kept.

    In a process of its own: this one knows already where its ``mobilelab`` is.
    """
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache", ROOT / "pyproject.toml"],
        cwd=folder, capture_output=True, text=True, env={**os.environ, "COLUMNS": "200"},
    )  # fmt: skip
    return f"{done.returncode}: {done.stdout}{done.stderr}" if done.returncode else ""


def upwards(folder):
    """Strings that name, to be run or imported, a module which an import could not name.

    Import-linter sees imports only. ``[sys.executable, "-m", "mobilelab.x"]`` needs the module
    just as much. A name that is put together while the code runs is not seen.
    """
    level = {name: height for height, names in enumerate(floors()) for name in names}
    found = []
    for path in sorted((folder / "mobilelab").rglob("*.py")):
        name = path.relative_to(folder / "mobilelab").parts[0].removesuffix(".py")
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                for other in re.findall(r"(?:^|-m )mobilelab\.(\w+)", node.value):
                    if other != name and level.get(other, 99) >= level.get(name, 0):
                        found.append(f"{name} -> {other}")
    return found


def floors_in(readme):
    """The names in README's paragraph; a semicolon ends a floor."""
    (paragraph,) = re.findall(r"^The package, from the ground up:.*?\n\n", readme, re.M | re.S)
    return [set(re.findall(r"`(\w+)`", floor)) for floor in paragraph.split(";")]


@pytest.fixture
def copy(tmp_path):
    """The package once more, to break something in it."""
    shutil.copytree(
        ROOT / "mobilelab", tmp_path / "mobilelab", ignore=shutil.ignore_patterns("__pycache__")
    )
    return tmp_path


def append(folder, module, line):
    with (folder / "mobilelab" / f"{module}.py").open("a") as file:
        file.write(f"\n{line}\n")


def test_modules_import_downwards_only():
    assert not broken(ROOT)


@pytest.mark.parametrize(
    "module, line, complaint",
    [
        ("core/errors", "import mobilelab.cli", "mobilelab.core.errors -> mobilelab.cli"),
        (
            "core/errors",
            "from mobilelab.measure.parity import SAME",
            "mobilelab.core.errors -> mobilelab.measure.parity",
        ),
        (
            "apps/render",
            "from mobilelab.course import tour",
            "mobilelab.apps.render -> mobilelab.course",
        ),
        (
            "runtimes/lite",
            "from mobilelab.measure import latency",
            "mobilelab.runtimes.lite -> mobilelab.measure",
        ),
        ("without_a_place", "import torch", "without_a_place"),
    ],
)
def test_an_import_upwards_and_a_module_without_a_place_are_found(copy, module, line, complaint):
    append(copy, module, line)
    assert complaint in broken(copy)


def test_no_string_leads_upwards():
    assert upwards(ROOT) == []


@pytest.mark.parametrize(
    "module, line, found",
    [
        ("tasks/base", 'COMMAND = ["-m", "mobilelab.measure"]', "tasks -> measure"),
        ("runtimes/lite", 'COMMAND = "python -m mobilelab.recipes"', "runtimes -> recipes"),
        ("apps/render", 'importlib.import_module("mobilelab.course.tour")', "apps -> course"),
        ("cli/main", 'COMMAND = ["-m", "mobilelab.no_such_module"]', "cli -> no_such_module"),
        ("measure/memory", 'COMMAND = ["-m", "mobilelab.runtimes.lite"]', None),
    ],
)
def test_a_string_that_leads_upwards_is_found(copy, module, line, found):
    append(copy, module, line)
    assert upwards(copy) == ([found] if found else [])


def test_readme_tells_the_same_order():
    assert floors_in((ROOT / "README.md").read_text()) == floors()


@pytest.mark.parametrize("one, other", [("`core`", "`cli`"), ("`models`", "`runtimes`")])
def test_another_order_in_readme_is_found(one, other):
    readme = (ROOT / "README.md").read_text()
    swapped = {one: other, other: one}
    readme = re.sub("|".join(swapped), lambda name: swapped[name[0]], readme)
    assert floors_in(readme) != floors()


def test_the_lesson_plans_name_every_prediction():
    """One row for each, by chapter."""
    plans = (ROOT / "docs" / "lessons.md").read_text()
    for path in sorted((ROOT / "notebooks").glob("[0-9]*.ipynb")):
        predictions = path.read_text().count("### Predict, then run")
        [plan] = re.findall(rf"^## {path.stem[:2]} .*?(?=^## )", plans, re.M | re.S)
        rows = re.findall(r"^\| (?!prediction|---)", plan, re.M)
        assert len(rows) == predictions, path.stem
