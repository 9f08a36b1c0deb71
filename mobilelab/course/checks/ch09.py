"""Checks for the exercises of chapter 09, LiteRT and three runtimes compared."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor, nn

from mobilelab import runtimes
from mobilelab.course.checks import Case, Check, verify
from mobilelab.measure.parity import compare
from mobilelab.recipes import successors
from mobilelab.runtimes.executorch import ExecuTorchSession


def check_beyond(beyond: Callable[[Tensor, Tensor], float]) -> Check:
    """09.1: the share of the float scores that a quantized file cannot reach."""
    reference = torch.tensor([[-12.0, 3.0, 18.0, 0.5], [1.0, -7.0, 9.0, 11.0]])
    both = reference.clamp(-6.5, 10.0)
    above = reference.clamp(max=10.0)

    def share(answers: Tensor) -> Callable[[], object]:
        def answer() -> object:
            got = beyond(reference.clone(), answers.clone())
            return None if got is None else float(got)

        return answer

    return verify(
        "Exercise 09.1",
        [
            Case(
                "clipped at both ends",
                share(both),
                4 / 8,
                "Count the float network's scores below the file's smallest one too. The file's "
                "own scores never leave its range.",
                tolerance=1e-6,
            ),
            Case(
                "clipped above only",
                share(above),
                2 / 8,
                "The ends are the smallest and the largest of all the file's scores.",
                tolerance=1e-6,
            ),
            Case(
                "not clipped",
                share(reference),
                0.0,
                "A score that equals an end can be reached; compare with < and >.",
                tolerance=1e-6,
            ),
            Case(
                "rounded, and a little wider",
                share(reference * 1.01),
                0.0,
                "Scores that merely differ are no clipping; only the two ends count.",
                tolerance=1e-6,
            ),
        ],
    )


class Doorman(nn.Module):
    """What exercise 09.2 ports: ``(1, 1, 16, 16)`` to ``(1, 4)``, one image at a time."""

    def __init__(self) -> None:
        super().__init__()
        conv = nn.Conv2d(1, 8, 3, stride=2, padding=1, bias=False)
        self.net = nn.Sequential(conv, nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(2))
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(32, 4)

    def forward(self, x: Tensor) -> Tensor:
        """Four scores of one image."""
        if x.mean() < 0.5:  # a dark image
            x = x * 2
        x = self.net(x).view(1, 32)
        return self.head(self.drop(x))


def _trained() -> Doorman:
    """A doorman whose BatchNorm has seen images, in training mode."""
    with torch.random.fork_rng():
        torch.manual_seed(83)
        old = Doorman()
        with torch.no_grad():
            for _ in range(10):
                old.net(torch.rand(32, 1, 16, 16))
    return old.train()


def _images() -> Tensor:
    """32 images, of which some are dark."""
    generator = torch.Generator().manual_seed(84)
    images = torch.rand(32, 1, 16, 16, generator=generator)
    images *= torch.linspace(0.3, 1.7, 32)[torch.randperm(32, generator=generator)].view(
        -1, 1, 1, 1
    )
    images[3] *= 0.51 / images[3].mean()  # just bright enough
    return images


class _Ported:
    """The ported network, made when it is first asked for, and what it answers."""

    def __init__(self, port: Callable[[Doorman], nn.Module], images: Tensor) -> None:
        self.port, self.images = port, images
        self.batch = {0: torch.export.Dim("batch", min=1, max=32)}

    @cached_property
    def network(self) -> nn.Module:
        """What the learner's function makes of the doorman."""
        return self.port(_trained())

    @cached_property
    def program(self) -> bytes:
        """The network as a file for ExecuTorch."""
        return successors.to_executorch(
            self.network, self.images[:17], dynamic_shapes=(self.batch,)
        )

    def answers(self, which: slice | int) -> Tensor:
        """Scores of some of the images, or of one."""
        chosen = self.images[which : which + 1] if isinstance(which, int) else self.images[which]
        with torch.no_grad():
            return self.network(chosen)

    def exports(self) -> bool:
        """Whether torch.export takes it with a batch of any size."""
        torch.export.export(self.network, (self.images[:17],), dynamic_shapes=(self.batch,))
        return True

    def in_the_runtime(self, n: int) -> Tensor:
        """Scores of the first images in ExecuTorch."""
        program = self.program
        with tempfile.TemporaryDirectory(prefix="mobilelab-") as folder:
            path = Path(folder) / "ported.pte"
            path.write_bytes(program)
            session = runtimes.load(path)
            assert isinstance(session, ExecuTorchSession)
            return session.execute(self.images[:n])


def check_port(port: Callable[[Doorman], nn.Module]) -> Check:
    """09.2: a network with a branch, a fixed batch and a Dropout, ported."""
    images = _images()
    right = _trained().eval()
    with torch.no_grad():
        expected = torch.cat([right(image) for image in images.split(1)])
    means = images.mean((1, 2, 3))
    bright, dark = int(means.argmax()), int(means.argmin())
    ported = _Ported(port, images)

    def same(n: int) -> bool:
        return compare(expected[:n], ported.in_the_runtime(n)).verdict == "same"

    mixed = (
        "Each image by itself is dark or not. The mean of a whole batch is another number; "
        "take the mean over channels, rows and columns, with `keepdim=True`."
    )
    return verify(
        "Exercise 09.2",
        [
            Case(
                "a bright image",
                lambda: ported.answers(bright),
                expected[bright : bright + 1],
                "Same weights, and `eval()`: BatchNorm uses what it has seen, Dropout does "
                "nothing.",
                tolerance=1e-4,
            ),
            Case(
                "a dark image",
                lambda: ported.answers(dark),
                expected[dark : dark + 1],
                "An image with a mean below 0.5 is doubled before anything else.",
                tolerance=1e-4,
            ),
            Case(
                "32 images at once",
                lambda: ported.answers(slice(None)),
                expected,
                mixed,
                tolerance=1e-4,
            ),
            Case(
                "torch.export with a dynamic batch",
                ported.exports,
                True,
                "No `if` on numbers (torch.where), no fixed batch (flatten(1)).",
            ),
            Case("1 image in ExecuTorch", lambda: same(1), True, mixed),
            Case("5 images in ExecuTorch", lambda: same(5), True, mixed),
            Case("32 images in ExecuTorch", lambda: same(32), True, mixed),
        ],
    )
