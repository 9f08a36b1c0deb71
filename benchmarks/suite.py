"""Where the minutes of ``make test`` go: seconds by part, from the report of the last run.

``make test`` leaves ``out/tests.xml``; ``python benchmarks/suite.py`` prints it as a table. A part
is a chapter or a module of tests. Seconds are those of its tests, set-up included; with two
workers, two parts run at a time.
"""

from __future__ import annotations

import argparse
import xml.etree.ElementTree as ET
from collections import defaultdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parent.parent
REPORT = ROOT / "out" / "tests.xml"


def parts(report: Path) -> dict[str, list[float]]:
    """Seconds of every test, by part."""
    seconds: dict[str, list[float]] = defaultdict(list)
    for case in ET.parse(report).iter("testcase"):
        name = case.get("classname", "").removeprefix("tests.").removeprefix("notebooks.")
        seconds[name.split(".ipynb")[0] or case.get("name", "")].append(float(case.get("time", 0)))
    return seconds


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("report", nargs="?", type=Path, default=REPORT)
    parser.add_argument("--least", type=float, default=5.0, help="seconds; the rest is one line")
    options = parser.parse_args()
    if not options.report.is_file():
        parser.error(f"{options.report} is not there; `make test` writes it.")
    found = parts(options.report)
    total = sum(sum(times) for times in found.values())
    table = Table("part", *(("tests", "seconds", "share")), title="where the minutes go")
    rest: list[float] = []
    for name, times in sorted(found.items(), key=lambda item: -sum(item[1])):
        if sum(times) < options.least:
            rest += times
        else:
            share = f"{sum(times) / total:.0%}"
            table.add_row(name, str(len(times)), f"{sum(times):.0f}", share)
    table.add_row("all others", str(len(rest)), f"{sum(rest):.0f}", f"{sum(rest) / total:.0%}")
    suites = ET.parse(options.report).getroot().iter("testsuite")
    wall = sum(float(suite.get("time", 0)) for suite in suites)
    count = sum(map(len, found.values()))
    table.add_section()
    table.add_row("all", str(count), f"{total:.0f}", f"{total / wall:.2f} at a time")
    Console().print(table, f"From the first test to the last: {wall / 60:.1f} minutes.")


if __name__ == "__main__":
    main()
