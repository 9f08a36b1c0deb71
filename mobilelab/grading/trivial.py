"""Answers without the work, and what they would be worth.

A function that gives back 0, its own argument or the answer of the public example, an empty file,
a network that copies its input: some cases of a task may accept one of them by luck. The best of
them marks where points begin (:func:`share`), as a multiple-choice test takes off what guessing
gives.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from mobilelab.grading import run_model
from mobilelab.grading.questions import Call, Net, Value
from mobilelab.grading.serialize import File, Other
from mobilelab.grading.tasks import Case, Facts, Outcome, Question, Reply, Run, look

#: Gives an answer for the arguments of a call.
Way = Callable[[tuple[Any, ...]], Any]


class Copy(nn.Module):
    """A network that gives back its input."""

    def forward(self, x: Tensor) -> Tensor:
        """``x`` itself, of any shape."""
        return x


def copy_file() -> bytes:
    """:class:`Copy` for the lite interpreter."""
    return torch.jit.script(Copy())._save_to_buffer_for_lite_interpreter()


def _constant(value: Any) -> Way:
    return lambda args: value


def _argument(place: int) -> Way:
    def way(args: tuple[Any, ...]) -> Any:
        it = args[place] if place < len(args) else None
        return Other(it.where, "") if isinstance(it, Net) else it

    return way


def _first_tensor(args: tuple[Any, ...]) -> Tensor:
    for it in args:
        for one in it if isinstance(it, (list, tuple)) else (it,):
            if isinstance(one, Tensor):
                return one
    return torch.zeros(1)


def _one_large(x: Tensor) -> Tensor:
    marks = torch.zeros_like(x)
    if marks.numel():
        marks.view(-1)[0] = 127
    return marks


def _rows(x: Tensor) -> Tensor:
    return torch.zeros(len(x) if x.ndim else 1)


#: Functions that nobody had to think about, by name.
WAYS: dict[str, Way] = {
    **{f"constant {value!r}": _constant(value) for value in (
        None, False, True, 0, 1, -1, 0.0, 1.0, "", "right", (), [], {}, frozenset(), [0], [1],
        (0, 0), (0.0, 0), (1.0, 0), [0, 0], [True], [False], torch.zeros(()), torch.ones(1),
    )},
    **{f"argument {place + 1}": _argument(place) for place in range(3)},
    "all arguments": lambda args: [_argument(i)(args) for i in range(len(args))],
    "zeros": lambda args: torch.zeros_like(_first_tensor(args)),
    "ones": lambda args: torch.ones_like(_first_tensor(args)),
    "zeros and one 127": lambda args: _one_large(_first_tensor(args)),
    "one 127, and no scales": lambda args: (
        _one_large(_first_tensor(args)), _rows(_first_tensor(args))
    ),
    "zeros, and no scales": lambda args: (
        torch.zeros_like(_first_tensor(args)), _rows(_first_tensor(args))
    ),
    "as many zeros": lambda args: [0] * _length(args),
    "as many times yes": lambda args: [True] * _length(args),
    "as many times no": lambda args: [False] * _length(args),
    "as many times nothing": lambda args: [None] * _length(args),
    "as many texts with all numbers": lambda args: [EVERYTHING] * _length(args),
}  # fmt: skip
#: A sentence in which everything stands that somebody may look for.
EVERYTHING = "nan inf float16 float32 float64 int8 uint8 int32 int64 bool shape dtype " + " ".join(
    map(str, range(300))
)


def _length(args: tuple[Any, ...]) -> int:
    return next((len(it) for it in args if isinstance(it, (list, tuple, dict))), 1)


@cache
def _facts(content: bytes) -> dict[str, Any]:
    return run_model.facts(File(content))


def _reply(question: Question, way: Way, content: bytes) -> Reply:
    """What a notebook would answer in which every function goes this way."""
    if isinstance(question, Facts):
        return Reply("ok", _facts(content))
    if isinstance(question, Run):
        if not content:
            return Reply("error")
        each = [x if isinstance(x, tuple) else (x,) for x in question.inputs]
        return Reply("ok", [way(x) for x in each])
    if isinstance(question, Call):
        args = question.then[-1] if question.then else question.args
        return Reply("ok", question.args if question.back else way(args))
    if isinstance(question, Value):
        return Reply("ok", way(()))
    return Reply("ok", File(content))


def replies(public: Sequence[Case]) -> dict[str, Callable[[Question], Reply]]:
    """All the ways, as who answers questions; the public cases' answers among them."""
    ways = dict(WAYS)
    for i, case in enumerate(public):
        if not (case.judge or isinstance(case.ask, (Facts, Run))):
            ways[f"answer of public case {i + 1}"] = _constant(case.expected)
    copied = copy_file()
    found = {
        f"{name}, a file that copies": (lambda q, way=way: _reply(q, way, copied))
        for name, way in ways.items()
    }
    return {**found, "an empty file": lambda q: _reply(q, _constant(None), b"")}


def share(public: Sequence[Case], hidden: Sequence[Case]) -> float:
    """The largest share of a task's points that a trivial answer would get, 0 to 1."""
    tries = (look(hidden, reply, words=False) for reply in replies(public).values())
    return max((reached(outcomes) for outcomes in tries), default=0.0)


def reached(outcomes: Sequence[Outcome], guessing: Callable[[], float] = float) -> float:
    """The share of a task's points, 0 to 1.

    Cases count by their weight. Those that only look at what stands around an answer (its file's
    size, whether the arguments were left alone) count in the share in which the answers themselves
    are right. Without a case that is a gate there is nothing.

    Args:
        outcomes: of the hidden cases.
        guessing: what a trivial answer reaches (:func:`share`); points begin there.
    """
    total = sum(o.weight for o in outcomes)
    if not total or any(o.gate and not o.ok for o in outcomes):
        return 0.0
    answers = sum(o.weight for o in outcomes if not o.around)
    right = sum(o.weight for o in outcomes if o.ok and not o.around)
    around = sum(o.weight for o in outcomes if o.ok and o.around)
    found = (right + around * (right / answers if answers else 1.0)) / total
    if not 0 < found < 1:  # and where nothing is missing, nobody needs to know what guessing gives
        return found
    start = guessing()
    return max(0.0, (found - start) / (1 - start)) if start < 1 else 0.0
