"""From a found file to a ``.pte`` and a ``.tflite`` that were compared with it.

A file appears in the folder only after its answers were compared and found to be the same. What is
refused raises, or stands in the result with its reason, and leaves nothing behind.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mobilelab import measure, runtimes
from mobilelab.core.errors import MissingRuntimeError, MobileLabError, ModelWarning, RescueError
from mobilelab.measure.parity import Verdict
from mobilelab.recipes.successors import to_executorch, to_litert
from mobilelab.rescue import archive as archives
from mobilelab.rescue import proof, source
from mobilelab.rescue.examples import Examples, find
from mobilelab.rescue.findings import judge
from mobilelab.rescue.graph import engine_for_phones
from mobilelab.rescue.inspect import contents
from mobilelab.rescue.jobs import Job, loaded, prepared
from mobilelab.rescue.quantized import lowered
from mobilelab.rescue.results import Outcome, Rescued
from mobilelab.rescue.tape import Rebuilt, tensors
from mobilelab.runtimes.libraries import imported, quiet

#: Endings of the files that can be made.
ENDINGS = (".pte", ".tflite")


#: What QNNPACK clamps with, if it is not fused into a layer.
_MIXED_UP = ("aten::clamp", "aten::relu6", "aten::hardtanh")
_MIXED_UP_WORDS = (
    "QNNPACK's int8 clamp gives the numbers in another order where the memory is channels_last, as "
    "behind a convolution: the old file's answers are wrong, on the phone too, and the rebuilt "
    "network's may be the right ones"
)


@engine_for_phones()
def rescue(
    path: str | Path,
    out: str | Path | None = None,
    examples: Sequence[str] = (),
    *,
    endings: Sequence[str] = ENDINGS,
    method: str = "forward",
    evaluate: bool = False,
    timed: bool = True,
    sourced: bool = False,
    on_step: Callable[[str], None] = lambda what: None,
) -> Rescued:
    """Read a file, judge it, and write new ones that answer alike.

    Args:
        path: a ``.pt`` or ``.ptl``.
        out: folder for the new files; without one the file is read and judged only.
        examples: shapes of the inputs, as :func:`mobilelab.rescue.examples.parse` reads them.
        endings: which files to make.
        method: which of the file's methods becomes the new network.
        evaluate: rewrite a file that was saved in training mode as it is in eval mode.
        timed: measure old and new in turn, about two seconds for each file.
        sourced: write Python source with the weights beside it, too.
        on_step: told what is being made, for a progress bar.

    Returns:
        Refusals of the network or of an exporter stand in it.

    Raises:
        ModelFileError: if the file is missing, damaged, hostile, or another kind of file.
        RescueError: if ``examples`` cannot be read.
    """
    archive = archives.examine(path)
    module = loaded(archive, False, method)
    inside = contents(archive, module)
    found = Rescued(archive.path, inside, judge(archive, module, inside))
    module = module.eval() if evaluate else module
    try:
        found.example = find(module, examples)
        if out is not None:
            on_step("the old file's answers")
            job = prepared(archive, found.example, inside, evaluate, method)
            found.kept = job.kept
            for ending in endings:
                on_step(ending)
                found.outcomes.append(_made(job, ending, Path(out), timed))
            if sourced:
                on_step("source")
                found.outcomes.append(_written(job, Path(out)))
            if job.kept and any(outcome.ok for outcome in found.outcomes):
                state = json.dumps([one.as_dict() for one in job.kept], indent=1)
                (Path(out) / f"{job.name}.state.json").write_text(state + "\n", encoding="utf-8")
    except MobileLabError as error:
        found.refusal = str(error)
    except OSError as error:
        found.refusal = f"Cannot write into {out} ({error.strerror}); name another folder (--out)."
    return found


def _made(job: Job, ending: str, out: Path, timed: bool) -> Outcome:
    """One new file in the folder, if its answers are the old ones."""
    found = Outcome(ending)
    try:
        network = Rebuilt(lowered(job.tape, folded=ending != ".tflite"))
        found.rows = _table(job, found, job.answers(network))
        if proof.judged(found.rows, job.rounds) is Verdict.DIFFERENT:
            raise RescueError(_differs(job, network, found.rows))
        try:
            _proved(job, found, _converted(network, job, ending), out, timed)
        except MissingRuntimeError:
            raise
        except MobileLabError as error:
            if ending != ".tflite" or not job.rounds:
                raise
            data = _converted(network, job, ending, in_floats=True)
            _proved(job, found, data, out, timed)
            found.note = f"it computes in float32, because as int8 it is refused: {error}"
    except MobileLabError as error:
        found.refusal = str(error)
    return found


def _written(job: Job, out: Path) -> Outcome:
    """Python source in the folder, if running it gives the old answers."""
    found = Outcome(".py")
    try:
        network = Rebuilt(lowered(job.tape))
        name = re.sub(r"\W", "_", job.name)
        with tempfile.TemporaryDirectory(prefix="mobilelab-") as folder:
            shapes = Examples(job.inputs, "").text
            path = source.write(network, folder, name, job.path.name, shapes)
            call = source.load(path)
            found.rows = proof.compared(job.old, job.answers(call))
            found.verdict = proof.judged(found.rows, job.rounds)
            if found.verdict is Verdict.DIFFERENT:
                raise RescueError(_differs(job, network, found.rows))
            out.mkdir(parents=True, exist_ok=True)
            for made in sorted(Path(folder).glob(f"{name}.*")):
                shutil.copyfile(made, out / made.name)
                found.bytes += made.stat().st_size
            found.path = out / path.name
    except MobileLabError as error:
        found.refusal = str(error)
    return found


def _converted(network: nn.Module, job: Job, ending: str, in_floats: bool = False) -> bytes:
    """The bytes of a new file, not compared yet."""
    inputs = job.inputs
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ModelWarning)
        if ending == ".pte":
            return to_executorch(network, inputs)
        options = {"quant_config": _int8()} if job.rounds and not in_floats else {}
        return to_litert(network, inputs, **options)


def _int8() -> Any:
    """Tells LiteRT's converter to make int8 operators of the pattern.

    Its way for dynamic int8 does so for static int8, too, and leaves float at the ends.
    """
    config = imported("litert_torch.quantize.quant_config", "LiteRT's converter", "litert")
    pt2e = imported("litert_torch.quantize.pt2e_quantizer", "LiteRT's converter", "litert")
    with quiet():
        chosen = pt2e.get_symmetric_quantization_config(is_per_channel=True, is_dynamic=True)
        return config.QuantConfig(pt2e_quantizer=pt2e.PT2EQuantizer().set_global(chosen))


def _proved(job: Job, found: Outcome, data: bytes, out: Path, timed: bool) -> None:
    """Compare a new file with the old one, and put it into the folder if they answer alike."""
    name = job.name + found.ending
    with tempfile.TemporaryDirectory(prefix="mobilelab-") as folder:
        trial = Path(folder) / name
        trial.write_bytes(data)
        session = runtimes.load(trial)
        with quiet():
            new = job.answers(session.predict)
        found.rows = _table(job, found, new)
        found.verdict = proof.judged(found.rows, job.rounds)
        if found.verdict is Verdict.DIFFERENT:
            worst = max(found.rows, key=lambda row: row.relative)
            raise RescueError(
                f"The {found.ending} answers otherwise than the old file: by {worst.largest:.1e} "
                f"on {worst.inputs} inputs; it was not kept."
            )
        found.bytes = len(data)
        found.inside = session.inspect()
        if timed:
            _timed(job, found, session)
        del session
        out.mkdir(parents=True, exist_ok=True)
        waiting = out / f"{name}.new"
        waiting.write_bytes(data)
        os.replace(waiting, out / name)
        found.path = out / name


def _table(job: Job, found: Outcome, new: proof.Reference) -> list[proof.Row]:
    """The differences; those on extremes count if the old file does not move as far by itself."""
    rows = proof.compared(job.old, new)
    if job.rounds or proof.judged(rows, job.rounds).ok:
        return rows
    extremes = {"extremes": job.old["extremes"]}
    moved = proof.compared(extremes, proof.nudged(job.begin, job.groups))
    excused = proof.excused(rows, moved)
    if proof.judged(excused, job.rounds).ok:
        most = max(row.relative for row in moved)
        found.note = (
            f"on extremes the old file's own answers move by {most:.1e} of their size when the "
            "inputs change in their last digit, so the difference there is rounding"
        )
    return excused


def _timed(job: Job, found: Outcome, session: runtimes.Session) -> None:
    one = job.groups["random"][0]
    inputs = [*tensors(one), *(kept.first for kept in job.kept)]
    old = job.begin()
    times = measure.time_in_turn(
        {"old": lambda: old(*one), "new": lambda: session.predict(*inputs)}, warmup=3, least=5
    )
    found.old_ms, found.new_ms = times["old"].median_ms, times["new"].median_ms


def _differs(job: Job, network: Rebuilt, rows: list[proof.Row]) -> str:
    """Where the rebuilt network goes another way, in one sentence."""
    worst = max(rows, key=lambda row: row.relative)
    return (
        f"The rebuilt network answers otherwise than {job.path.name}, by {worst.largest:.1e} on "
        f"{worst.inputs} inputs{_where(job, network)}; nothing was written."
    )


def _where(job: Job, network: Rebuilt) -> str:
    if job.kept:
        begun = ", ".join(one.name for one in job.kept if one.assumed)
        words = f"; the file begins without {begun}, which was taken to begin as zeros"
        return words if begun else "; it keeps a state, so no single step of the example shows it"
    with torch.no_grad():
        _, known = network.answers(job.inputs, keep=True)
    place = proof.first_difference(job.tape, known)
    if place is None:
        return "; no single step of the example shows it"
    mixed = job.rounds and place.kind.rstrip("_") in _MIXED_UP
    return f", first at {place}" + (f" ({_MIXED_UP_WORDS})" if mixed else "")
