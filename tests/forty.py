"""Networks of the kinds that people bring, small enough that all roads take seconds.

``forty.toml`` holds what becomes of each on every road.
"""

# ruff: noqa: B905
from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F

from mobilelab import tasks


@dataclass
class Kind:
    """A kind of network, and what it is called with."""

    build: Callable[[], nn.Module]
    examples: Callable[[], list[Any]]
    task: tasks.Task | None = None


FORTY: dict[str, Kind] = {}


def kind(examples: Callable[[], list[Any]], task: tasks.Task | None = None) -> Any:
    """Register a class under its name in small letters."""

    def register(made: type[nn.Module]) -> type[nn.Module]:
        name = "".join(f"-{c.lower()}" if c.isupper() else c for c in made.__name__)
        FORTY[name.lstrip("-")] = Kind(made, examples, task)
        return made

    return register


def pictures(channels: int = 3, size: int = 16) -> Callable[[], list[Any]]:
    return lambda: list(torch.randn(3, channels, size, size).split(1))


def rows(*shape: int) -> Callable[[], list[Any]]:
    return lambda: [torch.randn(1, *shape) for _ in range(3)]


def words(length: int = 6, most: int = 20) -> Callable[[], list[Any]]:
    return lambda: list(torch.randint(1, most, (3, length)).split(1))


def trained(model: nn.Module) -> nn.Module:
    """In eval mode, with BatchNorm statistics as after a training."""
    for part in model.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            assert part.running_mean is not None and part.running_var is not None
            part.running_mean.normal_(0, 0.3)
            part.running_var.uniform_(0.5, 2)
            nn.init.uniform_(part.weight, 0.5, 1.5)
            nn.init.normal_(part.bias, 0, 0.3)
    return model.eval()


def block(ins: int, outs: int, stride: int = 1, act: Any = nn.ReLU, **more: Any) -> nn.Sequential:
    """Convolution, BatchNorm, activation."""
    conv = nn.Conv2d(ins, outs, 3, stride, more.pop("padding", 1), bias=False, **more)
    return nn.Sequential(conv, nn.BatchNorm2d(outs), act())


# --- pictures -----------------------------------------------------------------------------


@kind(pictures())
class Mobilenet(nn.Module):
    """An inverted residual whose convolutions have no bias: what the fold bug needs."""

    def __init__(self):
        super().__init__()
        self.stem = block(3, 8, 2, nn.ReLU6)
        self.deep = block(8, 8, act=nn.ReLU6, groups=8)
        self.point, self.norm = nn.Conv2d(8, 8, 1, bias=False), nn.BatchNorm2d(8)
        self.head = nn.Linear(8, 5)

    def forward(self, x):
        x = self.stem(x)
        x = x + self.norm(self.point(self.deep(x)))
        return self.head(x.mean((2, 3)))


