"""What explorers measure with: a bar in the cell's output, and a part of the test images."""

from __future__ import annotations

import html
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from IPython.core.getipython import get_ipython
from IPython.display import display

from mobilelab.datasets import Split


def some(split: Split, most: int) -> Split:
    """About ``most`` of a split's images, evenly spaced, with their labels."""
    step = max(1, round(len(split) / most))
    return Split(split.raw[::step], split.images[::step], split.labels[::step])


@contextmanager
def bar(what: str, of: int) -> Iterator[Callable[[], None]]:
    """Show how far a measurement is; in its place stays a line that says what it took.

    Outside of a notebook nothing is shown.

    Args:
        what: what is measured, such as ``"pruned networks"``.
        of: how many steps there are.

    Yields:
        A function to be called after each step.
    """
    if get_ipython() is None:
        yield lambda: None
        return
    start, done = time.perf_counter(), 0
    handle = display(_shown(what, 0, of), raw=True, display_id=True)
    assert handle is not None  # asked for by display_id

    def step() -> None:
        nonlocal done
        done += 1
        handle.update(_shown(what, done, of), raw=True)

    yield step
    took = f"{of} {what} measured in {time.perf_counter() - start:.1f} s"
    handle.update({"text/plain": took}, raw=True)


def _shown(what: str, done: int, of: int) -> dict[str, str]:
    said = html.escape(f"{done} of {of} {what} measured")
    return {
        "text/plain": f"{done} of {of} {what} measured",
        "text/html": f"<progress value='{done}' max='{of}' aria-label='{said}'></progress> {said}",
    }
