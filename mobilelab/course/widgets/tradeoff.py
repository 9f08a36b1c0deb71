"""The trade-off explorer: size, latency and accuracy pull against each other."""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import ipywidgets as w

from mobilelab.core.errors import MobileLabError
from mobilelab.course.widgets.axis import LATENCY, MEMORY, P95, SIZE, Axis, quality
from mobilelab.course.widgets.base import Explorer, View, labeled, row
from mobilelab.course.widgets.scatter import draw
from mobilelab.course.widgets.wording import describe, in_words
from mobilelab.measure import Record
from mobilelab.measure.report import COURSE, Budget, Results, float_ms
from mobilelab.recipes.remeasure import LAYOUTS
from mobilelab.recipes.snippets import CELLS
from mobilelab.tasks import Classification

Remeasure = Callable[..., list[Record]]


def _limit(slider: w.FloatSlider, start: float) -> float:
    """What a slider says; no limit while it stands at its end and there was none to begin with."""
    return math.inf if start == math.inf and slider.value == slider.max else slider.value


def _check(records: Sequence[Record]) -> None:
    """Refuse what cannot be shown.

    Raises:
        MobileLabError: if there is no record, or two have one name.
    """
    if not records:
        raise MobileLabError("The explorer needs at least one record; measure a variant first.")
    names = [r.variant for r in records]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise MobileLabError(
            f"Two records are called {twice!r}; give one of them another name "
            "(dataclasses.replace(record, variant=...))."
        )


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
        _check(records)
        self.records = list(records)
        self.cells, self.folder, self.remeasure = cells, Path(folder), remeasure
        first = self.records[0]
        self._start = budget
        self._measured = {(first.threads, first.layout): self.records}
        grade = quality(first.metric)
        self.axes = {"size": SIZE, "latency": LATENCY, "p95": P95, grade.label: grade}
        if any(r.peak_added_mib is not None for r in self.records):
            self.axes["peak memory"] = MEMORY
        self.axes.update(extra or {})
        self._make_choices(grade)
        self._make_sliders()
        self._make_switches()
        self._make_export()
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

    def _make_choices(self, grade: Axis) -> None:
        names = list(self.axes)
        self.x = labeled(w.Dropdown(options=names, value="size", description="across"))
        self.y = labeled(w.Dropdown(options=names, value="latency", description="up"))
        self.color = labeled(w.Dropdown(options=names, value=grade.label, description="color"))
        self.selected = labeled(
            w.Dropdown(
                options=[r.variant for r in self.records],
                value=next(
                    (r.variant for r in self.records if not self._start.misses(r)),
                    self.records[0].variant,
                ),
                description="selected",
            )
        )

    def _make_sliders(self) -> None:
        budget = self._start
        self.size = self._slider("size at most (kB)", budget.file_kb, SIZE, 10, ".0f")
        self.latency = self._slider(
            "latency at most (ms)", budget.limit_ms(self.records), LATENCY, 0.05, ".2f"
        )
        self.accuracy = labeled(
            w.FloatSlider(
                100 * (budget.accuracy or 0), min=0, max=100, step=0.1, readout_format=".1f",
                description="accuracy at least (%)", continuous_update=True,
                disabled=self.records[0].metric != Classification.metric,
            ), width="28em",
        )  # fmt: skip

    def _make_switches(self) -> None:
        first = self.records[0]
        self.threads = w.ToggleButtons(
            options=[("1 thread", 1), ("2 threads", 2)], value=min(first.threads, 2)
        )
        self.layout_switch = w.ToggleButtons(options=LAYOUTS, value=first.layout)
        for switch in (self.threads, self.layout_switch):
            switch.style.button_width = "9em"
            switch.disabled = self.remeasure is None
            switch.tooltip = "Needs the saved files" if self.remeasure is None else "Measures again"
        self.progress = w.IntProgress(min=0, max=len(self.records) + 1)
        self.progress_label = w.Label()
        self.progress_row = row(self.progress, self.progress_label)
        self.progress_row.layout.visibility = "hidden"

    def _make_export(self) -> None:
        self.export = w.Button(
            description="Save table as CSV", icon="download", layout=w.Layout(width="auto")
        )
        self.export.on_click(lambda _: self.guarded(self.save_csv))
        self.saved = w.HTML()
        self.code = w.HTML()
        self.code.add_class("mobilelab-code")

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
    def _began(self) -> str:
        """Where the limit on the time came from: no row of the table need be the float model."""
        took = float_ms(self.records)
        if took is None or self._start.times_float == math.inf:
            return ""
        times = f"{self._start.times_float:g} times"
        return f" (which began at {times} the float model's {took:.2f} ms, timed beside them)"

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
                f"Within the budget of {budget}{self._began}: {', '.join(fitting) or 'nothing'}; "
                f"the others are gray. Ringed: {chosen.variant}."
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
