"""Checks for the exercises of chapter 08, ExecuTorch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from mobilelab import runtimes
from mobilelab.course.checks import Case, Check, verify


def check_shares(shares: Mapping[str, float], runs: Mapping[str, runtimes.Session]) -> Check:
    """08.1: the share of operators that a delegate took, by file."""
    cases = []
    for name, run in runs.items():
        inside = run.inspect()
        own = sum(inside.operators.values())
        taken = sum(n for ops in inside.delegates.values() for n in ops.values())
        hint = (
            "Without a partitioner nothing is delegated, so the share is 0."
            if not taken
            else "Delegated operators over all operators: those of the delegates and the "
            "runtime's own."
        )
        cases.append(
            Case(
                name,
                lambda name=name: None if not shares else float(shares[name]),
                taken / (own + taken),
                hint,
                tolerance=1e-6,
            )
        )
    return verify("Exercise 08.1", cases, given=True)


#: What exercise 08.2 asks for: from a picture, its channels' mean and std.
ToInput = Callable[[Tensor, Sequence[float], Sequence[float]], Tensor]


def check_to_input(to_input: ToInput) -> Check:
    """08.2: from a camera's bytes to what a program may be given."""
    generator = torch.Generator().manual_seed(8)
    picture = torch.randint(0, 256, (6, 4, 3), dtype=torch.uint8, generator=generator)
    mean, std = [0.5, 0.4, 0.3], [0.2, 0.25, 0.5]
    expected = torch.empty(1, 3, 6, 4)
    for channel in range(3):
        scaled = picture[:, :, channel].float() / 255
        expected[0, channel] = (scaled - mean[channel]) / std[channel]
    before = picture.clone()

    def made() -> Tensor | None:
        return to_input(picture, mean, std)

    def ask(question: Callable[[Tensor], object]) -> Callable[[], object]:
        def answer() -> object:
            got = made()
            return None if got is None else question(got)

        return answer

    return verify(
        "Exercise 08.2",
        [
            Case(
                "its shape",
                ask(lambda x: tuple(x.shape)),
                (1, 3, 6, 4),
                "Channels first, and one axis more in front for the batch.",
            ),
            Case(
                "its type",
                ask(lambda x: str(x.dtype)),
                "torch.float32",
                "Bytes cannot hold 0.5. Convert before you divide; float64 is refused.",
            ),
            Case(
                "its numbers",
                made,
                expected,
                "Divide by 255, then subtract the channel's mean, then divide by its std. "
                "`view` or `reshape` in place of `permute` shuffles the pixels.",
                tolerance=1e-5,
            ),
            Case(
                "its memory",
                ask(lambda x: x.is_contiguous()),
                True,
                "A permuted tensor keeps the camera's order in memory, and so does arithmetic with "
                "it. End with `.contiguous()`.",
            ),
            Case(
                "the picture afterwards",
                ask(lambda x: torch.equal(picture, before)),
                True,
                "The caller's picture must stay as it was; operations that end in `_` change it.",
            ),
        ],
    )
