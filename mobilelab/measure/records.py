"""Everything that was measured about one variant, in one row."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mobilelab.core.errors import MeasureError
from mobilelab.core.quantity import Quantity
from mobilelab.core.trees import Tree
from mobilelab.datasets import Split
from mobilelab.measure.hosts import Host, host
from mobilelab.measure.memory import PeakMemory
from mobilelab.measure.parity import Verdict, compare
from mobilelab.measure.timing import Timing
from mobilelab.tasks import Classification, Task


def file_kb(path: str | Path) -> float:
    """Size of a file in kB (1 kB = 1000 bytes, as app stores and torch's own tables count).

    Raises:
        MeasureError: if there is no such file.

    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile() as file:
    ...     size = file.write(bytes(1500))
    ...     file.flush()
    ...     file_kb(file.name)
    1.5
    """
    try:
        return Path(path).stat().st_size / 1000
    except OSError as error:
        raise MeasureError(f"There is no file {path} to weigh; save the model first.") from error


@dataclass(frozen=True)
class Record:
    """One row of the course's table: a variant and everything measured about it.

    >>> import tempfile
    >>> scores, labels = torch.tensor([[0.1, 2.0], [5.0, 1.0]]), torch.tensor([1, 0])
    >>> with tempfile.NamedTemporaryFile(suffix=".pt") as file:
    ...     row = record("mine", file.name, scores, scores, labels, Timing((1.0, 1.2), threads=1))
    >>> str(row.verdict), row.quality, row.median_ms
    ('same', '100.0% right', 1.1)
    """

    variant: str
    chapter: str
    file: str
    file_kb: float
    rel_l2: float
    max_abs: float
    agreement: float
    verdict: Verdict
    accuracy: float | None
    """How good the answers are, in the unit of ``metric``; ``None`` without targets."""
    median_ms: float
    iqr_ms: float
    p95_ms: float
    threads: int
    peak_added_mib: float | None
    """MiB above bare torch; ``None`` where it was not measured."""
    peak_total_mib: float | None
    host: Host
    layout: str = "NCHW"
    """Memory format of the input that was timed: ``NCHW`` or ``channels_last``."""
    times_float: float | None = None
    """Time over the float model's in the same run (median of the pairs); ``None`` without one."""
    float_ms: float | None = None
    """Median time of the float model in the same run; ``None`` without one."""
    metric: Quantity = Classification.metric
    """What ``accuracy`` counts."""

    @property
    def quality(self) -> str:
        """``accuracy`` in words: "99.0% right" where it is a share of right answers."""
        if self.accuracy is None:
            return "not judged"
        text = self.metric.text(self.accuracy)
        return f"{text} right" if self.metric.name == "accuracy" else f"{self.metric.name} {text}"

    def as_dict(self) -> dict[str, object]:
        """The record as plain JSON values; infinity and NaN, which JSON has not, as words."""
        metric = {
            "metric": self.metric.name,
            "metric_unit": self.metric.unit,
            "metric_more_is_better": self.metric.more_is_better,
        }
        return {
            name: str(value) if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in {**asdict(self), **metric}.items()
        }


def record(
    variant: str,
    path: str | Path,
    outputs: Tree,
    reference: Tree,
    split: Split | Any,
    timing: Timing,
    *,
    task: Task | None = None,
    chapter: str = "",
    memory: PeakMemory | None = None,
    layout: str = "NCHW",
    float_timing: Timing | None = None,
) -> Record:
    """Put the figures of one variant into one row.

    Args:
        variant: name of the row.
        path: the saved file.
        outputs: the variant's answers, for example its scores on ``split``, ``(n, classes)``.
        reference: the float model's answers to the same examples.
        split: the targets, normally ``data.test`` with its labels; ``None`` if there are none.
        timing: from :func:`latency` or :func:`time_in_turn`.
        task: how answers are compared and judged; class scores without it.
        chapter: the chapter that builds the variant.
        memory: from :func:`peak_memory`, if it was measured.
        layout: memory format of the input that was timed.
        float_timing: the float model's time from the same :func:`time_in_turn` call; a budget
            that limits the time relative to the float model needs it.

    Raises:
        MeasureError: if the two timings were not taken in turn.
    """
    parity = compare(reference, outputs, task)
    judge = task or Classification()
    targets = split.labels if isinstance(split, Split) else split
    return Record(
        variant=variant,
        chapter=chapter,
        file=Path(path).name,
        file_kb=file_kb(path),
        rel_l2=parity.rel_l2,
        max_abs=parity.max_abs,
        agreement=parity.agreement,
        verdict=parity.verdict,
        accuracy=None if targets is None else judge.score(outputs, targets),
        median_ms=timing.median_ms,
        iqr_ms=timing.iqr_ms,
        p95_ms=timing.p95_ms,
        threads=timing.threads,
        peak_added_mib=memory.added_mib if memory else None,
        peak_total_mib=memory.total_mib if memory else None,
        host=host(),
        layout=layout,
        times_float=timing.ratio(float_timing).median if float_timing else None,
        float_ms=float_timing.median_ms if float_timing else None,
        metric=judge.metric,
    )
