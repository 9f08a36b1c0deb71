"""What a task is: points, cases, and what counts as the right answer.

The same cases are looked at by the check in the notebook and by the grader. Who asks the
questions differs: :func:`look` takes any function from a question to a :class:`Reply`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from mobilelab.grading.comparison import compare, show, side_by_side
from mobilelab.grading.questions import Ask, Call, Delivered, Value
from mobilelab.grading.sandbox import Limits


@dataclass(frozen=True)
class Facts:
    """Ask: what can be seen of a delivered model without running it (``run_model.facts``)."""

    source: Ask


@dataclass(frozen=True)
class Run:
    """Ask: the outputs of a delivered model on ``inputs``, a list as long as they are.

    A tuple among the inputs is several arguments.
    """

    source: Ask
    inputs: tuple[Any, ...]


@dataclass(frozen=True)
class Here:
    """Ask, in a chapter, where nobody is graded: what does this function give?"""

    got: Callable[[], Any]


Question = Call | Value | Delivered | Facts | Run | Here


@dataclass(frozen=True)
class Reply:
    """What came back to a question.

    ``outcome`` is ``ok`` or how it ended: ``todo``, ``missing``, or a key of :data:`ENDS`.
    """

    outcome: str
    value: Any = None
    error: str = ""


@dataclass(frozen=True)
class Case:
    """One thing that an answer must get right, with a name that a student can understand.

    Args:
        name: what is looked at: ``"0.0 lands on the zero point"``.
        ask: the question.
        expected: the right reply, or, with ``judge``, words for what is wanted.
        hint: the misconception behind a typical wrong answer, and where to think again.
        tolerance: largest absolute difference that counts as equal.
        judge: whether a reply is right, where equality is not the measure. An exception in it
            means that the reply was not of the kind it looks for: wrong.
        show: words for a reply; ``repr`` by default.
        pick: the part of the reply that this case looks at.
        weight: its share of the task's points.
        gate: without this case there are no points for the task: what is left of it then is not
            what the task is about.
    """

    name: str
    ask: Question
    expected: Any
    hint: str = ""
    tolerance: float = 0.0
    judge: Callable[[Any], bool] | None = None
    show: Callable[[Any], str] | None = None
    pick: Callable[[Any], Any] | None = None
    weight: float = 1.0
    gate: bool = False

    @property
    def around(self) -> bool:
        """Whether it looks at what stands around an answer: the arguments left alone, a file."""
        return isinstance(self.ask, Facts) or (isinstance(self.ask, Call) and self.ask.back)


class Draw:
    """Random inputs from one seed; the same seed gives the same inputs on every machine."""

    def __init__(self, seed: int) -> None:
        self.generator = torch.Generator().manual_seed(seed % 2**63)

    def integer(self, low: int, high: int) -> int:
        """A whole number from ``low`` to ``high``, both included."""
        return int(torch.randint(low, high + 1, (), generator=self.generator))

    def uniform(self, low: float, high: float) -> float:
        """A number between ``low`` and ``high``."""
        return low + (high - low) * float(torch.rand((), generator=self.generator))

    def choice(self, options: Sequence[Any]) -> Any:
        """One of ``options``."""
        return options[self.integer(0, len(options) - 1)]

    def sample(self, options: Sequence[Any], count: int) -> list[Any]:
        """``count`` different ones of ``options``."""
        order = torch.randperm(len(options), generator=self.generator)[:count]
        return [options[int(i)] for i in order]

    def uniform_tensor(self, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        """float32 tensor of ``shape``, values between ``low`` and ``high``."""
        return low + (high - low) * torch.rand(shape, generator=self.generator)

    def normal_tensor(self, *shape: int) -> Tensor:
        """float32 tensor of ``shape``, mean 0, standard deviation 1."""
        return torch.randn(shape, generator=self.generator)

    def integer_tensor(self, *shape: int, low: int, high: int) -> Tensor:
        """int64 tensor of ``shape``, values from ``low`` to ``high``, both included."""
        return torch.randint(low, high + 1, shape, generator=self.generator)


Parameters = SimpleNamespace
Public = Callable[[Parameters], list[Case]]
Hidden = Callable[[Parameters, Draw], list[Case]]


@dataclass(frozen=True)
class Task:
    """One task of an exercise.

    Args:
        key: its short name, also the name of its function in ``hidden.py``.
        title: its heading.
        points: what it is worth.
        minutes: what it takes.
        names: the names or files that the student delivers.
        public: the cases that the notebook shows; they are worth no points, because a table of
            their answers would otherwise be worth some.
        explanation: shown after three honest tries.
        uses: parameters that its answer depends on.
    """

    key: str
    title: str
    points: float
    minutes: int
    names: tuple[str, ...]
    public: Public
    explanation: str
    uses: tuple[str, ...] = ()


@dataclass(frozen=True)
class Exercise:
    """An assignment: its tasks, its parameters and what a submission may use.

    ``parameters`` maps each name to the values that a student may be given; the first is what
    the notebook has before anybody's are put in. ``runtimes`` are the libraries that it needs
    beside what every installation of the course has, by the names of their extras.
    """

    title: str
    tasks: tuple[Task, ...]
    parameters: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    runtimes: tuple[str, ...] = ()

    @property
    def points(self) -> float:
        """The most that can be reached."""
        return sum(task.points for task in self.tasks)

    def task(self, key: str) -> Task:
        """The task called ``key``.

        Raises:
            KeyError: with the keys that there are.
        """
        for task in self.tasks:
            if task.key == key:
                return task
        raise KeyError(f"no task {key!r}; there are {', '.join(t.key for t in self.tasks)}")


#: How a case can end, in the words of the gradebook.
ENDS = {
    "ok": "wrong answer",
    "todo": "not done",
    "missing": "missing task",
    "error": "error",
    "timeout": "timeout",
    "memory": "out of memory",
    "processes": "too many processes",
    "died": "kernel died",
    "large": "answer too large",
    "nonsense": "disturbed messages",
}


@dataclass(frozen=True)
class Outcome:
    """How one case went."""

    name: str
    ok: bool
    end: str
    """``right`` or one of the values of :data:`ENDS`."""
    expected: str
    got: str
    hint: str
    weight: float = 1.0
    gate: bool = False
    around: bool = False


def look(
    cases: Sequence[Case], ask: Callable[[Question], Reply], *, words: bool = True
) -> list[Outcome]:
    """Ask the questions of ``cases``, each distinct one once, and compare.

    Without ``words`` nothing is said of what was expected and what came, which takes a while.
    """
    replies: dict[int, Reply] = {}
    outcomes = []
    for case in cases:
        if id(case.ask) not in replies:
            replies[id(case.ask)] = ask(case.ask)
        outcomes.append(_one(case, replies[id(case.ask)], words))
    return outcomes


def _one(case: Case, reply: Reply, words: bool) -> Outcome:
    in_words = case.judge and isinstance(case.expected, str)
    wanted = case.expected if in_words else show(case.expected) if words else ""
    if reply.outcome != "ok":
        end = ENDS.get(reply.outcome, "error")
        return _outcome(case, False, end, wanted, reply.error or end)
    try:
        got, why, said = case.pick(reply.value) if case.pick else reply.value, "", ""
        if case.judge:
            ok = bool(case.judge(got))
        else:
            ok, why = compare(case.expected, got, case.tolerance)
        if words and case.show:
            said = case.show(got)
        elif words and case.judge:
            said = show(got)
        elif words:
            wanted, said = side_by_side(case.expected, got, case.tolerance)
    except Exception:  # the reply may be anything: not of the kind that this case looks for
        ok, why = False, "it is not the kind of answer that is asked for"
        said = show(reply.value) if words else ""
    if why:
        said += f" ({why})"
    end = "right" if ok else ENDS["ok"]
    return _outcome(case, ok, end, wanted, said)


def _outcome(case: Case, ok: bool, end: str, wanted: str, got: str) -> Outcome:
    return Outcome(case.name, ok, end, wanted, got, case.hint, case.weight, case.gate, case.around)
