"""The cases of exercise 11 that give points. Kept back: no student's code ever sees this file."""

import json

from mobilelab.grading import Call, Case, Facts

from .checks import (
    FIT,
    GATE,
    GRAVE,
    LEAVES,
    LITE,
    NAMES,
    PACKED,
    SCRIPT,
    SILENT,
    TRACED,
    answers,
    differs,
    far,
    fits,
    ordinary,
    packed,
    row,
    special,
)

#: What mobilelab check tells of each network; a test compares.
LOUD = {
    "heron": "script-function-attribute",
    "kestrel": "script-varargs",
    "plover": "script-try",
    "avocet": "script-format",
    "dunlin": "script-numpy",
    "curlew": "script-lambda",
}
TRACES = ("trace", "freeze", "recipe", "mobile", "lite", "bytecode-7", "bytecode-6", "bytecode-5",
          "bytecode-4")  # fmt: skip
SILENTLY = {
    "heron": (TRACES, "branch-frozen"),
    "kestrel": (TRACES, "shape-frozen"),
    "plover": (TRACES, "branch-frozen"),
    "avocet": (TRACES, "shape-frozen"),
    "dunlin": (("recipe",), "fold-bug"),
    "curlew": (("recipe", "mobile"), "in-place-head"),
}


def faults(p, draw):
    found, cause = SILENTLY[p.network]
    ask = Call("faults")
    return [
        Case("the loud fault", ask, LOUD[p.network], NAMES, pick=lambda r: r[0]),
        Case("the silent fault", ask, "a road with a silent fault, and its cause", NAMES,
             judge=lambda r: len(r[1]) == 2 and r[1][0] in found and r[1][1] == cause),
    ]  # fmt: skip


def witness(p, draw):
    ask = Call("witness")
    return [
        Case("your network takes it", ask, "two tensors that fit", FIT,
             judge=lambda example: fits(p, example), weight=0, gate=True),
        Case("the file answers otherwise", ask, "a relative error above 0.05", SILENT,
             judge=lambda example: differs(p, example), gate=True),
    ]  # fmt: skip


def how_far(p, draw):
    cases = []
    for name, make in (("an ordinary example", ordinary), ("a special one", special),
                       ("another special one", special)):  # fmt: skip
        example = make(p.network, p.limit, draw)
        cases.append(
            Case(name, Call("how_far", (example,)), far(p.network, p.limit, example),
                 LEAVES if make is ordinary else TRACED, 1e-3, gate=make is special)
        )  # fmt: skip
    return cases


def mend(p, draw):
    ask, found = answers(p, lambda net: Call("mend", (net,)), draw, gate=True)
    return [
        Case("it is TorchScript", Facts(ask), "torchscript", SCRIPT, pick=lambda f: f["loads"],
             gate=True),
        *found,
    ]  # fmt: skip


def app(p, draw):
    ask, found = answers(p, lambda net: Call("app", (net,)), draw, gate=True)
    return [
        Case("a .ptl, packed", Facts(ask), "lite, with packed weights", LITE + " " + PACKED,
             judge=lambda f: packed(p, f), gate=True,
             show=lambda f: f"{f['loads']}, {sorted(f.get('operators', ()))}"),
        *found,
    ]  # fmt: skip


FATAL = ("branch-frozen", "shape-frozen", "state-lost", "outputs-dropped", "outputs-reordered",
         "fold-bug", "in-place-head")  # fmt: skip
FLOATS = ("trace", "script", "freeze", "recipe", "mobile", "lite", "export", "et-xnnpack")


def some_rows(draw):
    """Eight rows of every kind, and the roads of those that break the expectation, in order."""
    roads = draw.sample(FLOATS, 6)
    kinds = draw.sample(range(6), 6)
    rows, broken = [], []
    for road, kind in zip(roads, kinds, strict=True):
        rows.append([
            row(road), row(road, "close"), row(road, "DIFFERENT"), row(road, status="refused"),
            row(road, causes=[draw.choice(FATAL), "type-changed"]),
            row(road, status=draw.choice(("not installed", "not for this network"))),
        ][kind])  # fmt: skip
        if kind in (1, 2, 3, 4):
            broken.append(road)
    rows.append(row("fx-int8", "close", exact=False, causes=["drawn-examples"]))
    rows.append(row("dynamic-int8", draw.choice(("DIFFERENT", "random")), exact=False))
    return rows, [*broken, "dynamic-int8"]


def gate(p, draw):
    cases = []
    for number in range(4):
        rows, broken = some_rows(draw)
        text = json.dumps({"schema": 1, "model": "net", "rows": rows})
        cases.append(Case(f"eight roads, {number + 1}", Call("gate", (text,)), broken,
                          GRAVE if number % 2 else GATE))  # fmt: skip
    fine = json.dumps({"rows": [row("trace"), row("fx-int8", "close", exact=False)]})
    cases.append(Case("all is well", Call("gate", (fine,)), [], GATE, weight=0.5))
    return cases
