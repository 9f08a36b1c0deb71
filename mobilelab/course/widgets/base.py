"""What all explorers share: a picture, words, controls, and an honest way to fail.

An explorer computes a *view* (picture, alt text, words, table) from the positions of its
controls with a pure function, and puts it on the screen. Everything else is here: showing an
error where the reader looks, measuring when the slider rests, and the static form that a
notebook keeps.
"""

from __future__ import annotations

import asyncio
import base64
import gc
import html
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TypeVar, cast

import ipywidgets as w
import numpy as np
import traitlets
from ipywidgets.widgets.widget_description import DescriptionWidget
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from mobilelab.core.errors import MobileLabError

#: Seconds that the controls must rest before something slow is measured.
REST = 0.35
#: Drawn axes that a figure keeps, 1.7 MB each.
KEPT = 8

_Control = TypeVar("_Control", bound=DescriptionWidget)


@cache
def settle() -> None:
    """Keep the garbage collector away from what is there before the first explorer.

    What torch and matplotlib brought along stays for life. Without this, a full collection walks
    through all of it every dozen moves, and the reader sees the picture stall for 0.2 s.
    """
    gc.collect()
    gc.freeze()


@dataclass(frozen=True)
class View:
    """What an explorer shows for one position of its controls."""

    figure: Figure
    alt: str
    """The picture in words."""
    words: str = ""
    """What to read from the picture, as HTML."""
    headings: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = field(default=())


def canvas(width: float = 9, height: float = 4.6) -> Figure:
    """An empty figure with fixed margins: fitting them anew would double the time of a move."""
    figure = Figure(figsize=(width, height), dpi=100)
    FigureCanvasAgg(figure)
    return figure


def axes(figure: Figure, left: float, bottom: float, width: float, height: float) -> Axes:
    """The figure's axes, empty; those of an earlier drawing are wiped and used again.

    Making axes with their ticks takes as long as drawing them, so a redrawn figure keeps its own.
    Places are shares of the figure.
    """
    if not figure.axes:
        ax = figure.add_axes((left, bottom, width, height))
        ax.tick_params(labelsize=11)
        ax.xaxis.label.set_fontsize(12)
        ax.yaxis.label.set_fontsize(12)
        ax.grid(alpha=0.3)
        return ax
    ax = figure.axes[0]
    for artist in [*ax.lines, *ax.texts, *ax.collections, *ax.patches, *figure.texts]:
        artist.remove()
    return ax


