"""Checks for the exercises of chapter 05, the lite interpreter."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
import torch.jit.mobile
from torch import Tensor

from mobilelab.course.checks import Case, Check, verify
from mobilelab.course.checks.damaged import files as damaged_files
from mobilelab.grading import tasks

# What the lite interpreter's own list says about the two files of section 3 (torch 2.12.1).
_INT8_ONLY = {
    "aten::dequantize.self",
    "aten::ne.int",
    "aten::quantize_per_tensor",
    "quantized::add",
    "quantized::conv2d.new",
    "quantized::conv2d_relu.new",
    "quantized::linear",
}
_BOTH = {
    "aten::adaptive_avg_pool2d",
    "aten::flatten.using_ints",
    "aten::gt.int",
    "aten::len.t",
    "aten::size",
}
_FLOAT_ONLY = {
    "aten::add.Tensor",
    "prepacked::conv2d_clamp_run",
    "prepacked::linear_clamp_run",
}


def check_operators(answer: set[str] | None) -> Check:
    """05.1: the operators that the int8 file needs and the float32 file does not."""

    def given() -> set[str] | None:
        return None if answer is None else {str(name) for name in answer}

    def part(names: set[str]) -> set[str] | None:
        found = given()
        return None if found is None else found & names

    def rest() -> set[str] | None:
        found = given()
        return None if found is None else found - _INT8_ONLY - _BOTH - _FLOAT_ONLY

    return verify(
        "Exercise 05.1",
        [
            Case(
                "the int8 layers are there",
                lambda: part({n for n in _INT8_ONLY if n.startswith("quantized::")}),
                {n for n in _INT8_ONLY if n.startswith("quantized::")},
                "int8 has its own convolution, its own linear layer and its own addition, in the "
                "namespace quantized. A runtime that only knows the float ones cannot run them.",
            ),
            Case(
                "the way in and out of int8 is there",
                lambda: part({n for n in _INT8_ONLY if n.startswith("aten::")}),
                {n for n in _INT8_ONLY if n.startswith("aten::")},
                "Not every new operator is called quantized. The image has to become int8 and the "
                "scores have to become float again, and quantizing brings a check of its own.",
            ),
            Case(
                "nothing that both files need",
                lambda: part(_BOTH),
                set(),
                "You listed what the int8 file needs. Take away what the float32 file needs too: "
                "that is in the runtime already.",
            ),
            Case(
                "nothing that only the float32 file needs",
                lambda: part(_FLOAT_ONLY),
                set(),
                "These are the operators that int8 does without. The difference of two sets has "
                "a direction: what int8 needs, minus what float32 needs.",
            ),
            Case(
                "full names and nothing else",
                rest,
                set(),
                "Write each name in full, as the list has it: namespace, two colons, name, and "
                "the part after the dot. quantized::conv2d.new is another operator than "
                "quantized::conv2d.",
            ),
        ],
        given=True,
    )


Prepare = Callable[[Tensor, float, int, tuple[float, ...], tuple[float, ...]], Tensor]


def _resized(prepare: Prepare) -> list[tasks.Case]:
    """The cases of 05.2 about other sizes."""
    # Bilinear with align_corners=False, from 2 to 4 pixels: a new pixel lies a quarter of the way
    # from its nearer old neighbor to the other one, and the border is repeated. For the corners
    # 0 1 / 2 3 that gives 0 .25 .75 1 across and 0 .5 1.5 2 down, added up.
    across, down = torch.tensor([0.0, 0.25, 0.75, 1.0]), torch.tensor([0.0, 0.5, 1.5, 2.0])
    ramp = torch.tensor([[[[0, 1], [2, 3]]]], dtype=torch.uint8)
    # Half as large: a new pixel lies between two old ones. Antialiasing would add their neighbors.
    row = torch.tensor([8, 0, 0, 4, 8, 0, 0, 4], dtype=torch.uint8)
    return [
        Case(
            "the corners 0 1 / 2 3, enlarged to 4x4",
            lambda: prepare(ramp, 1.0, 4, (0.0,), (1.0,)),
            (down.view(4, 1) + across).view(1, 1, 4, 4),
            "Whole numbers: mode='nearest', or you resized integers, so float first. A first "
            "row of 0, 0.33, 0.67, 1 means align_corners=True. Rows and columns exchanged mean a "
            "transposed image.",
            1e-4,
        ),
        Case(
            "the first two of eight pixels, made half as large",
            lambda: prepare(row.expand(1, 1, 8, 8), 1.0, 4, (0.0,), (1.0,))[0, 0, 0, :2],
            torch.tensor([4.0, 2.0]),
            "F.interpolate as in training takes the two pixels beside the new one. A resize "
            "with antialias=True, which torchvision's is, takes more of them.",
            1e-4,
        ),
        Case(
            "a picture of 4 by 8 becomes 4 by 4",
            lambda: prepare(row.expand(1, 1, 4, 8), 1.0, 4, (0.0,), (1.0,)),
            torch.tensor([4.0, 2.0, 4.0, 2.0]).expand(1, 1, 4, 4),
            "Both sides become size. A single number given to torchvision's resize sets the "
            "shorter side only.",
            1e-4,
        ),
    ]


def check_prepare(prepare: Prepare) -> Check:
    """05.2: ``prepare(raw, max_value, size, mean, std)``, the app's half of the preprocessing."""

    colors = torch.tensor([51, 102, 153], dtype=torch.uint8).view(1, 3, 1, 1).expand(2, 3, 8, 8)

    def looks() -> object:
        made = prepare(colors, 255.0, 32, (0.2, 0.2, 0.1), (0.5, 0.25, 0.5))
        return made if made is None else (tuple(made.shape), str(made.dtype))

    def pixel() -> object:
        made = prepare(colors, 255.0, 32, (0.2, 0.2, 0.1), (0.5, 0.25, 0.5))
        return made if made is None else made[1, :, 16, 16]

    return verify(
        "Exercise 05.2",
        [
            Case(
                "two color images of 8x8 become (2, 3, 32, 32), float32",
                looks,
                ((2, 3, 32, 32), "torch.float32"),
                "Integers stay integers until you ask for floats, and XNNPACK takes float32 only. "
                "Resize height and width to size, and leave batch and channels alone.",
            ),
            *_scaled_and_normalized(prepare),
            *_resized(prepare),
            Case(
                "each color with its own mean and std (one pixel is shown)",
                pixel,
                torch.tensor([0.0, 0.8, 1.0]),
                "mean[0] belongs to the first channel only. Give mean and std the shape "
                "(1, channels, 1, 1), so that they meet the channel axis and not the columns.",
                1e-5,
            ),
        ],
    )


