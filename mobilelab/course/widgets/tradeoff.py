"""The trade-off explorer: size, latency and accuracy pull against each other."""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import cast

import ipywidgets as w
from matplotlib import colormaps
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from mobilelab import runtimes
from mobilelab.core.errors import MobileLabError
from mobilelab.course.plots import BLUE, GREEN, GREY, INK, RED, label_column
from mobilelab.course.widgets.base import Explorer, View, axes, canvas, labeled, row
from mobilelab.measure import Record
from mobilelab.measure.report import COURSE, Budget, Results
from mobilelab.recipes.remeasure import LAYOUTS
from mobilelab.recipes.snippets import CELLS
from mobilelab.tasks import Classification, Metric

Remeasure = Callable[..., list[Record]]


@dataclass(frozen=True)
class Axis:
    """One quantity that a variant can be placed by."""

    label: str
    unit: str
    value: Callable[[Record], float | None]
    """The figure of a record, ``None`` where it was not measured."""
    more_is_better: bool = False
    digits: int = 2
    limit: Callable[[Budget, Sequence[Record]], float] = lambda budget, records: math.inf
    """What a budget allows; infinity if it has no such limit."""
    spread: Callable[[Record], float] = lambda record: 0.0
    """Half the width within which two figures of this kind count as equal."""

    def text(self, record: Record) -> str:
        """The record's figure with its unit."""
        value = self.value(record)
        return "not measured" if value is None else f"{value:.{self.digits}f} {self.unit}".rstrip()

    def places(self, record: Record) -> bool:
        """Whether the record has a figure that can be drawn."""
        value = self.value(record)
        return value is not None and math.isfinite(value)

    def known(self, record: Record) -> float:
        """The figure of a record that :meth:`places`."""
        value = self.value(record)
        assert value is not None
        return value


def _p95_limit(budget: Budget, records: Sequence[Record]) -> float:
    floats = [r.float_ms for r in records if r.float_ms]
    return budget.p95_times_float * median(floats) if floats else math.inf


SIZE = Axis("file size", "kB", lambda r: r.file_kb, digits=0, limit=lambda b, _: b.file_kb)
LATENCY = Axis(
    "median latency", "ms", lambda r: r.median_ms,
    limit=lambda b, records: b.limit_ms(records), spread=lambda r: r.iqr_ms / 2,
)  # fmt: skip
P95 = Axis("95th percentile", "ms", lambda r: r.p95_ms, limit=_p95_limit)
MEMORY = Axis("peak memory above torch", "MiB", lambda r: r.peak_added_mib, digits=1)


def quality(metric: Metric) -> Axis:
    """How good the answers are, as an axis; shares in percent."""
    factor = 100 if metric.unit == "%" else 1

    def value(record: Record) -> float | None:
        return None if record.accuracy is None else factor * record.accuracy

    def limit(budget: Budget, records: Sequence[Record]) -> float:
        return math.inf if budget.accuracy is None else factor * budget.accuracy

    return Axis(
        metric.name, metric.unit, value, more_is_better=metric.more_is_better,
        digits=1 if factor == 100 else metric.digits, limit=limit,
    )  # fmt: skip


ACCURACY = quality(Classification.metric)


def pareto(records: Sequence[Record], x: Axis, y: Axis) -> list[Record]:
    """The records that no other beats, ordered along ``x`` (chapter 06).

    One record beats another if it costs at most as much in both quantities and less in at least
    one. Two times whose middle halves reach each other count as equal, so noise beats nobody; equal
    records do not beat each other, and both stay.

    Records whose answers are DIFFERENT do not compete: their figures count for nothing. Nor do
    those without one of the two figures, nor, if a phone can load one of them, files that none can.
    """

    def cost(record: Record, axis: Axis) -> float:
        value = axis.value(record) if axis.places(record) else None
        return math.inf if value is None else -value if axis.more_is_better else value

    def less(a: Record, b: Record, axis: Axis) -> bool:
        tie = max(axis.spread(a), axis.spread(b))
        return cost(a, axis) < cost(b, axis) - tie

    def beats(a: Record, b: Record) -> bool:
        return (less(a, b, x) or less(a, b, y)) and not (less(b, a, x) or less(b, a, y))

    able = [
        r for r in records if r.verdict != "DIFFERENT" and math.inf not in (cost(r, x), cost(r, y))
    ]
    able = [r for r in able if _loads_on_a_phone(r.file)] or able
    front = [record for record in able if not any(beats(other, record) for other in able)]
    return sorted(front, key=lambda r: (cost(r, x), cost(r, y)))


def _loads_on_a_phone(file: str) -> bool:
    try:
        return runtimes.kind(file).on_phones
    except MobileLabError:
        return False


