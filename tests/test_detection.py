"""Lab 03's parts: scenes, letterbox, boxes, training, and the app's own code in two languages."""

import base64
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from test_apps import STUBS, assets_of, get_kotlin, need, run, syntax_errors
from torch.utils.mobile_optimizer import optimize_for_mobile
from torchvision import ops

from mobilelab import models, tasks
from mobilelab.apps import AppError, render
from mobilelab.apps import detection as recording
from mobilelab.core.errors import DataError, ShapeError, StructureError
from mobilelab.core.trees import Answers
from mobilelab.datasets import scenes
from mobilelab.datasets.letterbox import Letterbox
from mobilelab.recipes import detection
from mobilelab.tasks.boxes import Chooser, centres, decode, nms

LETTERBOX, CHOOSER = Letterbox(), Chooser()


@pytest.fixture(scope="module")
def some():
    return scenes.scenes("test", 12)


# --- scenes -------------------------------------------------------------------------------


def test_a_scene_is_the_same_for_the_same_seed_and_another_for_another(some):
    again, other = scenes.scenes("test", 12), scenes.scenes("test", 12, seed=1)
    assert all(torch.equal(a.photo, b.photo) for a, b in zip(some, again, strict=True))
    assert not any(torch.equal(a.photo, b.photo) for a, b in zip(some, other, strict=True))


def test_training_and_test_share_nothing():
    assert not set(scenes.BEHIND["train"]) & set(scenes.BEHIND["test"])
    parts = [
        {image.numpy().tobytes() for image in scenes.articles(p)[0]} for p in ("train", "test")
    ]
    assert [len(part) for part in parts] == [1500, 300] and not parts[0] & parts[1]


def test_boxes_lie_around_what_the_mask_shows(some):
    for scene in some:
        assert scene.photo.shape == (3, scenes.HEIGHT, scenes.WIDTH)
        assert len(scene.boxes) == len(scene.labels) >= 1
        covered = torch.zeros_like(scene.mask, dtype=torch.bool)
        for x0, y0, x1, y1 in scene.boxes.int().tolist():
            assert 0 <= x0 < x1 <= scenes.WIDTH and 0 <= y0 < y1 <= scenes.HEIGHT
            covered[y0:y1, x0:x1] = True
        assert not scene.mask[~covered].any()
        # The last one lies on top: all four edges of its box touch it.
        x0, y0, x1, y1 = scene.boxes[-1].int().tolist()
        inside = scene.mask[y0:y1, x0:x1] == scene.labels[-1] + 1
        assert inside[:2].any() and inside[-2:].any()
        assert inside[:, :2].any() and inside[:, -2:].any()


def test_an_unknown_photograph_is_one_sentence():
    with pytest.raises(DataError, match="no photograph 'lena'; choose one of astronaut, brick"):
        scenes.photo("lena")


# --- the letterbox ------------------------------------------------------------------------


@pytest.mark.parametrize("height, width", [(180, 240), (240, 180), (100, 100), (7, 500), (33, 129)])
def test_boxes_go_into_the_square_and_back(height, width):
    corner = torch.rand(50, 2) * torch.tensor([width, height])
    other = corner + torch.rand(50, 2) * (torch.tensor([width, height]) - corner)
    boxes = torch.cat([corner, other], 1)
    there = LETTERBOX.forth(boxes, height, width)
    assert there.min() >= 0 and there.max() <= LETTERBOX.size
    assert torch.allclose(LETTERBOX.back(there, height, width), boxes, atol=1e-3)


def test_a_letterbox_does_not_stretch_and_fills_the_rest():
    photo = torch.full((3, 180, 240), 255, dtype=torch.uint8)
    square = LETTERBOX(photo)
    white, grey = (1 - 0.5) / 0.25, (128 / 255 - 0.5) / 0.25
    assert square.shape == (3, 128, 128)
    assert torch.allclose(square[:, 16:112], torch.tensor(white))
    assert torch.allclose(square[:, :16], torch.tensor(grey), atol=1e-6)
    assert torch.allclose(square[:, 112:], torch.tensor(grey), atol=1e-6)
    place = LETTERBOX.place(240, 180)
    assert (place.top, place.left, place.height, place.width) == (0, 16, 128, 96)


