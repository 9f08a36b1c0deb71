"""The cells that the explorer hands out build what the walk builds."""

import pytest
import torch

from mobilelab import measure, models, variants
from mobilelab.parity import compare
from mobilelab.runtimes import quiet, saved
from mobilelab.spelled_out import CELLS, WAY_ON
from mobilelab.successors import SUCCESSORS, quantize_pt2e_aware


@pytest.fixture(scope="module")
def model():
    return models.load_trained()  # one for all, so that trained recipes are made once


def test_every_variant_has_its_cell():
    assert list(CELLS) == [variant.name for variant in variants.WALK]
    assert list(WAY_ON) == [variant.name for variant in SUCCESSORS]


@pytest.mark.parametrize("name", CELLS)
def test_cell_builds_the_variant(name, data, model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    exec(CELLS[name], {"__name__": "cell"}) if name != "mobile-nhwc" else run_as_file(name)
    (file,) = tmp_path.glob(f"{name}.*")
    (variant,) = variants.named(name)
    built = variants.build(variant, model, data, tmp_path / "walk")
    same_file(file, built, data.test.images[:200])


def same_file(file, built, images):
    assert file.suffix == built.path.suffix
    assert file.stat().st_size == pytest.approx(built.path.stat().st_size, rel=0.02)
    mine = measure.scores(saved.load(file), images)
    assert compare(measure.scores(built.predict, images), mine).verdict == "same"


@pytest.fixture(scope="module")
def way_on(model, data, tmp_path_factory):
    """The variants of chapter 08, but for the one that is trained: that is compared as a graph."""
    chosen = [variant for variant in SUCCESSORS if variant.name != "et-qat"]
    built = variants.build_all(model, data, tmp_path_factory.mktemp("way_on"), chosen)
    return {one.variant.name: one for one in built}


@pytest.mark.parametrize("name", [name for name in WAY_ON if name != "et-qat"])
def test_cell_of_chapter_08_builds_the_variant(name, data, way_on, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with quiet():
        exec(WAY_ON[name], {"__name__": "cell"})
    (file,) = tmp_path.glob(f"{name}.*")
    same_file(file, way_on[name], data.test.images[: 10 if name == "et-portable" else 200])


def test_cell_that_trains_with_rounding(data, model, reference, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    cell = {"__name__": "cell"}
    with quiet():
        exec(WAY_ON["et-qat"], cell)
    images = data.test.images
    with quiet():
        mine = measure.scores(cell["int8"], images)
        theirs = measure.scores(quantize_pt2e_aware(model, data), images)
    assert compare(theirs, mine).verdict == "same"
    answers = measure.scores(saved.load(tmp_path / "et-qat.pte"), images)
    assert compare(reference, answers).verdict == "close"
    assert measure.accuracy(answers, data.test.labels) > 0.97
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not model.training


def run_as_file(name):
    """TorchScript reads the source of a class, which a string does not have."""
    import runpy
    from pathlib import Path

    path = Path("cell.py")
    path.write_text(CELLS[name])
    runpy.run_path(str(path))
