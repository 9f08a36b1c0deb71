import gzip
import hashlib
import http.server
import os
import pickle
import runpy
import shutil
import struct
import threading
import time
import urllib.error
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision import datasets as tv

from mobilelab import datasets
from mobilelab.core.errors import DataError, ShapeError

ROOT = Path(__file__).resolve().parent.parent


def test_split_is_fixed_disjoint_and_stratified(data):
    assert (len(data.train), len(data.calibration), len(data.test)) == (1197, 100, 500)
    with np.load(ROOT / "data" / "digits.npz") as stored:
        parts = [set(stored[name].tolist()) for name in ("train", "calibration", "test")]
    assert set.union(*parts) == set(range(1797))
    assert sum(map(len, parts)) == 1797
    assert torch.bincount(data.calibration.labels).tolist() == [10] * 10
    assert torch.bincount(data.test.labels).min() >= 48


def test_bundled_file_is_what_its_script_makes():
    make = runpy.run_path(str(ROOT / "scripts" / "make_digits.py"))["make"]
    assert make() == (ROOT / "data" / "digits.npz").read_bytes()


def test_images_are_normalized_and_sized(data):
    assert data.train.images.shape == (1197, 1, 32, 32)
    assert data.train.images.dtype == torch.float32
    # Normalized with constants of the 8x8 pixels; enlarging smooths, so the spread is a bit less.
    assert abs(data.train.images.mean()) < 0.02
    assert 0.8 < data.train.images.std() < 1.0
    assert data.train.raw.max() == 16


def test_preprocessing_of_known_pixels():
    preprocessing = datasets.Preprocessing(max_value=16.0, mean=(0.25,), std=(0.5,))
    white, black = torch.full((1, 1, 8, 8), 16), torch.zeros(1, 1, 8, 8)
    assert torch.equal(preprocessing(white), torch.full((1, 1, 32, 32), 1.5))
    assert torch.equal(preprocessing(black), torch.full((1, 1, 32, 32), -0.5))


@pytest.mark.parametrize("shape", [(8, 8), (1, 8, 8), (1, 3, 8, 8)])
def test_preprocessing_refuses_other_shapes(data, shape):
    with pytest.raises(ShapeError, match="expects raw images of shape"):
        data.preprocessing(torch.zeros(shape))


def test_unknown_name_is_one_sentence():
    with pytest.raises(DataError, match="no data set called 'imagenet'; choose one of digits"):
        datasets.load("imagenet")


@pytest.fixture
def copied_data(tmp_path, monkeypatch):
    shutil.copytree(ROOT / "data", tmp_path, dirs_exist_ok=True)
    monkeypatch.setattr(datasets, "data_root", lambda: tmp_path)
    return tmp_path


def test_damaged_file_is_refused(copied_data):
    path = copied_data / "digits.npz"
    content = bytearray(path.read_bytes())
    content[5000] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match="damaged.*git checkout -- data/digits.npz"):
        datasets.load("digits")


def test_missing_file_is_refused(copied_data):
    (copied_data / "digits.npz").unlink()
    with pytest.raises(DataError, match="missing; restore it"):
        datasets.load("digits")


