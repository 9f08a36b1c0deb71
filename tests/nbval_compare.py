"""nbval compares with a tolerance where a host, or a training run, may move a figure a little.

``conftest.py`` in the root loads this as a plugin. After nbval's own sanitizing, every figure that
is near enough to the stored one is replaced by it; nbval then compares, and reports what is left.
"""

import json
import math
import re
from collections import defaultdict
from itertools import chain, repeat

from nbval.plugin import IPyNbCell

DECADES = 1
"""How far a number in scientific notation may be from the stored one."""
ROUNDING = 1e-6
"""Below it an error is rounding of float32: its digits and its decade mean nothing."""
SIZE, SIZE_KB = 0.02, 1
"""How much a size may move: a share of the stored one, and always this many kB. A model file holds
the path of its source."""
AGREE, ACCURACY = 3, 2
"""Points by which variants that are trained while the notebook runs may move: the first share in
their row, and all that follow."""

_TRAINED = re.compile(
    r"(?:^|>)(?:(?:mobile-)?pruned|(?:int8|mobile|et)-qat|mobile-small|small-int8)(?:$| |</td>)"
)
# An error of zero is printed as 0 in a table: a cell of its own.
_FIGURE = re.compile(
    r"(?<![\w.])(?P<size>\d+)(?= kB\b)|(?<![\w.])(?P<share>\d+(?:\.\d+)?)(?=%)"
    r"|(?<![\w.])(?P<power>\d(?:\.\d)?e[+-]\d\d+)(?!\w)|(?<![^\s>])(?P<zero>0)(?![^\s<])"
)


def _near(new, old, points):
    kinds, (a, b) = {new.lastgroup, old.lastgroup}, (float(new[0]), float(old[0]))
    if kinds == {"size"}:
        return abs(a - b) <= max(SIZE * b, SIZE_KB)
    if kinds == {"share"}:
        return round(abs(a - b), 6) <= points
    if not kinds <= {"power", "zero"}:
        return False
    if min(a, b) == 0 or max(a, b) < ROUNDING:
        return max(a, b) < ROUNDING
    return abs(math.log10(a / b)) <= DECADES + 1e-9


def _nearer_row(fresh, stored):
    new, old = list(_FIGURE.finditer(fresh)), list(_FIGURE.finditer(stored))
    if len(new) != len(old):
        return fresh
    trained = _TRAINED.search(stored)
    points = chain([AGREE], repeat(ACCURACY)) if trained else repeat(-1)  # none elsewhere
    told = iter(
        b[0] if _near(a, b, next(points) if b.lastgroup == "share" else 0) else a[0]
        for a, b in zip(new, old, strict=True)
    )
    return _FIGURE.sub(lambda _: next(told), fresh)


def nearer(fresh, stored):
    """The fresh text, with every figure that is near enough to the stored one replaced by it.

    Both are walked row by row, a line of text or a row of an HTML table, and figure by figure. The
    result equals ``stored`` only if all else is equal, too.
    """
    new, old = (re.split(r"(\n|</tr>)", text) for text in (fresh, stored))
    return "".join(map(_nearer_row, new, old)) if len(new) == len(old) else fresh


def _texts(outputs):
    """Where each text of the outputs stands, in order, by stream or kind of data."""
    found = defaultdict(list)
    for output in outputs:
        for place in (output, output.get("data", {})):
            for key in [key for key, text in place.items() if isinstance(text, str)]:
                found[output.get("name"), key].append((place, key))
    return found


_STORED = re.compile(
    r'<div class="mobilelab-stored">.*?<script type="application/json">(.*?)</script>.*</div>', re.S
)
#: What an explorer's data has that follows from times and memory, or that its rows say already.
_FOLLOWS = {
    "median_ms", "p95_ms", "float_ms", "times_float", "file_kb", "accuracy", "axes", "text",
    "budget", "key", "max", "measured", "added_mib", "quantities", "alt", "rows",
}  # fmt: skip


def _lasting(value):
    if isinstance(value, dict):
        return {k: _lasting(v) for k, v in value.items() if k not in _FOLLOWS}
    return [_lasting(each) for each in value] if isinstance(value, list) else value


_QUIZ = re.compile(
    r'<div class="ml mobilelab-quiz"><style>.*?</style>(.*?)<script>.*?</script></div>', re.S
)


def explorer_data(text):
    """The HTML of an explorer as the data that it shows: each record in a row, as in a table.

    Neither its picture nor its script is compared, of a quiz the questions. Other HTML stays.
    """
    found = _STORED.search(text)
    if not found:
        return _QUIZ.sub(r"\1", text)
    data = json.loads(found[1])["data"]
    rows = [
        "  ".join([*record["cells"], *(str(record[name]) for name in ("different", "phone"))])
        for measured in data.get("measured", {}).values()
        for record in measured["records"]
    ]
    return "\n".join([*rows, json.dumps(_lasting(data), indent=1)])


_compare = IPyNbCell.compare_outputs


def compare_outputs(cell, test, ref, skip_compare=None):
    """What nbval does, after the fresh outputs were brought nearer to the stored ones."""
    for output in chain(test, ref):
        shown = output.get("data", {})
        if isinstance(page := shown.get("text/html"), str):
            shown["text/html"] = explorer_data(page)
            if _STORED.search(page):
                shown["text/plain"] = ""
    test, ref = cell.sanitize_outputs(test), cell.sanitize_outputs(ref)
    stored = _texts(ref)
    for kind, places in _texts(test).items():
        for (fresh, key), (old, _) in zip(places, stored[kind], strict=False):
            fresh[key] = nearer(fresh[key], old[key])
    return _compare(cell, test, ref, skip_compare)


def pytest_configure(config):
    IPyNbCell.compare_outputs = compare_outputs