@pytest.mark.parametrize("shape", [(180, 240), (1, 3, 180, 240), (1, 180, 240)])
def test_a_letterbox_refuses_other_shapes(shape):
    with pytest.raises(ShapeError, match="one photograph of shape"):
        LETTERBOX(torch.zeros(shape))


# --- boxes --------------------------------------------------------------------------------


def random_boxes(n, seed, ties=False):
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(n, 2, generator=generator) * 100
    boxes = torch.cat([corner, corner + torch.rand(n, 2, generator=generator) * 60], 1)
    scores = torch.rand(n, generator=generator)
    return boxes, (scores * 8).round() / 8 if ties else scores


CROWDS = [(n, seed, iou, ties) for seed, (n, iou, ties) in enumerate([
    (0, 0.5, False), (1, 0.5, False), (60, 0.3, False), (60, 0.5, True), (300, 0.5, False),
    (300, 0.7, True), (300, 0.1, False),
])]  # fmt: skip


@pytest.mark.parametrize("n, seed, iou, ties", CROWDS)
def test_nms_keeps_what_torchvision_keeps(n, seed, iou, ties):
    boxes, scores = random_boxes(n, seed, ties)
    kept = ops.nms(boxes, scores, iou)
    assert torch.equal(nms(boxes, scores, iou), kept)
    if n >= 60:
        assert 1 < len(kept) < n and not torch.equal(nms(boxes, scores, 0.95), kept)


def test_decoding_by_hand():
    raw = torch.full((1, 4, 2, 2), -float("inf"))
    raw[0, :, 1, 0] = torch.tensor([0.5, 1.0, 2.0, 0.25]).log()
    assert decode(raw, 8)[0].tolist() == [[4, 4, 4, 4], [12, 4, 12, 4], [0, 4, 20, 14], [12] * 4]
    assert centres(2, 8).tolist() == [[4, 4], [12, 4], [4, 12], [12, 12]]
    with pytest.raises(ShapeError, match="Raw boxes have the shape"):
        decode(torch.zeros(1, 5, 2, 2), 8)


def test_classes_do_not_suppress_each_other_and_only_the_best_stay():
    scores = torch.full((1, 2, 2, 2), -9.0)
    scores[0, :, 0, 0], scores[0, 0, 0, 1] = torch.tensor([2.0, 3.0]), 1.0
    raw = torch.full((1, 4, 2, 2), 3.0)
    (both,) = Chooser()(scores, raw)
    assert both["labels"].tolist() == [1, 0] and len(both["boxes"]) == 2
    (best,) = Chooser(most=1)(scores, raw)
    assert best["labels"].tolist() == [1]
    (all_three,) = Chooser(iou=1.0)(scores, raw)
    assert all_three["labels"].tolist() == [1, 0, 0]
    (none,) = Chooser(least=0.99)(scores, raw)
    assert none["boxes"].shape == (0, 4) and none["labels"].dtype == torch.long


def test_raw_answers_are_judged_as_their_boxes(some):
    """A detector that knows: logits and raw boxes made of the targets."""
    _, targets = detection.prepared(some, LETTERBOX)
    scores, raw = torch.full((len(some), 5, 16, 16), -9.0), torch.zeros(len(some), 4, 16, 16)
    middle = centres(16, 8)
    for i, target in enumerate(targets):
        for box, label in zip(target["boxes"], target["labels"], strict=True):
            inside = (middle - (box[:2] + box[2:]) / 2).abs().amax(1).argmin()
            row, column = divmod(int(inside), 16)
            sides = torch.cat([middle[inside] - box[:2], box[2:] - middle[inside]])
            raw[i, :, row, column] = (sides.clamp(min=0.1) / 8).log()
            scores[i, label, row, column] = 4.0
    task = tasks.RawDetection()
    assert task.score((scores, raw), targets) > 0.95
    assert task.precision((scores, raw), targets)["map_50"] > 0.99
    curve = task.curve((scores, raw), targets)
    assert curve.mean().item() == pytest.approx(task.precision((scores, raw), targets)["map_50"])
    # Twice as large boxes have an intersection over union of a quarter.
    assert task.score((scores, raw + torch.tensor(2.0).log()), targets) < 0.05
    assert task.agree((scores, raw), (scores, raw))[0] == 1.0
    assert task.agree((scores, raw), (scores - 6, raw))[0] == 0.0  # below what an app shows
    assert task.score((scores - 6, raw), targets) > 0.95  # and above what is judged
    other = scores.roll(1, dims=1)
    assert task.agree((scores, raw), (other, raw))[0] < 0.5
    assert task.score((other, raw), targets) < 0.05
    with pytest.raises(StructureError, match="two tensors, logits and boxes, and here are 1"):
        task.decide(scores)


