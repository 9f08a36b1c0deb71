"""A file as a row of operators: a colour for each that computes, a mark where the work crosses.

Plain SVG, made of the steps that ``mobilelab.runtimes.steps`` reads. Hovering over an operator
shows what it is and gives; the same stands in the folded table below, for readers without a mouse.
"""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Sequence

from markupsafe import Markup

from mobilelab.core.pages import render
from mobilelab.course.plots.style import BLUE, GREEN, GREY, INK, ORANGE, PURPLE, RED, SKY
from mobilelab.runtimes.steps import Step, crossings

#: A colour for each that may do the work; the first that fits the beginning of the name.
COLORS = {
    "Ethos": GREEN, "XNNPACK": BLUE, "QNNPACK": SKY, "PyTorch": GREY, "processor": ORANGE,
    "ExecuTorch": ORANGE, "LiteRT": ORANGE,
}  # fmt: skip
_SIZE, _GAP, _ROW, _BORDER = 20, 4, 34, 22
_WIDTH = 760
#: What an operator is called in the drawing, by a part of its name; else a dot.
_LETTERS = (
    ("depthwise", "D"), ("conv", "C"), ("fully", "L"), ("linear", "L"), ("addmm", "L"),
    ("dequant", "q"), ("quant", "Q"), ("convert", "Q"), ("rescale", "R"), ("add", "+"),
    ("pool", "P"), ("mean", "P"),
)  # fmt: skip
LEGEND = "C convolution, D depthwise, + addition, R rescale, P pooling, L linear, Q and q quantize"


def color(who: str) -> str:
    """The colour of one that computes."""
    return next((tint for name, tint in COLORS.items() if who.startswith(name)), PURPLE)


def letter(operator: str) -> str:
    """One letter for an operator: ``C`` for a convolution."""
    low = operator.lower()
    return next((sign for part, sign in _LETTERS if part in low), "·")


class Delegates:
    """The picture of a file, with its words and its table.

    Args:
        name: what the file is called.
        steps: from :func:`mobilelab.runtimes.steps.steps`.
    """

    def __init__(self, name: str, steps: Sequence[Step]) -> None:
        self.name = name
        self.steps = list(steps)

    @property
    def words(self) -> str:
        """The picture in a sentence: who does how many operators, and how often it changes."""
        counts = Counter(step.who for step in self.steps)
        shares = ", ".join(f"{n} by {who}" for who, n in counts.most_common()) or "none"
        borders = len(crossings(self.steps))
        often = {0: "no crossing", 1: "1 crossing"}.get(borders, f"{borders} crossings")
        return f"{self.name}: {len(self.steps)} operators, {shares}; {often}"

    def __repr__(self) -> str:
        return self.words

    def svg(self) -> str:
        """The drawing."""
        x, y, shapes = 0, 24, []
        before = None
        for step in self.steps:
            border = before is not None and step.part != before.part
            if x + (_BORDER if border else 0) + _SIZE > _WIDTH:
                x, y = 0, y + _ROW
            if before is not None and border:
                shapes.append(_crossing(x, y, before))
                x += _BORDER
            shapes.append(_box(x, y, step))
            x, before = x + _SIZE + _GAP, step
        legend, place = [], 0
        for who in dict.fromkeys(step.who for step in self.steps):
            legend.append(
                f"<rect x='{place}' y='2' width='14' height='14' rx='3' fill='{color(who)}'/>"
                f"<text x='{place + 19}' y='13' font-size='13' fill='{INK}'>"
                f"{html.escape(who)}</text>"
            )
            place += 40 + 8 * len(who)
        title = html.escape(self.words)
        return (
            f"<svg xmlns='http://www.w3.org/2000/svg' role='img' width='{_WIDTH}' "
            f"viewBox='0 0 {_WIDTH} {y + _SIZE + 8}' style='max-width:100%;background:white' "
            f"font-family='sans-serif'><title>{title}</title>"
            f"<desc>Operators in the order in which they run, from left to right. {LEGEND}. A red "
            f"bar marks a crossing.</desc>{''.join(legend)}{''.join(shapes)}</svg>"
        )

    def _repr_html_(self) -> str:
        return render(
            "mobilelab.course", "delegates",
            picture=Markup(self.svg()), words=self.words, steps=self.steps,
        )  # fmt: skip


def _box(x: int, y: int, step: Step) -> str:
    return (
        f"<g><title>{html.escape(step.text)}</title>"
        f"<rect x='{x}' y='{y}' width='{_SIZE}' height='{_SIZE}' rx='4' fill='{color(step.who)}'/>"
        f"<text x='{x + _SIZE // 2}' y='{y + 15}' font-size='13' text-anchor='middle' "
        f"fill='{'black' if color(step.who) in (ORANGE, SKY, GREY) else 'white'}'>"
        f"{letter(step.operator)}</text></g>"
    )


def _crossing(x: int, y: int, before: Step) -> str:
    size = "" if before.size is None else f": {before.size:,} bytes go over"
    return (
        f"<g><title>Crossing{size}</title>"
        f"<rect x='{x + 2}' y='{y - 5}' width='4' height='{_SIZE + 10}' fill='{RED}'/>"
        f"<path d='M{x + 9} {y + 5} l6 5 l-6 5 z' fill='{RED}'/></g>"
    )
