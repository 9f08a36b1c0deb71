import copy
import runpy
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mobilelab import datasets, measure, models, runtimes
from mobilelab.core.errors import MobileLabError
from mobilelab.measure import parity
from mobilelab.recipes import memo, training, variants
from mobilelab.recipes.snippets import CELLS, WAY_ON
from mobilelab.recipes.successors import SUCCESSORS


@pytest.fixture(scope="module")
def trained():
    return models.load_trained()  # one for all, so that trained recipes are made once


@pytest.fixture(scope="module")
def compared(walk, data, trained):
    built = walk(*variants.WALK).values()
    reference = measure.scores(trained, data.test.images)
    return {
        b.variant.name: (b, parity.compare(reference, measure.scores(b.predict, data.test.images)))
        for b in built
    }


def test_the_walk_is_complete(compared):
    assert list(compared) == [variant.name for variant in variants.WALK]
    assert all(built.path.is_file() for built, _ in compared.values())


LOSSLESS = [variant.name for variant in variants.WALK if variant.lossless]


def test_what_is_lossless():
    assert LOSSLESS == ["eager", "scripted", "frozen", "mobile", "mobile-nhwc"]


@pytest.mark.parametrize("name", LOSSLESS)
def test_rewriting_float_arithmetic_keeps_the_answers(compared, name):
    assert compared[name][1].verdict == "same"


@pytest.mark.parametrize("name", ["int8", "int8-qat", "mobile-int8"])
def test_int8_stays_close(compared, name):
    assert compared[name][1].verdict == "close"
    assert 1e-3 < compared[name][1].rel_l2 < 0.3


def test_the_official_recipe_is_caught(compared):
    assert compared["recipe"][1].verdict == "DIFFERENT"


def test_optimizing_int8_changes_nothing(compared, data):
    images = data.test.images
    plain, optimized = compared["int8"][0].predict, compared["mobile-int8"][0].predict
    assert torch.equal(measure.scores(plain, images), measure.scores(optimized, images))


def test_files_shrink_as_the_course_says(compared):
    size = {name: measure.file_kb(built.path) for name, (built, _) in compared.items()}
    assert size["int8"] < 0.35 * size["frozen"]
    assert size["mobile-pruned"] < 0.7 * size["mobile"]
    assert size["mobile-small"] < 0.7 * size["mobile-int8"]
    assert size["mobile-qat"] == pytest.approx(size["mobile-int8"], rel=0.01)
    assert size["mobile-int8"] < 500 < size["mobile"]


def test_pruned_keeps_its_accuracy(compared, data):
    scores = measure.scores(compared["mobile-pruned"][0].predict, data.test.images)
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


def test_measure_all_in_one_table(tmp_path, model, data, monkeypatch):
    peaks, peak_memories = {}, measure.peak_memories

    def remembered(*arguments):
        peaks.update(peak_memories(*arguments))
        return peaks

    monkeypatch.setattr(measure, "peak_memories", remembered)
    built = variants.build_all(model, data, tmp_path, variants.named("eager", "mobile"))
    steps = []
    records = variants.measure_all(
        built, model, data, seconds=0.2, memory=True, on_step=steps.append
    )
    assert [r.variant for r in records] == ["eager", "mobile"]
    assert steps == ["answers", "latency", "peak memory"]
    assert all(r.verdict == "same" and r.median_ms > 0 and r.peak_added_mib > 0 for r in records)
    assert [r.peak_added_mib for r in records] == [peaks[n].added_mib for n in ("eager", "mobile")]


# --- what is remembered -------------------------------------------------------------------


@pytest.fixture
def recipe(monkeypatch):
    """A recipe that copies the model, and the seeds that it was really called with."""
    monkeypatch.delenv("MOBILELAB_MADE", raising=False)
    calls = []

    @memo.once
    def copied(model, data, seed=0):
        calls.append(seed)
        return copy.deepcopy(model)

    return copied, calls


@pytest.fixture
def fresh():
    return models.load_trained()


def halved(model, data):
    with torch.no_grad():
        for weights in model.parameters():
            weights /= 2
    return model, data


def one_statistic(model, data):
    model.features[0][1].running_mean[0] += 1
    return model, data


def training_mode(model, data):
    return model.train(), data


def another_class(model, data):
    class TinyMobileNet(models.TinyMobileNet):
        def forward(self, x):
            return -super().forward(x)

    model.__class__ = TinyMobileNet
    return model, data


def larger(model, data):
    whole = {"train": len(data.train), "calibration": 100, "test": 500}
    return model, datasets.enlarged(data, 64, **whole)


def one_label(model, data):
    labels = data.train.labels.clone()
    labels[-1] += 1
    return model, replace(data, train=replace(data.train, labels=labels))


def one_calibration_pixel(model, data):
    images = data.calibration.images.clone()
    images[-1, 0, -1, -1] += 1
    return model, replace(data, calibration=replace(data.calibration, images=images))


@pytest.mark.parametrize(
    "changed",
    [
        halved, one_statistic, training_mode, another_class, larger, one_label,
        one_calibration_pixel,
    ],
)  # fmt: skip
def test_what_has_changed_is_made_anew(recipe, fresh, data, changed):
    copied, calls = recipe
    copied(fresh, data)
    made = copied(*changed(fresh, data))
    assert len(calls) == 2
    assert all(torch.equal(v, fresh.state_dict()[k]) for k, v in made.state_dict().items())