# --- training -----------------------------------------------------------------------------


def test_a_cell_answers_for_the_smaller_box_and_a_tiny_box_has_a_cell():
    boxes = torch.tensor([[0.0, 0, 64, 64], [24, 24, 32, 32], [9, 9, 11, 11]])
    grid = detection.assigned(boxes, centres(8, 8), 8).view(8, 8)
    assert grid[3, 3] == 1 and grid[4, 4] == 0 and grid[1, 1] == 2 and grid[7, 7] == -1
    assert (grid == 0).sum() == 3 and (grid > 0).sum() == 2  # within 12 pixels of the middle
    assert (detection.assigned(torch.empty(0, 4), centres(8, 8), 8) == -1).all()


def test_a_mirrored_scene_has_mirrored_boxes(some):
    torch.manual_seed(1)
    inputs, targets = detection.prepared(some[:2], LETTERBOX)
    seen = [detection.varied(inputs, targets)[1][0]["boxes"] for _ in range(8)]
    mirrored = [boxes for boxes in seen if not torch.equal(boxes, targets[0]["boxes"])]
    assert 0 < len(mirrored) < 8
    first = targets[0]["boxes"]
    assert torch.allclose(mirrored[0][:, 0], 128 - first[:, 2])
    assert torch.allclose(mirrored[0][:, 2], 128 - first[:, 0])


def judged(model, test):
    with torch.no_grad():
        found = CHOOSER(*model(torch.stack([LETTERBOX(scene.photo) for scene in test])))
    answers = Answers(
        {**one, "boxes": LETTERBOX.back(one["boxes"], *scene.photo.shape[1:])}
        for one, scene in zip(found, test, strict=True)
    )
    return tasks.Detection().precision(answers, [scene.target for scene in test])


def test_the_script_trains_a_detector():
    """A part of it: the loss falls, and trained weights go on to find more."""
    data = detection.prepared(scenes.scenes("train", 48), LETTERBOX)
    torch.manual_seed(0)
    losses = []
    detection.train(models.Detector(), data, steps=60, on_step=lambda _, now: losses.append(now))
    assert sum(losses[-4:]) < 0.75 * sum(losses[:4])


def test_bundled_weights_are_as_good_as_the_datasheet_says():
    sheet = (Path(__file__).resolve().parent.parent / "data" / "README.md").read_text()
    (said,) = [line for line in sheet.splitlines() if line.startswith("| mAP on 60 test scenes")]
    found = judged(models.load_detector(), scenes.scenes("test", 60))
    stated = [float(part.split(" %")[0]) for part in said.split("|")[2].split("; ")]
    assert stated == pytest.approx([100 * found["map"], 100 * found["map_50"]], abs=1.0)
    fresh = judged(models.Detector().eval(), scenes.scenes("test", 60))
    assert fresh["map_50"] < 0.02 < 0.6 < found["map_50"]


# --- the app ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("detector") / "detector.ptl"
    script = torch.jit.freeze(torch.jit.script(models.load_detector()))
    optimize_for_mobile(script)._save_for_lite_interpreter(str(path))
    return path


@pytest.fixture(scope="module")
def projects(tmp_path_factory, saved, some):
    folder = tmp_path_factory.mktemp("detection-apps")
    return {
        platform: render.make_for_detection(
            platform, folder / platform, saved, some, scenes.CLASSES, letterbox=LETTERBOX,
            chooser=CHOOSER,
        )
        for platform in render.PLATFORMS
    }  # fmt: skip


@pytest.mark.parametrize("platform", render.PLATFORMS)
def test_the_project_is_complete_and_parses(projects, platform):
    project = projects[platform]
    on_disk = {p.relative_to(project.folder) for p in project.folder.rglob("*") if p.is_file()}
    assert set(project.files) == on_disk
    for path in project.files:
        if path.suffix != ".ptl":
            text = (project.folder / path).read_text()
            assert not any(mark in text for mark in ("{{", "}}", "{%", "%}", "TODO")), path
    readme = (project.folder / "README.md").read_text()
    assert "make_for_detection" in readme and "`detection.json`" in readme
    assert f"mAP {100 * project.vectors.score:.1f} % on 12 test scenes" in readme
    pytest.importorskip("tree_sitter_swift", reason="no tree-sitter grammars")
    language = {"android": "kotlin", "ios": "swift"}[platform]
    sources = [p for p in project.files if p.suffix in (".kt", ".kts", ".swift")]
    assert len(sources) >= 6
    for path in sources:
        assert not syntax_errors(project.folder / path, language), path


