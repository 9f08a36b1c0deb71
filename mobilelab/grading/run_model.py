"""Run a delivered model file where it can do no harm.

Sealed off as a student's notebook is (see ``sandbox_process``): a model file is a program. It is
loaded by the lite interpreter, by TorchScript or by ExecuTorch, looked into, and run on inputs that
the grader sends. The instant check in a notebook calls :func:`facts` and :func:`run` directly.
"""

from __future__ import annotations

import os
import socket
import tempfile
import warnings
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mobilelab.core.errors import MobileLabError
from mobilelab.core.signature import Port
from mobilelab.grading.framing import LARGEST, Reader, to_bytes
from mobilelab.grading.serialize import File, decode, encode
from mobilelab.runtimes import executorch, lite

#: What stands at byte 4 of a program of ExecuTorch, and of one with inputs and outputs in it.
_EXECUTORCH = (b"ET", b"BP")


def _load(file: File, folder: str) -> tuple[str, Path, Any]:
    """Kind, path and module of a delivered file.

    Raises:
        MobileLabError, RuntimeError: if no loader takes it.
    """
    programs = file.content[4:6] in _EXECUTORCH
    path = Path(folder, "delivered.pte" if programs else "delivered.ptl")
    path.write_bytes(file.content)
    if programs:
        return "executorch", path, executorch.ExecuTorchSession(path)
    torch.backends.quantized.engine = "qnnpack"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if file.kind != "torchscript":
            return "lite", path, lite.load(path)
        return "torchscript", path, torch.jit.load(str(path)).eval()


def _kinds(block: Any) -> Iterator[str]:
    """The kinds of all nodes of a graph or block, those inside its own blocks included."""
    waiting = [block]
    while waiting:
        for node in waiting.pop().nodes():
            yield node.kind()
            waiting += node.blocks()


def _of_program(session: executorch.ExecuTorchSession) -> dict[str, Any]:
    """What a ``.pte`` tells of itself.

    Returns:
        ``loads``, ``operators`` (those that no delegate took, name to number of uses), ``parts``
        (delegate to how many parts of the program it has), ``delegated`` (all operators in these
        parts, name to number), ``dtypes`` (element type to bytes of weights), ``inputs`` and
        ``outputs`` (pairs of element type and shape, the largest where a size is free).
    """
    try:
        inside = session.inspect()
    except Exception as error:  # a file that the runtime takes may still be none that can be read
        text = (str(error).strip().splitlines() or [""])[0][:200]
        return {"loads": f"refused: it cannot be read ({type(error).__name__}: {text})"}
    delegated: Counter[str] = Counter()
    for names in inside.delegates.values():
        delegated.update(names)
    return {
        "loads": "executorch", "operators": inside.operators, "parts": inside.parts,
        "delegated": dict(delegated), "dtypes": inside.dtypes,
        "inputs": [_port(port) for port in session.signature.inputs or ()],
        "outputs": [_port(port) for port in session.signature.outputs or ()],
    }  # fmt: skip


def _port(port: Port) -> tuple[str, tuple[int | None, ...]]:
    return str(port.dtype).removeprefix("torch."), port.shape or ()


def facts(file: File) -> dict[str, Any]:
    """What can be seen of a model file without running it.

    Returns:
        ``size`` in bytes, ``loads`` (``"lite"``, ``"torchscript"``, ``"executorch"`` or the
        refusal in words) and, for a ``.ptl``, ``bytecode_version``, ``operators``, ``dtypes``
        (element type to bytes) and ``extra`` (names and texts of the extra files saved with it);
        for a TorchScript file ``kinds``, the kinds of node in the graph of ``forward`` as it is,
        nothing inlined; for a ``.pte`` what :func:`_of_program` says.
    """
    found: dict[str, Any] = {"size": len(file.content)}
    with tempfile.TemporaryDirectory() as folder:
        try:
            kind, path, module = _load(file, folder)
        except (MobileLabError, RuntimeError, ValueError) as error:
            return {**found, "loads": f"refused: {str(error).splitlines()[0][:300]}"}
        if kind == "executorch":
            return {**found, **_of_program(module)}
        found["loads"] = kind
        if kind == "lite":
            inside = lite.inspect(path)
            found["bytecode_version"] = inside.bytecode_version
            found["operators"] = set(inside.operators)
            found["dtypes"] = dict(inside.dtypes)
            with zipfile.ZipFile(path) as archive:
                found["extra"] = {
                    name.split("/extra/", 1)[1]: archive.read(name)[:4096].decode(errors="replace")
                    for name in archive.namelist()
                    if "/extra/" in name
                }
        else:
            found["kinds"] = set(_kinds(module.graph))
    return found


def run(file: File, inputs: Sequence[Any]) -> Any:
    """Outputs of the model, one for each element of ``inputs`` (a tuple is several arguments).

    Raises:
        MobileLabError, RuntimeError: if it does not load or does not run.
    """
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        kind, _, module = _load(file, folder)
        if kind == "executorch":
            module = module.execute
        return [module(*(x if isinstance(x, tuple) else (x,))) for x in inputs]


def main(channel: socket.socket) -> None:
    """Serve questions about delivered files on ``channel``."""
    reader = Reader(2 * LARGEST)
    while True:
        data = channel.recv(1 << 18)
        if not data:
            os._exit(0)
        for message, blocks in reader.feed(data):
            try:
                file, inputs = decode(message["with"], blocks)
                value = facts(file) if message["ask"] == "facts" else run(file, inputs)
                form, out = encode(value)
                reply = {"outcome": "ok", "value": form}
            except Exception as error:
                out = []
                text = str(error).strip().splitlines() or [""]
                reply = {"outcome": "error", "error": f"{type(error).__name__}: {text[0]}"[:500]}
            channel.sendall(to_bytes({"reply": message["number"], **reply}, out))


def accuracy(scores: Any, labels: Tensor) -> float:
    """Percent of rows whose largest score is at the label; 0 if it is no such matrix.

    Args:
        scores: what came back, one tensor ``(n, classes)`` or a list of them.
        labels: int64 ``(n,)``.
    """
    if isinstance(scores, (list, tuple)) and scores:
        if not all(isinstance(s, Tensor) and s.ndim == 2 for s in scores):
            return 0.0
        if len({s.shape[1] for s in scores}) != 1:
            return 0.0
        scores = torch.cat([s.double() for s in scores])
    if not isinstance(scores, Tensor) or scores.ndim != 2 or len(scores) != len(labels):
        return 0.0
    return 100 * float((scores.argmax(1) == labels).double().mean())
