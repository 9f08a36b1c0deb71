"""README, environment.yml, constraints.txt and Makefile tell one story."""

import ast
import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import yaml

from mobilelab import datasets, doctor

ROOT = Path(__file__).resolve().parent.parent
PINS = dict(
    line.split("==") for line in (ROOT / "constraints.txt").read_text().split() if "==" in line
)


def test_constraints_hold_names_and_versions_only():
    for line in (ROOT / "constraints.txt").read_text().splitlines():
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
    bundled = {p.name for p in (ROOT / "data").iterdir()} - {"README.md", "SHA256SUMS"}
    assert bundled == set(datasets.checksums())
    assert all(name in sheet for name in bundled)
    assert all(datasets.verified(name) for name in bundled)


def test_modules_import_downwards_only():
    """The order is written down in the package's docstring; no module imports one above it."""
    order = [
        ["errors"], ["questions", "spelled_out", "rounding"], ["progress", "datasets"], ["models"],
        ["parity"], ["measure"], ["report"], ["training"], ["plots"], ["runtimes"], ["phone"],
        ["variants"], ["successors"], ["remeasure"], ["grading"],
        ["widgets", "doctor", "tour", "homework", "apps"], ["cli"],
    ]  # fmt: skip
    level = {name: i for i, names in enumerate(order) for name in names}
    for path in (ROOT / "mobilelab").rglob("*.py"):
        name = path.relative_to(ROOT / "mobilelab").parts[0].removesuffix(".py")
        if name not in level:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("mobilelab"):
                inside = node.module.split(".")[1:2]
                for other in inside or [alias.name for alias in node.names]:
                    assert level.get(other, -1) <= level[name], f"{path.name} imports {other}"