def decoded(project, platform):
    assets = assets_of(project, platform)
    stored = json.loads((assets / "vectors.json").read_text())
    facts = json.loads((assets / "detection.json").read_text())

    def array(text, kind="<f4"):
        return np.frombuffer(base64.b64decode(text), kind)

    return facts, stored, [
        {k: array(v, "u1" if k == "raw" else "<f4") for k, v in one.items() if k != "labels"}
        | {"labels": one["labels"]} for one in stored["vectors"]
    ]  # fmt: skip


def test_vectors_are_what_python_computes(projects, some):
    _, stored, vectors = decoded(projects["android"], "android")
    assert len(vectors) == recording.MOST < len(some) and stored["grid"] == 16
    for scene, vector in zip(some, vectors, strict=False):
        assert np.array_equal(vector["raw"], scene.photo.numpy().ravel())
        assert np.array_equal(vector["input"], LETTERBOX(scene.photo).numpy().ravel())
        raw = torch.from_numpy(vector["raw_boxes"].copy()).view(1, 4, 16, 16)
        scores = torch.from_numpy(vector["scores"].copy()).view(1, 5, 16, 16)
        (found,) = CHOOSER(scores, raw)
        boxes = LETTERBOX.back(found["boxes"], *scene.photo.shape[1:])
        assert np.array_equal(vector["boxes"].reshape(-1, 5)[:, :4], boxes.numpy())
        assert vector["labels"] == found["labels"].tolist()
    assert sum(len(vector["labels"]) for vector in vectors) > 5


def same_boxes(line, vector):
    """Whether a harness's line holds the recorded boxes: labels equal, floats nearly."""
    words = np.array(line.split(), dtype=np.uint32).reshape(-1, 6)
    floats = words[:, 1:].copy().view("<f4")
    assert words[:, 0].tolist() == vector["labels"]
    assert np.abs(floats - vector["boxes"].reshape(-1, 5)).max() < 1e-4


SIZES = [(int(h), int(w)) for h, w in np.random.default_rng(0).integers(1, 4000, (40, 2))]


def placed(text):
    return [tuple(map(int, line.split())) for line in text.strip().splitlines()]


def in_python():
    places = [LETTERBOX.place(*size) for size in SIZES]
    return [(p.top, p.left, p.height, p.width) for p in places]


def crowd(n, seed, iou, ties):
    boxes, scores = random_boxes(n, seed, ties)
    numbers = [iou, n, *boxes.flatten().tolist(), *scores.tolist()]
    return " ".join(map(str, numbers)), ops.nms(boxes, scores, iou).tolist()


@pytest.fixture(scope="module")
def jvm(projects, tmp_path_factory):
    """The whole Android app and its harness, compiled; called with a task and numbers."""
    java = need(shutil.which("java"), "there is no Java runtime")
    jars = need(get_kotlin.jars(), "there is no Kotlin compiler: python scripts/get_kotlin.py")
    compiler, *libraries = jars
    target, project = tmp_path_factory.mktemp("classes"), projects["android"]
    run(
        java, "-Xmx1g", "-cp", compiler, "org.jetbrains.kotlin.cli.jvm.K2JVMCompiler",
        "-no-stdlib", "-no-reflect", "-Werror", "-jvm-target", "17",
        "-cp", os.pathsep.join(map(str, libraries)), "-d", target,
        *(project.folder / path for path in project.files if path.suffix == ".kt"),
        STUBS / "kotlin" / "Json.kt", STUBS / "kotlin_detection", STUBS / "java",
    )  # fmt: skip

    def call(task, stdin=None):
        classes = os.pathsep.join(map(str, [target, *libraries]))
        return run(java, "-cp", classes, "HarnessKt", assets_of(project), task, stdin=stdin).strip()

    return call


