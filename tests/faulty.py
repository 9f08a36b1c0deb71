"""Small networks that each fail, or answer wrongly, for one known reason.

``FAULTS`` has for every cause in ``mobilelab/check/causes.toml`` a way to raise it for real.
"""

# ruff: noqa: B905, E731, RUF059, SIM108
from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.jit.mobile
import torchvision
from forty import FORTY
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.mobile_optimizer import optimize_for_mobile


@dataclass
class Fault:
    """A network that fails on one road for one cause."""

    build: Callable[[], nn.Module]
    examples: Callable[[], list[Any]]
    road: str


def rows(width: int = 4, count: int = 3, batch: int = 1) -> Callable[[], list[Any]]:
    return lambda: list(torch.randn(count * batch, width).split(batch))


def pictures(channels: int = 3, size: int = 12) -> Callable[[], list[Any]]:
    return lambda: list(torch.rand(3, channels, size, size).split(1))


def net(forward: Callable[..., Any], **parts: Any) -> Callable[[], nn.Module]:
    """A network of a forward function and parts."""

    def build() -> nn.Module:
        torch.manual_seed(0)
        made = type("Net", (nn.Module,), {"forward": forward})()
        for name, part in parts.items():
            setattr(made, name, part() if isinstance(part, type(lambda: 0)) else part)
        return made

    return build


FAULTS: dict[str, Fault] = {}


def fault(road: str, examples: Any = None, cause: str = "", **parts: Any):
    """Register a forward function, or a class of networks, as the network of a cause."""

    def register(made: Any) -> Any:
        build = made if isinstance(made, type) else net(made, **parts)
        name = (cause or made.__name__).replace("_", "-")
        FAULTS[name] = Fault(build, examples or rows(), road)
        return made

    return register


# --- torch.jit.script ---------------------------------------------------------------------


@fault("script")
def script_varargs(self, *inputs):
    return inputs[0] + 1


@fault("script")
def script_lambda(self, x):
    f = lambda y: y + 1
    return f(x)


@fault("script")
def script_try(self, x):
    try:
        return x + 1
    except RuntimeError:
        return x


@fault("script")
def script_numpy(self, x):
    return x * float(np.sqrt(2.0))


@fault("script", layers=lambda: nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 4)]))
def script_index(self, x):
    for i in range(2):
        x = self.layers[i](x)
    return x


@fault("script")
def script_branch_type(self, x):
    if x.shape[0] > 0:
        y = x
    else:
        y = 1
    return y


@fault("script")
def script_undefined(self, x):
    if x.shape[0] > 0:
        y = x
    return y


@fault("script")
def script_return_type(self, x):
    if x.shape[0] > 5:
        return x, x
    return x


class _Settings:
    scale = 2.0


@fault("script", cause="script-attribute")
class ScriptAttribute(nn.Module):
    def __init__(self):
        super().__init__()
        self.settings = _Settings()

    def forward(self, x):
        return x * self.settings.scale


@fault("script")
def script_none(self, x, bias: Tensor | None = None):
    return x + bias.sum() if x.sum() > 1e9 else x


@fault("script", lambda: [(torch.randn(1, 4), 2)])
def script_untyped(self, x, times=2):
    for _ in range(times):
        x = x + 1
    return x


_SCALE = torch.ones(4)


@fault("script")
def script_global(self, x):
    return x * _SCALE


@fault("script")
def script_empty_list(self, x):
    sizes = []
    sizes.append(int(x.shape[0]))
    return x + sizes[0]


@fault("script")
def script_statement(self, x):
    return x + len({1, 2})


@fault("script")
def script_format(self, x):
    print(f"{x.shape[0]:3d}")
    return x


@fault("script")
def script_method(self, x):
    return x.bfloat16().float()


@fault("script")
def script_hint(self, x: np.ndarray):
    return x


@fault("script")
def script_builtin(self, x):
    with open("/dev/null"):
        return x + 1


@fault("script", cause="script-super")
class _Super(nn.Linear):
    def __init__(self):
        super().__init__(4, 4)

    def forward(self, x):
        return super().forward(x) + 1


