"""Make ``data/photos/*.jpg``: the photographs of the labs, from three packages that carry them.

Run it with ``python scripts/make_photos.py``. It needs scikit-learn (part of the ``dev`` extra),
matplotlib, scikit-image 0.26.0 (``pip install scikit-image==0.26.0``), and no network.
``data/README.md`` names the source and the licence of each. Afterwards bring ``data/SHA256SUMS``
up to date.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

from PIL import Image

#: Longest side in pixels, and JPEG quality.
SIDE, QUALITY = 480, 90
SKIMAGE = {
    "astronaut": "astronaut.png", "brick": "brick.png", "camera": "camera.png",
    "cat": "chelsea.png", "coffee": "coffee.png", "coins": "coins.png", "grass": "grass.png",
    "gravel": "gravel.png", "hubble": "hubble_deep_field.jpg",
    "motorcycle": "motorcycle_left.png", "rocket": "rocket.jpg",
}  # fmt: skip
SKLEARN = {"flower": "flower.jpg", "temple": "china.jpg"}
MATPLOTLIB = {"hopper": "grace_hopper.jpg"}


def folder(module: str, inside: str) -> Path:
    """A folder of an installed package, without importing it."""
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        sys.exit(f"{module} is not installed; see the first lines of this script.")
    return Path(spec.origin).parent / inside


def main() -> None:
    out = Path(__file__).resolve().parent.parent / "data" / "photos"
    out.mkdir(exist_ok=True)
    sources = {name: folder("skimage", "data") / file for name, file in SKIMAGE.items()}
    sources |= {name: folder("sklearn", "datasets/images") / file for name, file in SKLEARN.items()}
    inside = folder("matplotlib", "mpl-data/sample_data")
    sources |= {name: inside / file for name, file in MATPLOTLIB.items()}
    for name, source in sorted(sources.items()):
        photo = Image.open(source).convert("RGB")
        photo.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
        photo.save(out / f"{name}.jpg", quality=QUALITY)
        size = (out / f"{name}.jpg").stat().st_size
        sys.stdout.write(f"{name}.jpg, {photo.width} x {photo.height}, {size} bytes\n")


if __name__ == "__main__":
    main()
