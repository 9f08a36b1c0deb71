"""HTML pages in which a browser runs nothing: jinja2 escapes all, and scripts are forbidden."""

from __future__ import annotations

from typing import Any

from mobilelab.core import pages
from mobilelab.core.pages import environment, without_controls

#: The most letters of one text of a student's on a page.
MOST = 3000


def number(points: float) -> str:
    """Points without needless zeros.

    >>> number(3.0), number(2.5)
    ('3', '2.5')
    """
    return f"{points:.2f}".rstrip("0").rstrip(".")


def trimmed(text: str) -> str:
    """A text of a student's, as far as a page keeps it."""
    text = without_controls(text)
    return text if len(text) <= MOST else text[:MOST] + "\n[trimmed]"


environment("mobilelab.grading").filters.update(
    number=number, trimmed=trimmed, percent=lambda share: f"{share:.0%}"
)


def render(name: str, **values: Any) -> str:
    """The page of the template ``name``, everything in ``values`` escaped.

    Raises:
        UndefinedError: if the template needs a value that is not there.
    """
    return pages.render("mobilelab.grading", name, **values)
