"""The ready-made apps. No Android SDK, no Xcode, no phone here: what can be run of them is run.

The Android app's Kotlin is compiled against stubs of Android and PyTorch (``app_stubs/java``), and
the parts that compute run on a JVM. The iOS app's C header is compiled and run, and so is its C++
around the lite interpreter, with the libtorch that Python itself uses. Swift is parsed.
"""

import base64
import dataclasses
import importlib
import json
import os
import plistlib
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from typer.testing import CliRunner

from mobilelab import datasets, models
from mobilelab.apps import AppError, render, tensors, vectors
from mobilelab.apps.labels import read_labels
from mobilelab.cli import main as cli
from mobilelab.core.errors import MobileLabError, ModelFileError, ShapeError
from mobilelab.core.trees import leaves
from mobilelab.datasets.scenes import photo
from mobilelab.recipes import variants
from mobilelab.runtimes import lite

ROOT = Path(__file__).resolve().parent.parent
STUBS = ROOT / "tests" / "app_stubs"
sys.path.insert(0, str(ROOT / "scripts"))
get_kotlin = importlib.import_module("get_kotlin")

ALL = [(platform, variant) for platform in render.PLATFORMS for variant in render.variants()]
REQUIRED = os.environ.get("MOBILELAB_REQUIRE_COMPILERS")


def need(thing, what):
    """Skip, saying why; fail instead where the compilers are required."""
    if not thing and REQUIRED:
        pytest.fail(f"{what}, and MOBILELAB_REQUIRE_COMPILERS is set")
    if not thing:
        pytest.skip(what)
    return thing


def run(*command, stdin=None):
    done = subprocess.run(
        [str(part) for part in command], input=stdin, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory, walk):
    """A float and an int8 .ptl of the trained network, and the official recipe's broken one."""
    names = ("mobile", "mobile-int8", "recipe")
    paths = {name: one.path for name, one in walk(*variants.named(*names)).items()}
    # Only looked at, never run: eight bytes say that it is a program for ExecuTorch.
    paths["pte"] = tmp_path_factory.mktemp("built") / "digits.pte"
    paths["pte"].write_bytes(b"\x3c\x00\x00\x00ET12" + bytes(100))
    return paths


@pytest.fixture(scope="module")
def projects(tmp_path_factory, data, built):
    folder = tmp_path_factory.mktemp("apps")
    return {
        (platform, variant): render.make(
            platform, folder / f"{platform}-{variant}",
            built["mobile" if variant == "lite" else "pte"], data, variant=variant,
            reference=None if variant == "lite" else built["mobile"], name="Tom & Ann's \"lab\"",
        )
        for platform, variant in ALL
    }  # fmt: skip


def colourful(n=60):
    """A data set with three channels of 8 x 6 pixels, whose class is its brightest channel."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(n) % 3
    raw = torch.randint(0, 120, (n, 3, 8, 6), generator=generator, dtype=torch.uint8)
    raw[torch.arange(n), labels] += 120
    facts = datasets.Preprocessing(255.0, (0.3, 0.4, 0.5), (0.2, 0.25, 0.3))
    split = datasets.Split(raw, facts(raw), labels)
    return datasets.Dataset("colours", ("red", "green", "blue"), facts, split, split, split)


class Brightest(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 3, 1, bias=False)
        self.conv.weight.data = torch.eye(3).view(3, 3, 1, 1)

    def forward(self, x):
        return self.conv(x).mean(dim=(2, 3))


@pytest.fixture(scope="module")
def colour_project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("colour")
    torch.jit.script(Brightest().eval())._save_for_lite_interpreter(str(folder / "c.ptl"))
    return {
        platform: render.make(platform, folder / platform, folder / "c.ptl", colourful())
        for platform in render.PLATFORMS
    }


@pytest.fixture(scope="module")
def photo_project(tmp_path_factory):
    """Photographs in three channels, resized as lab 01's app does it."""
    folder = tmp_path_factory.mktemp("photos")
    torch.jit.script(Brightest().eval())._save_for_lite_interpreter(str(folder / "c.ptl"))
    raw = torch.stack([photo(name)[:, :256, :256] for name in ("cat", "coffee", "rocket")])
    facts = datasets.Preprocessing(255.0, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), size=224)
    split = datasets.Split(raw, facts(raw), torch.arange(3))
    names = ("cat", "coffee", "rocket")
    data = datasets.Dataset("photographs", names, facts, split, split, split)
    return {
        platform: render.make(platform, folder / platform, folder / "c.ptl", data, guessing=True)
        for platform in render.PLATFORMS
    }


