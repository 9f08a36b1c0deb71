"""HTML out of templates: jinja2 escapes every value, and control characters are left out."""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

#: Kinds of characters that nobody sees.
_SILENT = ("Cc", "Cf", "Cs")


def without_controls(text: str) -> str:
    """Text without what has no place in a page: colors, control characters, marks of direction.

    >>> without_controls("\\x1b[31mred\\x1b[0m\\u202e")
    'red'
    """
    text = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", text)
    return "".join(c for c in text if c in "\n\t" or unicodedata.category(c) not in _SILENT)


def _finalized(value: Any) -> Any:
    """What every value goes through before it is escaped."""
    plain = isinstance(value, str) and not isinstance(value, Markup)
    return without_controls(value) if plain else value


@cache
def environment(package: str) -> Environment:
    """Where a package's templates are, below its folder ``templates``."""
    return Environment(
        loader=PackageLoader(package), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, finalize=_finalized,
    )  # fmt: skip


def render(package: str, name: str, **values: Any) -> str:
    """The template ``name`` of a package, everything in ``values`` escaped.

    Raises:
        UndefinedError: if the template needs a value that is not there.

    >>> render("mobilelab.measure", "table", headings=["<b>"], rows=[])[:55]
    "<table><thead><tr><th style='text-align:left'>&lt;b&gt;"
    """
    return environment(package).get_template(f"{name}.html.j2").render(values)