@kind(pictures())
class SqueezeExcite(nn.Module):
    """As in MobileNetV3: hardswish, and channels weighted by a hardsigmoid."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.Hardswish())
        self.less, self.more, self.head = nn.Conv2d(8, 4, 1), nn.Conv2d(4, 8, 1), nn.Linear(8, 5)

    def forward(self, x):
        x = self.stem(x)
        weights = F.hardsigmoid(self.more(torch.relu(self.less(F.adaptive_avg_pool2d(x, 1)))))
        return self.head((x * weights).mean((2, 3)))


@kind(pictures())
class Shuffle(nn.Module):
    """Grouped convolutions whose channels are mixed by a view, as in ShuffleNet."""

    def __init__(self):
        super().__init__()
        self.stem, self.group = nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(8, 8, 3, padding=1, groups=2)
        self.head = nn.Linear(8, 5)

    def forward(self, x):
        x = torch.relu(self.group(torch.relu(self.stem(x))))
        b, c, h, w = x.shape
        x = x.view(b, 2, c // 2, h, w).transpose(1, 2).reshape(b, c, h, w)
        return self.head(x.mean((2, 3)))


@kind(pictures(), tasks.Segmentation(3, "out"))
class Deeplab(nn.Module):
    """Holes in the kernels, a pooled picture, sizes that come from the input, a dictionary."""

    def __init__(self):
        super().__init__()
        self.stem = block(3, 8, 2)
        self.rates = nn.ModuleList(block(8, 4, padding=r, dilation=r) for r in (1, 2, 3))
        self.pooled, self.out, self.aux = (
            nn.Conv2d(8, 4, 1),
            nn.Conv2d(16, 3, 1),
            nn.Conv2d(8, 3, 1),
        )

    def forward(self, x):
        size, x = x.shape[-2:], self.stem(x)
        whole = self.pooled(F.adaptive_avg_pool2d(x, 1)).expand(-1, -1, x.shape[2], x.shape[3])
        joined = torch.cat([*[rate(x) for rate in self.rates], whole], 1)
        out = F.interpolate(self.out(joined), size, mode="bilinear", align_corners=False)
        return OrderedDict(out=out, aux=F.interpolate(self.aux(x), size, mode="bilinear"))


@kind(pictures())
class Ssd(nn.Module):
    """Two sizes of maps, each with a head for boxes and one for scores, joined."""

    def __init__(self):
        super().__init__()
        self.first, self.second = block(3, 8, 2), block(8, 8, 2)
        self.boxes = nn.ModuleList(nn.Conv2d(8, 2 * 4, 3, padding=1) for _ in range(2))
        self.scores = nn.ModuleList(nn.Conv2d(8, 2 * 3, 3, padding=1) for _ in range(2))

    def forward(self, x):
        a = self.first(x)
        maps = [a, self.second(a)]
        boxes = [h(m).permute(0, 2, 3, 1).reshape(1, -1, 4) for h, m in zip(self.boxes, maps)]
        scores = [h(m).permute(0, 2, 3, 1).reshape(1, -1, 3) for h, m in zip(self.scores, maps)]
        return torch.cat(boxes, 1), torch.cat(scores, 1).softmax(2)


@kind(pictures())
class Yolo(nn.Module):
    """A head that decodes boxes on a grid of its own, and has a flag for export."""

    def __init__(self):
        super().__init__()
        self.stem, self.raw = block(3, 8, 2, nn.SiLU), nn.Conv2d(8, 4 + 1 + 2, 1)
        self.export = False

    def forward(self, x):
        y = self.raw(self.stem(x))
        h, w = y.shape[2], y.shape[3]
        rows_, columns = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
        centers = (y[:, :2].sigmoid() * 2 - 0.5 + torch.stack([columns, rows_])) * 2
        decoded = torch.cat([centers, (2 * y[:, 2:4].sigmoid()) ** 2 * 8, y[:, 4:].sigmoid()], 1)
        if self.export:
            return decoded.flatten(2)
        return decoded.flatten(2), y


@kind(lambda: [(torch.tensor([[0.0, 0, 4, 4], [0, 0, 4, 5], [8, 8, 12, 12]]),
                torch.tensor([0.9, s, 0.7])) for s in (0.8, 0.4, 0.6)])  # fmt: skip
class Nms(nn.Module):
    """Boxes that are chosen in the graph."""

    def forward(self, boxes, scores):
        kept = torchvision.ops.nms(boxes, scores, 0.5)
        return boxes[kept], scores[kept]


@kind(pictures(), tasks.Segmentation(3))
class Unet(nn.Module):
    """Down, up again by a transposed convolution, and a bridge between."""

    def __init__(self):
        super().__init__()
        self.a, self.b = block(3, 8), block(8, 8)
        self.up, self.c, self.out = nn.ConvTranspose2d(8, 8, 2, 2), block(16, 8), nn.Conv2d(8, 3, 1)

    def forward(self, x):
        a = self.a(x)
        b = self.up(self.b(F.max_pool2d(a, 2)))
        return self.out(self.c(torch.cat([a, b], 1)))


@kind(rows(8, 1, 1), tasks.ImageToImage())
class Generator(nn.Module):
    """A picture out of noise that comes in: transposed convolutions, tanh."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.ConvTranspose2d(8, 8, 4, 1, 0, bias=False), nn.BatchNorm2d(8), nn.ReLU(),
            nn.ConvTranspose2d(8, 3, 4, 2, 1), nn.Tanh(),
        )  # fmt: skip

    def forward(self, noise):
        return self.layers(noise)


