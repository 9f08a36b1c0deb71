"""Run chapters as a slower, a faster and a busier host would, and compare what they print.

``python scripts/other_hosts.py`` runs chapters 00, 01, 05, 06 and 08 through nbval three times:
with a clock that runs five times slower, with one that runs five times faster (both with a seeded
jitter of 30 %, see ``mobilelab.measure.Clock``), and with everything on one core, beside a busy
loop. None of it may change an output that is compared. Cells tagged ``skip-when-quick`` are left
out unless ``--whole`` is given. Each host works on a copy of the notebooks and tests of its own,
because the chapters write files beside themselves; what they train they share. Exit status 1 if
any run fails.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from mobilelab.measure import CLOCK

ROOT = Path(__file__).resolve().parent.parent
CHAPTERS = ("00", "01", "05", "06", "08")
#: What ``--hosts`` calls them, and the clock of each.
HOSTS = {"slower": {CLOCK: "5,0.3"}, "faster": {CLOCK: "0.2,0.3"}, "busy": {}}


def copied(folder: Path) -> Path:
    """A copy of what git knows of the project, as it lies here; gives the folder."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in filter(None, listed.stdout.split("\0")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, folder / name)
    return folder


def start(
    host: str, folder: Path, notebooks: list[Path], whole: bool, made: Path
) -> subprocess.Popen[str]:
    """nbval on the notebooks, as on that host; the busy one keeps to the first core."""
    command = [sys.executable, "-m", "pytest", "-q", "--tb=short", "-p", "no:cacheprovider"]
    command += [] if whole else ["--quick-notebooks"]
    core = {min(os.sched_getaffinity(0))}
    return subprocess.Popen(
        [*command, *map(str, notebooks)],
        cwd=copied(folder),
        env={
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(folder),
            "MOBILELAB_MADE": str(made),
            **HOSTS[host],
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=(lambda: os.sched_setaffinity(0, core)) if host == "busy" else None,
    )


def main() -> int:
    """Run the hosts at once, which makes each of them busy as well."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("chapters", nargs="*", default=list(CHAPTERS), help="two digits each")
    parser.add_argument("--hosts", nargs="+", choices=HOSTS, default=list(HOSTS))
    parser.add_argument("--whole", action="store_true", help="with the cells that take long")
    options = parser.parse_args()
    if not hasattr(os, "sched_setaffinity"):
        parser.error("only Linux can keep a process to one core; there is nothing to do here")
    found = [sorted((ROOT / "notebooks").glob(f"{name}_*.ipynb")) for name in options.chapters]
    if not all(found):
        parser.error(f"there is no chapter of one of these numbers: {' '.join(options.chapters)}")
    notebooks = [path.relative_to(ROOT) for paths in found for path in paths]
    room = Path(tempfile.mkdtemp(prefix="mobilelab-hosts-"))
    runs = {
        host: start(host, room / host, notebooks, options.whole, room / "made")
        for host in options.hosts
    }
    loop = subprocess.Popen(
        [sys.executable, "-c", "while True: pass"],
        preexec_fn=lambda: os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}),
    )
    console, table = Console(), Table("host", "nbval")
    try:
        for host, run in runs.items():
            output, _ = run.communicate()
            if run.returncode:
                console.print(output, markup=False, highlight=False)
            table.add_row(host, output.strip().splitlines()[-1].strip("= "))
    finally:
        for process in (loop, *runs.values()):
            process.kill()
        shutil.rmtree(room, ignore_errors=True)
    console.print(table)
    return int(any(run.returncode for run in runs.values()))


if __name__ == "__main__":
    sys.exit(main())
