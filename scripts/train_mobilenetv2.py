"""Make ``data/mobilenetv2.pt``, torchvision's MobileNetV2 trained on enlarged digits (chapter 09).

Run it with ``python scripts/train_mobilenetv2.py``; it takes about ten minutes on two cores. Small
images first, then larger ones, and two passes at the size of 224 that the chapter uses. The
weights are stored in 16 bits, which halves the file. Afterwards bring ``data/SHA256SUMS`` and
``data/README.md`` up to date.
"""

from __future__ import annotations

import torch
import torchvision
from rich.console import Console
from torch.nn import functional as F

from mobilelab import datasets
from mobilelab.measure import accuracy, scores

SEED = 0
#: (pixels, passes, highest learning rate)
STAGES = ((64, 8, 3e-3), (128, 2, 1e-3), (224, 2, 5e-4))


def main() -> None:
    console = Console()
    torch.manual_seed(SEED)
    digits = datasets.load("digits")
    network = torchvision.models.mobilenet_v2(num_classes=10)
    for size, epochs, rate in STAGES:
        data = datasets.enlarged(digits, size, train=len(digits.train))
        steps = epochs * -(-len(data.train) // 32)
        optimizer = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=0.02)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps)
        for epoch in range(epochs):
            network.train()
            for chosen in torch.randperm(len(data.train)).split(32):
                moved = torch.roll(
                    data.train.images[chosen],
                    torch.randint(-size // 12, size // 12 + 1, (2,)).tolist(),
                    dims=(2, 3),
                )
                optimizer.zero_grad()
                F.cross_entropy(network(moved), data.train.labels[chosen]).backward()
                optimizer.step()
                schedule.step()
            network.eval()
            right = accuracy(scores(network, data.test.images, 20), data.test.labels)
            console.print(f"{size} pixels, pass {epoch + 1}: {right:.1%} of the test images right")
    path = datasets.data_root() / "mobilenetv2.pt"
    weights = network.state_dict().items()
    torch.save({k: v.half() if v.is_floating_point() else v for k, v in weights}, path)
    console.print(f"wrote {path.name} ({path.stat().st_size} bytes)")


if __name__ == "__main__":
    main()
