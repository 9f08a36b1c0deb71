"""The data the course runs on: images, labels and a fixed three-way split.

The default, ``digits``, is bundled in ``data/digits.npz`` and needs no network.
``mnist``, ``fashion-mnist`` and ``cifar10`` come through torchvision and are downloaded
only when you ask for them.

Every data set arrives ready for the course's network: float32 images of shape
``(n, channels, 32, 32)``, normalised with constants that were computed on the training
split and that an app has to repeat (chapter 05).
"""

from __future__ import annotations

import hashlib
import os
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from filelock import FileLock
from torch import Tensor

from mobilelab.core.errors import DataError, ShapeError

IMAGE_SIZE = 32
NAMES = ("digits", "mnist", "fashion-mnist", "cifar10")

_FASHION = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag",
    "Ankle boot",
)  # fmt: skip
_CIFAR = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip
_DIGITS = tuple("0123456789")


@dataclass(frozen=True)
class Preprocessing:
    """What happens to a raw image before the network sees it.

    The same four facts must hold in the app, or the model meets images that it never
    trained on: the largest raw value, the size, the resize mode, mean and std.
    """

    max_value: float
    """Raw pixel value that maps to 1.0: 16 for the bundled digits, where it is full ink and 0 is
    paper; 255 for the others."""
    mean: tuple[float, ...]
    """Mean per channel of the scaled training images."""
    std: tuple[float, ...]
    """Standard deviation per channel of the scaled training images."""
    size: int = IMAGE_SIZE
    """Height and width in pixels that the network expects."""
    mode: str = "bilinear"
    """Interpolation mode of the resize (``align_corners=False``)."""

    def __call__(self, raw: Tensor) -> Tensor:
        """Turn raw images into network input.

        Args:
            raw: pixel values, shape ``(n, channels, height, width)``, any dtype.

        Returns:
            float32 tensor of shape ``(n, channels, size, size)``.

        Raises:
            ShapeError: if ``raw`` is not four-dimensional or has the wrong channels.
        """
        if raw.ndim != 4 or raw.shape[1] != len(self.mean):
            raise ShapeError(
                f"Preprocessing expects raw images of shape (n, {len(self.mean)}, height, width) "
                f"but got {tuple(raw.shape)}; add the batch or channel axis with unsqueeze."
            )
        x = raw.float() / self.max_value
        x = F.interpolate(x, size=(self.size, self.size), mode=self.mode, align_corners=False)
        mean = torch.tensor(self.mean).view(1, -1, 1, 1)
        std = torch.tensor(self.std).view(1, -1, 1, 1)
        return (x - mean) / std


@dataclass(frozen=True)
class Split:
    """Images and labels of one part of a data set."""

    raw: Tensor
    """uint8 pixel values as stored, shape ``(n, channels, height, width)``."""
    images: Tensor
    """float32 network input, shape ``(n, channels, 32, 32)``."""
    labels: Tensor
    """int64 class numbers, shape ``(n,)``."""

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Dataset:
    """A data set with its fixed split and the preprocessing that an app must repeat."""

    name: str
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    train: Split
    """What the network learns from."""
    calibration: Split
    """What quantization observes. Disjoint from train and test."""
    test: Split
    """What accuracy is measured on. Never used for a decision before that."""

    @property
    def channels(self) -> int:
        """Number of image channels: 1 for grey, 3 for colour."""
        return self.train.images.shape[1]


def data_root() -> Path:
    """Folder ``data/`` of the checkout.

    Raises:
        DataError: if the package was installed without its checkout.
    """
    root = Path(__file__).resolve().parents[2] / "data"
    if not root.is_dir():
        raise DataError(
            f"The bundled data folder {root} is missing; run MobileLab from its checkout "
            "(git clone, then make lab)."
        )
    return root


def checksums() -> dict[str, str]:
    """Expected SHA-256 of every bundled file, read from ``data/SHA256SUMS``."""
    lines = (data_root() / "SHA256SUMS").read_text().split("\n")
    return {name: digest for digest, name in (line.split(maxsplit=1) for line in lines if line)}


def verified(name: str) -> Path:
    """Path of a bundled file whose content matches its checksum.

    Args:
        name: file name inside ``data/``, for example ``"digits.npz"``.

    Raises:
        DataError: if the file is missing, unknown or altered.
    """
    path = data_root() / name
    if not path.is_file():
        raise DataError(
            f"The bundled file data/{name} is missing; restore it with: git checkout -- data/{name}"
        )
    expected = checksums().get(name)
    if expected is None:
        raise DataError(f"data/{name} has no line in data/SHA256SUMS; add one with its SHA-256.")
    if hashlib.sha256(path.read_bytes()).hexdigest() != expected:
        raise DataError(
            f"The bundled file data/{name} is damaged (its SHA-256 does not match "
            f"data/SHA256SUMS); restore it with: git checkout -- data/{name}"
        )
    return path


