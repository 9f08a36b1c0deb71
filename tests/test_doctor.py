import shutil
import subprocess
import sys
from collections import namedtuple
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from typer.testing import CliRunner

from mobilelab import datasets
from mobilelab.cli import doctor
from mobilelab.cli import main as cli

ROOT = Path(__file__).resolve().parent.parent


def run():
    return CliRunner().invoke(cli.app, ["doctor"])


def test_this_machine_is_well():
    result = run()
    assert result.exit_code == 0, result.output
    assert "All well" in result.output


@pytest.mark.parametrize("version", [(3, 14, 0), (3, 15, 1), (3, 9, 18), (2, 7, 18)])
def test_other_pythons_are_red(version, monkeypatch):
    monkeypatch.setattr(doctor, "sys", SimpleNamespace(version_info=version))
    result = run()
    assert result.exit_code == 1
    assert "MobileLab needs Python 3.10 to 3.13" in result.output


@pytest.mark.parametrize("version", [(3, 10, 0), (3, 11, 7), (3, 13, 2)])
def test_supported_pythons_are_green(version):
    assert doctor.python(version).ok


@pytest.mark.parametrize("version", ["2.13.0", "2.13.0+cpu", "2.14.1", "3.0.0"])
def test_torch_without_xnnpack_is_red(version, monkeypatch):
    monkeypatch.setattr(torch, "__version__", version)
    result = run()
    assert result.exit_code == 1
    assert "lack XNNPACK" in result.output
    assert "pip install torch==2.12.1" in result.output


def test_older_torch_is_red():
    finding = doctor.torch_version("2.11.0")
    assert not finding.ok
    assert "measured with another one" in finding.fix


def test_pinned_torch_is_green_in_every_build():
    assert doctor.torch_version("2.12.1").ok
    assert doctor.torch_version("2.12.1+cpu").ok
    assert doctor.torchvision_version("0.27.1+cu130").ok
    assert not doctor.torchvision_version("0.26.0").ok


def test_torch_built_without_xnnpack_is_red(monkeypatch):
    monkeypatch.setattr(torch._C, "_is_xnnpack_enabled", lambda: False)
    result = run()
    assert result.exit_code == 1
    assert "without XNNPACK" in result.output


def test_missing_engine_is_red():
    finding = doctor.engines(["none", "fbgemm", "x86"])
    assert not finding.ok
    assert finding.detail == "fbgemm, x86"
    assert "engine qnnpack is missing" in finding.fix


def test_missing_engine_fails_the_command(monkeypatch):
    monkeypatch.setattr(doctor, "ENGINES", ("qnnpack", "hexagon"))
    result = run()
    assert result.exit_code == 1
    assert "hexagon is missing" in result.output


def test_corrupted_data_is_red(tmp_path, monkeypatch):
    shutil.copytree(ROOT / "data", tmp_path, dirs_exist_ok=True)
    with (tmp_path / "tinymobilenet.pt").open("r+b") as file:
        file.seek(1000)
        file.write(b"\xff\xff")
    monkeypatch.setattr(datasets, "data_root", lambda: tmp_path)
    result = run()
    assert result.exit_code == 1
    assert "data/tinymobilenet.pt is damaged" in result.output
    assert "git checkout -- data/tinymobilenet.pt" in result.output


def test_missing_package_is_red():
    finding = doctor.package("surely-not-installed", "so it cannot be")
    assert not finding.ok
    assert "run make lab" in finding.fix


def test_full_disk_and_full_memory_are_red(monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage(10**9, 10**9, 10**8))
    result = run()
    assert result.exit_code == 1
    assert "Only 0.1 GB of disk are free" in result.output
    assert not doctor.memory(10**8).ok


def test_torch_that_does_not_import_is_one_sentence(tmp_path):
    """Without torch the doctor must still speak."""
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text("raise OSError('libtorch.so: not found')")
    done = subprocess.run(
        [sys.executable, "-m", "mobilelab.cli", "doctor"],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(tmp_path), "PATH": "", "HOME": str(tmp_path)},
        cwd=tmp_path,
    )
    assert done.returncode == 1
    assert "torch does not import (libtorch.so: not found)" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_what_only_chapter_08_needs_is_missing_and_no_failure(monkeypatch):
    def absent(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(doctor, "version", lambda name: "1" if "jupy" in name else absent(name))
    found = {finding.name: finding for finding in doctor.examine()}
    assert found["litert"].verdict == (
        "MISSING (for chapters 08 to 10 only; fix: make runtimes, "
        "or pip install -c constraints.txt -e '.[litert]')"
    )
    assert found["npu"].verdict == (
        "MISSING (for chapter 12 only; fix: make npu, or after make runtimes "
        "pip install --no-deps -r npu.txt)"
    )
    assert found["ipywidgets"].verdict.endswith("run make lab.")
    assert [each.name for each in doctor.ill(found.values())] == ["anywidget", "ipywidgets"]


def test_the_command_says_missing_and_ends_well(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    lacks = doctor.extra_runtime("litert", "no-such-package")
    monkeypatch.setattr(doctor, "examine", lambda: [doctor.python((3, 11, 7)), lacks])
    result = run()
    assert result.exit_code == 0
    assert "All well" in result.output
    (row,) = [line for line in result.output.splitlines() if "litert" in line]
    assert "MISSING" in row and "ok" not in row
    assert "-e '.[litert]'" in row


def test_an_extra_is_there_when_all_its_packages_are():
    assert doctor.extra_runtime("litert", "ai-edge-litert", "litert-torch").verdict == "ok"
    assert not doctor.extra_runtime("litert", "ai-edge-litert", "no-such-package").ok


def test_a_missing_sandbox_is_a_word_for_graders():
    found = doctor.grading_sandbox("The program bwrap was not found")
    assert found.verdict.startswith(
        "MISSING (for graders only; fix: grade on Linux with bubblewrap"
    )
    assert "bwrap was not found" in found.verdict
    assert doctor.ill([found]) == []
    assert doctor.grading_sandbox(None).verdict == "ok"