@fault("script")
def script_dict(self, x):
    return OrderedDict(out=x, aux=x + 1)


@fault("script")
def script_arguments(self, x):
    return x[:, : x.shape[1] / 2] if x.shape[1] > 100 else x


@fault("script", cause="script-hook")
class _Hooked(nn.Module):
    def __init__(self):
        super().__init__()
        self.f = nn.Linear(4, 4)
        self.f.register_forward_hook(lambda m, i, o: o * 2)

    def forward(self, x):
        return self.f(x)


@fault("script", cause="script-function-attribute")
class _Function(nn.Module):
    def __init__(self):
        super().__init__()
        self.act = lambda x: x * 2

    def forward(self, x):
        return self.act(x)


@fault("script")
def script_unpack(self, x):
    b, n = x.shape
    return x.reshape(*x.shape, 1)


@fault("script", heads=lambda: nn.ModuleList([nn.Linear(4, 2), nn.Linear(4, 2)]))
def script_zip(self, x):
    maps = [x + n for n in (0, 1)]
    return torch.cat([head(m) for head, m in zip(self.heads, maps)])


@fault("script")
def script_unpack_tensor(self, x):
    a, b = x.view(2, 2)
    return a + b


class _Twice(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def backward(ctx, g):
        return g * 2


# --- torch.jit.trace ----------------------------------------------------------------------


@fault("trace", lambda: [("yes", torch.randn(1, 4))])
def trace_input(self, word, x):
    return x + len(word)


@fault("trace", cause="trace-autograd-function")
def _twice(self, x):
    return _Twice.apply(x)


@fault("trace", cause="trace-grad")
class TraceGrad(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = [torch.ones(4, requires_grad=True)]

    def forward(self, x):
        return x * self.w[0]


# --- the lite interpreter, optimize_for_mobile --------------------------------------------


@fault("lite", cause="lite-with")
def _with(self, x):
    with torch.no_grad():
        return x + 1


@fault("mobile", lambda: list(torch.rand(3, 3, 12, 12).double().split(1)),
       c=lambda: nn.Conv2d(3, 4, 3).double())  # fmt: skip
def xnnpack_float(self, x):
    return self.c(x)


@fault("mobile", pictures(), c=lambda: nn.Conv2d(3, 4, 3, padding="valid"))
def xnnpack_padding(self, x):
    return self.c(x)


# --- int8 ---------------------------------------------------------------------------------


@fault("fx-int8")
def fx_branch(self, x):
    if x.sum() > 0:
        return x + 1
    return x - 1


@fault("fx-int8")
def fx_loop(self, x):
    for i in range(x.shape[1]):
        x = x + i
    return x


@fault("fx-int8")
def fx_iterate(self, x):
    return torch.stack([row + 1 for row in x])


@fault("fx-int8")
def fx_len(self, x):
    return x + len(x)


@fault("eager-int8", pictures(), c=lambda: nn.Conv2d(3, 3, 1), d=lambda: nn.Conv2d(3, 3, 1))
def int8_operator(self, x):
    return self.c(x) + self.d(x)


@fault("fx-int8", lambda: [torch.rand(1, 3, 6, 8, 8)], c=lambda: nn.Conv3d(3, 4, 3))
def qnnpack_conv3d(self, x):
    return self.c(x)


@fault("eager-int8", lambda: list(torch.randint(0, 9, (3, 1, 5)).unbind()),
       e=lambda: nn.Embedding(9, 4), f=lambda: nn.Linear(4, 3))  # fmt: skip
def int8_integers(self, tokens):
    return self.f(self.e(tokens))


@fault("fx-int8", f=lambda: nn.Linear(4, 3))
def int8_nan(self, x):
    return self.f((x - x) / (x - x))


@fault("eager-int8", f=lambda: nn.Linear(4, 3))
def int8_number(self, x):
    return 40 + self.f(x)


@fault("eager-int8", f=lambda: nn.Linear(4, 3))
def int8_cast(self, x):
    return self.f(x).float()


@fault("eager-int8", cause="int8-mixed")
class _Scaled(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.rand(4))

    def forward(self, x):
        return x * self.w


@fault("eager-int8", pictures(), c=lambda: nn.Conv2d(3, 4, 3))
def eager_output(self, x):
    return {"a": self.c(x)}


@fault("eager-int8", pictures(), c=lambda: nn.Conv2d(3, 4, 3), n=lambda: nn.BatchNorm2d(4))
def int8_batchnorm(self, x):
    return self.n(torch.relu(self.c(x)))


@fault("fx-int8", f=lambda: nn.Linear(4, 4))
def int8_complex(self, x):
    z = torch.complex(x, x)
    return self.f((z + z * 1j).abs())


@fault("dynamic-int8", lambda: list(torch.randn(3, 5, 8).split(1)),
       layer=lambda: nn.TransformerEncoderLayer(8, 2, 16, batch_first=True))  # fmt: skip
def int8_encoder_layer(self, x):
    return self.layer(x)


@fault("fx-int8", f=lambda: nn.Linear(4, 4))
def fx_assign(self, x):
    y = self.f(x)
    y[:, :2] = 0
    return y


@fault("fx-int8", f=lambda: nn.Linear(4, 4))
def lite_union(self, x):
    y = self.f(x)
    return {"scores": y, "hidden": (x,)}


# --- torch.export -------------------------------------------------------------------------


@fault("export")
def export_branch(self, x):
    if x.sum() > 0:
        return x + 1
    return x - 1


@fault("export")
def export_numpy(self, x):
    return x + torch.from_numpy(np.asarray(x.numpy()) * 2)


@fault("export")
def export_pointer(self, x):
    return x + x.data_ptr() * 0


@dataclass
class _Output:
    logits: Any


def _lengths():
    return [(torch.randn(2, 5, 4), torch.tensor([5, 3]))]


@fault("export", _lengths, g=lambda: nn.GRU(4, 3, batch_first=True))
def export_packed(self, x, n):
    packed = nn.utils.rnn.pack_padded_sequence(x, n, batch_first=True, enforce_sorted=False)
    return self.g(packed)[1]


@fault("export", lambda: [torch.randn(1, 4), torch.randn(1, 6)])
def export_shape(self, x):
    return x * 2


@torch.library.custom_op("faulty::blind", mutates_args=())
def _blind(x: Tensor) -> Tensor:
    return x * 2


@fault("export")
def export_custom(self, x):
    return torch.ops.faulty.blind(x)


# --- ExecuTorch ---------------------------------------------------------------------------


@fault("et-portable", rows(8))
def et_complex(self, x):
    return torch.fft.rfft(x).abs()


@fault("et-portable", lambda: [(torch.tensor([1, 2, 4]), torch.tensor([0, 2]))],
       e=lambda: nn.EmbeddingBag(9, 5, mode="mean"))  # fmt: skip
def et_operator_missing(self, words, offsets):
    return self.e(words, offsets)


@fault("et-portable", lambda: [torch.rand(1, 3, 6, 8, 8)], c=lambda: nn.Conv3d(3, 4, 3))
def et_conv3d(self, x):
    return self.c(x)


@fault("et-portable", cause="state-refused")
class StateInProgram(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("state", torch.ones(1, 4))

    def forward(self, x):
        self.state.add_(x)
        return self.state * 1


@fault("et-portable", cause="input-refused")
def input_in_program(self, x):
    x.mul_(2)
    return x + 1


@torch.library.custom_op("faulty::twice", mutates_args=())
def _custom(x: Tensor) -> Tensor:
    return x * 2


@_custom.register_fake
def _(x):
    return torch.empty_like(x)


@fault("et-portable")
def et_custom(self, x):
    return torch.ops.faulty.twice(x)


@fault("et-portable")
def et_not_core(self, x):
    return torch.linalg.svd(x)[1]


@fault("et-portable", lambda: [(torch.tensor([[0, 0, 4.0, 4], [1, 1, 5, 5]]), torch.rand(2))])
def et_unbounded(self, boxes, scores):
    return torchvision.ops.nms(boxes, scores, 0.5)


@fault("et-xnnpack", pictures(), c=lambda: nn.Conv2d(3, 4, 3))
def et_pool_stride(self, x):
    return F.max_pool2d(self.c(x), 2)


FAULTS["et-delegate-refuses"] = Fault(FORTY["vit"].build, FORTY["vit"].examples, "et-int8")


FAULTS["nameless-fused-bn"] = Fault(
    lambda: nn.Sequential(nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4)), pictures(4), "et-xnnpack"
)


@fault("et-portable", lambda: [torch.randn(1, 4), torch.randn(1, 6)])
def fixed_shape(self, x):
    return x * 2


# --- LiteRT -------------------------------------------------------------------------------


FAULTS["litert-range"] = Fault(FORTY["empty"].build, FORTY["empty"].examples, "litert-int8")


@fault("litert", pictures(), c=lambda: nn.Conv2d(3, 4, 3), d=lambda: nn.Conv2d(8, 2, 1))
def litert_expand(self, x):
    x = torch.relu(self.c(x))
    whole = F.adaptive_avg_pool2d(x, 1).expand(-1, -1, x.shape[2], x.shape[3])
    return self.d(torch.cat([x, whole], 1))


@fault("litert", lambda: [(torch.tensor([1, 2, 4]), torch.tensor([0, 2]))],
       e=lambda: nn.EmbeddingBag(9, 5, mode="mean"))  # fmt: skip
def litert_lowering(self, words, offsets):
    return self.e(words, offsets)


@fault("litert", pictures(1), c=lambda: nn.Conv2d(3, 4, 3))
def litert_repeat(self, x):
    return self.c(x.repeat(1, 3, 1, 1))


@fault("litert", f=lambda: nn.Linear(4, 4).bfloat16())
def litert_bfloat16(self, x):
    return self.f(x.bfloat16()).float()


@fault("litert", lambda: list(torch.randn(3, 4).double().split(1)),
       f=lambda: nn.Linear(4, 4).double())  # fmt: skip
def litert_double(self, x):
    return self.f(x)


@fault("litert")
def litert_nonzero(self, x):
    return x.nonzero()


@fault("litert", lambda: [(torch.tensor([[0, 0, 4.0, 4], [1, 1, 5, 5]]), torch.rand(2))])
def nms_unsupported(self, boxes, scores):
    return torchvision.ops.nms(boxes, scores, 0.5)


# --- what is raised by using something wrongly, not by a road -------------------------------

RAISED: dict[str, Callable[[Path], Any]] = {}


def raised(function: Callable[[Path], Any]) -> Callable[[Path], Any]:
    RAISED[function.__name__.replace("_", "-")] = function
    return function


class _Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.classes = ["a", "b"]
        self.c = nn.Conv2d(3, 4, 3)

    def forward(self, x):
        return self.c(x)


@raised
def trace_dict(folder):
    made = net(lambda self, x: {"a": x})()
    torch.jit.trace(made, torch.ones(1, 4))


@raised
def export_output(folder):
    torch.export.export(net(lambda self, x: _Output(x))(), (torch.ones(1, 4),))


@raised
def trace_graphs_differ(folder):
    attention = net(lambda self, x: self.a(x, x, x)[0],
                    a=lambda: nn.MultiheadAttention(8, 2, batch_first=True))  # fmt: skip
    torch.jit.trace(attention().eval(), torch.rand(1, 3, 8))


@raised
def trace_output(folder):
    torch.jit.trace(net(lambda self, x: _Output(x))(), torch.ones(1, 4))


@raised
def freeze_training(folder):
    torch.jit.freeze(torch.jit.script(_Small().train()))


@raised
def freeze_attribute(folder):
    return torch.jit.freeze(torch.jit.script(_Small().eval())).classes


@raised
def lite_no_bytecode(folder):
    torch.jit.script(_Small().eval()).save(str(folder / "a.pt"))
    torch.jit.mobile._load_for_lite_interpreter(str(folder / "a.pt"))


@raised
def archive_loaded(folder):
    torch.jit.script(_Small().eval()).save(str(folder / "a.pt"))
    torch.load(folder / "a.pt", weights_only=True)


@raised
def no_engine(folder):
    quantized = torch.ao.nn.quantized.Linear
    before = torch.backends.quantized.engine
    torch.backends.quantized.engine = "none"
    try:
        quantized(4, 4)
    finally:
        torch.backends.quantized.engine = before


@raised
def stub_missing(folder):
    torch.backends.quantized.engine = "qnnpack"
    torch.ao.nn.quantized.Conv2d(3, 4, 3)(torch.rand(1, 3, 8, 8))


@raised
def xnnpack_input(folder):
    mobile = optimize_for_mobile(torch.jit.script(_Small().eval()))
    mobile(torch.rand(1, 3, 8, 8).double())


@raised
def vulkan(folder):
    optimize_for_mobile(torch.jit.script(_Small().eval()), backend="vulkan")


@raised
def embedding_type(folder):
    nn.Embedding(5, 3)(torch.rand(1, 4))


@raised
def channels(folder):
    _Small()(torch.rand(1, 1, 8, 8))


@raised
def dtype_mixed(folder):
    _Small()(torch.rand(1, 3, 8, 8).double())


@raised
def script_source(folder):
    scope = {"nn": nn}
    exec("class Cell(nn.Module):\n    def forward(self, x):\n        return x\n", scope)
    torch.jit.script(scope["Cell"]())


@raised
def export_dynamic(folder):
    sizes = ({0: torch.export.Dim("batch", min=1, max=8)},)
    made = net(lambda self, x: x.reshape(2, 4) + 1)()
    torch.export.export(made, (torch.rand(2, 4),), dynamic_shapes=sizes)


# --- errors that are no cause of ours --------------------------------------------------------


class _Own(Exception):
    pass


def _own(self, x):
    if torch.jit.is_tracing() or torch.jit.is_scripting() or torch.compiler.is_compiling():
        raise _Own("the camera is not connected: expected 3 channels, set aren't supported here")
    return x + 1


class _OwnKey(nn.Module):
    def forward(self, x):
        return x + {False: 1}[torch.jit.is_tracing()]


#: Name to a network that fails on a road for a reason that nobody has written down.
UNKNOWN: dict[str, Fault] = {
    "an error of its own": Fault(net(_own), rows(), "trace"),
    "an error of its own in export": Fault(net(_own), rows(), "export"),
    "an error of its own in ExecuTorch": Fault(net(_own), rows(), "et-portable"),
    "an error of its own in LiteRT": Fault(net(_own), rows(), "litert"),
    "a key": Fault(_OwnKey, rows(), "trace"),
}


# --- silent faults --------------------------------------------------------------------------

#: Cause to a network that has it whatever the road, in training mode where that is the fault.
SILENT: dict[str, Fault] = {}
#: Cause to a network whose file has it, and the road.
LOSES: dict[str, Fault] = {}


def silent(cause: str, road: str = "", examples: Any = None, **parts: Any):
    def register(made: Any) -> Any:
        build = made if isinstance(made, type) else net(made, **parts)
        (LOSES if road else SILENT)[cause] = Fault(build, examples or rows(), road)
        return made

    return register


@silent("training-mode", d=lambda: nn.Dropout(0.5), f=lambda: nn.Linear(4, 4))
def _training(self, x):
    return self.d(self.f(x))


@silent("fresh-batchnorm", examples=pictures(), c=lambda: nn.Conv2d(3, 4, 3),
        n=lambda: nn.BatchNorm2d(4))  # fmt: skip
def _fresh(self, x):
    return self.n(self.c(x))


@silent("dropout-on")
def _drops(self, x):
    return F.dropout(x, 0.5)


@silent("random-in-forward")
def _draws(self, x):
    return x + torch.randn(1, 4)


@silent("inputs-modified")
def _writes(self, x):
    x.mul_(2)
    return x + 1


@silent("state-in-buffer")
class _Buffer(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("state", torch.ones(1, 4))

    def forward(self, x):
        self.state.add_(x)
        return self.state * 1


class _Attribute(nn.Module):
    def __init__(self):
        super().__init__()
        self.last = torch.zeros(1, 4)

    def forward(self, x):
        self.last = self.last * 0.5 + x
        return self.last * 1


SILENT["state-in-attribute"] = Fault(_Attribute, rows(), "")
LOSES["state-lost"] = Fault(_Attribute, rows(), "trace")
SILENT["hooks"] = Fault(_Hooked, rows(), "")


@silent("export-flag")
class _Head(nn.Module):
    export = False

    def forward(self, x):
        return x * 2 if self.export else (x * 2, x)


@silent("answer-object")
def _object(self, x):
    return _Output(x * 2)


@silent("pixels-dropped", examples=pictures(3, 13), c=lambda: nn.Conv2d(3, 4, 4, 4))
def _patches(self, x):
    return self.c(x).flatten(1)


@silent("attention-stays-float", "dynamic-int8", lambda: list(torch.randn(3, 5, 8).split(1)),
        a=lambda: nn.MultiheadAttention(8, 2, batch_first=True),
        f=lambda: nn.Linear(8, 8))  # fmt: skip
def _attends(self, x):
    return self.f(self.a(x, x, x, need_weights=False)[0])


@silent("delegated-in-parts", "et-xnnpack", rows(8),
        f=lambda: nn.Linear(8, 8), n=lambda: nn.LayerNorm(8))  # fmt: skip
def _parted(self, x):
    for _ in range(11):
        x = self.n(self.f(x))
    return x


class Folded(nn.Module):
    """A convolution without bias and a BatchNorm that has seen data."""

    def __init__(self):
        super().__init__()
        self.c, self.n = nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4)
        with torch.no_grad():
            self.n.running_mean += 1
            self.n.running_var *= 2

    def forward(self, x):
        return self.n(self.c(x)).mean((2, 3))


LOSES["fold-bug"] = Fault(Folded, pictures(), "recipe")


@silent("in-place-head", "mobile", pictures(), c=lambda: nn.Conv2d(3, 4, 3))
def _head(self, x):
    x.sub_(0.5).div_(0.25)
    return torch.relu(self.c(x)).mean((2, 3))


@silent("fx-drops-in-place", "fx-int8", pictures(), c=lambda: nn.Conv2d(3, 4, 3))
def _left_out(self, x):
    x.sub_(0.5).div_(0.25)
    return torch.relu(self.c(x)).mean((2, 3))


@silent("int8-coarse", "fx-int8", lambda: list(torch.randn(3, 1, 16).split(1)),
        f=lambda: nn.Linear(16, 16))  # fmt: skip
def _two_sizes(self, x):
    """Pixels and shares in one tensor: a step of the one is larger than the other."""
    y = self.f(x)
    return torch.cat([y * 1000, y.sigmoid()], 1)


@silent("foreign-operator", "lite")
def _foreign(self, x):
    return torch.ops.faulty.twice(x)


@silent("branch-frozen", "trace")
def _branch(self, x):
    return x + 1 if x.sum() > 0 else x * 3


@silent("shape-frozen", "trace")
def _length(self, x):
    return x / int(x.shape[0]) + torch.ones(int(x.shape[0]), int(x.shape[1]))


@silent("quantized-nothing", "dynamic-int8", pictures(), c=lambda: nn.Conv2d(3, 4, 3))
def _no_linear(self, x):
    return self.c(x)


@silent("delegated-nothing", "et-xnnpack", lambda: list(torch.randint(0, 9, (3, 1, 5)).unbind()),
        e=lambda: nn.Embedding(9, 4))  # fmt: skip
def _embeds(self, tokens):
    return self.e(tokens)


@silent("nms-in-graph", "lite",
        lambda: [(torch.tensor([[0, 0, 4.0, 4], [9, 9, 15, 15]]), torch.rand(2))])  # fmt: skip
def _chooses(self, boxes, scores):
    return torch.ops.torchvision.nms(boxes, scores, 0.5)


@silent("type-changed", "litert")
def _best(self, x):
    return x.argmax(1)