@kind(pictures(1, 8), tasks.ImageToImage())
class Enlarges(nn.Module):
    """Super-resolution: channels that become pixels."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.shuffle = nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 4, 1), \
            nn.PixelShuffle(2)  # fmt: skip

    def forward(self, x):
        return self.shuffle(self.b(F.leaky_relu(self.a(x), 0.1)))


@kind(pictures())
class Convnext(nn.Module):
    """Depthwise 7x7, LayerNorm over channels, GELU, a scale for each channel."""

    def __init__(self):
        super().__init__()
        self.patches, self.deep = nn.Conv2d(3, 8, 4, 4), nn.Conv2d(8, 8, 7, padding=3, groups=8)
        self.norm, self.wide, self.narrow = nn.LayerNorm(8), nn.Linear(8, 16), nn.Linear(16, 8)
        self.scale, self.head = nn.Parameter(torch.full((8,), 0.5)), nn.Linear(8, 5)

    def forward(self, x):
        x = self.patches(x)
        y = self.norm(self.deep(x).permute(0, 2, 3, 1))
        y = self.scale * self.narrow(F.gelu(self.wide(y)))
        return self.head((x + y.permute(0, 3, 1, 2)).mean((2, 3)))


@kind(pictures())
class Vit(nn.Module):
    """Patches, a token for the class, positions, and PyTorch's own encoder layer."""

    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(3, 16, 8, 8)
        self.token, self.places = (
            nn.Parameter(torch.randn(1, 1, 16)),
            nn.Parameter(torch.randn(1, 5, 16)),
        )
        self.layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
        self.head = nn.Linear(16, 5)

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.places
        return self.head(self.layer(x)[:, 0])


