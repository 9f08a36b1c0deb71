"""HTML pages in which a browser runs nothing: jinja2 escapes all, and scripts are forbidden."""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

#: The most letters of one text of a student's on a page.
MOST = 3000
#: Kinds of characters that nobody sees.
_SILENT = ("Cc", "Cf", "Cs")


def number(points: float) -> str:
    """Points without needless zeros.

    >>> number(3.0), number(2.5)
    ('3', '2.5')
    """
    return f"{points:.2f}".rstrip("0").rstrip(".")


def without_controls(text: str) -> str:
    """Text without what has no place in a page: colors, control characters, marks of direction."""
    text = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", text)
    return "".join(c for c in text if c in "\n\t" or unicodedata.category(c) not in _SILENT)


def trimmed(text: str) -> str:
    """A text of a student's, as far as a page keeps it."""
    text = without_controls(text)
    return text if len(text) <= MOST else text[:MOST] + "\n[trimmed]"


def _finalized(value: Any) -> Any:
    """What every value goes through before it is escaped."""
    plain = isinstance(value, str) and not isinstance(value, Markup)
    return without_controls(value) if plain else value


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("mobilelab.grading"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, finalize=_finalized,
    )  # fmt: skip
    environment.filters.update(number=number, trimmed=trimmed, percent=lambda share: f"{share:.0%}")
    return environment


def render(name: str, **values: Any) -> str:
    """The page of the template ``name``, everything in ``values`` escaped.

    Raises:
        UndefinedError: if the template needs a value that is not there.
    """
    return _environment().get_template(f"{name}.html.j2").render(values)
