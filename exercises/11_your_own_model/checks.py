"""What exercise 11 asks, and the cases that you can see. `check("key")` in the notebook runs them.

The grader asks the same about inputs that are not in this file. The six networks stand at the top:
yours is the one that your parameter `network` names.
"""

import copy
import json
import warnings
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.mobile_optimizer import optimize_for_mobile

from mobilelab.check import diagnosis, roads
from mobilelab.grading import (
    Call,
    Case,
    Checker,
    Draw,
    Exercise,
    Facts,
    Limits,
    Net,
    Run,
    Task,
)

# --- six networks, from six people ------------------------------------------------------------
# Each takes two inputs and answers with a dictionary. Each has one fault that raises an error and
# one that does not.


class Heron(nn.Module):
    """Judges six readings `x` (n, 6) with the help of six others, `aid` (n, 6)."""

    def __init__(self, limit: float = 0.5) -> None:
        super().__init__()
        self.inner, self.limit = nn.Linear(6, 5), limit
        self.bend = lambda v: v.clamp(min=-0.2)

    def forward(self, x: Tensor, aid: Tensor) -> dict[str, Tensor]:
        if aid.mean() > self.limit:
            x = 3 * x - aid
        return {"score": self.bend(self.inner(x)), "aid": aid.amax(1)}


class Kestrel(nn.Module):
    """Sums up a series `x` (n, length, 4), whose steps count by `aid` (n, length)."""

    def __init__(self, limit: float = 0.5) -> None:
        super().__init__()
        self.inner, self.limit = nn.Linear(4, 5, bias=False), limit

    def forward(self, x: Tensor, aid: Tensor, **more: Tensor) -> dict[str, Tensor]:
        counted = (x * aid.unsqueeze(2)).sum(1) / (self.limit * float(x.shape[1]))
        return {"score": self.inner(counted), "peak": x.amax(1), **more}


class Plover(nn.Module):
    """Smooths six readings `x` (n, 6) as often as `aid` (n, 2) adds up to."""

    def __init__(self, limit: float = 0.5) -> None:
        super().__init__()
        self.inner, self.limit = nn.Linear(6, 6), limit

    def forward(self, x: Tensor, aid: Tensor) -> dict[str, Tensor]:
        try:
            for _ in range(int(aid[0, 0] + aid[0, 1])):
                x = x + self.limit * torch.tanh(self.inner(x))
        except ValueError:
            pass
        return {"score": x, "times": aid.sum(1)}


class Avocet(nn.Module):
    """Finds the peak of a series `x` (n, length, 4); a long one is thinned out first."""

    def __init__(self, limit: float = 0.5) -> None:
        super().__init__()
        self.inner, self.longest = nn.Linear(4, 5), int(10 * limit) + 4

    def forward(self, x: Tensor, aid: Tensor) -> dict[str, Tensor]:
        assert x.ndim == 3, f"a series has three axes, and the mean of this is {x.mean():.2f}"
        if x.shape[1] > self.longest:
            x = x[:, ::2] * 0.5
        return {"score": self.inner(x.amax(1)), "sum": x.sum(1) * aid.mean()}


class Dunlin(nn.Module):
    """Looks at a picture `x` (n, 2, 8, 8) under a light `aid` (n, 2)."""

    def __init__(self, limit: float = 0.5) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(2, 5, 3, bias=False), nn.BatchNorm2d(5)
        self.limit = limit

    def forward(self, x: Tensor, aid: Tensor) -> dict[str, Tensor]:
        seen = torch.relu(self.norm(self.conv(x))) * float(np.sqrt(2.0))
        return {"score": seen.mean((2, 3)) + self.limit, "light": aid.amin(1)}


class Curlew(nn.Module):
    """Looks at a picture `x` (n, 2, 8, 8), made whiter by `aid` (n, 2)."""

    def __init__(self, limit: float = 0.5) -> None:
        super().__init__()
        self.conv, self.limit = nn.Conv2d(2, 5, 3), limit

    def forward(self, x: Tensor, aid: Tensor) -> dict[str, Tensor]:
        half = lambda v: v / 2  # noqa: E731
        x = x.clone()
        for channel, spread in enumerate((0.25, 0.2)):
            x[:, channel].sub_(self.limit).div_(spread)
        return {"score": torch.relu(self.conv(x)).mean((2, 3)), "light": half(aid).amax(1)}