# --- what is written ----------------------------------------------------------------------


@pytest.mark.parametrize("which", ALL, ids="-".join)
def test_no_placeholder_is_left_and_every_file_is_listed(projects, which):
    project = projects[which]
    on_disk = {path.relative_to(project.folder) for path in project.folder.rglob("*")}
    assert set(project.files) == {path for path in on_disk if (project.folder / path).is_file()}
    assert Path("README.md") in project.files and Path(".gitignore") in project.files
    for path in project.files:
        if path.suffix not in (".ptl", ".pte"):
            text = (project.folder / path).read_text(encoding="utf-8")
            assert not re.search(r"\{\{|\}\}|\{%|%\}|\bTODO\b", text), path
            assert str(project.folder) not in text and str(ROOT) not in text, path


@pytest.mark.parametrize("which", ALL, ids="-".join)
def test_every_file_of_a_known_format_parses(projects, which):
    project = projects[which]
    seen = set()
    for path in project.files:
        full = project.folder / path
        seen.add(path.suffix)
        if path.suffix == ".json":
            json.loads(full.read_text())
        elif path.suffix in (".yml", ".yaml"):
            yaml.safe_load(full.read_text())
        elif path.suffix == ".xml":
            ET.parse(full)
        elif path.suffix == ".plist":
            plistlib.loads(full.read_bytes())
        elif path.suffix == ".properties":
            lines = [line for line in full.read_text().splitlines() if line and line[0] != "#"]
            assert all("=" in line for line in lines)
    assert {".json", ".xml" if which[0] == "android" else ".yml"} <= seen


def syntax_errors(path, language):
    import tree_sitter
    import tree_sitter_kotlin
    import tree_sitter_swift

    grammar = {"kotlin": tree_sitter_kotlin, "swift": tree_sitter_swift}[language]
    parser = tree_sitter.Parser(tree_sitter.Language(grammar.language()))
    tree = parser.parse(path.read_bytes())
    return tree.root_node.has_error


@pytest.mark.parametrize("which", ALL, ids="-".join)
def test_kotlin_and_swift_have_no_syntax_error(projects, which, tmp_path):
    pytest.importorskip(
        "tree_sitter_swift", reason="no tree-sitter grammars: pip install -e .[dev]"
    )
    language, suffixes = {
        "android": ("kotlin", (".kt", ".kts")), "ios": ("swift", (".swift",))
    }[which[0]]  # fmt: skip
    project = projects[which]
    sources = [project.folder / path for path in project.files if path.suffix in suffixes]
    assert len(sources) >= 5
    for path in sources:
        assert not syntax_errors(path, language), path
    broken = tmp_path / sources[0].name
    broken.write_text(sources[0].read_text().replace("{", "(", 1))
    assert syntax_errors(broken, language)


def shared_blocks(folder, least):
    """Runs of lines in two kinds of one platform's templates, which belong below both."""
    found = {}
    for path in sorted(folder.rglob("*")):
        kind = path.relative_to(folder).parts[0]
        if path.suffix not in (".kt", ".swift", ".j2") or kind not in (
            "images",
            "tensors",
            "detection",
        ):
            continue
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
        for i in range(len(lines) - least + 1):
            found.setdefault("\n".join(lines[i : i + least]), set()).add(kind)
    return {block: kinds for block, kinds in found.items() if len(kinds) > 1}


@pytest.mark.parametrize("platform", render.PLATFORMS)
def test_what_kinds_of_apps_share_stands_once(platform, tmp_path):
    folder = Path(render.__file__).parent / "templates" / platform
    assert not shared_blocks(folder, 15)
    frame = "\n".join(f"line {i}" for i in range(15))
    for kind in ("images", "tensors"):
        (tmp_path / kind).mkdir()
        (tmp_path / kind / "Main.kt").write_text(f"// {kind}\n{frame}\n")
    assert shared_blocks(tmp_path, 15) == {frame: {"images", "tensors"}}


@pytest.mark.parametrize("variant", render.variants())
def test_the_same_model_labels_and_constants_reach_the_app(projects, built, data, variant):
    for platform in render.PLATFORMS:
        project = projects[platform, variant]
        assets = project.folder / render.ASSETS[platform]
        source = built["mobile" if variant == "lite" else "pte"]
        model = assets / f"model{render.variants()[variant].suffix}"
        assert model.read_bytes() == source.read_bytes()
        assert (assets / "labels.txt").read_text().split() == list(data.classes)
        facts = json.loads((assets / "preprocessing.json").read_text())
        for key, value in dataclasses.asdict(data.preprocessing).items():
            assert facts[key] == (list(value) if isinstance(value, tuple) else value)
        lab = next(p for p in project.files if p.name in ("Lab.kt", "Lab.swift"))
        assert f'"{model.name}"' in (project.folder / lab).read_text()


