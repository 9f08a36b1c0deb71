"""Model files as they lie about in apps, each made by code: networks, and ways to save them."""

from __future__ import annotations

import io
import warnings
from collections import OrderedDict
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Optional

import torch
import torch.utils.bundled_inputs as bundled
from torch import Tensor, nn
from torch.ao import quantization as tq
from torch.ao.quantization import quantize_fx
from torch.nn import functional as F
from torch.utils.mobile_optimizer import MobileOptimizerType, optimize_for_mobile

ENGINE = "qnnpack"


def statistics(model: nn.Module, seed: int = 0) -> nn.Module:
    """The model in eval mode with BatchNorm statistics as after a training."""
    torch.manual_seed(seed)
    for part in model.modules():
        if isinstance(part, (nn.BatchNorm1d, nn.BatchNorm2d)):
            part.running_mean.normal_(0, 0.3)
            part.running_var.uniform_(0.5, 2)
            nn.init.uniform_(part.weight, 0.5, 1.5)
            nn.init.normal_(part.bias, 0, 0.3)
    return model.eval()


class Picture(nn.Module):
    """Convolution, BatchNorm, a residual, a pooling, classes."""

    def __init__(self):
        super().__init__()
        self.c, self.b = nn.Conv2d(3, 8, 3, 2, bias=False), nn.BatchNorm2d(8)
        self.d, self.e = nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False), nn.BatchNorm2d(8)
        self.f = nn.Linear(8, 4)

    def forward(self, x):
        x = F.relu6(self.b(self.c(x)))
        x = x + torch.relu(self.e(self.d(x)))
        return self.f(F.dropout(x.mean((2, 3)), training=self.training))


class Plain(Picture):
    """The same with relu, which QNNPACK's int8 kernels do right in every layout."""

    def forward(self, x):
        x = torch.relu(self.b(self.c(x)))
        x = x + torch.relu(self.e(self.d(x)))
        return self.f(F.dropout(x.mean((2, 3)), training=self.training))


class Residual(nn.Module):
    """A residual whose sum goes through a relu, which are fused; once into memory that is there."""

    def __init__(self):
        super().__init__()
        self.c, self.d = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3, padding=1)

    def forward(self, x):
        x = self.c(x)
        x = torch.relu(self.d(x) + x)
        x += self.d(x)
        return x.relu_().mean((2, 3))


class Int8(nn.Module):
    """A network that was made to be quantized."""

    def __init__(self):
        super().__init__()
        self.q, self.dq = tq.QuantStub(), tq.DeQuantStub()
        self.c, self.b, self.r = nn.Conv2d(3, 8, 3, 2), nn.BatchNorm2d(8), nn.ReLU()
        self.d = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.add, self.pool, self.f = nn.quantized.FloatFunctional(), nn.MaxPool2d(2), None
        self.f = nn.Linear(8, 4)

    def forward(self, x):
        x = self.r(self.b(self.c(self.q(x))))
        x = self.pool(self.add.add(self.d(x), x))
        x = F.adaptive_avg_pool2d(F.interpolate(x, scale_factor=2.0), 1).flatten(1)
        return self.dq(self.f(x))


class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        self.f, self.g = nn.Linear(4, 3), nn.Linear(5, 3)

    def forward(self, a: Tensor, b: Tensor) -> dict[str, Tensor]:
        x, y = self.f(a), self.g(b)
        return {"sum": x + y, "product": x * y}


class Several(nn.Module):
    def __init__(self):
        super().__init__()
        self.f = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        y = self.f(x)
        return y.softmax(1), [y, y.relu()]


class Listed(nn.Module):
    def forward(self, parts: list[Tensor], scale: float = 2.0) -> Tensor:
        total = torch.zeros_like(parts[0])
        for part in parts:
            total = total + part * scale
        return total


