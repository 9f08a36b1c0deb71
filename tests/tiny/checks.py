"""A tiny exercise for the grader's own tests."""

import torch

from mobilelab.grading import Call, Case, Checker, Delivered, Exercise, Limits, Run, Task, Value


def double(p):
    ask = Call("double", (torch.tensor([1.0, 2.0]),))
    return [Case("one and two", ask, torch.tensor([2.0, 4.0]), "Two times, not squared.", 1e-6)]


def number(p):
    return [Case("a whole number", Value("answer"), "an int", "answer is an int.",
                 judge=lambda v: type(v) is int)]  # fmt: skip


def model(p):
    ask = Run(Delivered("net.ptl"), (torch.zeros(2),))
    wanted = [torch.full((2,), float(p.seed))]
    return [Case("zero gives the seed", ask, wanted, "Three times x, plus the seed.", 1e-4)]


EXERCISE = Exercise(
    "Tiny",
    parameters={"seed": range(3, 1000)},
    tasks=(
        Task("double", "1. Double", 4, 1, ("double",), double, "x + x"),
        Task("number", "2. Number", 2, 1, ("answer",), number, "7 * seed + 1", uses=("seed",)),
        Task("model", "3. Model", 4, 1, ("net.ptl",), model, "3 * x + seed", uses=("seed",)),
    ),
    limits=Limits(cell=4, notebook=12, memory=700 * 2**20, disk=64 * 2**20, processes=12),
)

check = Checker(EXERCISE)