def test_the_same_content_is_not_made_twice(recipe, fresh, data):
    copied, calls = recipe
    copied(fresh, data)
    copied(models.load_trained(), datasets.load())
    assert len(calls) == 1
    copied(fresh, data, 1)
    assert calls == [0, 1]


def test_who_changes_a_result_does_not_change_the_next_one(recipe, fresh, data):
    copied, calls = recipe
    halved(copied(fresh, data), data)
    wanted = fresh.state_dict()
    for _ in range(2):
        again = copied(fresh, data)
        assert all(torch.equal(v, wanted[k]) for k, v in again.state_dict().items())
        halved(again, data)
    assert len(calls) == 1


def test_only_the_last_results_are_kept(recipe, fresh, data):
    copied, calls = recipe
    for seed in (*range(memo.KEPT), 0, memo.KEPT, 0, 1):
        copied(fresh, data, seed)
    # 0 was asked for again, so 1 was the oldest when one more came
    assert calls == [*range(memo.KEPT), memo.KEPT, 1]


def test_int8_of_halved_weights_is_another_network(fresh, data):
    image = data.test.images[:1]
    before = variants.quantize_static(fresh, data)(image)
    after = variants.quantize_static(*halved(fresh, data))(image)
    assert parity.compare(before, after).verdict == "DIFFERENT"


# --- the cells that the explorer hands out ------------------------------------------------


def test_every_variant_has_its_cell():
    assert list(CELLS) == [variant.name for variant in variants.WALK]
    assert list(WAY_ON) == [variant.name for variant in SUCCESSORS]
    for variant in (*variants.WALK, *SUCCESSORS):  # the cell writes the file that the recipe makes
        assert f"{variant.name}{variant.suffix}" in variant.snippet.replace('"{name}', "")
        assert variant.runtime.suffix == variant.suffix


@pytest.mark.parametrize("name", CELLS)
def test_cell_builds_the_variant(name, compared, data, trained, tmp_path, monkeypatch):
    if name in ("mobile-pruned", "mobile-small"):  # ``pruned`` shows that it trains as the walk
        again = variants.pruned(trained, data).state_dict()
        monkeypatch.setattr(
            training, "fit", lambda smaller, *_, **__: smaller.load_state_dict(again)
        )
        monkeypatch.setattr(models, "load_trained", lambda _: trained)
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    exec(CELLS[name], {"__name__": "cell"}) if name != "mobile-nhwc" else run_as_file(name)
    (file,) = tmp_path.glob(f"{name}.*")
    built, _ = compared[name]
    assert file.suffix == built.path.suffix
    assert file.stat().st_size == pytest.approx(built.path.stat().st_size, rel=0.02)
    images = data.test.images[:200]
    mine = measure.scores(runtimes.load(file), images)
    assert parity.compare(measure.scores(built.predict, images), mine).verdict == "same"


def run_as_file(name):
    """TorchScript reads the source of a class, which a string does not have."""
    path = Path("cell.py")
    path.write_text(CELLS[name])
    runpy.run_path(str(path))


def test_processes_of_one_run_share_what_they_made(tmp_path, monkeypatch, data, fresh):
    """Two functions of one name stand for two processes."""
    monkeypatch.setenv("MOBILELAB_MADE", str(tmp_path / "made"))
    calls = []

    def one_process():
        @memo.once
        def copied(model, data, seed=0):
            calls.append(seed)
            return copy.deepcopy(model)

        return copied

    first, second = one_process(), one_process()
    made = first(fresh, data)
    assert calls == [0]
    again = second(fresh, data)
    assert calls == [0] and again is not made
    assert all(map(torch.equal, made.state_dict().values(), again.state_dict().values()))
    second(fresh, data, 1)
    second(*halved(fresh, data))
    assert calls == [0, 1, 0]
    monkeypatch.delenv("MOBILELAB_MADE")
    one_process()(fresh, data)
    assert calls == [0, 1, 0, 0]


def test_an_exported_graph_is_not_shared(tmp_path, monkeypatch, data, fresh):
    monkeypatch.setenv("MOBILELAB_MADE", str(tmp_path / "made"))

    @memo.once
    def graph(model, data, seed=0):
        return torch.fx.symbolic_trace(model)

    graph(fresh, data)
    assert [path.suffix for path in (tmp_path / "made").iterdir()] == [".lock"]


def test_what_another_process_made_computes_on_the_same_engine(tmp_path, monkeypatch, data, fresh):
    """Whoever unpickles int8 weights packs them for the engine that is chosen then."""
    monkeypatch.setenv("MOBILELAB_MADE", str(tmp_path / "made"))
    first, second = (memo.once(variants.quantize_static.__wrapped__) for _ in range(2))
    made = measure.scores(first(fresh, data), data.test.images[:50])
    others = [e for e in torch.backends.quantized.supported_engines if e not in ("none", "qnnpack")]
    before = torch.backends.quantized.engine
    try:
        for engine in others:
            torch.backends.quantized.engine = engine
            again = memo.once(variants.quantize_static.__wrapped__)(fresh, data)
            assert torch.equal(measure.scores(again, data.test.images[:50]), made)
            torch.backends.quantized.engine = engine  # and a copy in this very process
            assert torch.equal(measure.scores(first(fresh, data), data.test.images[:50]), made)
        assert torch.equal(measure.scores(second(fresh, data), data.test.images[:50]), made)
    finally:
        torch.backends.quantized.engine = before
