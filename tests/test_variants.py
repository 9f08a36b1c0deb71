import runpy
from pathlib import Path

import pytest
import torch

from mobilelab import measure, models, parity, training, variants
from mobilelab.errors import MobileLabError
from mobilelab.runtimes import saved
from mobilelab.spelled_out import CELLS, WAY_ON
from mobilelab.successors import SUCCESSORS


@pytest.fixture(scope="module")
def trained():
    return models.load_trained()  # one for all, so that trained recipes are made once


@pytest.fixture(scope="module")
def walk(tmp_path_factory, data, trained):
    folder = tmp_path_factory.mktemp("walk")
    built = variants.build_all(trained, data, folder)
    reference = measure.scores(trained, data.test.images)
    return {
        b.variant.name: (b, parity.compare(reference, measure.scores(b.predict, data.test.images)))
        for b in built
    }


def test_the_walk_is_complete(walk):
    assert list(walk) == [variant.name for variant in variants.WALK]
    assert all(built.path.is_file() for built, _ in walk.values())


@pytest.mark.parametrize("name", ["eager", "scripted", "frozen", "mobile", "mobile-nhwc"])
def test_rewriting_float_arithmetic_keeps_the_answers(walk, name):
    assert walk[name][1].verdict == "same"


@pytest.mark.parametrize("name", ["int8", "int8-qat", "mobile-int8"])
def test_int8_stays_close(walk, name):
    assert walk[name][1].verdict == "close"
    assert 1e-3 < walk[name][1].rel_l2 < 0.3


def test_the_official_recipe_is_caught(walk):
    assert walk["recipe"][1].verdict == "DIFFERENT"


def test_optimizing_int8_changes_nothing(walk, data):
    images = data.test.images
    plain, optimized = walk["int8"][0].predict, walk["mobile-int8"][0].predict
    assert torch.equal(measure.scores(plain, images), measure.scores(optimized, images))


def test_files_shrink_as_the_course_says(walk):
    size = {name: measure.file_kb(built.path) for name, (built, _) in walk.items()}
    assert size["int8"] < 0.35 * size["frozen"]
    assert size["mobile-pruned"] < 0.7 * size["mobile"]
    assert size["mobile-int8"] < 500 < size["mobile"]


def test_pruned_keeps_its_accuracy(walk, data):
    scores = measure.scores(walk["mobile-pruned"][0].predict, data.test.images)
    assert measure.accuracy(scores, data.test.labels) > 0.93


@pytest.mark.parametrize("keep", [0.01, 0.25, 1.0])
def test_prune_channels_gives_a_network_that_runs_and_scripts(model, data, keep):
    smaller = variants.prune_channels(model, keep)
    blocks = [b for b in smaller.features if isinstance(b, models.InvertedResidual)]
    full = [b for b in model.features if isinstance(b, models.InvertedResidual)]
    for block, whole in zip(blocks, full, strict=True):
        hidden = whole.depthwise[0].out_channels
        assert block.depthwise[0].out_channels == max(1, round(keep * hidden))
    images = data.test.images[:3]
    assert torch.allclose(torch.jit.script(smaller)(images), smaller(images), atol=1e-5)


def test_keeping_all_channels_changes_nothing(model, data, reference):
    same = variants.prune_channels(model, 1.0)
    assert parity.compare(reference, measure.scores(same, data.test.images)).verdict == "same"


@pytest.mark.parametrize("keep", [0, -0.5, 1.5])
def test_impossible_share_is_refused(model, keep):
    with pytest.raises(MobileLabError, match="0 < keep <= 1"):
        variants.prune_channels(model, keep)


def test_pruning_leaves_the_original_alone(model):
    before = {k: v.clone() for k, v in model.state_dict().items()}
    variants.prune_channels(model, 0.5)
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())


def test_unknown_name_is_one_sentence():
    with pytest.raises(MobileLabError, match="no variant huge; it has eager"):
        variants.named("eager", "huge")
    assert [v.name for v in variants.named("mobile", "eager")] == ["eager", "mobile"]


def test_folder_that_cannot_be_written_is_one_sentence(tmp_path, model, data):
    (tmp_path / "file").write_text("in the way")
    eager = variants.named("eager")[0]
    with pytest.raises(MobileLabError, match="choose a folder that you may write to"):
        variants.build(eager, model, data, tmp_path / "file" / "sub")


def test_measure_all_in_one_table(tmp_path, model, data):
    built = variants.build_all(model, data, tmp_path, variants.named("eager", "mobile"))
    steps = []
    records = variants.measure_all(
        built, model, data, seconds=0.2, memory=True, on_step=steps.append
    )
    assert [r.variant for r in records] == ["eager", "mobile"]
    assert steps == ["answers", "latency", "peak memory"]
    assert all(r.verdict == "same" and r.median_ms > 0 and r.peak_added_mib > 0 for r in records)
    assert records[0].peak_added_mib > records[1].peak_added_mib


# --- the cells that the explorer hands out ------------------------------------------------


def test_every_variant_has_its_cell():
    assert list(CELLS) == [variant.name for variant in variants.WALK]
    assert list(WAY_ON) == [variant.name for variant in SUCCESSORS]


@pytest.mark.parametrize("name", CELLS)
def test_cell_builds_the_variant(name, walk, data, trained, tmp_path, monkeypatch):
    if name == "mobile-pruned":  # the cell of ``pruned`` shows that its training is the walk's
        again = variants.pruned(trained, data).state_dict()
        monkeypatch.setattr(
            training, "fit", lambda smaller, *_, **__: smaller.load_state_dict(again)
        )
        monkeypatch.setattr(models, "load_trained", lambda _: trained)
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    exec(CELLS[name], {"__name__": "cell"}) if name != "mobile-nhwc" else run_as_file(name)
    (file,) = tmp_path.glob(f"{name}.*")
    built, _ = walk[name]
    assert file.suffix == built.path.suffix
    assert file.stat().st_size == pytest.approx(built.path.stat().st_size, rel=0.02)
    images = data.test.images[:200]
    mine = measure.scores(saved.load(file), images)
    assert parity.compare(measure.scores(built.predict, images), mine).verdict == "same"


def run_as_file(name):
    """TorchScript reads the source of a class, which a string does not have."""
    path = Path("cell.py")
    path.write_text(CELLS[name])
    runpy.run_path(str(path))
