"""The trade-off explorer: size, latency and accuracy pull against each other."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from matplotlib.figure import Figure

from mobilelab.core.errors import MobileLabError
from mobilelab.course.widgets.controls import Choice, Slider, Tick
from mobilelab.course.widgets.explorer import Explorer, Said, View
from mobilelab.course.widgets.scatter import draw
from mobilelab.course.widgets.wording import building, for_page, in_words
from mobilelab.course.widgets.wording import describe as describe
from mobilelab.measure import Record
from mobilelab.measure.quantities import LATENCY, MEMORY, P95, SIZE, Axis, quality
from mobilelab.measure.report import COURSE, Budget, Results, float_ms
from mobilelab.recipes.remeasure import LAYOUTS
from mobilelab.recipes.snippets import CELLS
from mobilelab.tasks import Classification

Remeasure = Callable[..., list[Record]]


def _limit(slider: Slider) -> float:
    """What a slider says; no limit while it stands at its end and there was none to begin with."""
    return math.inf if slider.endless and slider.value == slider.max else slider.value


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
    """Move the budget, pick the axes, select a variant, pin another and compare.

    Args:
        records: measured rows, in any number, for example ``[*table, my_own_record]``.
        budget: where the budget sliders start.
        remeasure: measures the records again; called as
            ``remeasure(threads=..., layout=..., on_step=...)``. Without it the two switches
            are off. ``functools.partial(remeasure.again, built, reference, data)`` is one.
        cells: name of a variant to the code that builds it. Without it, the course's own for
            records that name the chapter of their recipe: another network's ``mobile`` has
            another.
        extra: further quantities, name to :class:`Axis`; a limit of theirs is that of the budget
            at the start.
        folder: where :meth:`save_csv` writes.

    Raises:
        MobileLabError: if there is no record, or two have one name.
    """

    kind = "tradeoff"
    title = "Trade-off explorer"

    def __init__(
        self,
        records: Sequence[Record],
        budget: Budget = COURSE,
        *,
        remeasure: Remeasure | None = None,
        cells: Mapping[str, str] | None = None,
        extra: Mapping[str, Axis] | None = None,
        folder: str | Path = "out",
    ) -> None:
        super().__init__()
        _check(records)
        self.records = list(records)
        ours = {r.variant: CELLS[r.variant] for r in records if r.chapter and r.variant in CELLS}
        self.cells, self.folder = ours if cells is None else cells, Path(folder)
        self.remeasure = remeasure
        first = self.records[0]
        self._start = budget
        self._first = (first.threads, first.layout)
        self._measured = {self._first: self.records}
        grade = quality(first.metric)
        self.axes = {"size": SIZE, "latency": LATENCY, "p95": P95, grade.label: grade}
        if any(r.peak_added_mib is not None for r in self.records):
            self.axes["peak memory"] = MEMORY
        self.axes.update(extra or {})
        self.code = Said(lambda: building(self.choice, self.cells))
        self._make_choices(grade)
        self._make_sliders()
        self.assemble(
            (self.x, self.y, self.color, self.selected, self.pinned),
            (self.size, self.latency, self.accuracy, self.everything),
            (self.threads, self.layout_switch),
        )

    def _make_choices(self, grade: Axis) -> None:
        names, records = list(self.axes), self.records
        variants = [r.variant for r in records]
        fits = next((r.variant for r in records if not self._start.misses(r)), variants[0])
        self.x = Choice("x", "across", names, "size")
        self.y = Choice("y", "up", names, "latency")
        self.color = Choice("color", "color", names, grade.label)
        self.selected = Choice("selected", "selected", variants, fits)
        others = [("nothing", ""), *((name, name) for name in variants)]
        self.pinned = Choice("pinned", "compare with", others)
        self.everything = Tick("everything", "all files compete", False)
        off = self.remeasure is None
        title = "Needs the saved files" if off else "Measures again"
        self.threads = Choice(
            "threads", "threads", [("1 thread", 1), ("2 threads", 2)], min(self._first[0], 2),
            kind="buttons", disabled=off, title=title,
        )  # fmt: skip
        self.layout_switch = Choice(
            "layout", "input layout", LAYOUTS, self._first[1],
            kind="buttons", disabled=off, title=title,
        )  # fmt: skip

    def _make_sliders(self) -> None:
        budget, metric = self._start, self.records[0].metric
        self.size = self._slider("size", "size at most (kB)", budget.file_kb, SIZE, 10, 0)
        took = budget.limit_ms(self.records)
        self.latency = self._slider("latency", "latency at most (ms)", took, LATENCY, 0.05, 2)
        self.accuracy = Slider(
            "accuracy", "accuracy at least (%)", 100 * (budget.accuracy or 0), low=0, high=100,
            step=0.1, digits=1, disabled=metric != Classification.metric,
        )  # fmt: skip

    def _slider(
        self, name: str, text: str, value: float, axis: Axis, step: float, digits: int
    ) -> Slider:
        values = [axis.known(r) for r in self.records if axis.places(r)] or [1.0]
        most = 1.5 * max([value, *values] if value < math.inf else values)
        most = round(math.ceil(most / step) * step, 6)
        return Slider(
            name, text, value, low=0, high=most, step=step, digits=digits,
            endless=value == math.inf,
        )  # fmt: skip

    @property
    def budget(self) -> Budget:
        """The budget that the sliders say; a limit that has no slider stays as it was.

        Where nobody moved the slider of the time, each record is judged by its own ratio to the
        float model's time, as in the table; moved, the slider says a time on this host.
        """
        moved = replace(
            self._start,
            file_kb=_limit(self.size),
            accuracy=self._start.accuracy if self.accuracy.disabled else self.accuracy.value / 100,
        )
        if self._by_ratio:
            return moved
        return replace(moved, median_ms=_limit(self.latency), times_float=math.inf)

    @property
    def _by_ratio(self) -> bool:
        """Whether the limit on the time is still the budget's, for the rows that it began with."""
        first = self._measured[self._first]
        return (
            self._start.limit_ms(first) < math.inf
            and self.records is first
            and self.latency.value == self._start.limit_ms(first)
        )

    @property
    def _began(self) -> str:
        """Where the limit on the time came from: no row of the table need be the float model."""
        took = float_ms(self._measured[self._first])
        if took is None or self._start.times_float == math.inf:
            return ""
        if self._by_ratio:
            return f" (drawn at {self.latency.value:.1f} ms, from {took:.2f} ms beside them)"
        times = f"{self._start.times_float:g} times"
        return f" (which began at {times} the float model's {took:.2f} ms, timed beside them)"

    @property
    def choice(self) -> Record:
        """The selected record."""
        return next(r for r in self.records if r.variant == self.selected.value)

    @property
    def _drawn(self) -> tuple[Axis, Axis, Axis]:
        x, y, color = (self.axes[cast(str, c.value)] for c in (self.x, self.y, self.color))
        return x, y, color

    def contents(self) -> dict[str, Any]:
        """Records, axes and limits, as the page takes them."""
        return {
            "identity": [[r.variant for r in self.records], str(self._start), list(self.axes)],
            **for_page(self._measured, self._first, self.axes, self._start, self.cells),
        }

    def figure(self) -> Figure:
        """The points at the controls' present positions."""
        everything = bool(self.everything.value)
        return draw(self.records, *self._drawn, self.budget, self.choice.variant, everything)

    def view(self) -> View:
        """Reasons and table for the present controls."""
        (x, y, color), budget, chosen = self._drawn, self.budget, self.choice
        fitting = [r.variant for r in self.records if not budget.misses(r)]
        headings, rows = Results(self.records, budget).cells()
        words = in_words(self.records, budget, x, y, bool(self.everything.value))
        return View(
            alt=(
                f"Variants as points, {x.label} across and {y.label} up, {color.label} as color. "
                f"Within the budget of {budget}{self._began}: {', '.join(fitting) or 'nothing'}; "
                f"the others are gray. Ringed: {chosen.variant}."
            ),
            words=f"{words}{describe(chosen)}",
            headings=headings,
            rows=rows,
        )

    def moved(self, names: set[str]) -> None:
        """Measure under the switches' conditions, once; later it is remembered."""
        if not names & {"threads", "layout"}:
            return
        key = cast(int, self.threads.value), cast(str, self.layout_switch.value)
        if key not in self._measured and self.remeasure is not None:
            self._step("")
            try:
                self._measured[key] = self.remeasure(
                    threads=key[0], layout=key[1], on_step=self._step
                )
            finally:
                self.progress = {}
            self.write()
        self.records = self._measured.get(key, self.records)

    def _step(self, what: str) -> None:
        done = self.progress.get("done", -1) + 1
        told = f"measuring {what}" if what else "starting"
        self.progress = {"done": done, "of": len(self.records) + 1, "what": told}

    def save_csv(self) -> Path:
        """Write the table that is shown to ``tradeoff.csv`` in the folder.

        Returns:
            Where it stands.

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
        return path