def draw(
    records: Sequence[Record],
    x: Axis,
    y: Axis,
    color: Axis,
    budget: Budget,
    selected: str = "",
    figure: Figure | None = None,
) -> Figure:
    """Every record as a point; what misses the budget is gray, the Pareto front is a line.

    Args:
        records: at least one.
        x: quantity along the horizontal axis.
        y: quantity along the vertical axis.
        color: third quantity, as color and in the label.
        budget: dashed lines on the axes that it limits; decides what is gray.
        selected: name of the record to ring.
        figure: an earlier drawing of this function, to be used again.
    """
    figure = figure or canvas()
    ax = axes(figure, 0.085, 0.125, 0.6, 0.795)
    shown = [r for r in records if x.places(r) and y.places(r)]
    x_limits, y_limits = _limits(shown, x, budget), _limits(shown, y, budget)
    ax.set(xlim=x_limits, ylim=y_limits)
    ax.set_xlabel(f"{x.label} ({x.unit}){', more is better' if x.more_is_better else ''}")
    ax.set_ylabel(f"{y.label} ({y.unit}){', more is better' if y.more_is_better else ''}")
    for axis, line in ((x, ax.axvline), (y, ax.axhline)):
        limit = axis.limit(budget, shown)
        if limit < math.inf:
            line(limit, color=GREEN, ls="--", lw=1.5)
    front = pareto(shown, x, y)
    if len(front) > 1:
        ax.step(
            [x.known(r) for r in front], [y.known(r) for r in front],
            where="post", color=BLUE, lw=1.5, alpha=0.6, zorder=1,
        )  # fmt: skip
    # A variant that answers differently is gray in any case and must not stretch the colors.
    sound = [r for r in shown if r.verdict != "DIFFERENT" and color.places(r)]
    shades = _shades([color.known(r) for r in sound])
    labels, spreads, paints = [], [], []
    for record in shown:
        px = min(max(x.known(record), x_limits[0]), x_limits[1])
        py = min(max(y.known(record), y_limits[0]), y_limits[1])
        fits = not budget.misses(record)
        paint = shades(color.known(record)) if fits and color.places(record) else GREY
        across, up = x.spread(record), y.spread(record)
        spreads.append(((px - across, py - up), (px + across, py + up)))
        paints.append(paint)
        ax.plot(
            px, py, "X" if record.verdict == "DIFFERENT" else "o", ms=11, mew=1.2, zorder=3,
            mfc=paint if fits else "white", mec=INK if fits else GREY, clip_on=False,
        )  # fmt: skip
        if record.variant == selected:
            ax.plot(px, py, "o", ms=19, mfc="none", mec=RED, mew=2.5, zorder=4, clip_on=False)
        labels.append((px, py, f"{record.variant}  {color.text(record)}", GREY))
    ax.add_collection(LineCollection(spreads, colors=paints, lw=3, zorder=2), False)
    label_column(ax, labels, size=10.5)
    figure.text(0.71, 0.963, f"beside each name: {color.label}", fontsize=10.5, color=INK)
    return figure


def _limits(records: Sequence[Record], axis: Axis, budget: Budget) -> tuple[float, float]:
    """From 0 for costs; for accuracy from just below the worst record that counts."""
    values = [axis.known(r) for r in records] or [0.0]
    if not axis.more_is_better:
        return 0.0, 1.08 * max([*values, 1e-9])
    sound = [axis.known(r) for r in records if r.verdict != "DIFFERENT"] or values
    low, high = min(sound), max(sound)
    room = max(0.25 * (high - low), 0.2)
    return low - room, min(high + room, 100.4)