def png(figure: Figure) -> bytes:
    """The figure as a PNG.

    Ticks, labels and grid take most of the time and rarely change, so they are drawn once and
    kept as long as the axes stay as they are; the rest is drawn over them.
    """
    ax, canvas = figure.axes[0], cast(FigureCanvasAgg, figure.canvas)
    drawn = sorted(
        [*ax.lines, *ax.texts, *ax.collections, *ax.patches], key=lambda artist: artist.zorder
    )
    frame = (
        *(ax.get_xlim(), ax.get_ylim(), ax.get_xlabel(), ax.get_ylabel()),
        *(ax.get_xscale(), ax.get_yscale()),
        *(tuple(getattr(axis.get_major_formatter(), "seq", ())) for axis in (ax.xaxis, ax.yaxis)),
    )
    frames = figure.__dict__.setdefault("_kept_frames", {})
    if frame not in frames:
        for artist in [*drawn, *figure.texts]:
            artist.set_visible(False)
        canvas.draw()
        for artist in [*drawn, *figure.texts]:
            artist.set_visible(True)
        if len(frames) >= KEPT:
            del frames[next(iter(frames))]
        frames[frame] = canvas.copy_from_bbox(figure.bbox)
    canvas.restore_region(frames[frame])
    for artist in drawn:
        ax.draw_artist(artist)
    for text in figure.texts:
        figure.draw_artist(text)
    out = io.BytesIO()
    picture = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    # Flat colors: 256 of them are enough, and the file is less than half as large.
    picture = picture.quantize(256, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    picture.save(out, "png", compress_level=1)
    return out.getvalue()


def html_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A plain HTML table; cells are escaped."""
    if not headings:
        return ""
    left = "style='text-align:left'"
    head = "".join(f"<th {left} scope='col'>{html.escape(h)}</th>" for h in headings)
    body = "".join(
        "<tr>" + "".join(f"<td {left}>{html.escape(cell)}</td>" for cell in row) + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def text_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The same table for a reader without HTML."""
    if not headings:
        return ""
    lines = [list(headings), *[list(row) for row in rows]]
    widths = [max(len(line[i]) for line in lines) for i in range(len(headings))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


class Shown(w.Image):
    """An image whose tooltip, which is its text for screen readers, reaches the page.

    ipywidgets 8.1 looks at a ``description`` before it sets a tooltip; its Image has none, and a
    tooltip without one keeps the whole image from being shown.
    """

    description = traitlets.Unicode("").tag(sync=True)


class Explorer(w.VBox):
    """Controls over a picture with words below it.

    A subclass builds its controls, hands them to :meth:`assemble`, and answers :meth:`view`.
    """

    def __init__(self) -> None:
        settle()
        self.picture = Shown(format="png", layout=w.Layout(max_width="100%"))
        self.picture.add_class("mobilelab-picture")
        self.words = w.HTML()
        self.words.add_class("mobilelab-words")
        self.problem = w.HTML()
        self.problem.add_class("mobilelab-problem")
        #: Redrawn at every move.
        self.figure = canvas()
        #: Every exception that a control's callback raised, newest last.
        self.errors: list[Exception] = []
        self._waiting: asyncio.Task | None = None
        self._work: Callable[[], Iterator[None]] | None = None
        super().__init__()

    # --- for subclasses -------------------------------------------------------------------

    def view(self) -> View:
        """The view at the controls' present positions. Must be quick: below 100 ms."""
        raise NotImplementedError

    def assemble(self, *rows: w.Widget) -> None:
        """Put the control rows above the picture, and draw for the first time."""
        self.children = [*rows, self.problem, self.picture, self.words]
        self.refresh()

    def on_change(self, *controls: w.Widget, then: Callable[[], None] | None = None) -> None:
        """Redraw whenever a control's ``value`` changes (or call ``then`` instead)."""
        action = then or self.refresh
        for control in controls:
            control.observe(lambda change: self.guarded(action), names="value")

    def refresh(self) -> None:
        """Draw the present view."""
        view = self.view()
        self.picture.value = png(view.figure)
        self.picture.tooltip = view.alt
        self.words.value = view.words

    # --- errors ---------------------------------------------------------------------------

    def guarded(self, action: Callable[[], None]) -> None:
        """Run a callback; show what it raises in the explorer, and let it go on rising."""
        try:
            action()
        except Exception as error:
            self.errors.append(error)
            kind = "" if isinstance(error, MobileLabError) else f"{type(error).__name__}: "
            self.problem.value = (
                "<div role='alert' style='border-left:5px solid #D55E00;padding:.3em .8em'>"
                f"{html.escape(kind + str(error))}</div>"
            )
            raise
        self.problem.value = ""

    # --- slow work ------------------------------------------------------------------------

    def when_resting(self, work: Callable[[], Iterator[None]]) -> None:
        """Do slow work step by step once the controls rest; a new call replaces the old one.

        Between two steps the kernel answers other messages and other cells may run, so a step
        must leave nothing behind that they would notice, such as a disabled gradient. Where no
        event loop runs (a plain script, a test) the work is done at once.
        """
        if self._waiting is not None:
            self._waiting.cancel()
        self._work = work
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.settle()
            return
        self._waiting = loop.create_task(self._work_later(work))

    async def _work_later(self, work: Callable[[], Iterator[None]]) -> None:
        await asyncio.sleep(REST)
        steps = work()
        done = False

        def step() -> None:
            nonlocal done
            done = next(steps, _END) is _END

        while not done:
            self.guarded(step)
            await asyncio.sleep(0)
        self._work = None

    def settle(self) -> None:
        """Finish at once what waits for the controls to rest."""
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None
        work, self._work = self._work, None
        if work is not None:
            self.guarded(lambda: _exhaust(work()))

    # --- what a notebook keeps ------------------------------------------------------------

    def _repr_mimebundle_(self, **kwargs: object) -> dict[str, str]:
        """The live widget, and the same view as picture and table for readers without one."""
        self.settle()
        view = self.view()
        picture = png(view.figure)
        bundle = super()._repr_mimebundle_(**kwargs)
        assert bundle is not None  # only a widget without a view has none
        bundle["text/plain"] = "\n".join(
            part for part in (f"[{view.alt}]", text_table(view.headings, view.rows)) if part
        )
        source = base64.b64encode(picture).decode()
        bundle["text/html"] = (
            f"<img alt='{html.escape(view.alt, quote=True)}' "
            f"src='data:image/png;base64,{source}'>"
            f"<div>{view.words}</div>{html_table(view.headings, view.rows)}"
        )
        return bundle


_END = object()


def _exhaust(steps: Iterator[None]) -> None:
    for _ in steps:
        pass


def labeled(widget: _Control, width: str = "auto") -> _Control:
    """The widget with room for its description."""
    widget.style.description_width = "initial"
    widget.layout.width = width
    return widget


def row(*widgets: w.Widget) -> w.HBox:
    """Controls side by side, wrapping on a narrow screen."""
    return w.HBox(list(widgets), layout=w.Layout(flex_flow="row wrap", align_items="center"))
