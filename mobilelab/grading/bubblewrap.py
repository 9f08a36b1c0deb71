"""The command line of bubblewrap, and whether it works here."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import mobilelab
from mobilelab.core.errors import MobileLabError


class NoSandbox(MobileLabError):
    """There is no bubblewrap, or it does not work on this system."""


#: The working folder of a student's code.
HOME = "/home/student"


#: What it needs to find in its environment, with a sandbox or without.
WANTED = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",
    "PYTHONDONTWRITEBYTECODE": "1",
    "JUPYTER_PLATFORM_DIRS": "1",
}


#: All of the environment inside the sandbox.
ENVIRONMENT = {
    **WANTED,
    "PATH": f"{sys.prefix}/bin:/usr/bin:/bin",
    "HOME": HOME,
    "TMPDIR": "/tmp",
    "USER": "student",
    "LANG": "C.UTF-8",
    "MPLCONFIGDIR": "/tmp/matplotlib",
    "MOBILELAB_PROGRESS": f"{HOME}/.progress.json",
    "IPYTHONDIR": f"{HOME}/.ipython",
}


def command_line() -> list[str]:
    """The command line up to the program."""
    command = [
        "bwrap", "--unshare-all", "--new-session", "--clearenv",
        "--hostname", "sandbox",
        "--cap-drop", "ALL", "--cap-add", "CAP_SYS_ADMIN", "--cap-add", "CAP_SETFCAP",
        "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--dir", HOME,
    ]  # fmt: skip
    for name in ("/usr", "/lib", "/lib32", "/lib64", "/libx32", "/bin", "/sbin"):
        path = Path(name)
        if path.is_symlink():
            command += ["--symlink", os.readlink(path), name]
        elif path.is_dir():
            command += ["--ro-bind", name, name]
    for name in ("/etc/ld.so.cache", "/etc/fonts", "/etc/localtime", "/etc/alternatives"):
        command += ["--ro-bind-try", name, name]
    for path in readable_folders():
        command += ["--ro-bind", str(path), str(path)]
    for name, value in ENVIRONMENT.items():
        command += ["--setenv", name, value]
    # last, so that everything above could be put in place: nothing stays writable but /tmp
    return [*command, "--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/"]


def readable_folders() -> list[Path]:
    """The folders outside ``/usr`` that a student's code may read."""
    package = Path(mobilelab.__file__).resolve().parent
    wanted = [Path(sys.base_prefix), Path(sys.prefix), package, package.parent / "data"]
    found = dict.fromkeys(path.resolve() for path in wanted if path.exists())
    return [path for path in found if not path.is_relative_to("/usr")]


def require() -> None:
    """Raise if there is no working bubblewrap.

    Raises:
        NoSandbox: one sentence with the way out.
    """
    reason = missing()
    if reason:
        raise NoSandbox(
            f"{reason}; students' code is not run without a sandbox. Install bubblewrap "
            "(Debian: apt install bubblewrap) on a Linux machine that allows user namespaces, or "
            "give --no-sandbox if you would run every one of these notebooks yourself."
        )


def missing() -> str | None:
    """Why there is no sandbox here, in words; ``None`` if there is one."""
    if sys.platform != "linux":
        return "bubblewrap exists on Linux only"
    if shutil.which("bwrap") is None:
        return "The program bwrap was not found"
    trial = subprocess.run(
        [*command_line(), "/usr/bin/env", "true"], capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    if trial.returncode:
        last = (trial.stderr.strip().splitlines() or ["no message"])[-1]
        return f"bubblewrap does not work here ({last})"
    return None
