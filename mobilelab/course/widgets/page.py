"""The page's side of explorers and quizzes: scripts, and the HTML that a stored output keeps.

The scripts under ``static`` are ES modules. A widget of Jupyter is one module and a stored output
loads none, so the modules that an explorer needs are put one behind the other. Nothing is fetched.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from rjsmin import jsmin

_IMPORT = re.compile(r'^import [^;]*? from "\./(\w+)\.js";\n', re.M)


@cache
def _read(name: str) -> str:
    return (files("mobilelab.course.widgets") / "static" / name).read_text(encoding="utf-8")


def _in_order(name: str, seen: list[str]) -> list[str]:
    for needed in _IMPORT.findall(_read(f"{name}.js")):
        if needed not in seen:
            _in_order(needed, seen)
    seen.append(name)
    return seen


@cache
def script(*kinds: str) -> str:
    """The code of modules and of all that they import, comments and spaces left out.

    Args:
        kinds: names of modules under ``static``.
    """
    order: list[str] = []
    for kind in kinds:
        if kind not in order:
            _in_order(kind, order)
    parts = []
    for name in order:
        text = _IMPORT.sub("", _read(f"{name}.js"))
        parts.append(re.sub(r"^export ", "", text, flags=re.M))
    return str(jsmin("".join(parts)))


def _short(value: Any) -> Any:
    """JSON values with floats of nine significant digits, which is more than a clock has."""
    if isinstance(value, float):
        return float(f"{value:.9g}")
    if isinstance(value, Mapping):
        return {name: _short(each) for name, each in value.items()}
    return [_short(each) for each in value] if isinstance(value, list | tuple) else value


@cache
def style(sheet: str = "explorer") -> str:
    """A style sheet, behind the one that all share: colours, focus, print."""
    return re.sub(r"\n\s+", "\n", _read("theme.css") + _read(f"{sheet}.css"))


def module(kind: str) -> str:
    """The explorer as anywidget takes it: one ES module."""
    return f"{script('live', kind)}\nexport default live({kind});\n"


def quiz_module() -> str:
    """The quiz as anywidget takes it: one ES module."""
    return f"{script('quiz')}\nexport default live;\n"


def stored_quiz(body: str) -> str:
    """Self-contained HTML of a quiz that answers without a kernel and without a network.

    Args:
        body: the questions as HTML, which stay as they are where scripts do not run.
    """
    return (
        f'<div class="ml mobilelab-quiz"><style>{style("quiz")}</style>{body}\n'
        f"<script>(() => {{\nconst here = document.currentScript.parentElement;\n"
        f"{script('quiz')}\nquiz(here);\n}})();</script></div>"
    )


def stored(kind: str, data: object, state: object, fallback: str) -> str:
    """Self-contained HTML of an explorer that moves without a kernel and without a network.

    Args:
        kind: name of the explorer's module.
        data: what the page draws, as JSON values.
        state: where the controls stand.
        fallback: HTML that stays where scripts do not run.
    """
    # "<" would let a text end the script.
    values = json.dumps(
        _short({"data": data, "state": state}),
        ensure_ascii=False, allow_nan=False, separators=(",", ":"),
    )  # fmt: skip
    values = values.replace("<", "\\u003c")
    return (
        f'<div class="mobilelab-stored"><style>{style()}</style>'
        f'<div class="mobilelab-explorer ml">{fallback}</div>\n'
        f'<script type="application/json">{values}</script>\n'
        f"<script>(() => {{\nconst here = document.currentScript.parentElement;\n"
        f"{script('frame', kind)}\nstored(here, {kind});\n}})();</script></div>"
    )


def document(title: str, body: str) -> str:
    """A whole HTML page around an explorer, for a file of its own."""
    name = html.escape(title)
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{name}</title>'
        '<meta name="viewport" content="width=device-width"></head>\n'
        f"<body><main><h1>{name}</h1>\n{body}\n</main></body></html>\n"
    )
