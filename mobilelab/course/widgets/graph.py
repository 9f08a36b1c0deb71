"""The graph explorer: what a pass did to a TorchScript graph."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Mapping, Sequence
from difflib import SequenceMatcher
from functools import lru_cache

import ipywidgets as w
import torch
from matplotlib.figure import Figure

from mobilelab.core.errors import MobileLabError
from mobilelab.course.plots import BLUE, INK, ORANGE
from mobilelab.course.widgets.base import Explorer, View, labeled, row
from mobilelab.course.widgets.drawing import axes, canvas

#: Bookkeeping that would hide the operators.
_SILENT = ("prim::Constant", "prim::GetAttr")
#: Lines of the two lists that are open from the start; the rest is folded.
SHOWN = 60
_GONE = "background:#FBE3D0;border-left:4px solid #D55E00"
_NEW = "background:#D5EEE6;border-left:4px solid #009E73"
_KEPT = "border-left:4px solid transparent"


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


def compare(before: Sequence[str], after: Sequence[str]) -> list[tuple[str, str, str]]:
    """Two lists side by side: rows of (``kept``, ``gone`` or ``new``, left text, right text)."""
    rows: list[tuple[str, str, str]] = []
    for tag, a, b, c, d in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if tag == "equal":
            rows += [("kept", x, x) for x in before[a:b]]
        else:
            rows += [("gone", x, "") for x in before[a:b]] + [("new", "", x) for x in after[c:d]]
    return rows


def draw(before: Sequence[str], after: Sequence[str], figure: Figure | None = None) -> Figure:
    """How often each operator stands in the graph before and after.

    Args:
        before: operators, from :func:`operators`.
        after: the same, after the pass.
        figure: an earlier drawing of this function, to be used again.
    """
    figure = figure or canvas()
    ax = axes(figure, 0.31, 0.12, 0.66, 0.82)
    counts = Counter(before), Counter(after)
    kinds = sorted(set(before) | set(after), key=lambda k: -max(c[k] for c in counts))[:8]
    for side, (count, color, marker) in enumerate(
        zip(counts, (ORANGE, BLUE), ("before", "after"), strict=True)
    ):
        heights = [-i + (0.2, -0.2)[side] for i in range(len(kinds))]
        ax.barh(heights, [count[kind] for kind in kinds], height=0.36, color=color)
        for y, kind in zip(heights, kinds, strict=True):
            ax.text(count[kind], y, f" {count[kind]}", va="center", fontsize=9, color=INK)
        figure.text(0.55 + 0.2 * side, 0.955, f"■ {marker}", color=color, fontsize=12)
    ax.set_yticks([-i for i in range(len(kinds))], kinds)
    most = max((c[k] for c in counts for k in kinds), default=1)
    ax.set(xlim=(0, 1.08 * most), ylim=(-len(kinds) + 0.4, 0.6))
    ax.set_xlabel("operators in the graph")
    return figure


@lru_cache(maxsize=64)
def side_by_side(
    before: str, left: tuple[str, ...], after: str, right: tuple[str, ...], only_changes: bool
) -> str:
    """Two lists of operators as an HTML table, what is gone and new highlighted.

    Args:
        before: name of the left list.
        left: operators, from :func:`operators`.
        after: name of the right list.
        right: operators after the pass.
        only_changes: leave out what stayed.
    """
    rows = compare(left, right)
    if only_changes:
        rows = [line for line in rows if line[0] != "kept"]
    cell = "padding:0 .6em;font-family:monospace;font-size:13px;text-align:left;width:50%;"
    styles = {"kept": (_KEPT, _KEPT), "gone": (_GONE, _KEPT), "new": (_KEPT, _NEW)}
    signs = {"kept": "\u00a0", "gone": "−", "new": "+"}
    body = "".join(
        "<tr>"
        + "".join(
            f"<td style='{cell}{style}'>{signs[kind] if text else ''} {html.escape(text)}</td>"
            for text, style in zip(texts, styles[kind], strict=True)
        )
        + "</tr>"
        for kind, *texts in rows[:SHOWN]
    )
    more = "\n".join(f"{signs[kind]} {html.escape(a or b)}" for kind, a, b in rows[SHOWN:])
    if more:
        more = (
            f"<details><summary>{len(rows) - SHOWN} more lines</summary><pre>{more}</pre></details>"
        )
    return (
        "<div tabindex='0' aria-label='operators side by side' "
        "style='max-height:24em;overflow-y:auto'><table style='width:100%'><thead><tr>"
        f"<th style='{cell}'>{html.escape(before)}: − gone</th>"
        f"<th style='{cell}'>{html.escape(after)}: + new</th></tr></thead>"
        f"<tbody>{body or '<tr><td>No operator changed.</td></tr>'}</tbody></table>{more}</div>"
    )


class GraphExplorer(Explorer):
    """Step through the stages of a graph; what a step removed or brought is highlighted.

    Args:
        stages: name to TorchScript module, in order; the first is the start.

    Raises:
        MobileLabError: for fewer than two stages.
    """

    def __init__(self, stages: Mapping[str, torch.jit.ScriptModule]) -> None:
        super().__init__()
        if len(stages) < 2:
            raise MobileLabError("A step needs a graph before and one after; give two stages.")
        self.stages = {name: operators(module) for name, module in stages.items()}
        self.names = list(self.stages)
        self.step = labeled(
            w.SelectionSlider(options=self.names[1:], description="after the step"), width="34em"
        )
        self.against = w.ToggleButtons(
            options=[("against the step before", False), ("against the start", True)]
        )
        self.against.style.button_width = "14em"
        self.hide = w.ToggleButtons(options=[("all operators", False), ("only changes", True)])
        self.lines = w.HTML()
        self.lines.add_class("mobilelab-graph")
        self.on_change(self.step, self.against, self.hide)
        self.assemble(row(self.step), row(self.against, self.hide))
        self.children = [*self.children, self.lines]

    def _sides(self) -> tuple[str, str]:
        after = self.step.value
        before = self.names[0 if self.against.value else self.names.index(after) - 1]
        return before, after

    def view(self) -> View:
        """Counts as a picture and in words."""
        before, after = self._sides()
        left, right = self.stages[before], self.stages[after]
        gone, new = Counter(left) - Counter(right), Counter(right) - Counter(left)

        def listed(counts: Counter) -> str:
            return ", ".join(f"{n} {kind}" for kind, n in counts.most_common()) or "nothing"

        words = (
            f"<b>{html.escape(before)}</b>: {len(left)} operators → <b>{html.escape(after)}</b>: "
            f"{len(right)}.<br>Gone: {html.escape(listed(gone))}.<br>"
            f"New: {html.escape(listed(new))}."
        )
        counts = Counter(left), Counter(right)
        kinds = sorted(set(left) | set(right), key=lambda k: -max(c[k] for c in counts))
        return View(
            figure=draw(left, right, self.figure),
            alt=(
                f"Bars: operators of the graph before ({before}) and after ({after}). "
                f"Gone: {listed(gone)}. New: {listed(new)}."
            ),
            words=words,
            headings=("operator", before, after),
            rows=[(kind, *(str(count[kind]) for count in counts)) for kind in kinds],
        )

    def refresh(self) -> None:
        """Draw the counts and write the two graphs side by side."""
        super().refresh()
        before, after = self._sides()
        self.lines.value = side_by_side(
            before, tuple(self.stages[before]), after, tuple(self.stages[after]), self.hide.value
        )
