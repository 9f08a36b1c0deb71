"""Names of classes: read from a command line, and looked at before they go into a project."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mobilelab.apps import AppError


def check_labels(labels: Sequence[str]) -> None:
    """Refuse names that a file with one on each line cannot hold.

    Raises:
        AppError: for an empty name, or one with a line break.
    """
    if not all(label.strip() and label.isprintable() for label in labels):
        raise AppError("A label is empty or holds a line break; give one name for each class.")


def read_labels(given: str | None) -> tuple[str, ...] | None:
    """Labels from a command line: a text file with one on each line, or names between commas.

    Raises:
        AppError: if the file cannot be read.
    """
    if given is None:
        return None
    path = Path(given)
    if "," in given and not path.is_file():
        return tuple(name.strip() for name in given.split(","))
    try:
        return tuple(line for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
    except (OSError, UnicodeDecodeError) as error:
        raise AppError(
            f"Cannot read labels from {given}; give a text file with one name on each line, or the "
            "names with commas between them."
        ) from error