def _shades(values: Sequence[float]) -> Callable[[float], object]:
    """Cividis, which colour-blind readers see as others do; dark is low."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    span = (high - low) or 1.0
    return lambda value: colormaps["cividis"](0.05 + 0.9 * (value - low) / span)


def in_words(records: Sequence[Record], budget: Budget, x: Axis, y: Axis) -> str:
    """Which records fit, which lie on the front, and why the others do not fit, as HTML."""
    fitting = [r.variant for r in records if not budget.misses(r)]
    front = [r.variant for r in pareto(records, x, y)]
    escape = html.escape
    lines = [
        f"<b>Fits the budget:</b> {escape(', '.join(fitting)) or 'nothing'}.",
        f"<b>Pareto front</b> in {x.label} and {y.label}, of what a phone can load: "
        f"{escape(', '.join(front)) or 'nothing'}.",
    ]
    why = "".join(
        f"<li>{escape(r.variant)} misses the budget: {escape('; '.join(budget.misses(r)))}.</li>"
        for r in records
        if budget.misses(r)
    )
    hidden = [r.variant for r in records if not (x.places(r) and y.places(r))]
    if hidden:
        lines.append(f"Not measured on these axes, so not drawn: {escape(', '.join(hidden))}.")
    return "<br>".join(lines) + (
        f"<ul style='margin:.2em 0;line-height:1.35;columns:2'>{why}</ul>" if why else "<br>"
    )


def describe(record: Record) -> str:
    """One record in a sentence or two, as HTML."""
    threads = "1 thread" if record.threads == 1 else f"{record.threads} threads"
    memory = (
        "peak memory not measured"
        if record.peak_added_mib is None
        else f"peak memory {record.peak_added_mib:.1f} MiB above torch"
    )
    chapter = f" (chapter {html.escape(record.chapter)})" if record.chapter else ""
    return (
        f"<b>{html.escape(record.variant)}</b>{chapter}: {html.escape(record.file)}, "
        f"{record.file_kb:.0f} kB; "
        f"median {record.median_ms:.2f} ms, middle half within {record.iqr_ms:.2f} ms, "
        f"p95 {record.p95_ms:.2f} ms with {threads}, input {html.escape(record.layout)}; "
        f"{record.quality}; answers {record.verdict}, relative error "
        f"{record.rel_l2:.1e}; {memory}. Measured on {html.escape(str(record.host))}."
    )


def _limit(slider: w.FloatSlider, start: float) -> float:
    """What a slider says; no limit while it stands at its end and there was none to begin with."""
    return math.inf if start == math.inf and slider.value == slider.max else slider.value


class TradeoffExplorer(Explorer):
    """Move the budget, pick the axes, select a variant.

    Args:
        records: measured rows, in any number, for example ``[*table, my_own_record]``.
        budget: where the budget sliders start.
        remeasure: measures the records again; called as
            ``remeasure(threads=..., layout=..., on_step=...)``. Without it the two switches
            are off. ``functools.partial(remeasure.again, built, reference, data)`` is one.
        cells: name of a variant to the code that builds it.
        extra: further quantities, name to :class:`Axis`.
        folder: where the CSV is written.

    Raises:
        MobileLabError: if there is no record, or two have one name.
    """

    def __init__(
        self,
        records: Sequence[Record],
        budget: Budget = COURSE,
        *,
        remeasure: Remeasure | None = None,
        cells: Mapping[str, str] = CELLS,
        extra: Mapping[str, Axis] | None = None,
        folder: str | Path = "out",
    ) -> None:
        super().__init__()
        if not records:
            raise MobileLabError("The explorer needs at least one record; measure a variant first.")
        names = [r.variant for r in records]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise MobileLabError(
                f"Two records are called {twice!r}; give one of them another name "
                "(dataclasses.replace(record, variant=...))."
            )
        self.records = list(records)
        self.cells, self.folder, self.remeasure = cells, Path(folder), remeasure
        first = self.records[0]
        self._start = budget
        self._measured = {(first.threads, first.layout): self.records}
        self.axes = {"size": SIZE, "latency": LATENCY, "p95": P95}
        grade = quality(first.metric)
        self.axes[grade.label] = grade
        if any(r.peak_added_mib is not None for r in self.records):
            self.axes["peak memory"] = MEMORY
        self.axes.update(extra or {})
        names = list(self.axes)
        self.x = labeled(w.Dropdown(options=names, value="size", description="across"))
        self.y = labeled(w.Dropdown(options=names, value="latency", description="up"))
        self.color = labeled(w.Dropdown(options=names, value=grade.label, description="color"))
        self.size = self._slider("size at most (kB)", budget.file_kb, SIZE, 10, ".0f")
        self.latency = self._slider(
            "latency at most (ms)", budget.limit_ms(self.records), LATENCY, 0.05, ".2f"
        )
        self.accuracy = labeled(
            w.FloatSlider(
                100 * (budget.accuracy or 0), min=0, max=100, step=0.1, readout_format=".1f",
                description="accuracy at least (%)", continuous_update=True,
                disabled=first.metric != Classification.metric,
            ), width="28em",
        )  # fmt: skip
        self.selected = labeled(
            w.Dropdown(
                options=[r.variant for r in self.records],
                value=next(
                    (r.variant for r in self.records if not budget.misses(r)),
                    self.records[0].variant,
                ),
                description="selected",
            )
        )
        self.threads = w.ToggleButtons(
            options=[("1 thread", 1), ("2 threads", 2)], value=min(first.threads, 2)
        )
        self.layout_switch = w.ToggleButtons(options=LAYOUTS, value=first.layout)
        for switch in (self.threads, self.layout_switch):
            switch.style.button_width = "9em"
            switch.disabled = remeasure is None
            switch.tooltip = "Needs the saved files" if remeasure is None else "Measures again"
        self.progress = w.IntProgress(min=0, max=len(self.records) + 1)
        self.progress_label = w.Label()
        self.progress_row = row(self.progress, self.progress_label)
        self.progress_row.layout.visibility = "hidden"
        self.export = w.Button(
            description="Save table as CSV", icon="download", layout=w.Layout(width="auto")
        )
        self.export.on_click(lambda _: self.guarded(self.save_csv))
        self.saved = w.HTML()
        self.code = w.HTML()
        self.code.add_class("mobilelab-code")
        self.on_change(
            self.x, self.y, self.color, self.size, self.latency, self.accuracy, self.selected
        )
        self.on_change(self.threads, self.layout_switch, then=self.measure_again)
        self.assemble(
            row(self.x, self.y, self.color, self.selected),
            row(self.size, self.latency, self.accuracy),
            row(self.threads, self.layout_switch, self.progress_row),
        )
        self.children = [*self.children, row(self.export, self.saved), self.code]

    def _slider(self, text: str, value: float, axis: Axis, step: float, form: str) -> w.FloatSlider:
        values = [axis.known(r) for r in self.records if axis.places(r)] or [1.0]
        most = 1.5 * max([value, *values] if value < math.inf else values)
        most = math.ceil(most / step) * step
        return labeled(
            w.FloatSlider(
                min(value, most), min=0, max=most, step=step, readout_format=form, description=text,
                continuous_update=True,
            ), width="28em",
        )  # fmt: skip

    @property
    def budget(self) -> Budget:
        """The budget that the sliders say; a limit that has no slider stays as it was."""
        return replace(
            self._start,
            file_kb=_limit(self.size, self._start.file_kb),
            median_ms=_limit(self.latency, self._start.limit_ms(self.records)),
            accuracy=self._start.accuracy if self.accuracy.disabled else self.accuracy.value / 100,
            times_float=math.inf,  # the latency slider began there
        )

    @property
    def choice(self) -> Record:
        """The selected record."""
        return next(r for r in self.records if r.variant == self.selected.value)

    def view(self) -> View:
        """Picture, reasons and table for the present controls."""
        x, y, color = (self.axes[cast(str, c.value)] for c in (self.x, self.y, self.color))
        budget, chosen = self.budget, self.choice
        fitting = [r.variant for r in self.records if not budget.misses(r)]
        results = Results(self.records, budget)
        headings, rows = results.cells()
        return View(
            figure=draw(self.records, x, y, color, budget, chosen.variant, self.figure),
            alt=(
                f"Variants as points, {x.label} across and {y.label} up, {color.label} as color. "
                f"Within the budget of {budget}: {', '.join(fitting) or 'nothing'}; the others "
                f"are gray. Ringed: {chosen.variant}."
            ),
            words=f"{in_words(self.records, budget, x, y)}{describe(chosen)}",
            headings=headings,
            rows=rows,
        )

    def refresh(self) -> None:
        """Draw, and show the cell that builds the selected variant."""
        super().refresh()
        name = cast(str, self.selected.value)
        text = self.cells.get(name, "# Your own model: your own cell builds it.")
        self.code.value = (
            f"<b>The cell that builds {html.escape(name)}</b>"
            f"<pre style='line-height:1.3;overflow-x:auto'>{html.escape(text)}</pre>"
        )

    def measure_again(self) -> None:
        """Measure under the switches' conditions, once; later it is remembered."""
        key = cast(int, self.threads.value), cast(str, self.layout_switch.value)
        if key not in self._measured and self.remeasure is not None:
            self.progress.value = 0
            self.progress_row.layout.visibility = "visible"
            try:
                self._measured[key] = self.remeasure(
                    threads=key[0], layout=key[1], on_step=self._step
                )
            finally:
                self.progress_row.layout.visibility = "hidden"
        self.records = self._measured.get(key, self.records)
        self.refresh()

    def _step(self, what: str) -> None:
        self.progress.value += 1
        self.progress_label.value = f"measuring {what}"

    def save_csv(self) -> None:
        """Write the table that is shown to ``tradeoff.csv`` in the folder.

        Raises:
            MobileLabError: if the folder cannot be written.
        """
        path = self.folder / "tradeoff.csv"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            path.write_text(Results(self.records).csv())
        except OSError as error:
            raise MobileLabError(
                f"Cannot write {path} ({error.strerror}); give the explorer another folder."
            ) from error
        self.saved.value = f"Saved {len(self.records)} rows to {html.escape(str(path))}."
