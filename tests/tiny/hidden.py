"""CANARY-HIDDEN: the cases that give points."""

from mobilelab.grading import Call, Case, Delivered, Run, Value


def double(p, draw):
    cases = []
    for name, shape in (("a row", (7,)), ("an image", (1, 3, 4, 4))):
        x = draw.normal_tensor(*shape) * 1000
        cases.append(Case(name, Call("double", (x,)), 2 * x, "Two times, not squared.", 1e-2))
    x = draw.integer_tensor(5, low=1, high=10**6)
    back = Call("double", (x,), back=True)
    both = Call("double", (x,))
    cases.append(Case("whole numbers", both, 2 * x, "Two times."))
    ask = Case("and leaves its argument alone", back, [x], "Do not write into the argument.",
               judge=lambda r: bool((r[0] == x).all()), weight=0)  # fmt: skip
    return [*cases, ask]


def number(p, draw):
    return [Case("the right one", Value("answer"), 7 * p.seed + 1, "Seven times the seed, plus 1.")]


def model(p, draw):
    x = draw.normal_tensor(4, 3) * 100
    return [Case("other inputs", Run(Delivered("net.ptl"), (x,)), [3 * x + p.seed],
                 "Three times x, plus the seed.", 1e-2)]  # fmt: skip
