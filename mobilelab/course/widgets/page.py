"""The page's side of an explorer: its scripts, and the HTML that a stored output keeps.

The scripts under ``static`` are ES modules. A widget of Jupyter is one module and a stored output
loads none, so the modules that an explorer needs are put one behind the other. Nothing is fetched.
"""

from __future__ import annotations

import html
import json
import re
from functools import cache
from importlib.resources import files

_IMPORT = re.compile(r'^import [^;]*? from "\./(\w+)\.js";\n', re.M)
_REMARK = re.compile(r"^\s*(?:/\*\*(?:.|\n)*?\*/|//.*)\n", re.M)


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
def script(kind: str) -> str:
    """The code of an explorer: its module and all that it imports, comments and indents left out.

    Args:
        kind: name of the module under ``static`` and of the function that it exports.
    """
    parts = []
    for name in _in_order(kind, _in_order("frame", [])):
        text = _REMARK.sub("", _IMPORT.sub("", _read(f"{name}.js")))
        parts.append(re.sub(r"^export ", "", text, flags=re.M))
    return re.sub(r"\n\s+", "\n", "".join(parts))


@cache
def style() -> str:
    """The style sheet of all explorers."""
    return re.sub(r"\n\s+", "\n", _read("explorer.css"))


def module(kind: str) -> str:
    """The explorer as anywidget takes it: one ES module."""
    return f"{script(kind)}\nexport default live({kind});\n"


def stored(kind: str, data: object, state: object, fallback: str) -> str:
    """Self-contained HTML that moves without a kernel and without a network.

    Args:
        kind: name of the explorer's module.
        data: what the page draws, as JSON values.
        state: where the controls stand.
        fallback: HTML that stays where scripts do not run.
    """
    # "<" would let a text end the script.
    values = json.dumps(
        {"data": data, "state": state}, ensure_ascii=False, allow_nan=False, separators=(",", ":")
    )
    values = values.replace("<", "\\u003c")
    return (
        f'<div class="mobilelab-stored"><style>{style()}</style>'
        f'<div class="mobilelab-explorer ml">{fallback}</div>\n'
        f'<script type="application/json">{values}</script>\n'
        f"<script>(() => {{\nconst here = document.currentScript.parentElement;\n"
        f"{script(kind)}\nstored(here, {kind});\n}})();</script></div>"
    )


def document(title: str, body: str) -> str:
    """A whole HTML page around an explorer, for a file of its own."""
    name = html.escape(title)
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{name}</title>'
        '<meta name="viewport" content="width=device-width"></head>\n'
        f"<body><main><h1>{name}</h1>\n{body}\n</main></body></html>\n"
    )