NETWORKS = {
    kind.__name__.lower(): kind for kind in (Heron, Kestrel, Plover, Avocet, Dunlin, Curlew)
}


def drawn(kind, limit: float, draw: Draw) -> nn.Module:
    """A network with drawn weights, in eval mode; also its BatchNorm has seen something."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        net = kind(limit).eval()
        for part in net.modules():
            if isinstance(part, (nn.Linear, nn.Conv2d)):
                for x in part.parameters():
                    x.copy_(draw.normal_tensor(*x.shape) / 2)
            if isinstance(part, nn.BatchNorm2d):
                part.running_mean.copy_(draw.normal_tensor(5))
                part.running_var.copy_(draw.uniform_tensor(5, low=0.5, high=2.0))
                part.bias.copy_(draw.normal_tensor(5))
    return net


def network_of(network: str, limit: float) -> nn.Module:
    """Your network, with its weights."""
    return drawn(NETWORKS[network], limit, Draw(11))


#: What a Kestrel, or an Avocet, is used to be given.
LENGTH = {"kestrel": 10, "avocet": 5}


def ordinary(network: str, limit: float, draw: Draw) -> tuple[Tensor, Tensor]:
    """An example as the network's owner made them."""
    if network in LENGTH:
        n = LENGTH[network]
        return draw.normal_tensor(1, n, 4), draw.uniform_tensor(1, n, low=0.5)
    if network == "plover":
        return draw.normal_tensor(1, 6), torch.tensor([[1.0, 1.0]])
    if network == "heron":
        return draw.normal_tensor(1, 6), draw.uniform_tensor(1, 6, high=0.4 * limit)
    return draw.uniform_tensor(1, 2, 8, 8), draw.uniform_tensor(1, 2)


def examples_of(network: str, limit: float) -> list[tuple[Tensor, Tensor]]:
    """Eight examples, as the network's owner made them."""
    draw = Draw(12)
    return [ordinary(network, limit, draw) for _ in range(8)]


# --- the questions -----------------------------------------------------------------------------

NAMES = (
    "Roads are called as in the first column of `mobilelab check`, causes as in docs/causes.md. "
    "What the check says of the whole network belongs to no road."
)


def _known(pair):
    road, cause = pair
    return road in [r.name for r in roads.ROADS] and cause in diagnosis.causes()


def faults(p):
    ask = Call("faults")
    return [
        Case("the loud fault is the name of a cause", ask, "a cause", NAMES,
             judge=lambda found: found[0] in diagnosis.causes()),
        Case("the silent one is the name of a road and of a cause", ask, "(road, cause)", NAMES,
             judge=lambda found: _known(found[1])),
    ]  # fmt: skip


def file_of(network: str, model: nn.Module, example) -> nn.Module:
    """What the road of the silent fault makes: a trace, and for pictures the printed recipe."""
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        mine = tuple(x.clone() for x in example)
        traced = torch.jit.trace(copy.deepcopy(model), mine, strict=False, check_trace=False)
        return optimize_for_mobile(traced) if network in ("dunlin", "curlew") else traced