class Shapes(nn.Module):
    """What tracing leaves of sizes: NumToTensor, Int, floor_divide."""

    def forward(self, x):
        n, c, h, w = x.shape
        y = x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)
        return y[:, :, : h // 2, ::2].flatten(1) * (c * h)


class Words(nn.Module):
    def __init__(self):
        super().__init__()
        self.e, self.f = nn.Embedding(50, 16), nn.Linear(16, 4)

    def forward(self, t):
        mask = (t != 0).unsqueeze(-1)
        return self.f((self.e(t) * mask).sum(1) / mask.sum(1).clamp(min=1))


class Bags(nn.Module):
    """Sums of rows, of 9 words in 3 bags."""

    def __init__(self, mode: str = "sum"):
        super().__init__()
        self.e, self.f = nn.EmbeddingBag(50, 16, mode=mode), nn.Linear(16, 4)

    def forward(self, t: Tensor, offsets: Tensor | None = None) -> Tensor:
        return self.f(self.e(t, offsets))


class FourBits(nn.Module):
    """torch's own layer calls the operator for 8 bits on rows of 4, so the right one is called."""

    def __init__(self):
        super().__init__()
        self.e = nn.quantized.Embedding(50, 16, dtype=torch.quint4x2)
        scales, zeros = torch.rand(50) / 8 + 0.1, torch.rand(50) * 15
        w = torch.quantize_per_channel(torch.randn(50, 16), scales, zeros, 0, torch.quint4x2)
        self.e.set_weight(w)

    def forward(self, t: Tensor) -> Tensor:
        return torch.ops.quantized.embedding_4bit(self.e._packed_params._packed_weight, t)


class Cells(nn.Module):
    """An LSTM's and a GRU's cell, one step."""

    def __init__(self):
        super().__init__()
        self.l, self.g = nn.LSTMCell(6, 8), nn.GRUCell(8, 4)

    def forward(self, x: Tensor, h: Tensor, c: Tensor, g: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        h, c = self.l(x, (h, c))
        return self.g(h, g), h, c


class Pairs(NamedTuple):
    first: Tensor
    second: Tensor


class Mixed(nn.Module):
    """A dictionary in, a named tuple out, a with statement, and a fork in between."""

    def __init__(self):
        super().__init__()
        self.f = nn.Linear(3, 2)

    def forward(self, parts: dict[str, Tensor]) -> Pairs:
        with torch.no_grad():
            waiting = torch.jit.fork(torch.relu, parts["left"])
            assert parts["right"].size(0) == 1
            y = self.f(torch.jit.wait(waiting)) + parts["right"]
        return Pairs(y, y * 2)


class Tells(nn.Module):
    """Answers with numbers and a constant, too."""

    def forward(self, x: Tensor):
        return x * 2, x.size(1), torch.ones(3)


class Volume(nn.Module):
    def __init__(self):
        super().__init__()
        self.f = nn.Conv3d(2, 3, 3)

    def forward(self, x: Tensor):
        return self.f(x).relu()


class Int8Upwards(nn.Module):
    """Transposed, joined, resized, in int8."""

    def __init__(self):
        super().__init__()
        self.q, self.dq = tq.QuantStub(), tq.DeQuantStub()
        self.t, self.u = nn.ConvTranspose2d(3, 4, 3, 2), nn.ConvTranspose2d(3, 4, 3, 2)
        self.join, self.h, self.k = (
            nn.quantized.FloatFunctional(),
            nn.Hardswish(),
            nn.Conv1d(8, 5, 3),
        )

    def forward(self, x):
        x = self.q(x)
        y = F.avg_pool2d(self.h(self.join.cat([self.t(x), self.u(x)], 1)), 2)
        return self.dq(torch.sigmoid(self.k(y.flatten(2))))


class Remembering(nn.Module):
    def __init__(self):
        super().__init__()
        self.l = nn.LSTM(6, 8, batch_first=True)

    def forward(
        self, x: Tensor, state: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        y, state = self.l(x, state)
        return y[:, -1], state


class Recurrent(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.l = kind(6, 8)

    def forward(self, x):
        return self.l(x)[0]


class Attention(nn.Module):
    """A block of a vision transformer, with einsum spelled out."""

    def __init__(self):
        super().__init__()
        self.n, self.qkv, self.p = nn.LayerNorm(16), nn.Linear(16, 48), nn.Linear(16, 16)
        self.m = nn.Sequential(nn.LayerNorm(16), nn.Linear(16, 32), nn.GELU(), nn.Linear(32, 16))

    def forward(self, x):
        b, n, c = x.shape
        q, k, v = self.qkv(self.n(x)).reshape(b, n, 3, 4, c // 4).permute(2, 0, 3, 1, 4)
        a = torch.einsum("bhid,bhjd->bhij", q, k) * (c // 4) ** -0.5
        y = torch.einsum("bhij,bhjd->bhid", a.softmax(-1), v).transpose(1, 2).reshape(b, n, c)
        x = x + self.p(y)
        return x + self.m(x)


class Fused(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.n = nn.MultiheadAttention(16, 4, batch_first=True), nn.LayerNorm(16)

    def forward(self, x: Tensor) -> Tensor:
        y, _ = self.a(x, x, x, need_weights=False)
        return self.n(x + y)


class Upwards(nn.Module):
    def __init__(self):
        super().__init__()
        self.c, self.t = nn.Conv2d(3, 4, 3, 2), nn.ConvTranspose2d(4, 2, 3, 2)

    def forward(self, x):
        y = torch.relu(self.t(torch.relu(self.c(x))))
        return F.interpolate(y, size=x.shape[-2:], mode="bilinear", align_corners=False)


class Groups(nn.Module):
    def __init__(self):
        super().__init__()
        self.c, self.n = nn.Conv2d(3, 8, 3), nn.GroupNorm(2, 8)

    def forward(self, x):
        return F.hardswish(self.n(self.c(x)))


class Sound(nn.Module):
    def __init__(self):
        super().__init__()
        self.c, self.b, self.f = nn.Conv1d(2, 8, 5, 2), nn.BatchNorm1d(8), nn.Linear(8, 3)

    def forward(self, x):
        return self.f(torch.relu(self.b(self.c(x))).mean(-1))


class Warped(nn.Module):
    def forward(self, x, grid):
        return F.grid_sample(x, grid.tanh(), align_corners=False)


class InPlace(nn.Module):
    """Writes into its input, and row by row into a new tensor."""

    def __init__(self):
        super().__init__()
        self.f = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        x.sub_(0.5).div_(0.25)
        out = torch.zeros(x.size(0), 4)
        for row in range(x.size(0)):
            out[row] = self.f(x[row])
        return out


class Branches(nn.Module):
    """Decides by shapes only."""

    def __init__(self):
        super().__init__()
        self.f = nn.Linear(4, 3)

    def forward(self, x: Tensor, extra: Tensor | None = None) -> Tensor:
        if x.dim() == 3:
            x = x.mean(1)
        steps = 0
        while steps < x.size(0):
            x = x + 1.0
            steps += 1
        if extra is not None:
            x = x + extra
        return self.f(x)


class While(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        while bool(x.sum() > 1):
            x = x * 0.5
        return x


class Decides(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        if bool(x.mean() > 0):
            return x * 2
        return x - 1


class ReadsOut(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x / float(x.max())


class Counts(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.nonzero().float()


class Keeps(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("seen", torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        self.seen += x.sum()
        return x + self.seen


class Streams(nn.Module):
    """Goes on with the state that it kept, and counts its calls for nobody."""

    def __init__(self):
        super().__init__()
        self.l, self.f = nn.LSTM(6, 8), nn.Linear(8, 2)
        self.h, self.c, self.calls = torch.zeros(1, 1, 8), torch.zeros(1, 1, 8), 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        y, (self.h, self.c) = self.l(x, (self.h, self.c))
        return self.f(y)


class Ring(nn.Module):
    """The last five samples, which begin as ones, and the first call's flag."""

    def __init__(self):
        super().__init__()
        self.register_buffer("ring", torch.ones(1, 2, 5))
        self.f, self.new = nn.Conv1d(2, 3, 3), True

    def forward(self, x: Tensor) -> Tensor:
        self.new = False
        self.ring.copy_(torch.cat([self.ring[:, :, 1:], x], 2))
        return self.f(self.ring)


class Waits(nn.Module):
    """Has no state before its first call."""

    def __init__(self, start: float = 0.0):
        super().__init__()
        self.g, self.start = nn.GRUCell(3, 4), start
        self.h = torch.jit.Attribute(None, Optional[Tensor])  # noqa: UP045  torch reads it

    def forward(self, x: Tensor) -> Tensor:
        h = self.h
        if h is None:
            h = torch.full((x.size(0), 4), self.start)
        h = self.g(x, h)
        self.h = h
        return h


class Lately(nn.Module):
    """A list of the last three, changed in place."""

    def __init__(self):
        super().__init__()
        self.rows = torch.jit.Attribute([torch.zeros(1, 3) for _ in range(3)], list[Tensor])

    def forward(self, x: Tensor) -> Tensor:
        self.rows.append(x)
        self.rows.pop(0)
        return torch.cat(self.rows).mean(0)


class Numbers(nn.Module):
    """Counts in a number of Python."""

    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return x * self.calls


class Warms(Numbers):
    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        if self.calls > 40:
            return x * 2
        return x


class Grows(nn.Module):
    def __init__(self):
        super().__init__()
        self.all = torch.zeros(0, 3)

    def forward(self, x: Tensor) -> Tensor:
        self.all = torch.cat([self.all, x])
        return self.all.mean(0)


class Rolls(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + torch.rand_like(x)


# --- ways to save -------------------------------------------------------------------------------


@contextmanager
def quietly():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def int8(model: nn.Module, x: Tensor, engine: str = ENGINE) -> nn.Module:
    """Static int8, eager mode, by tensor with QNNPACK's scheme and by channel with x86's."""
    torch.backends.quantized.engine = ENGINE
    with quietly():
        if hasattr(model, "b"):
            model = tq.fuse_modules(model.eval(), [["c", "b", "r"]])
        model.qconfig = tq.get_default_qconfig(engine)
        prepared = tq.prepare(model.eval())
        prepared(x)
        return tq.convert(prepared)


def int8_fx(model: nn.Module, x: Tensor, engine: str) -> nn.Module:
    torch.backends.quantized.engine = ENGINE
    with quietly():
        mapping = tq.get_default_qconfig_mapping(engine)
        prepared = quantize_fx.prepare_fx(statistics(model), mapping, (x,))
        prepared(x)
        return quantize_fx.convert_fx(prepared)


def dynamic(model: nn.Module, *kinds: type) -> nn.Module:
    torch.backends.quantized.engine = ENGINE
    with quietly():
        return tq.quantize_dynamic(model.eval(), set(kinds))


def rowwise(model: nn.Module, four: bool = False) -> nn.Module:
    """Embeddings with a scale for each row."""
    torch.backends.quantized.engine = ENGINE
    chosen = tq.float_qparams_weight_only_qconfig
    with quietly():
        model.e.qconfig = tq.float_qparams_weight_only_qconfig_4bit if four else chosen
        return tq.convert(tq.prepare(model.eval()))


def optimized(module: torch.jit.ScriptModule, *without: MobileOptimizerType) -> Any:
    return optimize_for_mobile(module, set(without))


@dataclass(frozen=True)
class Found:
    """How a file is made, what it is called with, and what is the matter with it."""

    make: Callable[[], torch.jit.ScriptModule]
    examples: tuple[str, ...]
    lite: bool = False
    int8: bool = False
    refused: str = ""
    """Words of the refusal."""

    state: bool = False
    """Whether it keeps one from call to call."""
    no_pte: str = ""
    """Words of ExecuTorch's refusal, where it has no kernel."""

    def _made(self) -> torch.jit.ScriptModule:
        for _ in range(5):
            torch.manual_seed(0)
            try:
                return self.make()
            except RuntimeError as error:
                # torch.jit.script knows its builtins by the addresses of objects, some of which are
                # gone: now and then a list has the address of one
                if "builtin cannot be used as a value" not in str(error):
                    raise
        return self.make()

    def save(self, folder: Path, name: str) -> Path:
        with quietly():
            module = self._made()
            path = folder / f"{name}.{'ptl' if self.lite else 'pt'}"
            if self.lite:
                module._save_for_lite_interpreter(str(path))
            else:
                torch.jit.save(module, str(path))
        return path


def scripted(make: Callable[[], nn.Module]) -> Callable[[], torch.jit.ScriptModule]:
    return lambda: torch.jit.script(statistics(make()))


def traced(make: Callable[[], nn.Module], *shapes: tuple[int, ...]) -> Any:
    return lambda: torch.jit.trace(
        statistics(make()), tuple(torch.randn(s) for s in shapes), check_trace=False
    )


def mobile(make: Callable[[], nn.Module], *without: MobileOptimizerType) -> Any:
    return lambda: optimized(torch.jit.script(statistics(make())), *without)


X = (1, 3, 17, 17)
XT = "1x3x17x17"
T = MobileOptimizerType


def _bundled() -> torch.jit.ScriptModule:
    inputs = [(bundled.bundle_randn(*X),)] * 2
    return bundled.bundle_inputs(torch.jit.script(statistics(Picture())), inputs)


FOUND: dict[str, Found] = {
    "scripted": Found(scripted(Picture), (XT,)),
    "traced": Found(traced(Picture, X), (XT,)),
    "frozen": Found(lambda: torch.jit.freeze(scripted(Picture)()), (XT,)),
    "frozen traced": Found(lambda: torch.jit.freeze(traced(Picture, X)()), (XT,)),
    "lite": Found(scripted(Picture), (XT,), lite=True),
    "optimized": Found(mobile(Picture), (XT,), lite=True),
    "optimized, no conv fold": Found(mobile(Picture, T.CONV_BN_FUSION), (XT,), lite=True),
    "optimized, no prepacking": Found(mobile(Picture, T.INSERT_FOLD_PREPACK_OPS), (XT,), lite=True),
    "optimized, dropout left": Found(mobile(Picture, T.REMOVE_DROPOUT), (XT,), lite=True),
    "optimized, relu not fused": Found(mobile(Picture, T.FUSE_ADD_RELU), (XT,), lite=True),
    "optimized, no hoisting": Found(mobile(Picture, T.HOIST_CONV_PACKED_PARAMS), (XT,), lite=True),
    "optimized residual": Found(mobile(Residual), (XT,), lite=True),
    "optimized upwards": Found(mobile(Upwards), (XT,), lite=True),
    "bundled": Found(_bundled, ()),
    "int8 by tensor": Found(
        lambda: torch.jit.script(int8(statistics(Int8()), torch.randn(X))), (XT,), int8=True
    ),
    "int8 by channel": Found(
        lambda: torch.jit.script(int8(statistics(Int8()), torch.randn(X), "x86")), (XT,), int8=True
    ),
    "int8 optimized": Found(
        lambda: optimized(torch.jit.script(int8(statistics(Int8()), torch.randn(X)))),
        (XT,), lite=True, int8=True,
    ),
    "int8 fx by tensor": Found(
        lambda: torch.jit.script(int8_fx(Plain(), torch.randn(X), ENGINE)), (XT,), int8=True
    ),
    "int8 fx by channel": Found(
        lambda: torch.jit.trace(int8_fx(Plain(), torch.randn(X), "x86"), torch.randn(X)),
        (XT,), int8=True,
    ),
    "int8 upwards": Found(
        lambda: torch.jit.script(int8(Int8Upwards(), torch.randn(1, 3, 6, 6))),
        ("1x3x6x6",), int8=True,
    ),
    "dynamic int8": Found(
        lambda: torch.jit.script(
            dynamic(nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 4)), nn.Linear)
        ),
        ("1x6",), int8=True,
    ),
    "dynamic int8 lstm": Found(
        lambda: torch.jit.script(dynamic(Recurrent(nn.LSTM), nn.LSTM)), ("3x1x6",), int8=True
    ),
    "dynamic int8 gru": Found(
        lambda: torch.jit.script(dynamic(Recurrent(nn.GRU), nn.GRU)), ("3x1x6",), int8=True
    ),
    "dynamic int8 cells": Found(
        lambda: torch.jit.script(dynamic(Cells(), nn.LSTMCell, nn.GRUCell)),
        ("1x6", "1x8", "1x8", "1x4"), int8=True,
    ),
    "embedding of 8 bits": Found(
        lambda: torch.jit.script(rowwise(nn.Sequential(OrderedDict(e=nn.Embedding(50, 16))))),
        ("2x7:int64",),
    ),
    "embedding of 4 bits": Found(scripted(FourBits), ("2x7:int64",)),
    "embedding bag of 8 bits": Found(
        lambda: torch.jit.script(rowwise(Bags())), ("9:int64", "3:int64"), lite=True
    ),
    "embedding bag of 4 bits": Found(
        lambda: torch.jit.script(rowwise(Bags(), four=True)), ("2x7:int64",)
    ),
    "embedding bag": Found(scripted(lambda: Bags("mean")), ("9:int64", "3:int64")),
    "two in, dict out": Found(scripted(Pair), ("2x4", "2x5")),
    "tuple and list out": Found(scripted(Several), ("2x4",)),
    "dict in, named tuple out": Found(scripted(Mixed), ("left=1x3", "right=1x2")),
    "numbers out": Found(scripted(Tells), ("1x4",)),
    "conv3d": Found(scripted(Volume), ("1x2x5x5x5",), no_pte="0x12"),
    "conv_transpose1d": Found(scripted(lambda: nn.ConvTranspose1d(2, 3, 3)), ("1x2x6",)),
    "list in": Found(scripted(Listed), ("2x4", "2x4", "2x4")),
    "shape arithmetic traced": Found(traced(Shapes, (1, 4, 6, 6)), ("1x4x6x6",)),
    "shape arithmetic scripted": Found(scripted(Shapes), ("1x4x6x6",)),
    "embedding": Found(scripted(Words), ("2x7:int64",)),
    "lstm with state": Found(scripted(Remembering), ("1x5x6", "1x1x8", "1x1x8")),
    "gru": Found(scripted(lambda: Recurrent(nn.GRU)), ("3x1x6",)),
    "attention with einsum": Found(traced(Attention, (1, 5, 16)), ("1x5x16",)),
    "attention fused": Found(traced(Fused, (1, 5, 16)), ("1x5x16",)),
    "interpolation, transposed": Found(traced(Upwards, X), (XT,)),
    "group norm": Found(scripted(Groups), (XT,)),
    "conv1d": Found(scripted(Sound), ("1x2x31",)),
    "grid sample": Found(scripted(Warped), ("1x2x6x6", "1x4x4x2")),
    "in place": Found(scripted(InPlace), ("3x4",)),
    "branches on shapes": Found(scripted(Branches), ("2x3x4", "2x4")),
    "optional left out": Found(scripted(Branches), ("2x4",)),
    "in place state": Found(scripted(Keeps), ("2x3",), state=True),
    "streaming lstm": Found(scripted(Streams), ("3x1x6",), state=True),
    "ring buffer": Found(scripted(Ring), ("1x2x1",), lite=True, state=True),
    "state that begins as None": Found(scripted(Waits), ("1x3",), state=True),
    "list as state": Found(scripted(Lately), ("1x3",), state=True),
}  # fmt: skip

REFUSED: dict[str, Found] = {
    "while loop": Found(scripted(While), ("2x3",), refused="decides by what is in the input"),
    "decision": Found(scripted(Decides), ("2x3",), refused="torch.where"),
    "number read out": Found(scripted(ReadsOut), ("2x3",), refused="read out of a tensor"),
    "counting": Found(scripted(Counts), ("2x3",), refused="as many answers as the input decides"),
    "state as a number": Found(
        scripted(Numbers), ("2x3",), refused="takes calls, a number that every call changes"
    ),
    "decision by a state": Found(
        scripted(Warms), ("2x3",), refused="decides by calls, which every call changes"
    ),
    "state that grows": Found(scripted(Grows), ("1x3",), refused="all has another shape after"),
    "random": Found(scripted(Rolls), ("2x3",), refused="draws random numbers"),
    "training": Found(
        lambda: torch.jit.script(nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3)).train()),
        ("2x3",), refused="--eval",
    ),
    "dropout traced in training": Found(
        lambda: torch.jit.trace(
            nn.Sequential(nn.Linear(3, 3), nn.Dropout()), torch.zeros(2, 3), check_trace=False
        ),
        ("2x3",), refused="draws random numbers",
    ),
    "embedding bag, largest": Found(
        scripted(lambda: Bags("max")), ("9:int64", "3:int64"), refused="takes the largest of a bag"
    ),
    "wrong example": Found(scripted(Picture), ("1x2x17x17",), refused="--example"),
    "wrong example, prepacked": Found(
        mobile(Picture), ("1x2x17x17",), lite=True, refused="takes 3 features, not 2"
    ),
}  # fmt: skip


def saved(module: torch.jit.ScriptModule) -> bytes:
    file = io.BytesIO()
    torch.jit.save(module, file)
    return file.getvalue()