def write_idx(path, array):
    header = struct.pack(">HBB", 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    path.write_bytes(header + array.astype(np.uint8).tobytes())


def make_mnist_like(root, folder, train=60, test=20):
    """Small files in MNIST's own format, where torchvision looks for the real ones."""
    generator = np.random.default_rng(0)
    raw = root / folder / "raw"
    raw.mkdir(parents=True)
    for prefix, n in (("train", train), ("t10k", test)):
        write_idx(raw / f"{prefix}-images-idx3-ubyte", generator.integers(0, 256, (n, 28, 28)))
        write_idx(raw / f"{prefix}-labels-idx1-ubyte", np.arange(n) % 10)


@pytest.mark.parametrize(
    ("name", "folder"), [("mnist", "MNIST"), ("fashion-mnist", "FashionMNIST")]
)
def test_mnist_format_is_read(tmp_path, name, folder):
    make_mnist_like(tmp_path, folder)
    data = datasets.load(name, tmp_path)
    assert len(data.train) + len(data.calibration) == 60
    assert len(data.calibration) == 6
    assert len(data.test) == 20
    assert data.test.images.shape == (20, 1, 32, 32)
    assert data.test.labels.tolist() == [i % 10 for i in range(20)]
    assert data.preprocessing.max_value == 255
    assert len(data.classes) == 10


@pytest.fixture
def served(tmp_path):
    """A folder, and the address under which a server on this machine hands out its files."""
    folder = tmp_path / "served"
    folder.mkdir()
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield folder, f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def test_downloaded_archives_are_unpacked(tmp_path, monkeypatch, served):
    """The real download code, fed with small files instead of the real ones."""
    make_mnist_like(tmp_path / "made", "MNIST")
    folder, address = served
    resources = []
    for path in (tmp_path / "made" / "MNIST" / "raw").iterdir():
        content = gzip.compress(path.read_bytes())
        (folder / f"{path.name}.gz").write_bytes(content)
        resources.append((f"{path.name}.gz", hashlib.md5(content).hexdigest()))
    monkeypatch.setattr(tv.MNIST, "resources", resources)
    monkeypatch.setattr(tv.MNIST, "mirrors", [address])
    data = datasets.load("mnist", tmp_path / "cache")
    assert len(data.test) == 20


def make_cifar_like(root, monkeypatch, n=12):
    generator = np.random.default_rng(0)
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)

    def batch(name):
        content = pickle.dumps(
            {
                "data": generator.integers(0, 256, (n, 3072), dtype=np.uint8),
                "labels": [i % 10 for i in range(n)],
            }
        )
        (folder / name).write_bytes(content)
        return [name, hashlib.md5(content).hexdigest()]

    meta = pickle.dumps({"label_names": list("abcdefghij")})
    (folder / "batches.meta").write_bytes(meta)
    monkeypatch.setattr(tv.CIFAR10, "train_list", [batch("data_batch_1"), batch("data_batch_2")])
    monkeypatch.setattr(tv.CIFAR10, "test_list", [batch("test_batch")])
    monkeypatch.setattr(
        tv.CIFAR10,
        "meta",
        {
            "filename": "batches.meta",
            "key": "label_names",
            "md5": hashlib.md5(meta).hexdigest(),
        },
    )


def test_cifar_format_is_read(tmp_path, monkeypatch):
    make_cifar_like(tmp_path, monkeypatch)
    data = datasets.load("cifar10", tmp_path)
    assert data.channels == 3
    assert data.test.images.shape == (12, 3, 32, 32)
    assert len(data.preprocessing.mean) == 3


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist", "cifar10"])
def test_offline_is_one_sentence(tmp_path, monkeypatch, name):
    def no_network(*args, **kwargs):
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr("urllib.request.urlopen", no_network)
    with pytest.raises(DataError, match=f"Could not get {name} .*connect to a network") as caught:
        datasets.load(name, tmp_path)
    assert "\n" not in str(caught.value)


def test_two_that_load_at_once_take_turns(tmp_path, monkeypatch):
    make_mnist_like(tmp_path, "MNIST")
    inside, most, real = [], [], tv.MNIST

    def slow(*args, **kwargs):
        inside.append(1)
        most.append(len(inside))
        time.sleep(0.2)
        inside.pop()
        return real(*args, **kwargs)

    monkeypatch.setattr(tv, "MNIST", slow)
    threads = [threading.Thread(target=datasets.load, args=("mnist", tmp_path)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 6


def test_a_folder_that_may_only_be_read_is_read(tmp_path, monkeypatch):
    make_mnist_like(tmp_path, "MNIST")
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    assert len(datasets.load("mnist", tmp_path).test) == 20
    assert not list(tmp_path.glob("*.lock"))


def test_altered_download_is_one_sentence(tmp_path, monkeypatch, served):
    folder, address = served
    (folder / "cifar-10-python.tar.gz").write_bytes(b"not what the checksum says")
    monkeypatch.setattr(tv.CIFAR10, "url", address + "cifar-10-python.tar.gz")
    with pytest.raises(DataError, match="Could not get cifar10"):
        datasets.load("cifar10", tmp_path / "cache")