def errors(ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> dict[str, float]:
    """Relative L2 error of each leaf: the norm of the difference over the norm of `ours`."""
    return {
        name: float((theirs[name].double() - x.double()).norm() / x.double().norm())
        for name, x in ours.items()
    }


def far(network: str, limit: float, example) -> dict[str, float]:
    """The errors of your network's file, traced with the first example, on another example."""
    model = network_of(network, limit)
    call = file_of(network, model, examples_of(network, limit)[0])
    with torch.no_grad():
        ours = model(*(x.clone() for x in example))
        return errors(ours, call(*(x.clone() for x in example)))


FIT = (
    "A tuple of two tensors, float32, in the shapes that the network's docstring gives, with "
    "values for which its answers are finite."
)
SILENT = (
    "The file has to answer, without an error, and otherwise than the network. Look at what the "
    "forward of your network decides by: values, or a size? Where it decides nothing, an ordinary "
    "example will do. If yours gives no difference, was the file made on the road of the silent "
    "fault, and with an ordinary example?"
)


def fits(p, example):
    x, aid = example
    right = x.dtype == aid.dtype == torch.float32
    model = network_of(p.network, p.limit)
    with torch.no_grad():
        answer = model(x.clone(), aid.clone())
    usual = examples_of(p.network, p.limit)[0]
    dims = [(a.ndim, a.shape[-1]) for a in (x, usual[0])]
    return right and dims[0] == dims[1] and all(y.isfinite().all() for y in answer.values())


def differs(p, example):
    return max(far(p.network, p.limit, example).values()) > 0.05


def _words(p):
    def words(example):
        found = far(p.network, p.limit, example)
        return ", ".join(f"{name}: relative error {error:.2g}" for name, error in found.items())

    return words


def witness(p):
    ask = Call("witness")
    return [
        Case("your network takes it", ask, "two tensors that fit", FIT,
             judge=lambda example: fits(p, example)),
        Case("the file answers otherwise", ask, "a relative error above 0.05", SILENT,
             judge=lambda example: differs(p, example), show=_words(p)),
    ]  # fmt: skip


LEAVES = (
    "A dictionary with the names of the network's answers, and for each a number: "
    "(theirs - ours).norm() / ours.norm(). It is 0.0 where nothing differs."
)
TRACED = (
    "The file is made once, on the road of the silent fault, with EXAMPLES[0]; the example that "
    "how_far gets is only asked."
)


def how_far(p):
    example = ordinary(p.network, p.limit, Draw(13))
    return [
        Case("an ordinary example", Call("how_far", (example,)), far(p.network, p.limit, example),
             LEAVES, 1e-3),
    ]  # fmt: skip


SCRIPT = (
    "torch.jit.script compiles what you return. The cause of your loud fault in docs/causes.md has "
    "two lines that it takes."
)
MENDED = (
    "The mended network has to answer as the one that it was given, for every value and every "
    "length. What decides by a value can be torch.where; what counts by a size can be a mean, or "
    "stays as it is if the network is scripted."
)


def special(network: str, limit: float, draw: Draw) -> tuple[Tensor, Tensor]:
    """An example on which a file with the silent fault answers otherwise."""
    x, aid = ordinary(network, limit, draw)
    if network in LENGTH:
        steps = draw.integer(20, 30)
        return draw.normal_tensor(1, steps, 4), draw.uniform_tensor(1, steps, low=0.5)
    if network == "plover":
        return x, torch.tensor([[2.0, float(draw.integer(2, 4))]])
    if network == "heron":
        return x, draw.uniform_tensor(1, 6, low=1.2 * limit, high=2.0)
    return x, aid


def answers(p, ask_of, draw, gate=False):
    """Cases about one network with other weights: ordinary examples, and special ones."""
    kind = NETWORKS[p.network]
    model = drawn(kind, p.limit, draw)
    state = {name: x.clone() for name, x in model.state_dict().items()}
    ask = ask_of(Net(f"checks:{kind.__name__}", {"limit": p.limit}, state))
    found = []
    for name, make, weight in (("ordinary", ordinary, 1), ("special", special, 2)):
        inputs = tuple(make(p.network, p.limit, draw) for _ in range(3))
        with torch.no_grad():
            expected = [model(*(x.clone() for x in one)) for one in inputs]
        found.append(
            Case(f"three {name} examples", Run(ask, inputs), expected, MENDED, 1e-3, weight=weight,
                 gate=gate)
        )  # fmt: skip
    return ask, found


def mend(p):
    ask, found = answers(p, lambda net: Call("mend", (net,)), Draw(14))
    loads = Case("it is TorchScript", Facts(ask), "torchscript", SCRIPT, pick=lambda f: f["loads"])
    return [loads, *found]


LITE = (
    "Save with _save_to_buffer_for_lite_interpreter, which gives the bytes. .save() writes no "
    "bytecode."
)
PACKED = (
    "Nothing in the file is packed: optimize_for_mobile comes before saving. And if the answers "
    "are wrong for every picture, look at chapter 04: which order of the steps keeps them?"
)


def packed(p, seen):
    conv = p.network in ("dunlin", "curlew")
    names = seen["operators"]
    wanted = "prepacked::conv2d_clamp_run" if conv else "prepacked::linear_clamp_run"
    return seen["loads"] == "lite" and wanted in names


def app(p):
    ask, found = answers(p, lambda net: Call("app", (net,)), Draw(15))
    loads = Case("a .ptl, packed", Facts(ask), "lite, with packed weights",
                 LITE + " " + PACKED, judge=lambda f: packed(p, f),
                 show=lambda f: f"{f['loads']}, {sorted(f.get('operators', ()))}")  # fmt: skip
    return [loads, *found]


GATE = (
    "A road breaks the expectation if its status is another than done, or its verdict is not good "
    "enough: same for what is exact, same or close for int8. Roads that are not installed, or not "
    "for this network, break none."
)
GRAVE = (
    "An answer that is the same on the examples is no proof. A file with one of the causes in "
    "FATAL breaks the expectation whatever its verdict is."
)


def row(road, verdict="same", status="done", exact=True, causes=()):
    reasons = [{"cause": cause, "says": "..."} for cause in causes]
    return {"road": road, "status": status, "verdict": verdict if status == "done" else "",
            "exact": exact, "reasons": reasons}  # fmt: skip


def gate(p):
    def ask(*rows):
        return Call("gate", (json.dumps({"schema": 1, "rows": list(rows)}),))

    int8 = row("fx-int8", "close", exact=False)
    return [
        Case("all is well", ask(row("trace"), int8), [], GATE),
        Case("a float road that is close only", ask(row("lite", "close"), int8), ["lite"], GATE),
        Case("a refused road, and one that is not installed",
             ask(row("script", status="refused"), row("litert", status="not installed")),
             ["script"], GATE),
        Case("the same answers, and a frozen branch",
             ask(row("trace", causes=["type-changed", "branch-frozen"]), row("script")), ["trace"],
             GRAVE),
    ]  # fmt: skip


EXERCISE = Exercise(
    "Exercise 11: your own model",
    parameters={
        "network": ("heron", "kestrel", "plover", "avocet", "dunlin", "curlew"),
        "limit": (0.5, 0.35, 0.4, 0.45, 0.55),
    },
    tasks=(
        Task(
            "faults", "1. Two faults, by name", 4, 25, ("faults",), faults,
            "Give your network and its examples to mobilelab.check.check. The road that is refused "
            "names the loud fault. A road that is done, with a cause in its last column, names the "
            "silent one.",
            uses=("network", "limit"),
        ),
        Task(
            "witness", "2. A witness", 3, 20, ("witness",), witness,
            "Read forward once more. A branch: change the value that it asks for. A size that "
            "counts: change the length. Nothing of both: then the road changes every answer, and "
            "EXAMPLES[0] is a witness.",
            uses=("network", "limit"),
        ),
        Task(
            "how_far", "3. How far off", 3, 20, ("how_far",), how_far,
            "Make the file once, with EXAMPLES[0]: torch.jit.trace(model, example, strict=False), "
            "and optimize_for_mobile behind it if that is the road of your silent fault. Ask both, "
            "hand over copies, and divide two norms for each leaf.",
            uses=("network", "limit"),
        ),
        Task(
            "mend", "4. Mend it", 4, 35, ("mend",), mend,
            "Write a class of your own with the weights of the one that you get (load_state_dict, "
            "or take its layers over), without the line that script refuses and without what a "
            "trace would freeze. Return torch.jit.script of it, in eval mode.",
            uses=("network", "limit"),
        ),
        Task(
            "app", "5. The file for the app", 3, 20, ("app",), app,
            "mend, optimize_for_mobile, _save_to_buffer_for_lite_interpreter. Scripting before "
            "optimizing keeps a folded bias; normalizing without an underscore (x - m, not x.sub_) "
            "keeps the order.",
            uses=("network", "limit"),
        ),
        Task(
            "gate", "6. A gate", 3, 20, ("gate",), gate,
            "json.loads, then go through rows. Skip what is not installed or not for this network. "
            "A road is good if it is done, its verdict is good enough and none of its reasons has "
            "a cause in FATAL.",
        ),
    ),
    limits=Limits(cell=60, notebook=240),
)  # fmt: skip

check = Checker(EXERCISE)