@kind(pictures(3, 8))
class Swin(nn.Module):
    """Attention in shifted windows, with a bias for relative places."""

    def __init__(self):
        super().__init__()
        self.patches, self.qkv, self.out = nn.Conv2d(3, 8, 2, 2), nn.Linear(8, 24), nn.Linear(8, 8)
        self.bias, self.head = nn.Parameter(torch.randn(2, 4, 4)), nn.Linear(8, 5)

    def forward(self, x):
        x = torch.roll(self.patches(x).permute(0, 2, 3, 1), (-1, -1), (1, 2))
        b, h, w, c = x.shape
        windows = x.view(b, h // 2, 2, w // 2, 2, c).permute(0, 1, 3, 2, 4, 5).reshape(-1, 4, c)
        q, k, v = self.qkv(windows).view(-1, 4, 3, 2, c // 2).permute(2, 0, 3, 1, 4)
        near = (q @ k.transpose(2, 3) / 2 + self.bias).softmax(3) @ v
        y = self.out(near.transpose(1, 2).reshape(-1, 4, c))
        y = y.view(b, h // 2, w // 2, 2, 2, c).permute(0, 1, 3, 2, 4, 5).reshape(b, h, w, c)
        return self.head((x + torch.roll(y, (1, 1), (1, 2))).mean((1, 2)))


@kind(lambda: list(torch.randn(3, 2, 4, 8, 8).split(1)))
class Video(nn.Module):
    """Convolutions over three axes."""

    def __init__(self):
        super().__init__()
        self.c, self.head = nn.Conv3d(2, 4, 3, padding=1), nn.Linear(4, 5)

    def forward(self, x):
        return self.head(F.max_pool3d(torch.relu(self.c(x)), 2).mean((2, 3, 4)))


@kind(pictures(1, 8), tasks.ImageToImage())
class Transformer2d(nn.Module):
    """A spatial transformer: the picture is turned by what the network finds in it."""

    def __init__(self):
        super().__init__()
        self.find = nn.Linear(64, 6)
        nn.init.normal_(self.find.weight, 0, 0.002)
        self.find.bias.data = torch.tensor([1.0, 0.1, 0, -0.1, 1, 0])

    def forward(self, x):
        grid = F.affine_grid(self.find(x.flatten(1)).view(-1, 2, 3), x.shape, align_corners=False)
        return F.grid_sample(x, grid, align_corners=False)


@kind(pictures(2, 8))
class Deformable(nn.Module):
    """A convolution that looks where another one tells it to."""

    def __init__(self):
        super().__init__()
        self.offsets = nn.Conv2d(2, 18, 3, padding=1)
        self.deform, self.head = torchvision.ops.DeformConv2d(2, 4, 3, padding=1), nn.Linear(4, 5)

    def forward(self, x):
        return self.head(torch.relu(self.deform(x, self.offsets(x))).mean((2, 3)))


# --- sequences ----------------------------------------------------------------------------


@kind(words())
class Lstm(nn.Module):
    def __init__(self):
        super().__init__()
        self.words, self.lstm, self.head = nn.Embedding(20, 8), nn.LSTM(8, 8, batch_first=True), \
            nn.Linear(8, 3)  # fmt: skip

    def forward(self, tokens):
        return self.head(self.lstm(self.words(tokens))[0][:, -1])


@kind(lambda: [(torch.randn(1, 5, 4), torch.randn(1, 1, 8)) for _ in range(3)])
class Gru(nn.Module):
    """A state that comes in and goes out."""

    def __init__(self):
        super().__init__()
        self.gru, self.head = nn.GRU(4, 8, batch_first=True), nn.Linear(8, 3)

    def forward(self, x, state):
        y, state = self.gru(x, state)
        return self.head(y), state


@kind(rows(5, 4))
class Cells(nn.Module):
    """A recurrent cell in a loop over the steps that the input has."""

    def __init__(self):
        super().__init__()
        self.cell, self.head = nn.GRUCell(4, 8), nn.Linear(8, 3)

    def forward(self, x):
        state = torch.zeros(x.shape[0], 8)
        for step in range(x.shape[1]):
            state = self.cell(x[:, step], state)
        return self.head(state)


@kind(rows(2, 40))
class Sound(nn.Module):
    """Convolutions over time, with holes."""

    def __init__(self):
        super().__init__()
        self.a, self.norm = nn.Conv1d(2, 8, 5, 2), nn.BatchNorm1d(8)
        self.b, self.head = nn.Conv1d(8, 8, 3, dilation=2), nn.Linear(8, 3)

    def forward(self, x):
        return self.head(torch.relu(self.b(torch.relu(self.norm(self.a(x))))).mean(2))


@kind(rows(4, 24), tasks.Speech("-abcd"))
class Ctc(nn.Module):
    """Speech: convolution, both directions of an LSTM, logarithms of probabilities by step."""

    def __init__(self):
        super().__init__()
        self.c, self.lstm = nn.Conv1d(4, 8, 3, 2), nn.LSTM(8, 6, bidirectional=True)
        self.head = nn.Linear(12, 5)

    def forward(self, x):
        x = torch.relu(self.c(x)).permute(2, 0, 1)
        return self.head(self.lstm(x)[0]).log_softmax(2).transpose(0, 1)


@kind(rows(6, 8))
class Conformer(nn.Module):
    """Half a feed-forward, attention written out, a gated depthwise convolution, a norm."""

    def __init__(self):
        super().__init__()
        self.norm, self.wide, self.narrow = nn.LayerNorm(8), nn.Linear(8, 16), nn.Linear(16, 8)
        self.qkv, self.gate = nn.Linear(8, 24), nn.Conv1d(8, 16, 1)
        self.deep, self.bn = nn.Conv1d(8, 8, 3, padding=1, groups=8), nn.BatchNorm1d(8)

    def forward(self, x):
        x = x + 0.5 * self.narrow(F.silu(self.wide(self.norm(x))))
        q, k, v = self.qkv(x).chunk(3, 2)
        x = x + torch.softmax(q @ k.transpose(1, 2) / math.sqrt(8), 2) @ v
        y = F.silu(self.bn(self.deep(F.glu(self.gate(x.transpose(1, 2)), 1))))
        return self.norm(x + y.transpose(1, 2))


@kind(lambda: [(torch.randint(1, 12, (1, 5)), torch.tensor([[1, 1, 1, n > 0, n > 1]]))
               for n in range(3)])  # fmt: skip
class Translates(nn.Module):
    """Encoder and decoder with masks; the decoder takes its own words, four steps."""

    def __init__(self):
        super().__init__()
        self.words, self.q = nn.Embedding(12, 8), nn.Linear(8, 8)
        self.cell, self.head = nn.GRUCell(16, 8), nn.Linear(8, 12)

    def forward(self, tokens, mask):
        memory = self.words(tokens)
        state, word = memory.mean(1), tokens[:, 0]
        scores = []
        for _ in range(4):
            near = (memory @ self.q(state).unsqueeze(2)).squeeze(2)
            near = near.masked_fill(mask == 0, -1e4).softmax(1)
            seen = (near.unsqueeze(2) * memory).sum(1)
            state = self.cell(torch.cat([self.words(word), seen], 1), state)
            scores.append(self.head(state))
            word = scores[-1].argmax(1)
        return torch.stack(scores, 1)


@kind(lambda: [(torch.randint(0, 20, (5,)), torch.tensor([0, n])) for n in (2, 3, 4)])
class Bag(nn.Module):
    def __init__(self):
        super().__init__()
        self.words, self.head = nn.EmbeddingBag(20, 8, mode="mean"), nn.Linear(8, 3)

    def forward(self, tokens, offsets):
        return self.head(self.words(tokens, offsets))


@kind(rows(4, 6))
class Einsum(nn.Module):
    def __init__(self):
        super().__init__()
        self.w, self.head = nn.Parameter(torch.randn(2, 6, 5)), nn.Linear(10, 3)

    def forward(self, x):
        return self.head(torch.einsum("bti,hio->bho", x, self.w).flatten(1))


@kind(lambda: [(torch.randn(1, 6), torch.randn(1, 6)) for _ in range(3)])
class Complex(nn.Module):
    """A product of complex numbers, and its length."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(6, 3)

    def forward(self, real, imaginary):
        z = torch.complex(real, imaginary)
        return self.head((z * z.conj() * 1j + z).abs())


@kind(rows(32))
class Spectrum(nn.Module):
    """The strength of each frequency."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(17, 3)

    def forward(self, x):
        return self.head(torch.log1p(torch.fft.rfft(x).abs()))


# --- what is done in forward ----------------------------------------------------------------


class _Swish(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x.sigmoid()

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        s = x.sigmoid()
        return grad * (s + x * s * (1 - s))


@kind(rows(6))
class OwnGradient(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(6, 8), nn.Linear(8, 3)

    def forward(self, x):
        return self.b(_Swish.apply(self.a(x)))


@torch.library.custom_op("forty::cubed", mutates_args=())
def cubed(x: Tensor) -> Tensor:
    return x * x * x


@cubed.register_fake
def _(x):
    return torch.empty_like(x)


@kind(rows(6))
class OwnOperator(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(6, 8), nn.Linear(8, 3)

    def forward(self, x):
        return self.b(torch.ops.forty.cubed(self.a(x)))


@kind(rows(4), tasks.Regression())
class Remembers(nn.Module):
    """A mean in a buffer that each call moves."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.zeros(1, 4))
        self.f = nn.Linear(4, 4)

    def forward(self, x):
        self.mean.mul_(0.9).add_(self.f(x))
        return self.mean + x


@kind(rows(6))
class OwnDropout(nn.Module):
    """Dropout written by hand, in eval mode, too."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(6, 8), nn.Linear(8, 3)

    def forward(self, x):
        x = torch.relu(self.a(x))
        return self.b(x * torch.bernoulli(torch.full_like(x, 0.5)) * 2)


@kind(rows(6))
class Noise(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(6, 8), nn.Linear(8, 3)

    def forward(self, x):
        x = self.a(x)
        return self.b(torch.tanh(x + torch.randn_like(x)))


@kind(rows(5, 4))
class Flattens(nn.Module):
    """A size that is turned into a number of Python's: any length, and yet one only."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(4, 8), nn.Linear(8, 3)

    def forward(self, x):
        x = torch.relu(self.a(x))
        return self.b(x.reshape(-1, int(x.shape[1]), 8).sum(1) / int(x.shape[1]))


@kind(rows(5, 4))
class AnyLength(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(4, 8), nn.Linear(8, 3)

    def forward(self, x):
        return self.b(torch.relu(self.a(x)).mean(1))


@kind(rows(6))
class Branches(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(6, 3), nn.Linear(6, 3)

    def forward(self, x):
        if x.sum() > 100:
            return self.a(x)
        return self.b(x)


@kind(rows(6))
class InPlace(nn.Module):
    """Writes into what it made itself: allowed, and yet hard for exporters."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(6, 8), nn.Linear(8, 3)

    def forward(self, x):
        y = self.a(x).relu_()
        y[:, :2] = 0
        y += 1
        return self.b(y)


@kind(pictures())
class Normalizes(nn.Module):
    """Writes into its input before a convolution."""

    def __init__(self):
        super().__init__()
        self.c, self.head = nn.Conv2d(3, 8, 3, 2), nn.Linear(8, 5)

    def forward(self, x):
        x.sub_(0.5).div_(0.25)
        return self.head(torch.relu(self.c(x)).mean((2, 3)))


@kind(rows(6), tasks.Regression())
class Aliases(nn.Module):
    """Answers that share their memory with each other and with the input."""

    def __init__(self):
        super().__init__()
        self.f = nn.Linear(6, 4)

    def forward(self, x):
        y = self.f(x)
        return y, y[:, :2], x.view(2, 3), y


# --- what comes out ---------------------------------------------------------------------------


@kind(rows(6), tasks.Regression())
class Empty(nn.Module):
    """One of the answers has no element."""

    def __init__(self):
        super().__init__()
        self.f = nn.Linear(6, 4)

    def forward(self, x):
        y = self.f(x)
        return y, y[:, 4:]


@kind(rows(6), tasks.Regression())
class Scalar(nn.Module):
    """One number without an axis."""

    def __init__(self):
        super().__init__()
        self.f = nn.Linear(6, 4)

    def forward(self, x):
        return self.f(x).sum()


@kind(rows(6))
class Flags(nn.Module):
    def __init__(self):
        super().__init__()
        self.f = nn.Linear(6, 4)

    def forward(self, x):
        return self.f(x) > 0


@kind(lambda: list(torch.randint(0, 256, (3, 3, 8, 8), dtype=torch.uint8).split(1)),
      tasks.ImageToImage())  # fmt: skip
class Bytes(nn.Module):
    """Bytes in, bytes out."""

    def __init__(self):
        super().__init__()
        self.c = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x):
        y = self.c(x.float() / 255).sigmoid()
        return (y * 255).round().to(torch.uint8)


class _Output(OrderedDict):
    """As the outputs of a well-known library."""

    def __getattr__(self, name):
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


@kind(words())
class Encodes(nn.Module):
    """Answers with an object of a class of its own."""

    def __init__(self):
        super().__init__()
        self.words, self.head = nn.Embedding(20, 8), nn.Linear(8, 3)

    def forward(self, tokens):
        hidden = self.words(tokens)
        return _Output(logits=self.head(hidden.mean(1)), hidden_states=(hidden,))


@kind(lambda: [(torch.randn(1, 1, 8, 8), torch.randn(1, 4)) for _ in range(3)])
class TwoInputs(nn.Module):
    """A picture and facts about it in, a dictionary out."""

    def __init__(self):
        super().__init__()
        self.c, self.age, self.kind = nn.Conv2d(1, 8, 3), nn.Linear(12, 1), nn.Linear(12, 3)

    def forward(self, x, facts):
        both = torch.cat([torch.relu(self.c(x)).mean((2, 3)), facts], 1)
        return {"age": self.age(both), "kind": self.kind(both)}


@kind(rows(6))
class Doubles(nn.Module):
    def __init__(self):
        super().__init__()
        self.f = nn.Linear(6, 4)

    def forward(self, x):
        return self.f(x).double().cumsum(1)
