"""What all explorers of the page share: controls that Python may set, and what a notebook keeps.

The page draws by itself (``static``); the kernel is told where the controls stand, and is asked
only for what was not measured yet. Python writes the data once, and the picture, words and table
for readers without scripts.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar

import anywidget
from matplotlib.figure import Figure
from traitlets import Dict, Unicode

from mobilelab.core.errors import MobileLabError
from mobilelab.course.widgets import page
from mobilelab.course.widgets.controls import Control
from mobilelab.course.widgets.drawing import small_png
from mobilelab.course.widgets.tables import html_table, text_table


@dataclass(frozen=True)
class View:
    """What an explorer shows for one position of its controls, for readers without scripts."""

    alt: str
    """The picture in words."""
    words: str = ""
    """What to read from the picture, as HTML."""
    headings: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = field(default=())


class Said:
    """A text that is worked out when it is asked for: ``explorer.words.value``."""

    def __init__(self, text: Callable[[], str]) -> None:
        self._text = text

    @property
    def value(self) -> str:
        """The text as it is now."""
        return self._text()


class Explorer(anywidget.AnyWidget):
    """Controls, a picture, words and a table, drawn by the page.

    A subclass names its module (``kind``), builds controls, hands them to :meth:`assemble`, and
    answers :meth:`contents`, :meth:`view` and :meth:`figure`.
    """

    kind: ClassVar[str] = ""
    title: ClassVar[str] = ""
    data = Dict().tag(sync=True)
    state = Dict().tag(sync=True)
    problem = Unicode().tag(sync=True)
    progress = Dict().tag(sync=True)
    _esm = Unicode().tag(sync=True)
    _css = Unicode().tag(sync=True)

    def __init__(self) -> None:
        #: Every exception that a control's callback raised, newest last.
        self.errors: list[Exception] = []
        self._rows: list[list[Control]] = []
        self._told = False
        self.words = Said(lambda: self.view().words)
        super().__init__(_esm=page.module(self.kind), _css=page.style())

    # --- for subclasses -------------------------------------------------------------------

    def contents(self) -> dict[str, Any]:
        """What the page draws, as JSON values."""
        raise NotImplementedError

    def view(self) -> View:
        """Words and table at the controls' present positions."""
        raise NotImplementedError

    def figure(self) -> Figure:
        """The picture for readers without scripts."""
        raise NotImplementedError

    def moved(self, names: set[str]) -> None:
        """What a move asks of the kernel; for most it is nothing."""

    def assemble(self, *rows: Sequence[Control]) -> None:
        """Take the controls, row by row, and write the data."""
        self._rows = [list(row) for row in rows]
        self.state = {control.name: control.value for control in self.controls}
        for control in self.controls:
            control.observe(self._from_python, names="value")
        self.observe(self._from_page, names="state")
        self.write()

    @property
    def controls(self) -> list[Control]:
        """All controls, row by row."""
        return [control for row in self._rows for control in row]

    def write(self) -> None:
        """Give the page its data anew."""
        specs = [[control.spec() for control in row] for row in self._rows]
        contents = {"title": self.title, "controls": specs, **self.contents()}
        names = json.dumps(contents.pop("identity", self.title))
        key = f"{self.kind}-{hashlib.sha256(names.encode()).hexdigest()[:8]}"
        self.data = {"key": key, **contents}

    # --- moves ----------------------------------------------------------------------------

    def _from_python(self, change: dict[str, Any]) -> None:
        if self._told:
            return
        self.state = {**self.state, change["owner"].name: change["new"]}

    def _from_page(self, change: dict[str, Any]) -> None:
        names = {control.name for control in self.controls}
        moved = {n for n in names if change["new"].get(n) != change["old"].get(n)}
        self._told = True
        try:
            for control in self.controls:
                if control.name in moved:
                    control.value = change["new"][control.name]
        finally:
            self._told = False
        if moved:
            with self.guarded():
                self.moved(moved)

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Show in the explorer what is raised, and let it go on rising."""
        try:
            yield
        except Exception as error:
            self.errors.append(error)
            kind = "" if isinstance(error, MobileLabError) else f"{type(error).__name__}: "
            self.problem = f"{kind}{error}"
            raise
        self.problem = ""

    # --- what a notebook keeps ------------------------------------------------------------

    def static(self) -> str:
        """The explorer as self-contained HTML, which moves without a kernel and a network."""
        view = self.view()
        picture = base64.b64encode(small_png(self.figure())).decode()
        fallback = (
            f"<img alt='{html.escape(view.alt, quote=True)}' "
            f"src='data:image/png;base64,{picture}'>"
            f"<div>{view.words}</div>{html_table(view.headings, view.rows)}"
        )
        return page.stored(self.kind, self.data, self.state, fallback)

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        """The live widget, the same for a page without a kernel, and text."""
        bundle = super()._repr_mimebundle_(**kwargs)
        data, metadata = bundle if isinstance(bundle, tuple) else (bundle or {}, {})
        view = self.view()
        text = (f"[{view.alt}]", text_table(view.headings, view.rows))
        data["text/plain"] = "\n".join(part for part in text if part)
        data["text/html"] = self.static()
        return (data, metadata) if metadata else data
