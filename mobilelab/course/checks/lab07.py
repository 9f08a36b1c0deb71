"""Checks for the exercises of lab 07, voice activity."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from mobilelab.course.checks import Case, Check, verify

#: Takes a piece and a state, gives an answer and the state for the next call.
Step = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def _pieces(buffers: Sequence[Tensor], size: int) -> Tensor:
    """Pieces ``(n, size)`` of int16 buffers, as floats from -1 to 1."""
    sound = torch.cat([*buffers, torch.zeros(0, dtype=torch.int16)])
    return sound[: len(sound) // size * size].view(-1, size).float() / 32768


def check_pieces(pieces: Callable[[list[Tensor], int], Tensor]) -> Check:
    """07.1: a microphone's buffers as the network's pieces."""
    sound = torch.randint(
        -32768, 32768, (4000,), generator=torch.Generator().manual_seed(0), dtype=torch.int16
    )
    edges = torch.tensor([-32768, 32767, 0, 1], dtype=torch.int16)
    plan = (
        ("a buffer for each piece", [512] * 3, 512,
         "Here each buffer is a piece: only the numbers change."),
        ("smaller buffers", [480] * 5, 512,
         "A piece begins in one buffer and ends in the next. Keep what is left over of a buffer."),
        ("a buffer that holds several pieces", [2000], 512,
         "One buffer can fill three pieces, and what is left over waits."),
        ("buffers of any length", [100, 700, 33, 1500, 441], 512,
         "Put what is left over in front of the next buffer."),
        ("less than a piece", [300], 512,
         "Nothing is full yet: the answer has the shape (0, 512), and no zeros are filled in."),
        ("another size", [441] * 4, 256, "`size` is an argument: at 8 kHz a piece has 256."),
    )  # fmt: skip
    asked = [(name, list(sound.split([*many, 4000 - sum(many)])[:-1]), size, hint)
             for name, many, size, hint in plan]  # fmt: skip
    asked.append(
        ("the loudest samples", [edges], 4,
         "-32768 becomes -1 exactly, so divide by 32768. 32767 is a little less than 1.")
    )  # fmt: skip
    cases = [
        Case(
            name,
            lambda b=buffers, s=size: pieces([one.clone() for one in b], s),
            _pieces(buffers, size),
            hint,
            tolerance=1e-6,
        )
        for name, buffers, size, hint in asked
    ]
    kind = Case(
        "the element type that the network takes",
        lambda: str(pieces([edges.clone()], 4).dtype),
        "torch.float32",
        "numpy divides int16 in float64; the network takes float32 only. Take `.float()` first.",
    )
    return verify("Exercise 07.1", [*cases, kind])


def _step(piece: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    """An answer that depends on all pieces so far, the latest ones most."""
    now = state * 0.5 + piece.mean()
    return now.sum().view(1, 1), now


def _step_in_place(piece: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    """The same by a runtime that writes into the memory that it is given."""
    state *= 0.5
    state += piece.mean()
    return state.sum().view(1, 1), state


def _answers(step: Step, calls: Sequence[tuple[str, Tensor]], begins: Tensor) -> list[float]:
    states: dict[str, Tensor] = {}
    found = []
    for who, piece in calls:
        answer, states[who] = step(piece, states.get(who, begins.clone()))
        found.append(float(answer))
    return found


def check_answers(
    answers: Callable[[Step, list[tuple[str, Tensor]], Tensor], list[Tensor]],
) -> Check:
    """07.2: several people, one network."""
    draw = torch.Generator().manual_seed(0)
    zeros, other = torch.zeros(1, 2), torch.tensor([[1.0, -3.0]])
    cases = (
        ("one person", "aaaa", zeros, _step,
         "What came out as state goes into the next call."),
        ("two in turn", "abababab", zeros, _step,
         "Each has a state of their own. Keep them by name."),
        ("three in any order", "abbcacbba", zeros, _step,
         "The answers come back in the order of the calls, whoever spoke."),
        ("somebody who was away", "abbbbbba", zeros, _step,
         "A state waits until its person speaks again."),
        ("a state that does not begin as zeros", "abab", other, _step,
         "Everybody begins with `begins`, whatever it is."),
        ("a runtime that writes into the state", "ababcc", other, _step_in_place,
         "Such a step changes the very tensor that you give it: give a copy of `begins`."),
    )  # fmt: skip
    asked = [
        (name, [(one, torch.randn(1, 8, generator=draw)) for one in who], begins, step, hint)
        for name, who, begins, step, hint in cases
    ]

    def given(step: Step, calls: list[tuple[str, Tensor]], begins: Tensor) -> Tensor:
        found = answers(step, [(who, piece.clone()) for who, piece in calls], begins.clone())
        return torch.tensor([float(answer) for answer in found])

    return verify(
        "Exercise 07.2",
        [
            Case(
                name,
                lambda s=step, c=calls, b=begins: given(s, c, b),
                torch.tensor(_answers(step, calls, begins)),
                hint,
                tolerance=1e-5,
            )
            for name, calls, begins, step, hint in asked
        ],
    )
