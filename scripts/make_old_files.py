"""Files that torch 2.1.0 really wrote, for the tests of rescue: asks the virtual phone for them.

    python scripts/make_old_files.py

The networks are those of ``tests/found.py``; that file needs torch only, so the phone runs it too.
What is stored has no debug records: they would name this computer's folders.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from mobilelab.phone.machine import Phone

TESTS = Path(__file__).parent.parent / "tests"
NAMES = ("optimized", "int8 optimized", "dynamic int8 lstm", "streaming lstm")
WRITES = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from found import FOUND
for name in sys.argv[3:]:
    print(FOUND[name].save(Path(sys.argv[2]), name.replace(" ", "-")).name)
"""


def main() -> int:
    to = TESTS / "old_files"
    to.mkdir(exist_ok=True)
    phone = Phone()
    with tempfile.TemporaryDirectory() as folder:
        phone._room = Path(folder)
        script = phone._room / "writes.py"
        script.write_text(WRITES)
        command = [*phone._command(), str(script), str(TESTS), str(to), *NAMES]
        done = subprocess.run(command, env=phone._environment(), capture_output=True, text=True)
    if done.returncode:
        print(f"The phone wrote nothing: {done.stderr.strip()[-500:]}", file=sys.stderr)
        return 1
    for name in done.stdout.split():
        without_lines(to / name)
        print(f"{name}, {(to / name).stat().st_size} bytes")
    return 0


def without_lines(path: Path) -> None:
    """Take out the debug records, which name the folders of this computer."""
    with zipfile.ZipFile(path) as old:
        records = {e: old.read(e) for e in old.namelist() if not e.endswith(".debug_pkl")}
    with zipfile.ZipFile(path, "w") as new:
        for name, content in records.items():
            new.writestr(zipfile.ZipInfo(name), content)


if __name__ == "__main__":
    sys.exit(main())