def _scaled_and_normalized(prepare: Prepare) -> list[tasks.Case]:
    """The cases of 05.2 about one color that fills the image."""

    def flat(value: float, max_value: float) -> Callable[[], object]:
        raw = torch.full((1, 1, 8, 8), value).to(torch.uint8)
        return lambda: prepare(raw, max_value, 32, (0.25,), (0.5,))

    def same(value: float) -> Tensor:
        return torch.full((1, 1, 32, 32), value)

    return [
        Case(
            "full ink of the digits (16 of 16) becomes 1.5",
            flat(16, 16.0),
            same(1.5),
            "Scale first, normalize afterwards: mean and std were computed on images between "
            "0 and 1. (16 / 16 - 0.25) / 0.5 is 1.5.",
            1e-5,
        ),
        Case(
            "paper, a raw 0, becomes -0.5 and not 0",
            flat(0, 16.0),
            same(-0.5),
            "It is 0 only before normalizing. (0 - 0.25) / 0.5 is -0.5.",
            1e-5,
        ),
        Case(
            "the largest value of a photo (255 of 255) becomes 1.5 as well",
            flat(255, 255.0),
            same(1.5),
            "The largest raw value is the argument max_value, not a number in the code.",
            1e-5,
        ),
    ]


def check_verdict(verdict: Callable[[Path, int], str]) -> Check:
    """05.3: ``verdict(path, newest)``, the gate in front of a release."""
    with tempfile.TemporaryDirectory() as folder:
        files = damaged_files(Path(folder))
        return verify(
            "Exercise 05.3",
            [
                *_versions(verdict, files),
                Case(
                    "a file made by .save() and named .ptl",
                    lambda: verdict(files["saved"], 9),
                    "no bytecode",
                    "The name of a file proves nothing. Look whether one of its records is called "
                    "bytecode.pkl, before you ask for a version: without bytecode that call fails.",
                ),
                Case(
                    "a file with one altered bit",
                    lambda: verdict(files["altered"], 9),
                    "damaged",
                    "It loads, and its version can be read: torch compares no checksums. "
                    "testzip() does.",
                ),
                Case(
                    "a file with one altered bit in its smallest record",
                    lambda: verdict(files["small"], 9),
                    "damaged",
                    "Every record has a checksum, not the weights only. testzip() reads them all.",
                ),
                Case(
                    "a file with altered bits in a compressed record",
                    lambda: verdict(files["packed"], 9),
                    "damaged",
                    "Unpacking a compressed record can fail before its checksum is compared: catch "
                    "zlib.error, too.",
                ),
                Case(
                    "a file that was cut off",
                    lambda: verdict(files["cut"], 9),
                    "damaged",
                    "The table of contents of a zip stands at its end. Without it ZipFile raises "
                    "BadZipFile, which you can catch.",
                ),
                Case(
                    "a server's error page in place of the model",
                    lambda: verdict(files["text"], 9),
                    "damaged",
                    "Not a zip at all: ZipFile raises BadZipFile here too.",
                ),
            ],
        )


def _versions(verdict: Callable[[Path, int], str], files: dict[str, Path]) -> list[tasks.Case]:
    """The cases of 05.3 about intact files and what a runtime reads."""

    def both() -> object:
        first, second = (verdict(files[name], 9) for name in ("intact", "renamed"))
        return first if first == second else (first, second)

    return [
        Case(
            "an intact file of version 8 and a copy of another name, for a runtime up to 9",
            both,
            "ok",
            "Nothing is wrong with them: testzip() gives None where every checksum matches. The "
            "copy's records still begin with the old name; look at how they end.",
        ),
        Case(
            "the same file for a runtime that reads up to 7",
            lambda: verdict(files["intact"], 7),
            "too new",
            "That this torch loads the file says nothing about the runtime in the app. "
            "Compare _get_model_bytecode_version with newest.",
        ),
        Case(
            "the file backported to 5 for a runtime that reads up to 5",
            lambda: verdict(files["old"], 5),
            "ok",
            "newest is the newest version that the runtime reads, itself included.",
        ),
        Case(
            "an intact file for a runtime that reads up to 8, and one that reads up to 4",
            lambda: [verdict(files["intact"], newest) for newest in (8, 4)],
            ["ok", "too new"],
            "Compare the file's version with newest, whatever newest is.",
        ),
    ]