def test_the_name_survives_xml_and_yaml(projects):
    name = 'Tom & Ann\'s "lab"'
    for variant in render.variants():
        strings = ET.parse(projects["android", variant].folder / render_path("strings.xml"))
        assert strings.getroot()[0].text == name
        spec = yaml.safe_load((projects["ios", variant].folder / "project.yml").read_text())
        info = spec["targets"]["MobileLab"]["info"]["properties"]
        assert info["CFBundleDisplayName"] == name


def render_path(name):
    return Path("app/src/main/res/values") / name


def test_each_variant_depends_on_its_own_runtime(projects):
    for variant, other in (("lite", "executorch"), ("executorch", "lite")):
        gradle = (projects["android", variant].folder / "app/build.gradle.kts").read_text()
        assert f'implementation("{render.variants()[variant].in_app.android}")' in gradle
        assert render.variants()[other].in_app.android not in gradle
    assert "LibTorch-Lite" in (projects["ios", "lite"].folder / "Podfile").read_text()
    spec = yaml.safe_load((projects["ios", "executorch"].folder / "project.yml").read_text())
    assert spec["packages"]["executorch"]["branch"] == render.variants()["executorch"].in_app.ios
    assert not (projects["ios", "executorch"].folder / "Podfile").exists()


def test_operators_are_those_of_the_file(projects, built):
    listed = yaml.safe_load((projects["android", "lite"].folder / "operators.yaml").read_text())
    assert tuple(listed) == lite.inspect(built["mobile"]).operators
    assert "prepacked::conv2d_clamp_run" in listed


@pytest.mark.parametrize("which", ALL, ids="-".join)
def test_the_readme_says_what_was_not_done_and_cites_what_it_lists(projects, which):
    project = projects[which]
    text = (project.folder / "README.md").read_text()
    body, sources = text.split("## Sources")
    never = "never built with " + ("the Android SDK" if which[0] == "android" else "Xcode")
    assert never in body and "never run on a device" in body
    cited = set(re.findall(r"\[([a-z]+)\]", body))
    listed = set(re.findall(r"^- \[([a-z]+)\]", sources, re.M))
    assert cited == listed and listed
    assert not re.search(r"\n(?!\n)[^\n]+\n#+ ", body), "a heading without a line before it"


def test_every_template_is_packaged():
    """What pyproject's pattern does not match would be missing from an installed MobileLab."""
    package = ROOT / "mobilelab"
    assert '"apps/templates/**/*"' in (ROOT / "pyproject.toml").read_text()
    there = {path for path in (package / "apps/templates").rglob("*") if path.is_file()}
    assert there and not any(path.name.startswith(".") for path in there)


# --- the vectors --------------------------------------------------------------------------


def decoded(project):
    (path,) = [p for p in project.files if p.name == "vectors.json"]
    stored = json.loads((project.folder / path).read_text())

    def array(text, kind):
        return np.frombuffer(base64.b64decode(text), kind)

    return stored, [
        (v["label"], array(v["raw"], "u1"), array(v["input"], "<f4"), array(v["output"], "<f4"))
        for v in stored["vectors"]
    ]


def test_vectors_are_what_python_computes(projects, built, data):
    stored, all_of_them = decoded(projects["android", "lite"])
    assert [label for label, *_ in all_of_them] == list(range(10))
    module = lite.load(built["mobile"])
    for label, raw, given, output in all_of_them:
        image = torch.from_numpy(raw.copy()).reshape(1, *stored["raw_shape"])
        expected = data.preprocessing(image)
        assert torch.equal(torch.from_numpy(given.copy()).reshape(expected.shape), expected)
        scores = module(expected)[0]
        assert torch.allclose(torch.from_numpy(output.copy()), scores, rtol=1e-5, atol=1e-5)
        assert any(
            torch.equal(image[0], other) for other in data.test.raw[data.test.labels == label]
        )
    assert stored["output_tolerance"] == vectors.FLOAT_TOLERANCE
    assert stored["test_accuracy"] > 0.97 and stored["test_images"] == len(data.test)


