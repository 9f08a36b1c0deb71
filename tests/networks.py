"""Small networks as people bring them, each with examples: what goes in, what comes out."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from mobilelab import tasks
from mobilelab.core.signature import Example


@dataclass
class Brought:
    """A network, examples for it, and what has to be known about it."""

    build: Callable[[], nn.Module]
    examples: Callable[[], list[Any]]
    task: tasks.Task | None = None
    trace: bool = False
    """Whether TorchScript gets it by tracing; scripting otherwise."""
    refused: dict[str, str] = field(default_factory=dict)
    """Ending to a part of the refusal, where the road cannot take it."""
    close: tuple[str, ...] = ()
    """Endings whose files round otherwise than torch does."""
    warns: str = ""
    """What is said about it when it is called."""


class Detector(nn.Module):
    def __init__(self):
        super().__init__()
        self.c, self.b, self.s = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 4, 1), nn.Conv2d(8, 3, 1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        h = torch.relu(self.c(x))
        return {"boxes": self.b(h).flatten(2), "scores": self.s(h).flatten(2).softmax(1)}


class Masks(nn.Module):
    def __init__(self):
        super().__init__()
        self.c = nn.Conv2d(3, 5, 3, padding=1)

    def forward(self, x):
        return OrderedDict(out=self.c(x), aux=self.c(x).mean(1, keepdim=True))


class Tokens(nn.Module):
    def __init__(self):
        super().__init__()
        self.e, self.f = nn.Embedding(50, 16), nn.Linear(16, 4)

    def forward(self, t: Tensor) -> Tensor:
        return self.f(self.e(t).mean(1))


class PictureAndFacts(nn.Module):
    def __init__(self):
        super().__init__()
        self.c, self.f = nn.Conv2d(1, 8, 3), nn.Linear(8 + 4, 5)

    def forward(self, x: Tensor, facts: Tensor) -> Tensor:
        return self.f(torch.cat([torch.relu(self.c(x)).mean((2, 3)), facts], 1))


class Listener(nn.Module):
    def __init__(self):
        super().__init__()
        self.g, self.f = nn.GRU(8, 16, batch_first=True), nn.Linear(16, 4)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        y, h = self.g(x, h)
        return self.f(y[:, -1]), h


class Remembers(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("state", torch.full((1, 4), 5.0))
        self.f = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        self.state.mul_(0.9)
        self.state.add_(self.f(x))
        return self.state * 1.0


class AnyLength(nn.Module):
    def __init__(self):
        super().__init__()
        self.c, self.f = nn.Linear(4, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.f(torch.relu(self.c(x.transpose(1, 2))).mean(1))


class Normalizes(nn.Module):
    def __init__(self):
        super().__init__()
        self.c, self.f = nn.Conv2d(1, 8, 3, 2), nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Tensor:
        x.sub_(0.5).div_(0.25)
        return self.f(torch.relu(self.c(x)).mean((2, 3)))


class Age(nn.Module):
    def __init__(self):
        super().__init__()
        self.c, self.f = nn.Conv2d(1, 4, 3), nn.Linear(4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return 40 + self.f(torch.relu(self.c(x)).mean((2, 3)))


class Masked(nn.Module):
    def __init__(self):
        super().__init__()
        self.f = nn.Linear(6, 5)

    def forward(self, x: Tensor, allowed: Tensor) -> Tensor:
        return self.f(x).masked_fill(~allowed, -float("inf"))


class FromMapping(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(3, 4), nn.Linear(5, 4)

    def forward(self, parts: dict[str, Tensor]) -> Tensor:
        return self.a(parts["left"]) + self.b(parts["right"])


class Asked(nn.Module):
    def __init__(self):
        super().__init__()
        self.e, self.s = nn.Embedding(30, 8), nn.Linear(8, 2)

    def forward(self, tokens: Tensor, attention_mask: Tensor) -> dict[str, Tensor]:
        both = self.s(self.e(tokens)) - 10 * (1 - attention_mask.float()).unsqueeze(2)
        return {"start_logits": both[:, :, 0], "end_logits": both[:, :, 1]}


class Face(nn.Module):
    def __init__(self):
        super().__init__()
        self.c, self.a, self.s = nn.Conv2d(1, 6, 3), nn.Linear(6, 1), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = torch.relu(self.c(x)).mean((2, 3))
        return self.a(h), self.s(h)


class Half(nn.Module):
    def __init__(self):
        super().__init__()
        self.f = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.f(x).half()


class Bytes(nn.Module):
    def __init__(self):
        super().__init__()
        self.c = nn.Conv2d(3, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.c(x.float() / 255).mean((2, 3))


class Spectrum(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.fft.rfft(x)


class OneAxis(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.randn(16))

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(x * self.w)


class Clip(nn.Module):
    def __init__(self):
        super().__init__()
        self.c, self.f = nn.Conv3d(3, 4, 3), nn.Linear(4, 6)

    def forward(self, x: Tensor) -> Tensor:
        return self.f(torch.relu(self.c(x)).mean((2, 3, 4)))


class GrowsFirst(nn.Module):
    def __init__(self):
        super().__init__()
        self.u, self.c = nn.ConvTranspose2d(1, 4, 2, 2), nn.Conv2d(4, 1, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.c(torch.relu(self.u(x)))


class RepeatsFirst(nn.Module):
    def __init__(self):
        super().__init__()
        self.c, self.f = nn.Conv2d(3, 8, 3), nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.f(torch.relu(self.c(x.repeat(1, 3, 1, 1))).mean((2, 3)))


class Output(OrderedDict):
    """As the outputs of a well-known library: a mapping whose items are attributes, too."""

    def __getattr__(self, name):
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


class Wrapped(nn.Module):
    def __init__(self):
        super().__init__()
        self.f = nn.Linear(6, 4)

    def forward(self, x):
        h = self.f(x)
        return Output(logits=h, hidden_states=(h + 1, h.tanh()), loss=None)


class Found(NamedTuple):
    scores: Tensor
    best: Tensor


class Names(nn.Module):
    def __init__(self):
        super().__init__()
        self.f = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Found:
        h = self.f(x)
        return Found(h, h.argmax(1))


class Flags(nn.Module):
    def __init__(self):
        super().__init__()
        self.f = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.f(x) > 0


class Pyramid(nn.Module):
    def __init__(self):
        super().__init__()
        self.c = nn.Conv2d(1, 2, 3, padding=1)

    def forward(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        a = self.c(x)
        return a, (a[:, :, ::2, ::2], a.mean())


class Finds(nn.Module):
    """Boxes whose score is high enough; there may be none."""

    def forward(self, boxes: Tensor, scores: Tensor) -> dict[str, Tensor]:
        kept = torch.nonzero(scores > 0.5).squeeze(1)
        return {"boxes": boxes[kept], "scores": scores[kept], "labels": kept * 0}


class Doubles(nn.Module):
    def __init__(self):
        super().__init__()
        self.f = nn.Linear(6, 4).double()

    def forward(self, x: Tensor) -> Tensor:
        return self.f(x)


class Bag(nn.Module):
    def __init__(self):
        super().__init__()
        self.e = nn.EmbeddingBag(40, 5, mode="mean")

    def forward(self, words: Tensor, offsets: Tensor) -> Tensor:
        return self.e(words, offsets)


class Keyword(nn.Module):
    def __init__(self):
        super().__init__()
        self.c, self.f = nn.Conv1d(1, 8, 9, 4), nn.Linear(8, 3)

    def forward(self, sound: Tensor) -> Tensor:
        return self.f(torch.relu(self.c(sound)).mean(2)).log_softmax(1)


class Attends(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.f = nn.MultiheadAttention(8, 2, batch_first=True), nn.Linear(8, 4)

    def forward(self, x: Tensor, ignored: Tensor) -> Tensor:
        h, _ = self.a(x, x, x, key_padding_mask=ignored)
        return self.f(h)


class Several(nn.Module):
    def __init__(self):
        super().__init__()
        self.f = nn.Linear(4, 3)

    def forward(self, parts: list[Tensor]) -> Tensor:
        return self.f(torch.cat(parts, 1))


class Style(nn.Module):
    def __init__(self):
        super().__init__()
        self.c = nn.Conv2d(3, 3, 3, padding=1, padding_mode="reflect")

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.c(x))


class Vectors(nn.Module):
    def __init__(self):
        super().__init__()
        self.f = nn.Linear(10, 6)

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.normalize(self.f(x), dim=1)


class Bfloat(nn.Module):
    def __init__(self):
        super().__init__()
        self.f = nn.Linear(6, 4).bfloat16()

    def forward(self, x: Tensor) -> Tensor:
        return self.f(x.bfloat16()).float()


class Undefined(nn.Module):
    """0/0 where a group is empty."""

    def forward(self, x: Tensor, group: Tensor) -> Tensor:
        mean = (x * group).sum(1, keepdim=True) / group.sum(1, keepdim=True)
        return torch.cat([mean, x], 1)


def _pictures(channels: int, count: int = 3, size: int = 16) -> Callable[[], list[Any]]:
    return lambda: list(torch.rand(count, channels, size, size).split(1))


def _rows(width: int = 6, count: int = 4) -> Callable[[], list[Any]]:
    return lambda: list(torch.randn(count, width).split(1))


PTE, TFLITE = ".pte", ".tflite"
NETWORKS: dict[str, Brought] = {
    "boxes in a mapping": Brought(Detector, _pictures(3)),
    "masks in an ordered mapping": Brought(
        Masks, _pictures(3), tasks.Segmentation(5, "out"), trace=True
    ),
    "tokens": Brought(Tokens, lambda: list(torch.randint(0, 50, (3, 12)).split(1))),
    "a picture and facts": Brought(
        PictureAndFacts, lambda: [(torch.rand(1, 1, 16, 16), torch.randn(1, 4)) for _ in range(3)]
    ),
    "a state goes in and out": Brought(
        Listener, lambda: [(torch.randn(1, 20, 8), torch.randn(1, 1, 16)) for _ in range(2)]
    ),
    "a state in a buffer": Brought(
        Remembers,
        _rows(),
        warns="keeps a state",
        refused={
            PTE: "writes into state while it answers, and ExecuTorch's exporter drops the value",
            TFLITE: "writes into state while it answers, and LiteRT's converter makes a constant",
        },
    ),
    "any length": Brought(AnyLength, lambda: [torch.randn(1, 4, 40)]),
    "writes into its input": Brought(
        Normalizes,
        _pictures(1),
        warns="writes into its inputs",
        refused={PTE: "writes into its input 0, and the file would give that back"},
    ),
    "one number": Brought(Age, _pictures(1), tasks.Regression()),
    "masked scores": Brought(
        Masked,
        lambda: [(torch.randn(1, 6), torch.tensor([[True, True, False, True, False]]))] * 2,
    ),
    "a mapping goes in": Brought(
        FromMapping,
        lambda: [Example(({"left": torch.randn(1, 3), "right": torch.randn(1, 5)},))],
    ),
    "named inputs": Brought(
        Asked,
        lambda: [
            {"tokens": torch.randint(0, 30, (1, 7)), "attention_mask": torch.ones(1, 7).long()}
        ],
        tasks.Extraction(),
    ),
    "two heads": Brought(
        Face, _pictures(1), tasks.Heads({"0": tasks.Regression(), "1": tasks.Classification()})
    ),
    "half": Brought(Half, _rows()),
    "bytes": Brought(
        Bytes, lambda: list(torch.randint(0, 256, (3, 3, 16, 16), dtype=torch.uint8).split(1))
    ),
    "complex numbers": Brought(
        Spectrum, _rows(8), refused={PTE: "exporter refuses this network .*mismatched dtypes"}
    ),
    "one axis": Brought(OneAxis, lambda: [torch.randn(16), torch.randn(16)]),
    "a clip": Brought(
        Clip,
        lambda: [torch.rand(1, 3, 6, 12, 12)],
        refused={PTE: r"refuses float32 \(1, 3, 6, 12, 12\): .* error 0x12"},
    ),
    "a transposed convolution first": Brought(GrowsFirst, _pictures(1), tasks.ImageToImage()),
    "gray repeated to colors": Brought(
        RepeatsFirst,
        _pictures(1),
        refused={TFLITE: "LiteRT's converter refuses this network .*to have 3 channels"},
    ),
    "an output object": Brought(
        Wrapped,
        _rows(),
        tasks.Classification("logits"),
        trace=True,
    ),
    "a named tuple": Brought(
        Names, _rows(), tasks.Heads({"scores": tasks.Classification(), "best": tasks.Regression()})
    ),
    "flags": Brought(Flags, _rows()),
    "nested answers and a number": Brought(Pyramid, _pictures(1)),
    "boxes, or none": Brought(
        Finds,
        lambda: [
            (torch.tensor([[0.0, 0, 4, 4], [8, 8, 12, 12]]), torch.tensor(scores))
            for scores in ([0.9, 0.8], [0.9, 0.1], [0.1, 0.2])
        ],
        tasks.Detection(),
        refused={PTE: "method->execute", TFLITE: "LiteRT's converter refuses this network"},
    ),
    "doubles": Brought(
        Doubles,
        lambda: list(torch.randn(3, 6).double().split(1)),
        refused={TFLITE: "LiteRT's converter refuses this network"},
    ),
    "a bag of words": Brought(
        Bag,
        lambda: [(torch.tensor([1, 2, 4, 5, 4]), torch.tensor([0, 3]))],
        refused={PTE: "an operator of the file is missing", TFLITE: "Lowering not found"},
    ),
    "sound": Brought(Keyword, lambda: [torch.randn(1, 1, 400)]),
    "attention with a mask": Brought(
        Attends,
        lambda: [(torch.randn(1, 5, 8), torch.tensor([[False, False, False, True, True]]))],
        tasks.Tagging(),
    ),
    "a list goes in": Brought(
        Several, lambda: [Example(([torch.randn(1, 2), torch.randn(1, 2)],))]
    ),
    "a picture comes out": Brought(Style, _pictures(3), tasks.ImageToImage()),
    "vectors": Brought(Vectors, _rows(10), tasks.Embedding()),
    "bfloat16": Brought(
        Bfloat,
        _rows(),
        trace=True,
        close=(PTE,),
        refused={TFLITE: "unsupported ScalarType BFloat16"},
    ),
    "not a number": Brought(
        Undefined, lambda: [(torch.randn(1, 4), torch.tensor([[0.0, 0, 0, 0]]))] * 2
    ),
}
