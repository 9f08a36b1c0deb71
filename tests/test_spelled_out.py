"""The cells that the explorer hands out build what the walk builds."""

import pytest
import torch

from mobilelab import measure, models, variants
from mobilelab.parity import compare
from mobilelab.runtimes import saved
from mobilelab.spelled_out import CELLS, WAY_ON
from mobilelab.successors import SUCCESSORS


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
    assert file.suffix == built.path.suffix
    assert file.stat().st_size == pytest.approx(built.path.stat().st_size, rel=0.02)
    images = data.test.images[:200]
    mine = measure.scores(saved.load(file), images)
    assert compare(measure.scores(built.predict, images), mine).verdict == "same"


def run_as_file(name):
    """TorchScript reads the source of a class, which a string does not have."""
    import runpy
    from pathlib import Path

    path = Path("cell.py")
    path.write_text(CELLS[name])
    runpy.run_path(str(path))