def test_int8_gets_the_wider_tolerance(built, data):
    recorded = vectors.record(built["mobile-int8"], data, data.classes)
    assert recorded.output_tolerance == vectors.INT8_TOLERANCE > vectors.FLOAT_TOLERANCE


def test_recorded_with_says_when_it_was_not_the_pte(projects):
    stored, _ = decoded(projects["ios", "executorch"])
    assert "mobile.ptl" in stored["recorded_with"] and "not by the .pte" in stored["recorded_with"]


# --- the Android app on a JVM -------------------------------------------------------------


@pytest.fixture(scope="module")
def jvm(projects, tmp_path_factory):
    """The whole Android app and the harness, compiled; called with assets and a task."""
    java = need(shutil.which("java"), "there is no Java runtime")
    jars = need(get_kotlin.jars(), "there is no Kotlin compiler: python scripts/get_kotlin.py")
    compiler, *libraries = jars
    place = tmp_path_factory.mktemp("classes")

    def compile_kotlin(target, *sources):
        return run(
            java, "-Xmx1g", "-cp", compiler, "org.jetbrains.kotlin.cli.jvm.K2JVMCompiler",
            "-no-stdlib", "-no-reflect", "-Werror", "-jvm-target", "17",
            "-cp", os.pathsep.join(map(str, libraries)), "-d", target,
            *sources, STUBS / "java",
        )  # fmt: skip

    def kotlin(which):
        project = projects["android", which]
        return [project.folder / path for path in project.files if path.suffix == ".kt"]

    compile_kotlin(place / "lite", *kotlin("lite"), STUBS / "kotlin")
    pure = [path for path in kotlin("executorch") if path.name in ("Model.kt", "Tensors.kt")]
    assert len(pure) == 2
    compile_kotlin(place / "executorch", *pure)

    def call(assets, task):
        classes = os.pathsep.join(map(str, [place / "lite", *libraries]))
        return run(java, "-cp", classes, "HarnessKt", assets, task).strip()

    return call


def assets_of(project, platform="android"):
    return project.folder / render.ASSETS[platform]


def as_floats(line):
    bits = np.array([int(word) & 0xFFFFFFFF for word in line.split()], dtype="<u4")
    return bits.view("<f4")


def test_kotlin_prepares_as_python(jvm, projects, colour_project):
    for project in (projects["android", "lite"], colour_project["android"]):
        _, all_of_them = decoded(project)
        lines = jvm(assets_of(project), "prepare").splitlines()
        assert len(lines) == len(all_of_them) > 2
        for line, (_, _, expected, _) in zip(lines, all_of_them, strict=True):
            assert np.abs(as_floats(line) - expected).max() <= 1e-6


def test_kotlin_prepares_photographs_as_python(jvm, photo_project):
    stored, all_of_them = decoded(photo_project["android"])
    lines = jvm(assets_of(photo_project["android"]), "prepare").splitlines()
    for line, (_, _, expected, _) in zip(lines, all_of_them, strict=True):
        assert np.abs(as_floats(line) - expected).max() <= 2e-6 < stored["input_tolerance"]


def test_kotlin_self_check_passes_and_each_skew_is_caught(jvm, projects, colour_project):
    digits, colours = assets_of(projects["android", "lite"]), assets_of(colour_project["android"])

    def verdict(assets, task):
        passed, inputs, outputs, same, *_ = jvm(assets, task).split()
        return passed == "true", inputs == "true", outputs == "true", int(same)

    assert verdict(digits, "check") == (True, True, True, 10)
    assert verdict(colours, "check") == (True, True, True, 3)
    # The stand-in answers as recorded, so in these only the inputs can give the skew away.
    assert verdict(digits, "skewed std") == (False, False, True, 10)
    assert verdict(digits, "skewed scale") == (False, False, True, 10)
    assert verdict(colours, "skewed channels") == (False, False, True, 3)
    for wrong in ("wrong scores", "no numbers", "too few scores"):
        assert verdict(digits, wrong)[:3] == (False, True, False), wrong


def test_kotlin_labels_ink_and_pixels(jvm, projects):
    assets = assets_of(projects["android", "lite"])
    assert jvm(assets, "labels") == "|".join("0123456789")
    assert jvm(assets, "ink").split() == ["12"] + ["0"] * 15
    assert jvm(assets, "pixels").split() == ["16", "64", "32", "80", "48", "96"]


# --- the iOS app's C and C++ on this machine ----------------------------------------------


