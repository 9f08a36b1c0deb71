"""Make ``data/articles.npz``: a few of Fashion-MNIST's pictures, for the scenes of the labs.

Run it with ``python scripts/make_articles.py FOLDER``. The folder holds the four files of
Fashion-MNIST (``train-images-idx3-ubyte.gz`` and so on) as its authors publish them, as
torchvision downloads them (``FashionMNIST/raw``), or as Debian's package ``dataset-fashion-mnist``
installs them (``/usr/share/datasets/fashion-mnist``). The arrays are the same wherever it runs.

Of each class the first pictures are taken, in their order: for training from the training file, for
testing from the test file. Afterwards bring ``data/SHA256SUMS`` up to date.
"""

from __future__ import annotations

import gzip
import io
import sys
import zipfile
from pathlib import Path

import numpy as np

#: Fashion-MNIST's class numbers, in the order of the labs' classes.
CLASSES = {0: "t-shirt", 1: "trouser", 7: "sneaker", 8: "bag", 9: "ankle boot"}
TRAIN, TEST = 300, 60


def read(path: Path, header: int) -> np.ndarray:
    """The bytes of an IDX file behind its header."""
    return np.frombuffer(gzip.decompress(path.read_bytes()), np.uint8, offset=header)


def make(folder: Path) -> bytes:
    """Content of ``articles.npz``: images (n, 28, 28) uint8 and labels (n,) for both parts."""
    arrays = {}
    for part, prefix, count in (("train", "train", TRAIN), ("test", "t10k", TEST)):
        images = read(folder / f"{prefix}-images-idx3-ubyte.gz", 16).reshape(-1, 28, 28)
        labels = read(folder / f"{prefix}-labels-idx1-ubyte.gz", 8)
        chosen = [np.flatnonzero(labels == number)[:count] for number in CLASSES]
        arrays[f"{part}_images"] = np.concatenate([images[index] for index in chosen])
        arrays[f"{part}_labels"] = np.repeat(np.arange(len(CLASSES), dtype=np.uint8), count)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, array in arrays.items():
            content = io.BytesIO()
            np.lib.format.write_array(content, array, allow_pickle=False)
            # A fixed date keeps the file the same byte for byte.
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=(2017, 8, 28, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content.getvalue())
    return out.getvalue()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    path = Path(__file__).resolve().parent.parent / "data" / "articles.npz"
    path.write_bytes(make(Path(sys.argv[1])))
    sys.stdout.write(f"wrote {path.name}, {path.stat().st_size} bytes\n")
