"""Other people's libraries: import them, keep them quiet, and take from an error what it says."""

from __future__ import annotations

import importlib
import io
import logging
import os
import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from types import ModuleType

from mobilelab.core.errors import MissingRuntimeError

#: Warnings that a library has about itself.
_FUTURE = (DeprecationWarning, FutureWarning, PendingDeprecationWarning, ImportWarning)


@contextmanager
def quiet(said: list[str] | None = None) -> Iterator[None]:
    """Keep what other people's libraries write to the terminal out of a notebook.

    Both runtimes and their exporters log from C++, straight to the process's own output, and warn
    of deprecations inside torch. Exceptions pass unchanged.

    Args:
        said: gets the text of every warning that is about the model and not about the library's
            own future, each once.
    """
    os.environ["LITERT_TORCH_SHOW_PROGRESS"] = "n"
    level = logging.root.manager.disable
    logging.disable(logging.ERROR)
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [os.dup(1), os.dup(2)]
    nothing = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nothing, 1)
        os.dup2(nothing, 2)
        rest = io.StringIO()
        caught = warnings.catch_warnings(record=True)
        with caught as heard, redirect_stdout(rest), redirect_stderr(rest):
            warnings.simplefilter("ignore" if said is None else "always")
            yield
        for warning in heard or ():
            text = " ".join(str(warning.message).split())
            if said is not None and text not in said and not issubclass(warning.category, _FUTURE):
                said.append(text)
    finally:
        for number, copy in zip((1, 2), kept, strict=True):
            os.dup2(copy, number)
            os.close(copy)
        os.close(nothing)
        logging.disable(level)


def first_line(error: BaseException) -> str:
    """What an error of torch or of a runtime says first, without its own place in C++."""
    lines = [line.strip() for line in str(error).splitlines()]
    # after the place in the source stands the reason
    reasons = [line.split(": ", 1)[1] for line in lines if re.match(r"\w+Error: [^<]", line)]
    if reasons:
        return reasons[-1].rstrip(".")
    lines = [line for line in lines if line and not line.startswith(_NO_REASON)]
    return (lines[0] if lines else type(error).__name__).rstrip(".")


#: Lines of torch's messages that say where, not why.
_NO_REASON = (
    "The following operation failed", "Traceback", "Debug info for handle", "Exception raised from",
    "File ", "at ", "^", "~", "<--- HERE", "Module hierarchy", "RuntimeError: <",
)  # fmt: skip


def imported(module: str, runtime: str, extra: str) -> ModuleType:
    """A module of an optional runtime.

    Raises:
        MissingRuntimeError: if it is not installed.
    """
    keep_operators()
    try:
        with quiet():
            return importlib.import_module(module)
    except ImportError as error:
        target, call = "runtimes", f"pip install -c constraints.txt -e '.[{extra}]'"
        if extra == "npu":  # without a resolver, as the Makefile says
            target, call = extra, "pip install --no-deps -r npu.txt"
        raise MissingRuntimeError(
            f"{runtime} is not installed here ({error}); make {target} in the course's folder "
            f"brings it (without make: {call})."
        ) from error


def keep_operators() -> None:
    """Keep every operator alive that ``torch.jit.script`` knows by its address, from now on.

    Its table of builtins (``torch/jit/_builtins.py``) has ``id(function)`` for a key. When a
    library defines a further overload of an operator, as ExecuTorch and torchao do while they are
    imported, ``torch._ops._refresh_packet`` drops the old function and its key stays. Whatever
    gets that address next is taken for the operator: of a healthy ``Conv2d``, whose padding is a
    list, torch 2.12.1 then says "builtin cannot be used as a value". Call it before such a library
    is imported.
    """
    builtins = importlib.import_module("torch.jit._builtins")
    register = vars(builtins)["_register_builtin"]
    if getattr(register, "alive", None) is not None:
        return
    alive = []

    def registered(function, operator):
        alive.append(function)
        register(function, operator)

    registered.alive = alive
    vars(builtins)["_register_builtin"] = registered