@pytest.fixture(scope="module")
def native(projects, tmp_path_factory):
    compiler = need(shutil.which("g++"), "there is no g++")
    target = tmp_path_factory.mktemp("native") / "harness"
    sources = projects["ios", "lite"].folder / "MobileLab"
    flags = ("-std=c++17", "-O1", "-Wall", "-Wextra", "-Werror")
    run(compiler, *flags, "-I", sources, STUBS / "harness.cpp", "-o", target)
    return target


def test_the_header_is_plain_c_too(projects, tmp_path):
    compiler = need(shutil.which("gcc"), "there is no gcc")
    for variant in render.variants():
        header = projects["ios", variant].folder / "MobileLab" / "preprocess.h"
        source = tmp_path / "one.c"
        source.write_text(f'#include "{header}"\nint main(void) {{ return 0; }}\n')
        run(compiler, "-std=c99", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", source)


def prepared(native, facts, shape, raw):
    numbers = [*shape, facts["size"], facts["max_value"], *facts["mean"], *facts["std"], *raw]
    return as_floats(run(native, "prepare", stdin=" ".join(map(repr, map(float, numbers)))))


def facts_of(project):
    return json.loads((assets_of(project, "ios") / "preprocessing.json").read_text())


def test_c_prepares_as_python(native, projects, colour_project):
    for project in (projects["ios", "lite"], colour_project["ios"]):
        stored, all_of_them = decoded(project)
        for _, raw, expected, _ in all_of_them:
            got = prepared(native, facts_of(project), stored["raw_shape"], raw)
            assert np.abs(got - expected).max() <= 1e-6


@pytest.mark.parametrize("height, width", [(8, 8), (28, 28), (32, 32), (50, 37), (1, 1)])
def test_c_resizes_other_sizes_as_python(native, height, width):
    facts = datasets.Preprocessing(255.0, (0.3, 0.4, 0.5), (0.2, 0.25, 0.3))
    raw = torch.randint(0, 256, (1, 3, height, width), dtype=torch.uint8)
    got = prepared(native, dataclasses.asdict(facts), (3, height, width), raw.flatten().tolist())
    assert np.abs(got - facts(raw).numpy().ravel()).max() <= 2e-6


def test_a_skewed_constant_is_caught_in_c(native, projects):
    project = projects["ios", "lite"]
    stored, all_of_them = decoded(project)
    facts = facts_of(project)
    facts["std"] = [facts["std"][0] * 1.01]
    _, raw, expected, _ = all_of_them[0]
    got = prepared(native, facts, stored["raw_shape"], raw)
    difference, _, _ = compared(native, expected, got)
    assert difference > stored["input_tolerance"]


def compared(native, expected, got):
    numbers = " ".join(str(float(v)) for v in [*expected, *got])
    difference, error, best = run(native, "compare", stdin=f"{len(expected)} {numbers}").split()
    return float(difference), float(error), int(best)


def test_c_compares_as_python(native):
    assert compared(native, [3, 4], [3, 4]) == (0, 0, 1)
    assert compared(native, [3, 4], [3, 1]) == (3, pytest.approx(3 / 5), 0)
    assert compared(native, [3, 4], [3, float("nan")])[:2] == (float("inf"), float("inf"))


def test_c_ink_and_pixels(native):
    assert run(native, "ink").split() == ["12"] + ["0"] * 15
    assert run(native, "pixels").split() == ["16", "64", "32", "80", "48", "96"]


@pytest.fixture(scope="module")
def with_torch(projects, tmp_path_factory):
    """The C++ that the iOS app calls, linked with this Python's libtorch."""
    compiler = need(shutil.which("g++"), "there is no g++")
    need(sys.platform == "linux", "linking with libtorch is tried on Linux only")
    target = tmp_path_factory.mktemp("torch") / "harness"
    sources = projects["ios", "lite"].folder / "MobileLab"
    home = Path(torch.__file__).parent
    run(
        compiler, "-std=c++17", "-O0", "-DWITH_TORCH", "-isystem", home / "include",
        "-isystem", home / "include/torch/csrc/api/include", "-I", sources,
        sources / "LiteModel.cpp", STUBS / "harness.cpp", "-o", target, "-L", home / "lib",
        "-Wl,--no-as-needed", "-ltorch_cpu", "-lc10", "-Wl,--allow-shlib-undefined",
        f"-Wl,-rpath,{home / 'lib'}",
    )  # fmt: skip
    return target


def given(size, values):
    return f"{size} {len(values)} " + " ".join(str(float(v)) for v in values)


@pytest.mark.parametrize("name", ["mobile", "mobile-int8"])
def test_cpp_answers_as_recorded(with_torch, built, data, name):
    recorded = vectors.record(built[name], data, data.classes)
    for image, expected in zip(recorded.inputs[:3], recorded.outputs[:3], strict=True):
        got = as_floats(
            run(with_torch, "run", built[name], stdin=given(32, image.flatten().tolist()))
        )
        error = np.linalg.norm(got - expected.numpy()) / np.linalg.norm(expected.numpy())
        assert error <= recorded.output_tolerance


def test_cpp_refuses_in_words(with_torch, built, tmp_path):
    short = run(with_torch, "run", built["mobile"], stdin=given(32, [0.5] * 100))
    assert short.startswith("refused: the input has 400 bytes but its shape wants 4096")
    (tmp_path / "cut.ptl").write_bytes(built["mobile"].read_bytes()[:1000])
    assert run(with_torch, "run", tmp_path / "cut.ptl", stdin=given(1, [0])).startswith("refused")


# --- what is refused ----------------------------------------------------------------------


def refused(error, words, tmp_path, data, model, **more):
    with pytest.raises(error, match=words) as caught:
        render.make("android", tmp_path / "out", model, data, **more)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_model_that_is_none(built, data, tmp_path):
    (tmp_path / "x.ptl").write_bytes(b"\x89PNG" + bytes(2000))
    refused(ModelFileError, "not a complete model archive", tmp_path, data, tmp_path / "x.ptl")
    refused(ModelFileError, "There is no file", tmp_path, data, tmp_path / "no.ptl")
    torch.jit.script(models.load_trained()).save(str(tmp_path / "s.ptl"))
    refused(ModelFileError, "holds no bytecode", tmp_path, data, tmp_path / "s.ptl")


def test_a_model_for_the_other_runtime(built, data, tmp_path):
    refused(ModelFileError, "--variant executorch", tmp_path, data, built["pte"])
    refused(ModelFileError, "--variant lite", tmp_path, data, built["mobile"], variant="executorch")


def test_a_pte_that_nobody_can_ask(built, data, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "executorch.runtime", None)
    refused(AppError, "--reference", tmp_path, data, built["pte"], variant="executorch")


@pytest.mark.parametrize("how", ["scripted", "optimized"])
def test_a_model_with_other_channels(data, tmp_path, how):
    from torch.utils.mobile_optimizer import optimize_for_mobile

    module = torch.jit.script(models.TinyMobileNet(3).eval())
    if how == "optimized":
        module = optimize_for_mobile(module)
    module._save_for_lite_interpreter(str(tmp_path / "rgb.ptl"))
    refused(ShapeError, "wants images with 3 channels", tmp_path, data, tmp_path / "rgb.ptl")


def test_a_model_with_other_inputs(data, tmp_path):
    flat = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(784, 10)).eval()
    torch.jit.script(flat)._save_for_lite_interpreter(str(tmp_path / "flat.ptl"))
    refused(
        ShapeError, r"does not run on an image of digits", tmp_path, data, tmp_path / "flat.ptl"
    )


