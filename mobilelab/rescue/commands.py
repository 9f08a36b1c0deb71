"""``mobilelab rescue``: a file, or a folder of files, whose Python source is lost.

torch is imported inside the command, so that the others stay quick.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from mobilelab.core.errors import MobileLabError
from mobilelab.core.terminal import Terminal, colored

if TYPE_CHECKING:
    from mobilelab.rescue.results import Outcome, Rescued

#: Endings that TorchScript files have in the wild.
FOUND = (".pt", ".ptl", ".pth", ".jit", ".ts", ".ff", ".torchscript")
#: Endings of the new files.
MADE = (".pte", ".tflite")


def rescue(
    path: Annotated[Path, typer.Argument(help="A .pt or .ptl, or a folder of them.")],
    example: Annotated[
        list[str] | None,
        typer.Option(help="Shape of an input, 1x3x224x224 or 1x20:int64; once for each tensor."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the new files.")] = Path("out/rescue"),
    ending: Annotated[
        list[str] | None,
        typer.Option(help="Make this kind of file only, .pte or .tflite; both if left out."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    evaluate: Annotated[
        bool, typer.Option("--eval", help="Rewrite a file saved in training mode in eval mode.")
    ] = False,
    method: Annotated[
        str, typer.Option(help="Rescue another method of the file than forward.")
    ] = "forward",
    source: Annotated[
        bool, typer.Option("--source", help="Write Python source with the weights beside it, too.")
    ] = False,
) -> None:
    """Read a model file without its source, judge it, and write new ones that answer alike.

    Exit status 1 where something was refused or would answer otherwise.
    """
    console = Terminal(stderr=as_json)
    endings = tuple(dict.fromkeys(ending or MADE))
    for one in endings:
        if one not in MADE:
            raise typer.BadParameter(f"{one} cannot be made; choose from {', '.join(MADE)}.")
    results: list[tuple[Path, Rescued | None, str]] = []
    for file, folder in _files(path, out):
        with console.status(f"Reading {file.name}") as status:
            found, refusal = _one(
                file, folder, example or [], endings, method, evaluate, source,
                lambda what, file=file: status.update(f"{file.name}: {what}"),
            )  # fmt: skip
        results.append((file, found, refusal))
        if not as_json and not path.is_dir():
            _report(console, file, found, refusal)
    if as_json:
        document = [_document(file, found, refusal) for file, found, refusal in results]
        print(json.dumps(document, indent=1, allow_nan=False))
    elif path.is_dir():
        console.print(_overview(path, results, endings))
    if not results:
        console.print(f"There is no file with an ending of {', '.join(FOUND)} in {path}.")
    if not results or not all(found is not None and found.ok for _, found, _ in results):
        raise typer.Exit(1)


def _files(path: Path, out: Path) -> list[tuple[Path, Path]]:
    """Files, and the folder for what becomes of each: its own where two have one name."""
    if not path.is_dir():
        return [(path, out)]
    inside = path.resolve()
    files = [
        file for file in sorted(path.rglob("*"))
        if file.suffix in FOUND and file.is_file() and not file.is_symlink()
        and out.resolve() not in file.resolve().parents
    ]  # fmt: skip
    names = Counter(file.with_suffix("") for file in files)
    found = []
    for file in files:
        folder = out / file.resolve().parent.relative_to(inside)
        found.append((file, folder if names[file.with_suffix("")] == 1 else folder / file.name))
    return found


def _one(
    file: Path, folder: Path, examples: list[str], endings: tuple[str, ...], method: str,
    evaluate: bool, source: bool, on_step: Callable[[str], None],
) -> tuple[Rescued | None, str]:  # fmt: skip
    from mobilelab.rescue import rewrite

    try:
        found = rewrite.rescue(
            file, folder, examples, endings=endings, method=method, evaluate=evaluate,
            sourced=source, on_step=on_step,
        )  # fmt: skip
    except MobileLabError as error:
        return None, str(error)
    return found, found.refusal


# --- for people ---------------------------------------------------------------------------------


def _report(console: Terminal, file: Path, found: Rescued | None, refusal: str) -> None:
    if found is None:
        console.print(colored("red", "refused:", refusal), soft_wrap=True)
        return
    console.print(_contents(file, found))
    for finding in found.findings:
        console.print(colored("yellow", "finding:", finding), soft_wrap=True)
    if not found.findings:
        console.print("findings: none")
    if found.example is not None:
        console.print(f"called with {found.example.text} (from {found.example.source})")
    if refusal:
        console.print(colored("red", "refused:", refusal), soft_wrap=True)
    for kept in found.kept:
        console.print(f"state: {kept}", soft_wrap=True)
    for outcome in found.outcomes:
        _outcome(console, found, outcome)


def _contents(file: Path, found: Rescued) -> Table:
    inside = found.inside
    table = Table(title=f"What is in {file.name}", show_header=False)
    table.add_column("")
    table.add_column("", overflow="fold")
    bytecode = "none" if inside.bytecode_version is None else str(inside.bytecode_version)
    rows = {
        "kind": inside.kind,
        "format, bytecode": f"{inside.format_version or 'unknown'}, {bytecode}",
        "loaded by": inside.read_by,
        "inputs": ", ".join(inside.inputs) or "none",
        "other methods": ", ".join(inside.methods) or "none",
        "operators": ", ".join(f"{many} {name}" for name, many in inside.operators.items()),
        "torch 2.1.0 (last phone packages)": (
            f"lacks {', '.join(inside.lacking)}" if inside.lacking else "has all of them"
        ),
        "int8": inside.quantization,
        "size": f"{inside.bytes / 1000:.1f} kB",
        "parts": ", ".join(f"{part} {size / 1000:.1f} kB" for part, size in inside.parts.items()),
        "extra files": ", ".join(inside.extra_files) or "none",
        "bundled inputs": str(inside.bundled_inputs),
    }
    for name, value in rows.items():
        table.add_row(name, value)
    return table


def _outcome(console: Terminal, found: Rescued, outcome: Outcome) -> None:
    if outcome.refusal:
        console.print(colored("red", f"{outcome.ending} refused:", outcome.refusal), soft_wrap=True)
    if outcome.rows:
        console.print(_proof(outcome))
    if not outcome.ok:
        return
    console.print(colored("green", f"{outcome.verdict}:", outcome.path), soft_wrap=True)
    sizes = f"{outcome.bytes / 1000:.1f} kB, the old file has {found.inside.bytes / 1000:.1f} kB"
    console.print(sizes)
    if outcome.note:
        console.print(colored("yellow", "note:", outcome.note), soft_wrap=True)
    if outcome.old_ms is not None and outcome.new_ms is not None:
        console.print(
            f"on this host, in turn: old {outcome.old_ms:.3f} ms, new {outcome.new_ms:.3f} ms"
        )
    if outcome.inside is not None:
        console.print(str(outcome.inside), soft_wrap=True)


def _proof(outcome: Outcome) -> Table:
    table = Table(title=f"Old file against {outcome.ending}")
    for name in ("inputs", "how many", "output", "largest difference", "relative", "equal", ""):
        table.add_column(name)
    for row in outcome.rows:
        table.add_row(
            row.inputs, str(row.many), row.output or "the answer", f"{row.largest:.1e}",
            f"{row.relative:.1e}", f"{row.equal:.1%}", str(row.verdict),
        )  # fmt: skip
    return table


def _overview(
    path: Path, results: list[tuple[Path, Rescued | None, str]], endings: tuple[str, ...]
) -> Table:
    table = Table(title=f"Model files in {path}")
    for name in ("file", "kB", "int8", *endings, "findings and refusals"):
        table.add_column(name, overflow="fold")
    for file, found, refusal in results:
        name = str(file.relative_to(path))
        if found is None:
            table.add_row(name, "", "", *("no" for _ in endings), refusal)
            continue
        made = {outcome.ending: outcome for outcome in found.outcomes}
        words = [finding.name for finding in found.findings]
        words += [refusal] if refusal else []
        words += [f"{one.ending}: {one.refusal}" for one in found.outcomes if one.refusal]

        def verdict(ending: str, made: dict[str, Outcome] = made) -> str:
            return str(made[ending].verdict) if ending in made and made[ending].ok else "no"

        table.add_row(
            name, f"{found.inside.bytes / 1000:.1f}", found.inside.quantization,
            *map(verdict, endings), "; ".join(words) or "none",
        )  # fmt: skip
    return table


# --- for scripts --------------------------------------------------------------------------------


def _document(file: Path, found: Rescued | None, refusal: str) -> dict[str, Any]:
    """One file's part of the JSON document."""
    if found is None:
        return {"file": str(file), "ok": False, "refusal": refusal}
    return {
        "file": str(file),
        "ok": found.ok,
        "refusal": refusal,
        "contents": found.inside.as_dict(),
        "findings": [asdict(finding) for finding in found.findings],
        "example": found.example.text if found.example is not None else None,
        "state": [kept.as_dict() for kept in found.kept],
        "outcomes": [_as_json(outcome) for outcome in found.outcomes],
    }


def _as_json(outcome: Outcome) -> dict[str, Any]:
    rows = [
        {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in {**asdict(row), "verdict": str(row.verdict)}.items()
        }
        for row in outcome.rows
    ]
    return {
        "ending": outcome.ending,
        "path": str(outcome.path) if outcome.path else None,
        "verdict": str(outcome.verdict) if outcome.verdict else None,
        "refusal": outcome.refusal,
        "bytes": outcome.bytes,
        "note": outcome.note,
        "old_ms": outcome.old_ms,
        "new_ms": outcome.new_ms,
        "inside": str(outcome.inside) if outcome.inside else None,
        "rows": rows,
    }