@pytest.fixture(scope="module")
def native(projects, tmp_path_factory):
    """The iOS app's C, compiled with warnings as errors."""
    compiler = need(shutil.which("g++"), "there is no g++")
    target = tmp_path_factory.mktemp("native") / "harness"
    run(
        compiler, "-std=c++17", "-O2", "-Wall", "-Wextra", "-Werror", "-I",
        projects["ios"].folder / "MobileLab", STUBS / "harness_detection.cpp", "-o", target,
    )  # fmt: skip
    return lambda task, stdin: run(target, task, stdin=stdin).strip()


def test_kotlin_prepares_and_chooses_as_python(projects, jvm):
    _, stored, vectors = decoded(projects["android"], "android")
    assert jvm("labels") == "|".join(scenes.CLASSES)
    for line, vector in zip(jvm("prepare").splitlines(), vectors, strict=True):
        got = np.array(line.split(), dtype=np.int64).astype(np.uint32).view("<f4")
        assert np.abs(got - vector["input"]).max() <= 1e-6 < stored["input_tolerance"]
    for line, vector in zip(jvm("boxes").splitlines(), vectors, strict=True):
        same_boxes(line, vector)
    assert placed(jvm("places", " ".join(f"{h} {w}" for h, w in SIZES))) == in_python()


def test_kotlin_suppresses_as_torchvision(jvm):
    for one in CROWDS:
        numbers, kept = crowd(*one)
        assert list(map(int, jvm("nms", numbers).split())) == kept


@pytest.mark.parametrize(
    "task, verdicts",
    [
        ("as recorded", "true true true true"),
        ("another grey", "false false true true"),
        ("skewed std", "false false true true"),
        ("wrong scores", "false true false true"),
        ("no numbers", "false true false true"),
        ("too few", "false true false true"),
        ("swapped outputs", "false true false true"),
        ("another iou", "false true true false"),
        ("another stride", "false true true false"),
        ("another least", "false true true false"),
    ],
)
def test_the_first_screen_names_the_step_that_is_wrong(jvm, task, verdicts):
    assert jvm(task).split()[:4] == verdicts.split()


def test_c_prepares_and_chooses_as_python(projects, native):
    facts, stored, vectors = decoded(projects["ios"], "ios")
    (_, height, width), size = stored["raw_shape"], facts["size"]
    for vector in vectors:
        given = [height, width, size, facts["fill"], facts["max_value"], *facts["mean"],
                 *facts["std"], *vector["raw"]]  # fmt: skip
        words = native("prepare", " ".join(map(str, given))).split()
        got = np.array(words, dtype=np.uint32).view("<f4")
        assert np.abs(got - vector["input"]).max() <= 2e-6 < stored["input_tolerance"]
        given = [len(scenes.CLASSES), stored["grid"], facts["stride"], facts["least"], facts["iou"],
                 facts["most"], size, height, width, *vector["scores"].astype(float),
                 *vector["raw_boxes"].astype(float)]  # fmt: skip
        same_boxes(native("boxes", " ".join(map(str, given))), vector)
    sizes = " ".join(f"{h} {w}" for h, w in SIZES)
    assert placed(native("places", f"{LETTERBOX.size} {sizes}")) == in_python()


def test_c_suppresses_as_torchvision(native):
    for one in CROWDS:
        numbers, kept = crowd(*one)
        assert list(map(int, native("nms", numbers).split())) == kept


def test_what_makes_no_app(saved, some, tmp_path):
    def make(model=saved, given=some, labels=scenes.CLASSES):
        return render.make_for_detection(
            "android", tmp_path / "app", model, given, labels, letterbox=LETTERBOX, chooser=CHOOSER
        )

    with pytest.raises(ShapeError, match=r"\(1, 5, 16, 16\).* instead of \(1, 3, 16, 16\)"):
        make(labels=("a", "b", "c"))
    with pytest.raises(AppError, match="at least one scene, and all of one size"):
        make(given=[])
    with pytest.raises(AppError, match="empty or holds a line break"):
        make(labels=("a", "b", "c", "d", "e\nf"))
    torch.jit.script(torch.nn.Identity())._save_for_lite_interpreter(str(tmp_path / "same.ptl"))
    with pytest.raises(ShapeError, match=r"same.ptl answers a picture with \(1, 3, 128, 128\)"):
        make(tmp_path / "same.ptl")
    assert not (tmp_path / "app").exists()
