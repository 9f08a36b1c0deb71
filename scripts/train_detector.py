"""Make ``data/detector.pt``, the weights of lab 03.

Run it with ``python scripts/train_detector.py``; it takes about five minutes on one quiet core.
Float arithmetic differs between CPUs in the last digit, so another machine gets other weights of
the same quality; ``tests/test_detection.py`` trains a part of it. Afterwards bring
``data/SHA256SUMS`` and ``data/README.md`` up to date.
"""

from __future__ import annotations

import sys

import torch
from rich.console import Console
from rich.progress import track

from mobilelab import datasets, tasks
from mobilelab.core.trees import Answers
from mobilelab.datasets.letterbox import Letterbox
from mobilelab.datasets.scenes import scenes, stream
from mobilelab.models import Detector
from mobilelab.recipes import detection
from mobilelab.tasks.boxes import Chooser

SEED, SCENES, STEPS = 0, 2000, 1500


def main(steps: int = STEPS, count: int = SCENES) -> None:
    console, letterbox = Console(), Letterbox()
    endless = stream("train", SEED)
    made = [next(endless) for _ in track(range(count), "scenes", console=console)]
    torch.manual_seed(SEED)
    model, lately = Detector(), []

    def told(step: int, loss: float) -> None:
        lately.append(loss)
        if step % 100 == 0:
            console.print(f"step {step:5}  loss {sum(lately[-100:]) / 100:.3f}")

    detection.train(model, detection.prepared(made, letterbox), steps=steps, seed=SEED,
                    on_step=told)  # fmt: skip
    path = datasets.data_root() / "detector.pt"
    torch.save(model.state_dict(), path)
    test = scenes("test", 200)
    with torch.no_grad():
        outputs = model(torch.stack([letterbox(scene.photo) for scene in test]))
    found = Answers(
        {**one, "boxes": letterbox.back(one["boxes"], *scene.photo.shape[1:])}
        for one, scene in zip(Chooser()(*outputs), test, strict=True)
    )
    score = tasks.Detection().score(found, [scene.target for scene in test])
    console.print(
        f"mAP {score:.1%} on test scenes, wrote {path.name} ({path.stat().st_size} bytes)"
    )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
