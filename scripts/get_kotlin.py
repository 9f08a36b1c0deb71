"""Fetch a Kotlin compiler for tests/test_apps.py: about 80 MB, once.

    .venv/bin/python scripts/get_kotlin.py

There is no package on PyPI that is the compiler alone. JetBrains' kernel for Jupyter carries it, so
its wheel is downloaded, checked and unpacked into ~/.cache/mobilelab/kotlin. It is not installed:
that would put a Kotlin kernel into everybody's JupyterLab. A Java runtime has to be there.
"""

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from platformdirs import user_cache_path

VERSION = "0.19.0.944"
SHA256 = "dc654a426a28e6621aeb0bd7772d268a9a877aabae4a17b73383752a416281a3"
FOLDER = user_cache_path("mobilelab") / "kotlin" / VERSION
JARS = (
    "kotlin-jupyter-kernel-0.19.0-944-all.jar",  # has the compiler inside
    "kotlin-stdlib-2.3.10-RC.jar",
    "annotations-13.0.jar",
    "kotlinx-serialization-core-jvm-1.9.0.jar",
    "kotlinx-serialization-json-jvm-1.9.0.jar",
)


def jars() -> list[Path] | None:
    """The compiler's jar and then the libraries to compile with; None if they were not fetched."""
    found = [FOLDER / name for name in JARS]
    return found if all(path.is_file() for path in found) else None


def main() -> None:
    if jars():
        print("There already.")
        return
    with tempfile.TemporaryDirectory() as place:
        subprocess.run(
            [
                sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", place,
                f"kotlin-jupyter-kernel=={VERSION}",
            ],
            check=True,
        )  # fmt: skip
        (wheel,) = Path(place).glob("*.whl")
        if hashlib.sha256(wheel.read_bytes()).hexdigest() != SHA256:
            sys.exit(f"{wheel.name} is not the file that was tested; nothing was unpacked.")
        FOLDER.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(wheel) as archive:
            for name in JARS:
                (FOLDER / name).write_bytes(archive.read(f"run_kotlin_kernel/jars/{name}"))
    print(f"Unpacked into {FOLDER}")


if __name__ == "__main__":
    main()