def enlarged(
    data: Dataset, size: int = 224, *, train: int = 0, calibration: int = 40, test: int = 100
) -> Dataset:
    """The first images of each part, enlarged and in three channels, for networks of that kind.

    Args:
        data: any of the data sets.
        size: height and width of the result, in pixels.
        train: how many images of the train split to enlarge.
        calibration: the same for the calibration split.
        test: the same for the test split.

    Returns:
        Images of shape ``(n, 3, size, size)``.
    """

    def grown(split: Split, n: int) -> Split:
        images = split.images[:n]
        if n:
            images = F.interpolate(images, size=size, mode="bilinear", align_corners=False)
        else:
            images = images.new_empty(0, images.shape[1], size, size)
        channels = 3 // images.shape[1]
        return Split(split.raw[:n], images.repeat(1, channels, 1, 1), split.labels[:n])

    return replace(
        data,
        train=grown(data.train, train),
        calibration=grown(data.calibration, calibration),
        test=grown(data.test, test),
    )


def load(name: str = "digits", data_dir: str | Path | None = None) -> Dataset:
    """Load a data set, preprocessed and split.

    Args:
        name: one of ``digits`` (bundled), ``mnist``, ``fashion-mnist``, ``cifar10``.
        data_dir: where torchvision keeps its downloads; ``~/.cache/mobilelab`` by default.
            Not used for ``digits``.

    Raises:
        DataError: for an unknown name, a damaged file, or a download that did not work.
    """
    if name == "digits":
        return _digits()
    if name in NAMES:
        return _torchvision(name, Path(data_dir or Path.home() / ".cache" / "mobilelab"))
    raise DataError(f"There is no data set called {name!r}; choose one of {', '.join(NAMES)}.")


def _digits() -> Dataset:
    with np.load(verified("digits.npz"), allow_pickle=False) as stored:
        raw = torch.from_numpy(stored["images"]).unsqueeze(1)
        labels = torch.from_numpy(stored["labels"]).long()
        parts = {k: torch.from_numpy(stored[k]).long() for k in ("train", "calibration", "test")}
    return _assemble("digits", _DIGITS, raw, labels, parts, max_value=16.0)


def _torchvision(name: str, root: Path) -> Dataset:
    from torchvision import datasets as tv

    cls, classes = {
        "mnist": (tv.MNIST, _DIGITS),
        "fashion-mnist": (tv.FashionMNIST, _FASHION),
        "cifar10": (tv.CIFAR10, _CIFAR),
    }[name]
    halves = []
    for train in (True, False):
        try:
            with _alone(root):
                halves.append(cls(str(root), train=train, download=True))
        except Exception as error:  # torchvision raises RuntimeError, OSError, URLError, EOFError
            first = (str(error).splitlines() or [""])[0].rstrip(":")
            raise DataError(
                f"Could not get {name} into {root} ({type(error).__name__}: {first}); connect to "
                "a network and try again, or use the bundled data set, digits."
            ) from error
    raw = torch.cat([_as_nchw(half.data) for half in halves])
    labels = torch.cat([torch.as_tensor(half.targets) for half in halves]).long()
    n_train, n = len(halves[0].data), len(raw)
    held_out = max(1, min(500, n_train // 10))
    parts = {
        "train": torch.arange(n_train - held_out),
        "calibration": torch.arange(n_train - held_out, n_train),
        "test": torch.arange(n_train, n),
    }
    return _assemble(name, classes, raw, labels, parts, max_value=255.0)


def _alone(root: Path) -> AbstractContextManager[object]:
    """One process at a time where files are written: torchvision would read another's half."""
    with suppress(OSError):
        root.mkdir(parents=True, exist_ok=True)
    # a folder that is only read, for a whole class, has its files already
    return FileLock(root / "download.lock") if os.access(root, os.W_OK) else nullcontext()


def _as_nchw(data: Tensor | np.ndarray) -> Tensor:
    images = torch.as_tensor(data)
    return images.unsqueeze(1) if images.ndim == 3 else images.permute(0, 3, 1, 2).contiguous()


def _assemble(
    name: str,
    classes: tuple[str, ...],
    raw: Tensor,
    labels: Tensor,
    parts: dict[str, Tensor],
    max_value: float,
) -> Dataset:
    scaled = raw[parts["train"]].float() / max_value
    preprocessing = Preprocessing(
        max_value=max_value,
        mean=tuple(round(v, 4) for v in scaled.mean(dim=(0, 2, 3)).tolist()),
        std=tuple(round(v, 4) for v in scaled.std(dim=(0, 2, 3)).tolist()),
    )
    splits = {
        part: Split(raw[index], preprocessing(raw[index]), labels[index])
        for part, index in parts.items()
    }
    return Dataset(name, classes, preprocessing, **splits)
