"""What the commands print: text from outside is shown as it is, and does nothing."""

from __future__ import annotations

import re
from typing import Any

from rich.console import Console
from rich.text import Text

#: Control characters, and marks that turn the direction of what follows.
_SILENT = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


def visible(text: str) -> str:
    """``text`` with characters that a terminal obeys written out, as ``\\x1b``."""
    return _SILENT.sub(lambda found: ascii(found[0])[1:-1], text)


class Terminal(Console):
    """A console without markup: file names and students' words may hold ``[/b]`` or colors.

    Colors of our own are given by ``style`` or :func:`colored`.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """Every string that is printed, also in a table, comes through here."""
        return super().render_str(visible(text), **options)


def colored(style: str, word: str, rest: object = "") -> Text:
    """A word in a color, and the rest of the line as it is."""
    return Text.assemble((visible(word), style), f" {visible(str(rest))}" if rest != "" else "")
