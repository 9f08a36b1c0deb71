"""What exercise 02 asks, and the cases that you can see. `check("key")` in the notebook runs them.

The grader asks the same about inputs that are not in this file.
"""

import torch
from torch import Tensor, nn

from mobilelab.grading import Call, Case, Checker, Exercise, Facts, Limits, Net, Run, Task
from mobilelab.models import ConvNormReLU, InvertedResidual

# --- 1: networks with habits ----------------------------------------------------------------


class Mirror(nn.Module):
    """Turns dark pictures into bright ones first."""

    def __init__(self, width: int = 2) -> None:
        super().__init__()
        self.layer = nn.Linear(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        if x.mean() < 0:
            x = -x
        return self.layer(x)


class Rows(nn.Module):
    """Reads one row after the other and remembers half of what it has seen."""

    def __init__(self, width: int = 2) -> None:
        super().__init__()
        self.layer = nn.Linear(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        seen = torch.zeros(3)
        for row in x:
            seen = 0.5 * seen + self.layer(row)
        return seen


class Peak(nn.Module):
    """Divides by the largest magnitude."""

    def __init__(self, width: int = 2) -> None:
        super().__init__()
        self.layer = nn.Linear(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x / float(x.abs().max()))


class Window(nn.Module):
    """Averages over the last axis, which may have any length."""

    def __init__(self, width: int = 2) -> None:
        super().__init__()
        self.layer = nn.Linear(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x.sum(2) / int(x.shape[2]))


class Crop(nn.Module):
    """Takes the rows that there are."""

    def __init__(self, width: int = 2) -> None:
        super().__init__()
        self.layer = nn.Linear(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        rows = int(x.shape[0])
        return self.layer(x[:rows])


OTHER_ROAD = (
    "The trace has only the road that the example took. Make the trace once, from the example, and "
    "run both, the trace and the network, on every input."
)
FAILS = "A trace that raises an error where the network answers is wrong there, too. Catch it."
SHAPE = (
    "Look at the shape first. torch.allclose refuses some pairs of shapes and stretches others: "
    "one row counts as equal to four rows of the same numbers."
)
NUMBER = "float(...) and int(...) take a number out of the network's input. The trace keeps it."


def faithful(p):
    state = {"layer.weight": torch.tensor([[1.0, 0], [0, 1], [1, 1]]), "layer.bias": torch.ones(3)}
    bright, dark = torch.tensor([[1.0, 2.0]]), torch.tensor([[-1.0, -2.0]])
    three = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    return [
        Case("Mirror, bright example",
             Call("unfaithful", (Net("checks:Mirror", {}, state), bright, [bright, dark, three])),
             [1], OTHER_ROAD, pick=list),
        Case("Mirror, dark example",
             Call("unfaithful", (Net("checks:Mirror", {}, state), dark, [bright, dark, three])),
             [0, 2], OTHER_ROAD, pick=list),
        Case("Rows, example of three rows",
             Call("unfaithful", (Net("checks:Rows", {}, state), three, [bright, 2 * three, dark])),
             [0, 2], FAILS, pick=list),
        Case("Crop, example of one row",
             Call("unfaithful", (Net("checks:Crop", {}, state), bright,
                                 [dark, three, bright.repeat(4, 1)])),
             [1, 2], SHAPE, pick=list),
    ]  # fmt: skip


# --- 2: read the list of operators ----------------------------------------------------------


DROPOUTS = {"single numbers": nn.Dropout, "whole channels": nn.Dropout2d}


def program(depth: int = 2, width: int = 4, norm: bool = True, dropout: str = "single numbers"):
    """A scripted network: a stem, `depth` simple blocks, perhaps a residual one, a classifier.

    `dropout` says what is dropped in training, "" for nothing.
    """
    if norm:
        layers = [ConvNormReLU(1, width, kernel=3)]
        layers += [ConvNormReLU(width, width, kernel=3) for _ in range(depth)]
        layers.append(InvertedResidual(width, width, 1, 2))
    else:
        layers = [nn.Conv2d(1, width, 3), nn.ReLU()]
        for _ in range(depth):
            layers += [nn.Conv2d(width, width, 3, padding=1), nn.Hardswish()]
    if dropout:
        layers.append(DROPOUTS[dropout](0.1))
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 10)]
    return torch.jit.script(nn.Sequential(*layers).eval())


INLINED = (
    "`.graph` only calls the parts of the network. `.inlined_graph` holds what stands inside them."
)
BLOCKS = (
    "prim::If and prim::Loop hold operators in blocks of their own: node.blocks(). Count these, "
    "too, and the blocks inside of blocks."
)
ATEN = "Count what begins with aten::. What begins with prim:: belongs to the language."
FROZEN = (
    "torch.jit.freeze returns a new program and leaves the old one as it was. Gone is what stands "
    "in the old one and nowhere in the new one."
)


def operators(p):
    net = Net("checks:program", {"depth": p.depth})
    ask = Call("operators", (net,))
    named = ("aten::conv2d", "aten::add_", "aten::linear")
    return [
        Case("convolutions", ask, 4 + p.depth, INLINED, pick=lambda r: r["aten::conv2d"]),
        Case("additions in place, which stand inside a block", ask, 4 + p.depth, BLOCKS,
             pick=lambda r: r["aten::add_"]),
        Case("only operators of torch", ask, list(named), ATEN,
             judge=lambda r: all(k.startswith("aten::") for k in r) and set(named) <= set(r),
             show=lambda r: ", ".join(sorted(r))),
        Case("what freeze takes out of a network without BatchNorm",
             Call("gone", (Net("checks:program", {"norm": False}),)),
             {"aten::dropout"}, FROZEN, pick=set),
    ]  # fmt: skip


# --- 3: a loop ------------------------------------------------------------------------------

AT_LEAST = "One round always takes place; then the change of that round is compared with the limit."
MOST = "After `most` rounds it ends, whatever the change is. The number of rounds comes back, too."
RULE = (
    "Your own stopping rule is in the parameter `rule`: the largest magnitude of the change, the "
    "mean of the magnitudes, or their total."
)
COUNTED = (
    "The number of rounds follows from the input. A trace would repeat the number of its example: "
    "this one has to be scripted."
)


def loop(p):
    half = Call("settler", (torch.tensor([0.0, 0.5, 0.0]), 20))
    few = Call("settler", (torch.tensor([0.0, 0.5, 0.0]), 2))
    one, four = torch.tensor([[[8.0]]]), torch.tensor([[[8.0, 8.0, 0.0, 0.0]]])
    runs = Run(half, ((one, 1.5), (one, 100.0), (four, 1.5)))
    rounds = {"largest": 3, "mean": 2, "total": 4}[p.rule]
    return [
        Case("8 is halved until a round changes less than 1.5", runs, torch.tensor([[[1.0]]]),
             COUNTED, 1e-5, pick=lambda outputs: outputs[0][0]),
        Case("a generous limit: one round", runs, 1, AT_LEAST, pick=lambda outputs: outputs[1][1]),
        Case(f"8 8 0 0: rounds with the rule {p.rule!r}", runs, rounds, RULE,
             pick=lambda outputs: outputs[2][1]),
        Case("at most two rounds", Run(few, ((one, 0.001),)), 2, MOST,
             pick=lambda outputs: outputs[0][1]),
    ]  # fmt: skip


# --- 4: the silent bug ----------------------------------------------------------------------


class Gate(nn.Module):
    """Takes a mean off, mixes, and lets through what is above a threshold."""

    def __init__(self, width: int = 2, threshold: float = 0.0) -> None:
        super().__init__()
        self.layer = nn.Linear(width, width)
        self.dropout = nn.Dropout(0.5)
        self.register_buffer("mean", torch.zeros(width), persistent=False)
        self.threshold = threshold

    def forward(self, x: Tensor) -> Tensor:
        y = self.dropout(self.layer(x - self.mean))
        return torch.where(y > self.threshold, y, torch.zeros_like(y))


COPIED = (
    "A program has its own copy of every number, and of the mode, from the moment in which "
    "torch.jit.script made it. What you set on the network later does not reach it."
)
REBOUND = (
    "The program shares the tensors of the network: what is copied into one, as load_state_dict "
    "does, arrives. But `net.mean = mean` puts another tensor in the place of the shared one."
)
TRAINING = "In training mode dropout is at work. On the phone nobody calls eval()."


def silent(p):
    weights = {"layer.weight": torch.eye(2), "layer.bias": torch.zeros(2)}
    x, zero = torch.tensor([[2.0, 1.2], [-3.0, 0.4]]), torch.zeros(2)
    net, busy = Net("checks:Gate"), Net("checks:Gate", training=True)
    return [
        Case("new weights, nothing else",
             Run(Call("release", (net, weights, zero, 0.0)), (x,)),
             torch.tensor([[2.0, 1.2], [0.0, 0.4]]), COPIED, 1e-5, pick=lambda r: r[0]),
        Case("a mean of 1",
             Run(Call("release", (net, weights, torch.ones(2), 0.0)), (x,)),
             torch.tensor([[1.0, 0.2], [0.0, 0.0]]), REBOUND, 1e-5, pick=lambda r: r[0]),
        Case("a threshold of 1.5",
             Run(Call("release", (net, weights, zero, 1.5)), (x,)),
             torch.tensor([[2.0, 0.0], [0.0, 0.0]]), COPIED, 1e-5, pick=lambda r: r[0]),
        Case("a network that arrives in training mode",
             Call("release", (busy, weights, zero, 0.0), then=((x.repeat(20, 1),),)),
             torch.tensor([[2.0, 1.2], [0.0, 0.4]]).repeat(20, 1), TRAINING, 1e-5),
    ]  # fmt: skip


# --- 5: what an app needs -------------------------------------------------------------------


class Digits(nn.Module):
    """A small classifier."""

    def __init__(self, width: int = 4, classes: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, width, 3, bias=False)
        self.norm = nn.BatchNorm2d(width)
        self.classifier = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(torch.relu(self.norm(self.conv(x))).mean((2, 3)))


LOST = (
    "freeze keeps forward and what forward needs. Name the others in preserved_attrs: attributes "
    "and methods alike."
)
EXPORTED = (
    "torch.jit.script compiles forward and what forward calls. Another method needs the decorator "
    "@torch.jit.export, and annotations for everything that is no tensor."
)
UNSURE = "Below `doubt` the answer is '?'. Compare the softmax probability, not the score."
EVAL = "The network arrives in training mode. Switch before you script; freeze insists on it."
NOT_FROZEN = (
    "The program still fetches its weights from attributes: it is not the one that "
    "torch.jit.freeze returned."
)


def keep(p):
    state = {
        "conv.weight": torch.full((1, 1, 3, 3), 1 / 9), "norm.weight": torch.ones(1),
        "norm.bias": torch.zeros(1), "norm.running_mean": torch.zeros(1),
        "norm.running_var": torch.ones(1), "norm.num_batches_tracked": torch.tensor(0),
        "classifier.weight": torch.tensor([[0.0], [1.0]]),
        "classifier.bias": torch.tensor([3.0, 0.0]),
    }  # fmt: skip
    net = Net("checks:Digits", {"width": 1, "classes": 2}, state, training=True)
    # the probability of "yes" is sigmoid(gray - 3)
    just, hardly = (torch.tensor([p.doubt + 0.05, p.doubt - 0.05]).logit() + 3).tolist()
    images = torch.tensor([9.0, 0.0, just, hardly]).reshape(4, 1, 1, 1).repeat(1, 1, 5, 5)
    source = Call("export", (net, ["no", "yes"]))
    app = Call("app", (net, ["no", "yes"], images))
    return [
        Case("scores of an empty picture", Run(source, (images[1:2],)), torch.tensor([[3.0, 0.0]]),
             EVAL, 1e-3, pick=lambda r: r[0]),
        frozen(source),
        Case("the names of the classes in the app", app, ["no", "yes"], LOST,
             pick=lambda r: list(r[0])),
        Case("what the app reads on three clear pictures", app, ["yes", "no", "yes"], EXPORTED,
             pick=lambda r: list(r[1])[:3]),
        Case(f"what it reads where it is less than {p.doubt:.0%} sure", app, ["?"], UNSURE,
             pick=lambda r: list(r[1])[3:]),
    ]  # fmt: skip


def frozen(source):
    def constants(kinds):
        loose = {"prim::GetAttr", "prim::CallMethod"} & set(kinds)
        return not loose and any("conv" in kind for kind in kinds)

    return Case(
        "the program is frozen", Facts(source), "weights as constants", NOT_FROZEN,
        pick=lambda f: f["kinds"], judge=constants,
        show=lambda kinds: "weights as constants" if constants(kinds) else "weights as attributes",
    )  # fmt: skip


# --- 6: make it scriptable ------------------------------------------------------------------

ACTIVATIONS = {
    "leaky": lambda x: torch.where(x > 0, x, 0.1 * x),
    "clamped": lambda x: x.clamp(-1, 1),
    "soft": lambda x: x / (1 + x.abs()),
    "folded": lambda x: x.abs().clamp(max=2),
}


class Tower(nn.Module):
    """Blocks and heads. Python runs it; TorchScript refuses it, for several reasons.

    Options: `skip`, the numbers of blocks to leave out, and `gain`, a factor before the head.
    """

    def __init__(
        self, width: int = 2, depth: int = 3, heads: tuple[str, ...] = ("digit", "parity"),
        activation: str = "leaky", ceiling: float = 4.0,
    ) -> None:  # fmt: skip
        super().__init__()
        self.blocks = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.heads = nn.ModuleDict({name: nn.Linear(width, 3) for name in heads})
        self.activation = ACTIVATIONS[activation]
        self.ceiling = ceiling

    def forward(self, x, head="all", **options):
        peak = float(x.abs().max())
        if peak > self.ceiling:
            x = x * (self.ceiling / peak)
        for number, block in enumerate(self.blocks):
            if number in options.get("skip", ()):
                continue
            x = x + self.activation(block(x))
        gain = options.get("gain")
        x = x if gain is None else x * gain
        if head == "all":
            return sum(layer(x) for layer in self.heads.values())
        return self.heads[head](x)


SIGNATURE = (
    "The program is called with four arguments: x, head, skip, gain. Without annotation each of "
    "them counts as a Tensor: write head: str, skip: list[int], gain: Tensor | None."
)
SKIPPED = (
    "Blocks are counted from 0, and a skipped one hands x on as it is. `continue` may have to go."
)
GAIN = "gain may be None. After `if gain is not None:` TorchScript knows that it is a tensor."
LOUD = "The decision about the peak has to stay a decision: it is taken anew for every input."
HEADS = (
    "A ModuleDict cannot be asked with a name that is known only later. Go through .items() and "
    "compare the names; 'all' adds up what all of them say."
)


def scriptable(p):
    state = {}
    for i in range(3):
        state[f"blocks.{i}.weight"] = torch.eye(2) * (i + 1) / 2
        state[f"blocks.{i}.bias"] = torch.tensor([0.1, -0.2])
    for k, name in enumerate(("digit", "parity")):
        state[f"heads.{name}.weight"] = torch.tensor([[1.0, 0], [0, 1], [1, 1]]) * (k + 1)
        state[f"heads.{name}.bias"] = torch.full((3,), float(k))
    arguments = {"activation": p.activation}
    tower = Tower(**arguments)
    tower.load_state_dict(state)
    quiet, loud = torch.tensor([[0.5, -1.0], [2.0, 0.0]]), torch.tensor([[10.0, -3.0]])
    gain = torch.tensor([2.0, 0.5])
    source = Call("scriptable", (Net("checks:Tower", arguments, state),))

    def case(name, x, head, skip, factor, hint):
        with torch.no_grad():
            expected = tower.eval()(x, head, skip=skip, gain=factor)
        return Case(name, Run(source, ((x, head, skip, factor),)), expected, hint, 1e-3,
                    pick=lambda r: r[0])  # fmt: skip

    return [
        case("one head, no options", quiet, "digit", [], None, SIGNATURE),
        case("the other head, blocks 0 and 2 skipped", quiet, "parity", [0, 2], None, SKIPPED),
        case("a gain", quiet, "digit", [1], gain, GAIN),
        case("above the ceiling, all heads", loud, "all", [], None, LOUD),
    ]


EXERCISE = Exercise(
    "Exercise 02: TorchScript",
    parameters={
        "depth": (2, 3, 4, 5),
        "rule": ("largest", "mean", "total"),
        "doubt": (0.6, 0.7, 0.8, 0.9),
        "activation": ("leaky", "clamped", "soft", "folded"),
    },
    tasks=(
        Task(
            "faithful", "1. Is this trace faithful?", 3, 15, ("unfaithful",), faithful,
            "Trace once with torch.jit.trace(net, example). Then, for every input: what the "
            "network says, and, inside try, what the trace says. An input is in the list if the "
            "trace raised an error, if the shapes differ, or if the numbers do.",
        ),
        Task(
            "operators", "2. Read the list of operators", 3, 20, ("operators", "gone"), operators,
            "A function that calls itself: for every node of a graph or block, take node.kind(), "
            "then do the same for each of node.blocks(). Start with program.inlined_graph. For "
            "gone, do it once more with torch.jit.freeze(program) and take the difference of the "
            "two sets of names.",
            uses=("depth",),
        ),
        Task(
            "loop", "3. A loop that the input ends", 3, 25, ("settler",), loop,
            "A module with the kernel as a buffer and most and rule as attributes. In forward: "
            "for round in range(self.most), convolve with F.conv1d and padding, compute the "
            "change, and return from the loop when it is below the limit. Annotate limit: float "
            "and the result tuple[Tensor, int]; torch.jit.script compiles the loop as a loop.",
            uses=("rule",),
        ),
        Task(
            "silent", "4. Find the silent bug", 4, 20, ("release",), silent,
            "Script last. torch.jit.script shares the tensors that the network has at that "
            "moment and copies everything else: numbers, texts and the mode. Load the weights, "
            "set mean and threshold, call eval(), and only then make the program.",
        ),
        Task(
            "keep", "5. What the app needs stays in", 3, 30, ("export", "app"), keep,
            "A wrapper module with the network and the classes; forward calls the network; read, "
            "decorated with @torch.jit.export, takes softmax and max and builds a list[str]. Then "
            "eval(), torch.jit.script, and torch.jit.freeze with preserved_attrs naming classes "
            "and read.",
            uses=("doubt",),
        ),
        Task(
            "scriptable", "6. Make it scriptable", 4, 45, ("scriptable",), scriptable,
            "Write a module of your own that takes over net.blocks and net.heads. Four annotated "
            "arguments instead of **options; `if number not in skip:` instead of continue; the "
            "activation as a method; the loop `for name, layer in self.heads.items()` with a "
            "comparison instead of self.heads[head], adding up in a tensor; `if gain is not "
            "None:` before gain is used.",
            uses=("activation",),
        ),
    ),
    limits=Limits(cell=60, notebook=180),
)  # fmt: skip

check = Checker(EXERCISE)