def test_labels_that_do_not_fit(built, data, tmp_path):
    words = "one for each of the 2 labels"
    refused(ShapeError, words, tmp_path, data, built["mobile"], labels=["a", "b"])
    refused(AppError, "empty or holds a line break", tmp_path, data, built["mobile"],
            labels=[*"012345678", "a\nb"])  # fmt: skip


def test_the_official_recipe_gets_no_app(built, data, tmp_path):
    """Its file loads and runs and answers by guessing (chapter 04): this is the last gate."""
    refused(AppError, "which is guessing", tmp_path, data, built["recipe"])


def test_nothing_is_overwritten(built, data, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    for out in (tmp_path, tmp_path / "mine.txt"):
        with pytest.raises(AppError, match="is there already and not an empty folder"):
            render.make("ios", out, built["mobile"], data)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    (tmp_path / "empty").mkdir()
    assert render.make("ios", tmp_path / "empty", built["mobile"], data).files


def test_unknown_choices(built, data, tmp_path):
    with pytest.raises(AppError, match="no platform 'windows'"):
        render.make("windows", tmp_path / "o", built["mobile"], data)
    with pytest.raises(AppError, match="no variant 'onnx'"):
        render.make("ios", tmp_path / "o", built["mobile"], data, variant="onnx")


def test_labels_from_a_command_line(tmp_path):
    assert read_labels(None) is None
    assert read_labels("a, b,c") == ("a", "b", "c")
    (tmp_path / "l.txt").write_text("one\ntwo\n\n")
    assert read_labels(str(tmp_path / "l.txt")) == ("one", "two")
    with pytest.raises(MobileLabError, match="one name on each line"):
        read_labels(str(tmp_path / "nothing.txt"))


def test_the_command(built, tmp_path):
    done = CliRunner().invoke(
        cli.app, ["app", "ios", str(tmp_path / "o"), "--model", str(built["mobile-int8"])]
    )
    assert done.exit_code == 0, done.output
    assert "It was not built here" in done.output
    assert (tmp_path / "o" / "project.yml").is_file()
    again = CliRunner().invoke(
        cli.app, ["app", "ios", str(tmp_path / "o"), "--model", str(built["mobile-int8"])]
    )
    assert isinstance(again.exception, AppError)


# --- an app for any model -------------------------------------------------------------------------


class Reader(torch.nn.Module):
    """Two inputs of two types, and answers with names: floats, whole numbers, and one inside."""

    def __init__(self):
        super().__init__()
        self.words, self.out = torch.nn.Embedding(50, 8), torch.nn.Linear(8, 4)

    def forward(
        self, tokens: torch.Tensor, weight: torch.Tensor
    ) -> tuple[dict[str, torch.Tensor], list[torch.Tensor]]:
        weight.mul_(2)  # an app must not mind
        scores = self.out((self.words(tokens) * weight.unsqueeze(2)).mean(1))
        return {"scores": scores, "best": scores.argmax(1)}, [scores.softmax(1)]


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("reader") / "reader.ptl"
    torch.jit.script(Reader().eval())._save_for_lite_interpreter(str(path))
    return path, [(torch.randint(0, 50, (1, 6)), torch.rand(1, 6)) for _ in range(12)]


@pytest.fixture(scope="module")
def for_tensors(reader, tmp_path_factory):
    folder, (path, examples) = tmp_path_factory.mktemp("tensors"), reader
    return {
        platform: render.make_for_tensors(platform, folder / platform, path, examples)
        for platform in render.PLATFORMS
    }


@pytest.mark.parametrize("platform", render.PLATFORMS)
def test_an_app_for_tensors_has_no_images_in_it(for_tensors, platform):
    project = for_tensors[platform]
    names = {path.name for path in project.files}
    assert not names & {"labels.txt", "preprocessing.json", "preprocess.h", "TryActivity.kt"}
    for path in project.files:
        if path.suffix not in (".ptl", ".json"):
            text = (project.folder / path).read_text()
            assert "{{" not in text and "TryActivity" not in text, path
    readme = (project.folder / "README.md").read_text()
    assert "Examples: 10" in readme and "preprocessing.json" not in readme
    pytest.importorskip("tree_sitter_swift", reason="no tree-sitter grammars")
    language = {"android": "kotlin", "ios": "swift"}[platform]
    for path in project.files:
        if path.suffix in (".kt", ".kts", ".swift"):
            assert not syntax_errors(project.folder / path, language), path


def test_recorded_tensors_are_what_python_computes(for_tensors, reader):
    (path,) = [p for p in for_tensors["android"].files if p.name == "vectors.json"]
    stored = json.loads((for_tensors["android"].folder / path).read_text())
    assert len(stored["cases"]) == tensors.MOST == 10
    tokens, weight = reader[1][0]
    first = stored["cases"][0]
    assert [(t["name"], t["dtype"], t["shape"]) for t in first["inputs"]] == [
        ("0", "int64", [1, 6]), ("1", "float32", [1, 6])
    ]  # fmt: skip
    assert base64.b64decode(first["inputs"][0]["data"]) == tokens.numpy().tobytes()
    assert base64.b64decode(first["inputs"][1]["data"]) == weight.numpy().tobytes()
    assert [(t["name"], t["dtype"]) for t in first["outputs"]] == [
        ("0.scores", "float32"), ("0.best", "int64"), ("1.0", "float32")
    ]  # fmt: skip


@pytest.fixture(scope="module")
def jvm_for_tensors(for_tensors, tmp_path_factory):
    java = need(shutil.which("java"), "there is no Java runtime")
    jars = need(get_kotlin.jars(), "there is no Kotlin compiler: python scripts/get_kotlin.py")
    compiler, *libraries = jars
    target = tmp_path_factory.mktemp("classes-for-tensors")
    project = for_tensors["android"]
    sources = [project.folder / path for path in project.files if path.suffix == ".kt"]
    run(
        java, "-Xmx1g", "-cp", compiler, "org.jetbrains.kotlin.cli.jvm.K2JVMCompiler",
        "-no-stdlib", "-no-reflect", "-Werror", "-jvm-target", "17",
        "-cp", os.pathsep.join(map(str, libraries)), "-d", target, *sources,
        STUBS / "kotlin" / "Json.kt", STUBS / "kotlin_tensors", STUBS / "java",
    )  # fmt: skip

    def call(task):
        classes = os.pathsep.join(map(str, [target, *libraries]))
        return run(java, "-cp", classes, "HarnessKt", assets_of(project), task).strip()

    return call


def test_kotlin_reads_and_checks_tensors(jvm_for_tensors, reader):
    tokens, weight = reader[1][0]
    first, second = (line.split() for line in jvm_for_tensors("inputs").splitlines()[:2])
    assert first[:3] == ["0", "int64", "1,6"] and second[:3] == ["1", "float32", "1,6"]
    assert [float(x) for x in first[3].split(",")] == tokens[0].tolist()
    assert [float(x) for x in second[3].split(",")] == weight[0].tolist()
    good = "true 10 0.scores=true 0.best=true 1.0=true"
    assert [jvm_for_tensors(task) for task in ("as recorded", "swapped", "without names")] == [
        good
    ] * 3
    assert jvm_for_tensors("one is missing") == "false 10 0.scores=false 0.best=true 1.0=true"
    bad = "false 10 0.scores=false 0.best=false 1.0=false"
    assert jvm_for_tensors("another shape") == jvm_for_tensors("wrong") == bad


def test_cpp_answers_tensors_as_recorded(with_torch, reader, for_tensors):
    path, examples = reader
    recorded = for_tensors["ios"].vectors
    for example, answer in zip(examples[:2], recorded.answers[:2], strict=True):
        words = [len(example)]
        for leaf in example:
            content = list(leaf.numpy().tobytes())
            words += [str(leaf.dtype)[6:], leaf.ndim, *leaf.shape, len(content), *content]
        said = run(with_torch, "tensors", path, stdin=" ".join(map(str, words))).splitlines()
        for line, (name, leaf) in zip(said, leaves(answer).items(), strict=True):
            head, content = line.split(" :")
            assert head.split() == [f'"{name}"', str(leaf.dtype)[6:], *map(str, leaf.shape)]
            got = np.array(content.split(), dtype=np.uint8).view(leaf.numpy().dtype)
            assert np.allclose(got, leaf.numpy().flatten(), rtol=1e-5)


def test_examples_and_models_that_make_no_app(reader, tmp_path):
    path, examples = reader
    for wrong in ([], [{"tokens": examples[0][0]}]):
        with pytest.raises(AppError, match="at least one example, with its inputs by position"):
            render.make_for_tensors("android", tmp_path / "none", path, wrong)
    with pytest.raises(ShapeError, match="takes 2 inputs, tokens .*, weight .*, and got int64"):
        render.make_for_tensors("android", tmp_path / "one", path, [examples[0][0]])

    class Flags(torch.nn.Module):
        def forward(self, x):
            return x > 0

    torch.jit.script(Flags())._save_for_lite_interpreter(str(tmp_path / "flags.ptl"))
    with pytest.raises(AppError, match="The answer tensor is bool, and the apps read float32"):
        render.make_for_tensors("ios", tmp_path / "flags", tmp_path / "flags.ptl", [torch.ones(2)])
    (tmp_path / "text.pt").write_text("no tensors")
    torch.save({"a": "text"}, tmp_path / "words.pt")
    for name in ("text.pt", "words.pt", "nothing.pt"):
        with pytest.raises(AppError, match=f"Cannot read examples from {name}"):
            tensors.read_examples(tmp_path / name)


def test_the_command_for_tensors(reader, tmp_path):
    path, examples = reader
    torch.save(examples, tmp_path / "examples.pt")
    command = ["app", "android", str(tmp_path / "app"), "--model", str(path), "--examples",
               str(tmp_path / "examples.pt")]  # fmt: skip
    done = CliRunner().invoke(cli.app, command)
    assert done.exit_code == 0, done.output
    assert "10 of 12 examples with their answers are inside" in " ".join(done.output.split())
    done = CliRunner().invoke(cli.app, [*command, "--labels", "a,b"])
    assert isinstance(done.exception, AppError) and "belong to images" in str(done.exception)
