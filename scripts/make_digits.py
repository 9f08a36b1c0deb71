"""Make ``data/digits.npz`` from scikit-learn's copy of the UCI optical digits.

Run it with ``python scripts/make_digits.py``. It needs scikit-learn (part of the ``dev``
extra) and no network: scikit-learn ships the file. The result is the same byte for byte
wherever it runs, and ``tests/test_datasets.py`` checks that.

The split is stratified by class with a fixed seed: 1197 images to train on, 100 to
calibrate quantization with, 500 to test on.
"""

from __future__ import annotations

import io
import sys
import zipfile
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

SEED = 20
TEST, CALIBRATION = 500, 100


def make() -> bytes:
    """Content of ``digits.npz``: images (1797, 8, 8) uint8 of 0..16, labels, three index lists."""
    digits = load_digits()
    images = digits.images.astype(np.uint8)
    labels = digits.target.astype(np.uint8)
    assert np.array_equal(images, digits.images), "the source holds whole numbers only"
    index = np.arange(len(labels), dtype=np.uint16)
    rest, test = train_test_split(index, test_size=TEST, stratify=labels, random_state=SEED)
    train, calibration = train_test_split(
        rest, test_size=CALIBRATION, stratify=labels[rest], random_state=SEED
    )
    arrays = {
        "images": images,
        "labels": labels,
        "train": np.sort(train),
        "calibration": np.sort(calibration),
        "test": np.sort(test),
    }
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            content = io.BytesIO()
            np.lib.format.write_array(content, array, allow_pickle=False)
            # A fixed date keeps the file the same byte for byte.
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=(1998, 7, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_STORED
            archive.writestr(entry, content.getvalue())
    return out.getvalue()


if __name__ == "__main__":
    path = Path(__file__).resolve().parent.parent / "data" / "digits.npz"
    path.write_bytes(make())
    sys.stdout.write(f"wrote {path.name}, {path.stat().st_size} bytes\n")
