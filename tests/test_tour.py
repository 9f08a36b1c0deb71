import json
import subprocess
import sys

import pytest
from rich.console import Console
from test_datasets import make_mnist_like

from mobilelab import __version__
from mobilelab.core.errors import MobileLabError
from mobilelab.course import tour
from mobilelab.recipes import variants


def mobilelab(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", "mobilelab.cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        **options,
    )


def test_the_whole_walk(tmp_path):
    done = mobilelab("tour", "--out", tmp_path / "walk")
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert "Warning" not in done.stderr
    rows = {r["variant"]: r for r in json.loads((tmp_path / "walk" / "results.json").read_text())}
    assert list(rows) == [variant.name for variant in variants.WALK]
    table = {line.split()[0]: line.split() for line in done.stdout.splitlines() if line.strip()}
    for name, row in rows.items():
        assert table[name][-2:] == [f"+{row['peak_added_mib']:.1f}", f"{100 * row['accuracy']:.1f}"]
        assert (tmp_path / "walk" / row["file"]).stat().st_size == round(row["file_kb"] * 1000)
        assert row["p95_ms"] >= row["median_ms"] > 0
        assert row["threads"] == 1
        assert row["peak_total_mib"] > row["peak_added_mib"] > 0
    assert rows["recipe"]["verdict"] == "DIFFERENT"
    assert rows["mobile"]["verdict"] == "same"
    assert rows["mobile-int8"]["accuracy"] > 0.97
    assert (tmp_path / "walk" / "tradeoff.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "walk" / "results.csv").read_text().count("\n") == len(rows) + 1
    page = (tmp_path / "walk" / "explorer.html").read_text(encoding="utf-8")
    assert page.startswith("<!DOCTYPE html>") and str(tmp_path) not in page
    assert all(f'"name":"{name}"' in page for name in rows)


def test_another_data_set_is_trained_first(tmp_path, monkeypatch):
    make_mnist_like(tmp_path, "FashionMNIST", train=200, test=40)
    monkeypatch.setattr(variants, "WALK", variants.named("eager", "mobile", "mobile-int8"))
    results = tour.run(
        tmp_path / "out",
        dataset="fashion-mnist",
        data_dir=tmp_path,
        quick=True,
        console=Console(quiet=True),
    )
    assert [r.variant for r in results.records] == ["eager", "mobile", "mobile-int8"]
    assert results.records[1].verdict == "same"


def test_a_variant_that_should_be_the_same_and_is_not_fails_the_tour(tmp_path, monkeypatch):
    wrong = variants.Variant(
        "mobile", "", "05", ".ptl", lambda m, d, s: variants.official_recipe(m, d), lossless=True
    )
    monkeypatch.setattr(variants, "WALK", (*variants.named("eager"), wrong))
    with pytest.raises(MobileLabError, match="mobile should answer exactly as the float model"):
        tour.run(tmp_path, console=Console(quiet=True))
    assert (tmp_path / "results.json").is_file(), "the figures are kept for the report"


def test_unknown_data_set_is_one_sentence(tmp_path):
    done = mobilelab("tour", "--dataset", "imagenet", "--out", tmp_path)
    assert done.returncode == 1
    assert "Error: There is no data set called 'imagenet'" in done.stderr
    assert "Traceback" not in done.stderr


def test_no_network_is_one_sentence(tmp_path):
    done = mobilelab(
        "tour", "--dataset", "mnist", "--data-dir", tmp_path / "cache", "--out", tmp_path,
        env={"PATH": "", "http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"},
    )  # fmt: skip
    assert done.returncode == 1
    assert "Error: Could not get mnist" in done.stderr
    assert "connect to a network" in done.stderr
    assert "Traceback" not in done.stderr


def test_folder_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("in the way")
    done = mobilelab("tour", "--out", tmp_path / "file")
    assert done.returncode == 1
    assert "name another folder with --out" in done.stderr.replace("\n", " ")
    assert (tmp_path / "file").read_text() == "in the way"


def test_version():
    assert mobilelab("--version").stdout.strip() == __version__
