"""Lab 01's parts: weights that are refused unless they are torchvision's, and the app's code."""

import hashlib
import re
import shutil
import subprocess
from importlib import metadata
from pathlib import Path, PurePosixPath

import nbformat
import pytest
import torch
from test_apps import ROOT, need, run
from torchvision.models import MobileNet_V2_Weights

from mobilelab import datasets, measure, models
from mobilelab.apps import render
from mobilelab.core.errors import DataError
from mobilelab.datasets.scenes import photo

PUBLISHED = MobileNet_V2_Weights.IMAGENET1K_V1
LABELS = PUBLISHED.meta["categories"]
FACTS = datasets.Preprocessing(255.0, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), size=224)
PHOTOS = ("cat", "coffee", "hopper", "rocket")


# --- the weights --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def network():
    return models.load_imagenet()


def test_the_weights_are_torchvisions_and_know_a_cat(network):
    assert sum(p.numel() for p in network.parameters()) == PUBLISHED.meta["num_params"]
    assert not network.training
    scores = measure.scores(network, PUBLISHED.transforms()(photo("cat"))[None])[0]
    assert LABELS[int(scores.argmax())] in {"Egyptian cat", "tabby", "tiger cat"}


def test_the_checksum_begins_as_torchvisions_file_name_says():
    assert PUBLISHED.url.endswith(models.IMAGENET[1])
    (short,) = re.findall(r"-([0-9a-f]{8})\.pth", models.IMAGENET[1])
    (file,) = [f for f in metadata.files(models.IMAGENET[0]) if f.name == models.IMAGENET[1]]
    assert hashlib.sha256(Path(file.locate()).read_bytes()).hexdigest().startswith(short)


class Located(PurePosixPath):
    def locate(self):
        return self


def test_missing_weights_are_one_sentence(monkeypatch, tmp_path):
    def no_package(name):
        raise metadata.PackageNotFoundError(name)

    gone = [Located(tmp_path / models.IMAGENET[1])]
    for files in (no_package, lambda name: [], lambda name: gone):
        monkeypatch.setattr(metadata, "files", files)
        with pytest.raises(DataError, match=r"is not here; install it with: .* -r weights.txt"):
            models.load_imagenet()


def test_other_weights_are_refused(monkeypatch, tmp_path):
    (file,) = [f for f in metadata.files(models.IMAGENET[0]) if f.name == models.IMAGENET[1]]
    content = bytearray(Path(file.locate()).read_bytes())
    content[1_000_000] ^= 1
    (tmp_path / models.IMAGENET[1]).write_bytes(content)
    monkeypatch.setattr(metadata, "files", lambda name: [Located(tmp_path / models.IMAGENET[1])])
    with pytest.raises(DataError, match="not torchvision's file"):
        models.load_imagenet()


# --- what the phone runs ------------------------------------------------------------------


def lab():
    return nbformat.read(ROOT / "notebooks/labs/01_image_classification.ipynb", as_version=4)


@pytest.fixture(scope="module")
def native(tmp_path_factory):
    """The lab's own harness around the app's header, compiled with warnings as errors."""
    compiler = need(shutil.which("g++"), "there is no g++")
    (cell,) = [c.source for c in lab().cells if 'harness = """' in c.source]
    (source,) = re.findall(r'harness = """(.*?)"""', cell, re.S)
    folder = tmp_path_factory.mktemp("native")
    (folder / "harness.cpp").write_text(source.replace("\\\\n", "\\n"))
    headers = Path(render.__file__).parent / "templates/ios"
    folders = [f"-I{headers / kind / 'MobileLab'}" for kind in ("images", "pictures")]
    flags = ("-std=c++17", "-O2", "-Wall", "-Wextra", "-Werror")
    run(compiler, *flags, *folders, folder / "harness.cpp", "-o", folder / "harness")

    def call(tensor, size):
        given = tensor.contiguous().numpy().tobytes()
        return subprocess.run(
            [folder / "harness", str(size)], input=given, capture_output=True, check=True
        ).stdout

    return call


def square(name):
    whole = photo(name)
    side = min(whole.shape[1:])
    top, left = ((a - side) // 2 for a in whole.shape[1:])
    return whole[:, top : top + side, left : left + side]


@pytest.mark.parametrize("name", PHOTOS)
def test_c_prepares_a_photograph_as_python(native, name):
    raw = square(name)
    said = native(raw, raw.shape[1])
    got = torch.frombuffer(bytearray(said), dtype=torch.float32).view(3, 224, 224)
    # Where a square does not divide evenly, float32 knows a place between two pixels to 3e-5.
    assert (got - FACTS(raw[None])[0]).abs().max() <= 1e-4
    assert (got - FACTS(raw.flip(0)[None])[0]).abs().max() > 0.1  # BGR would be seen


@pytest.mark.parametrize("name", PHOTOS)
def test_c_gives_the_same_five_names_as_python(native, network, name):
    scores = measure.scores(network, PUBLISHED.transforms()(photo(name))[None])[0]
    words = native(scores, 0).decode().split()
    shares, places = scores.softmax(0).topk(5)
    assert list(map(int, words[::2])) == places.tolist()
    assert [float(word) for word in words[1::2]] == pytest.approx(shares.tolist(), abs=1e-5)
