"""The graph explorer: what a pass did to a TorchScript graph."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Mapping, Sequence
from difflib import SequenceMatcher
from typing import Any, cast

import torch
from matplotlib.figure import Figure

from mobilelab.core.errors import MobileLabError
from mobilelab.course.plots import BLUE, INK, ORANGE
from mobilelab.course.widgets.controls import Choice
from mobilelab.course.widgets.drawing import axes, canvas
from mobilelab.course.widgets.explorer import Explorer, Said, View

#: Bookkeeping that would hide the operators.
_SILENT = ("prim::Constant", "prim::GetAttr")
_SIGNS = {"kept": "\u00a0", "gone": "−", "new": "+"}


def operators(module: torch.jit.ScriptModule) -> list[str]:
    """Kinds of the operators of a module's inlined graph, in order, constants left out."""
    kinds: list[str] = []

    def walk(nodes) -> None:
        for node in nodes:
            if node.kind() not in _SILENT:
                kinds.append(node.kind())
            for block in node.blocks():
                walk(block.nodes())

    walk(module.inlined_graph.nodes())
    return kinds


Place = tuple[bool, int, int, int, int]


def places(before: Sequence[str], after: Sequence[str]) -> list[Place]:
    """Where two lists are equal and where not: equal, from and to on the left, on the right."""
    found = SequenceMatcher(None, before, after, autojunk=False).get_opcodes()
    return [(tag == "equal", a, b, c, d) for tag, a, b, c, d in found]


def compare(before: Sequence[str], after: Sequence[str]) -> list[tuple[str, str, str]]:
    """Two lists side by side: rows of (``kept``, ``gone`` or ``new``, left text, right text)."""
    rows: list[tuple[str, str, str]] = []
    for equal, a, b, c, d in places(before, after):
        if equal:
            rows += [("kept", x, x) for x in before[a:b]]
        else:
            rows += [("gone", x, "") for x in before[a:b]] + [("new", "", x) for x in after[c:d]]
    return rows


def kinds(before: Sequence[str], after: Sequence[str]) -> list[str]:
    """The operators of two graphs, the most frequent first."""
    counts = Counter(before), Counter(after)
    return sorted(dict.fromkeys([*before, *after]), key=lambda k: -max(c[k] for c in counts))


def draw(before: Sequence[str], after: Sequence[str]) -> Figure:
    """How often each operator stands in the graph before and after.

    Args:
        before: operators, from :func:`operators`.
        after: the same, after the pass.
    """
    figure = canvas()
    ax = axes(figure, 0.31, 0.12, 0.66, 0.82)
    counts = Counter(before), Counter(after)
    shown = kinds(before, after)[:8]
    for side, (count, color, marker) in enumerate(
        zip(counts, (ORANGE, BLUE), ("before", "after"), strict=True)
    ):
        heights = [-i + (0.2, -0.2)[side] for i in range(len(shown))]
        ax.barh(heights, [count[kind] for kind in shown], height=0.36, color=color)
        for y, kind in zip(heights, shown, strict=True):
            ax.text(count[kind], y, f" {count[kind]}", va="center", fontsize=9, color=INK)
        figure.text(0.55 + 0.2 * side, 0.955, f"■ {marker}", color=color, fontsize=12)
    ax.set_yticks([-i for i in range(len(shown))], shown)
    most = max((c[k] for c in counts for k in shown), default=1)
    ax.set(xlim=(0, 1.08 * most), ylim=(-len(shown) + 0.4, 0.6))
    ax.set_xlabel("operators in the graph")
    return figure


class GraphExplorer(Explorer):
    """Step through the stages of a graph; what a step removed or brought is highlighted.

    Args:
        stages: name to TorchScript module, in order; the first is the start.

    Raises:
        MobileLabError: for fewer than two stages.
    """

    kind = "graph"
    title = "Graph explorer"

    def __init__(self, stages: Mapping[str, torch.jit.ScriptModule]) -> None:
        super().__init__()
        if len(stages) < 2:
            raise MobileLabError("A step needs a graph before and one after; give two stages.")
        self.stages = {name: operators(module) for name, module in stages.items()}
        self.names = list(self.stages)
        self.step = Choice("step", "after the step", self.names[1:], kind="slider")
        self.against = Choice(
            "against", "against", [("against the step before", False), ("against the start", True)],
            kind="buttons",
        )  # fmt: skip
        self.hide = Choice(
            "hide", "lines", [("all operators", False), ("only changes", True)], kind="buttons"
        )
        #: The two graphs, line by line.
        self.lines = Said(self._lines)
        self.assemble((self.step,), (self.against, self.hide))

    def contents(self) -> dict[str, Any]:
        """The operators of all stages, and where any two that can be compared differ."""
        graphs = list(self.stages.values())
        names = list(dict.fromkeys(kind for graph in graphs for kind in graph))
        number = {kind: i for i, kind in enumerate(names)}
        pairs = {(i, j) for j in range(1, len(graphs)) for i in (0, j - 1)}
        return {
            "identity": self.names,
            "names": self.names,
            "kinds": names,
            "stages": [[number[kind] for kind in graph] for graph in graphs],
            "places": {f"{i} {j}": places(graphs[i], graphs[j]) for i, j in sorted(pairs)},
        }

    def _sides(self) -> tuple[str, str]:
        after = cast(str, self.step.value)
        before = self.names[0 if self.against.value else self.names.index(after) - 1]
        return before, after

    def _lines(self) -> str:
        rows = compare(*(self.stages[name] for name in self._sides()))
        shown = [line for line in rows if line[0] != "kept" or not self.hide.value]
        lines = [f"{_SIGNS[kind]} {left or right}" for kind, left, right in shown]
        return "\n".join(lines) or "No operator changed."

    def figure(self) -> Figure:
        """Bars of the most frequent operators, before and after."""
        return draw(*(self.stages[name] for name in self._sides()))

    def view(self) -> View:
        """Counts in words and as a table."""
        before, after = self._sides()
        left, right = self.stages[before], self.stages[after]
        gone, new = Counter(left) - Counter(right), Counter(right) - Counter(left)

        def listed(counts: Counter) -> str:
            return ", ".join(f"{n} {kind}" for kind, n in counts.most_common()) or "nothing"

        counts = Counter(left), Counter(right)
        return View(
            alt=(
                f"Bars: operators of the graph before ({before}) and after ({after}). "
                f"Gone: {listed(gone)}. New: {listed(new)}."
            ),
            words=(
                f"<b>{html.escape(before)}</b>: {len(left)} operators → "
                f"<b>{html.escape(after)}</b>: {len(right)}.<br>Gone: {html.escape(listed(gone))}."
                f"<br>New: {html.escape(listed(new))}."
            ),
            headings=("operator", before, after),
            rows=[(k, *(str(count[k]) for count in counts)) for k in kinds(left, right)],
        )
