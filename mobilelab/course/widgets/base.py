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
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TypeVar

import ipywidgets as w
import traitlets
from ipywidgets.widgets.widget_description import DescriptionWidget
from matplotlib.figure import Figure

from mobilelab.core.errors import MobileLabError
from mobilelab.course.widgets.drawing import canvas, png
from mobilelab.course.widgets.tables import html_table, text_table

#: Seconds that the controls must rest before something slow is measured.
REST = 0.35

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
