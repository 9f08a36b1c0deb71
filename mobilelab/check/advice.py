"""Which file to take, within a budget, and why."""

from __future__ import annotations

import math

from mobilelab import runtimes
from mobilelab.check.results import Report, Row
from mobilelab.measure.report import Budget

#: Roads whose files go to a phone.
ON_PHONES = tuple(kind.suffix for kind in runtimes.kinds() if kind.on_phones)
#: Reasons that keep a file from being recommended, whatever its answers to the examples were.
GRAVE = {"branch-frozen", "state-lost", "outputs-dropped", "outputs-reordered", "fold-bug",
         "in-place-head"}  # fmt: skip


def grave(row: Row) -> list[str]:
    """Causes that keep a row's file from being used although it answered the examples.

    A frozen size is one of them where other sizes are answered wrongly; a file that refuses them
    is limited, and says so.
    """
    return [
        reason.cause
        for reason in row.reasons
        if reason.cause in GRAVE or (reason.cause == "shape-frozen" and not reason.error)
    ]


def misses(row: Row, budget: Budget) -> list[str]:
    """What keeps a file from being taken, in words; empty if nothing does."""
    if row.status != "done":
        return [row.status]
    found = []
    if not row.usable:
        found.append(f"its answers are {row.verdict or 'not compared'}")
    if not row.file.endswith(ON_PHONES):
        found.append("no phone loads it")
    found += grave(row)
    if row.file_kb is not None and row.file_kb > budget.file_kb:
        found.append(f"{row.file_kb - budget.file_kb:.0f} kB too large")
    if row.median_ms is not None and row.median_ms > budget.median_ms:
        found.append(f"{row.median_ms - budget.median_ms:.1f} ms too slow on this host")
    if row.times_eager is not None and row.times_eager > budget.times_float:
        found.append(f"{row.times_eager:.2f}x the model's own time on this host")
    return found


def advise(report: Report, budget: Budget) -> str:
    """One paragraph: the file that meets the budget and is the smallest, and why not the others.

    Files with the same answers come before files with close ones, unless only those meet the
    budget. A time on this host is no phone's: it decides between two files only where both have
    about the same size.
    """
    rows = _own(report)
    good = [row for row in rows if not misses(row, budget)]
    best, limits = recommended(report, budget), str(budget)
    if best is None:
        near = min(
            rows, key=lambda row: (row.status != "done", len(misses(row, budget))), default=None
        )
        if near is None:
            return "No road was walked."
        why = "; ".join(misses(near, budget))
        first = next((r.fix.splitlines()[0] for r in near.reasons if r.fix), "")
        way = f" A way on: {first}" if first else ""
        return f"No file can be recommended ({limits}). The nearest is {near.road}: {why}.{way}"
    words = [f"Take {best.road} ({best.file}, {best.file_kb:.0f} kB): of {len(good)} "
             f"that {'meets' if len(good) == 1 else 'meet'} the budget ({limits}) "
             f"{_why(best, good)}."]  # fmt: skip
    smaller = [r for r in good if (r.file_kb or 0) < 0.7 * (best.file_kb or 0)]
    if smaller:
        small = min(smaller, key=lambda row: row.file_kb or math.inf)
        loss = "" if small.score_loss is None else f", and it loses {small.score_loss:.3g}"
        words.append(
            f"{small.road} is {small.file_kb:.0f} kB with answers that are {small.verdict}{loss}; "
            "take it if the size counts more than the last digits."
        )
    words.append("Times are this host's; measure on the phone before you promise any.")
    return " ".join(words)


def _own(report: Report) -> list[Row]:
    """The rows that have a file of their own."""
    return [row for row in report.rows if row.road != "phone"]


def recommended(report: Report, budget: Budget) -> Row | None:
    """The road whose file :func:`advise` takes; ``None`` if no file meets the budget."""
    good = [row for row in _own(report) if not misses(row, budget)]
    return min(good, key=_order, default=None)


def _order(row: Row) -> tuple[bool, float, float]:
    # sizes within a tenth of each other count as equal
    step = round(math.log(max(row.file_kb or math.inf, 1e-3)) / math.log(1.1)) if row.file_kb else 0
    return row.verdict != "same", step, row.times_eager or math.inf


def _why(best: Row, good: list[Row]) -> str:
    kind = [row for row in good if row.verdict == best.verdict]
    words = f"it answers the {best.verdict}" if best.verdict == "same" else "its answers are close"
    sizes = [row.file_kb or math.inf for row in kind]
    if best.file_kb == min(sizes):
        words += ", and no other with such answers is smaller"
    else:
        words += ", and it is within a tenth of the smallest"
    if best.times_eager is not None:
        fastest = best.times_eager == min(row.times_eager or math.inf for row in kind)
        words += f"; it takes {best.times_eager:.2f}x the model's own time"
        words += ", the least of them" if fastest else ""
    return words


def unmet(report: Report, expect: str = "", max_kb: float | None = None) -> list[str]:
    """What of an expectation is not met, one sentence each.

    Args:
        report: of the roads that were asked for.
        expect: ``done``: each road ends with a file; ``close``: and its answers are close or the
            same; ``same``: what computes in float answers the same, int8 at least close.
        max_kb: the smallest usable file for phones may weigh this, 1 kB = 1000 bytes.
    """
    found = []
    for row in report.rows if expect else ():
        if row.status in ("not for this network", "not installed"):
            continue
        good = row.status == "done"
        if expect != "done":
            wanted = ("same",) if expect == "same" and row.exact else ("same", "close")
            good = good and row.verdict in wanted and not grave(row)
        if not good:
            causes = ", ".join(grave(row)) if expect != "done" else ""
            but = f", but {causes}" if causes else ""
            found.append(f"{row.road}: expected {expect}, is {row.verdict or row.status}{but}.")
    if max_kb is not None:
        shipped = (row for row in report.rows if row.file.endswith(ON_PHONES) and not grave(row))
        sizes = [row.file_kb for row in shipped if row.usable and row.file_kb is not None]
        if not sizes or min(sizes) > max_kb:
            smallest = f"{min(sizes):.0f} kB" if sizes else "none"
            found.append(f"The smallest usable file is {smallest}, more than {max_kb:.0f} kB.")
    return found
