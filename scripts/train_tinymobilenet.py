"""Make ``data/tinymobilenet.pt``, the weights that chapters 02 to 05 start from.

Run it with ``python scripts/train_tinymobilenet.py``; it takes about half a minute on two
cores. Float arithmetic differs between CPUs in the last digit, so another machine gets other
weights of the same quality: ``tests/test_training.py`` retrains and checks how close.
After running it, bring ``data/SHA256SUMS`` and ``data/README.md`` up to date.
"""

from __future__ import annotations

from pathlib import Path

import torch
from rich.console import Console

from mobilelab import datasets
from mobilelab.measure import accuracy, scores
from mobilelab.recipes import training

SEED = 0


def main() -> None:
    console = Console()
    data = datasets.load("digits")
    model = training.train(
        data,
        seed=SEED,
        on_epoch=lambda e: console.print(
            f"epoch {e.number:2}  loss {e.loss:.4f}  calibration accuracy {e.accuracy:.1%}"
        ),
    )
    path = datasets.data_root() / "tinymobilenet.pt"
    torch.save(model.state_dict(), Path(path))
    test = accuracy(scores(model, data.test.images), data.test.labels)
    console.print(f"test accuracy {test:.1%}, wrote {path.name} ({path.stat().st_size} bytes)")


if __name__ == "__main__":
    main()
