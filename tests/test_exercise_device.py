"""Assignment 07: plausible wrong work loses for it, and other honest kinds of answers do not."""

import copy
import io
import json
import sys
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.jit.mobile
from grading import ROOT

from mobilelab.grading import trivial
from mobilelab.grading.assignment import Assignment
from mobilelab.grading.checker import ask_here
from mobilelab.grading.tasks import Run, look

FOLDER = ROOT / "exercises" / "07_on_a_device"
MINE = {"core": "cortex-a76", "file": "mobile", "reads": 5, "bend": "mish", "rank": 6}


@pytest.fixture(scope="module")
def assignment():
    return Assignment.load(FOLDER)


@pytest.fixture
def solved(assignment, monkeypatch, tmp_path):
    """The names that the solution's notebook defines, in a folder with what it delivers."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "checks.py").write_bytes(assignment.files["checks.py"])
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "checks", raising=False)
    names = {"__name__": "__main__", **MINE}
    for cell in json.loads(assignment.files["solution.ipynb"])["cells"]:
        source = "".join(cell["source"])
        kept = cell["cell_type"] == "code" and "parameters" not in cell["metadata"].get("tags", [])
        if kept and not source.startswith("check("):
            exec(source, names)
    yield names
    sys.modules.pop("checks", None)


def gained(assignment, key, names):
    """The points of one task for what a notebook defines, and the names of the wrong cases."""
    task = assignment.exercise.task(key)
    _, hidden = assignment.cases(task, MINE, b"a secret", "eve")
    outcomes = look(hidden, lambda question: ask_here(names, question), words=False)
    share = trivial.reached(outcomes, lambda: assignment.guessing(task, MINE))
    return task.points * share, [outcome.name for outcome in outcomes if not outcome.ok]


def test_the_solution_has_all_points(assignment, solved):
    for task in assignment.exercise.tasks:
        assert gained(assignment, task.key, solved) == (task.points, [])


# --- kinds of honest answers ----------------------------------------------------------------


def as_numpy(value):
    """The same answer as somebody gives it who works with numpy."""
    if isinstance(value, dict):
        return OrderedDict((key, as_numpy(one)) for key, one in value.items())
    if isinstance(value, (list, tuple)):
        return np.array(value) if value and isinstance(value[0], float) else tuple(value)
    if isinstance(value, bool) or value is None:
        return value
    return {int: np.int64, float: np.float64}.get(type(value), lambda it: it)(value)


def as_lists(value):
    if isinstance(value, dict):
        return {key: as_lists(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_lists(one) for one in value]
    return torch.tensor(value, dtype=torch.float64) if isinstance(value, float) else value


@pytest.mark.parametrize("other", [as_numpy, as_lists])
def test_honest_kinds_of_answers_lose_nothing(assignment, solved, other):
    functions = ("one_inference", "macs", "density", "energy_uj", "less", "refusal", "choose")
    names = dict(solved)
    for name in functions:
        names[name] = lambda *args, kept=solved[name]: other(kept(*args))
    names["mended"] = lambda *args: bytearray(solved["mended"](*args))
    for task in assignment.exercise.tasks[:5]:
        assert gained(assignment, task.key, names) == (task.points, []), task.key


def test_other_honest_files_lose_nothing(assignment, solved):
    from torch.utils.mobile_optimizer import optimize_for_mobile

    def traced(net, library, newest):
        module = torch.jit.trace(net, torch.zeros(1, 2, 8, 8))
        return backported(module, newest)

    def optimized(net, library, newest):
        return backported(optimize_for_mobile(torch.jit.script(net)), newest)

    for way in (traced, optimized):
        assert gained(assignment, "takes", {**solved, "mended": way}) == (4, []), way.__name__
    thin = solved["Thin"](solved["network_of"](MINE["bend"], MINE["rank"])).eval()
    packed = optimize_for_mobile(torch.jit.trace(thin, torch.zeros(2, 48)))
    deliver(backported(packed, 5))
    assert gained(assignment, "deliver", solved) == (4, [])


def backported(module, newest):
    content = module._save_to_buffer_for_lite_interpreter()
    if newest >= 8:
        return content
    return torch.jit.mobile._backport_for_mobile_to_buffer(io.BytesIO(content), newest)


def deliver(content):
    Path("sensor.ptl").write_bytes(content)


# --- wrong work -----------------------------------------------------------------------------


def added(request):
    return [b - a for a, b in zip(request["before"], request["after"], strict=True)]


def wrong_functions(solved):
    """The task, names, and the most points that this wrong work may still get."""

    def whole_requests(log):
        sums = [added(r) for r in log if r["inferences"]]
        return dict(zip(("instructions", "mac_instructions", "products"), sums[-1], strict=True))

    def no_empty(log):
        kept = copy.deepcopy(log)
        for request in kept:
            if not request["inferences"]:
                request["after"] = request["before"]
        return solved["one_inference"](kept)

    def warm_up_kept(log):
        runs = [request for request in log if request["inferences"]]
        return solved["one_inference"]([runs[0], *log])

    def first_of_all_left_out(log):
        return solved["one_inference"]([{**log[0], "inferences": 1}, *log[1:]])

    def no_groups(net, shape):
        found = solved["macs"](net, shape)
        return {name: count * getattr(dict(net.named_modules())[name], "groups", 1)
                for name, count in found.items()}  # fmt: skip

    def whole_batch(net, shape):
        return {name: shape[0] * count for name, count in solved["macs"](net, shape).items()}

    def weights(net, shape):
        return {name: part.weight.numel() for name, part in net.named_modules()
                if hasattr(part, "weight")}  # fmt: skip

    def by_the_middle(first, second):
        return "first" if sum(first) < sum(second) else "second"

    def base(name):
        return "- " + name.split(".")[0]

    def without_overloads(content, library, newest):
        found = solved["refusal"](content, library, newest)
        known = {line.split(".")[0] for line in library.replace("# ", "").splitlines()}
        return {**found, "missing": [n for n in found["missing"] if base(n) not in known]}

    def backports(content, library, newest):
        found = solved["refusal"](content, library, newest)
        return {**found, "way": "backport" if found["version"] > newest else found["way"]}

    def fewest(table, core, budget):
        return solved["choose"](
            [{**row, "instructions": {core: 10 ** (i + 1) * (row["instructions"].get(core) or 0)}}
             for i, row in enumerate(table)], core, budget,
        )  # fmt: skip

    def missing_is_nothing(table, core, budget):
        counts = [{core: row["instructions"].get(core) or 0} for row in table]
        filled = [
            {**row, "memory_mb": row.get("memory_mb") or 0.0, "instructions": count}
            for row, count in zip(table, counts, strict=True)
        ]
        return solved["choose"](filled, core, budget)

    def scripted(net, library, newest):
        return backported(torch.jit.script(net), newest)

    def not_backported(net, library, newest):
        return backported(torch.jit.freeze(torch.jit.script(net)), 9)

    def another(net, library, newest):
        larger = torch.nn.Upsample(scale_factor=2)
        return backported(torch.jit.trace(larger, torch.zeros(1, 2, 8, 8)), newest)

    return {
        "the whole request": ("inference", {"one_inference": whole_requests}, 0),
        "nothing taken off": ("inference", {"one_inference": no_empty}, 0),
        "the warm-up kept": ("inference", {"one_inference": warm_up_kept}, 0),
        "the first of all left out": ("inference", {"one_inference": first_of_all_left_out}, 2),
        "no groups": ("macs", {"macs": no_groups}, 1.8),
        "the whole batch": ("macs", {"macs": whole_batch}, 2.4),
        "weights, not products": ("macs", {"macs": weights}, 0),
        "the middle of two ranges": ("costs", {"less": by_the_middle}, 2.5),
        "names without overloads": ("takes", {"refusal": without_overloads}, 3.8),
        "a backport heals all": ("takes", {"refusal": backports}, 3.8),
        "as it was scripted": ("takes", {"mended": scripted}, 3.2),
        "never backported": ("takes", {"mended": not_backported}, 3.2),
        "another network": ("takes", {"mended": another}, 2.4),
        "a count of its own": ("choose", {"choose": fewest}, 1.5),
        "missing is nothing": ("choose", {"choose": missing_is_nothing}, 1.0),
    }


def test_plausible_wrong_work_loses(assignment, solved):
    for name, (task, functions, most) in wrong_functions(solved).items():
        points, wrong = gained(assignment, task, {**solved, **functions})
        assert wrong and points <= most + 1e-9, (name, points, wrong)


def test_the_public_answers_are_worth_nothing(assignment, solved):
    """A table of what `check` shows, by the arguments; for others the first of the answers."""
    for task in assignment.exercise.tasks[:5]:
        public, _ = assignment.cases(task, MINE, b"a secret", "eve")
        table = {}
        for case in public:
            if not isinstance(case.ask, Run) and hasattr(case.ask, "args"):
                table[case.ask.name, repr(case.ask.args)] = solved[case.ask.name](
                    *map(built, case.ask.args)
                )
        names = {
            name: lambda *args, n=name, t=table: next(v for (k, _), v in t.items() if k == n)
            for name in task.names
        }
        points, _ = gained(assignment, task.key, names)
        assert points <= 0.34 * task.points if task.key == "takes" else points == 0, task.key


def built(argument):
    return argument.build() if hasattr(argument, "build") else argument


FORGED = (
    None, True, "a text", 3, [], [[]], {}, {"instructions": "many"}, object(), b"\x00" * 40,
    float("nan"), {1, 2}, {"choice": None, "equal": "all"}, {"missing": 3}, (1, 2, 3, 4),
)  # fmt: skip


@pytest.mark.parametrize("forged", FORGED, ids=lambda it: repr(it)[:20])
def test_answers_of_another_kind_are_wrong_and_stop_nothing(assignment, solved, forged):
    for task in assignment.exercise.tasks[:5]:
        names = dict.fromkeys(task.names, lambda *_: forged)
        points, wrong = gained(assignment, task.key, names)
        assert points == 0 and wrong, task.key


def sensor(solved, change):
    """A file that a student might deliver in place of the right one."""
    net = solved["network_of"](MINE["bend"], MINE["rank"])
    return backported(torch.jit.trace(change(net), torch.zeros(2, 48)), 5)


def halved(net):
    """float16 numbers, made floats while it runs."""
    net.requires_grad_(False)
    wide = net.wide.weight.half()

    class Half(torch.nn.Module):
        def forward(self, x):
            x = torch.nn.functional.mish(torch.nn.functional.linear(x, first, net.first.bias))
            x = torch.nn.functional.linear(x, wide.float(), net.wide.bias)
            return net.last(x * torch.tanh(torch.log(1 + torch.exp(x))))

    first = net.first.weight
    return Half()


def test_other_files_get_nothing(assignment, solved):
    thin, right = solved["Thin"], Path("sensor.ptl").read_bytes()
    shorter = solved["network_of"](MINE["bend"], 12)
    files = {
        "the network as it is": sensor(solved, lambda net: net),
        "fewer bits, as many numbers": sensor(solved, halved),
        "nothing": b"",
        "cut off": right[: len(right) // 2],
        "a zip of nothing": b"PK\x05\x06" + bytes(18),
        "a file of ExecuTorch, it says": b"\x00\x00\x00\x00ET12" + bytes(200),
        "a file for another loader": saved(torch.jit.trace(thin(shorter), torch.zeros(2, 48))),
    }
    for name, content in files.items():
        deliver(content)
        assert gained(assignment, "deliver", solved)[0] == 0, name
    deliver(sensor(solved, lambda net: thin(shorter).eval()))
    points, wrong = gained(assignment, "deliver", solved)
    assert wrong == ["your network's answers"] and points < 2


def saved(module):
    buffer = io.BytesIO()
    torch.jit.save(module, buffer)
    return buffer.getvalue()


def test_a_newer_bytecode_costs_its_share(assignment, solved):
    thin = solved["Thin"](solved["network_of"](MINE["bend"], MINE["rank"])).eval()
    deliver(backported(torch.jit.trace(thin, torch.zeros(2, 48)), 9))
    points, wrong = gained(assignment, "deliver", solved)
    assert wrong == ["the phone reads up to version 5"] and 3 < points < 4
