"""What was found out: one row for each road, and the report, as JSON with a schema."""

from __future__ import annotations

from typing import Any

import msgspec

from mobilelab.check.diagnosis import Reason

#: Version of the JSON. It grows by one whenever a field changes its meaning or goes away.
SCHEMA = 1
#: How a road can end.
STATUSES = ("done", "refused", "not for this network", "not installed", "needs another road",
            "crashed", "too long", "too much memory")  # fmt: skip


class Row(msgspec.Struct, kw_only=True):
    """One road."""

    road: str
    title: str = ""
    status: str = "done"
    """One of :data:`STATUSES`."""
    exact: bool = True
    """Whether the road computes in float, so that the answers have to be the same."""
    verdict: str = ""
    """``same``, ``close`` or ``DIFFERENT``; empty where there is no file or no comparison."""
    rel_l2: float | None = None
    """Relative L2 error of the worst leaf; ``None`` also where it is infinite."""
    max_abs: float | None = None
    leaf: str = ""
    """Path of the worst leaf, where there are several."""
    agreement: float | None = None
    """Share of decisions, 0 to 1, that both take alike."""
    how: str = ""
    file: str = ""
    file_kb: float | None = None
    """1 kB = 1000 bytes."""
    score: float | None = None
    """In the unit of the report's metric; ``None`` without targets."""
    score_loss: float | None = None
    """How much worse than the network itself, in the same unit; negative if better."""
    median_ms: float | None = None
    iqr_ms: float | None = None
    """Width of the middle half of the times."""
    p95_ms: float | None = None
    times_eager: float | None = None
    """Time over the network's own, taken in turn: the median of the pairs."""
    times_low: float | None = None
    """``times_low`` to ``times_high`` is a 95 % interval of that median."""
    times_high: float | None = None
    peak_added_mib: float | None = None
    """Peak memory that loading and running the file adds, in MiB."""
    seconds: float = 0.0
    """How long the road took."""
    cpu_seconds: float | None = None
    """What the processor worked for it."""
    export_peak_mib: float = 0.0
    """Largest resident memory on the way, in MiB."""
    reasons: list[Reason] = []
    """Why it ended, or what is wrong although it did not."""

    @property
    def usable(self) -> bool:
        """Whether there is a file whose answers may be used in the network's place."""
        return self.status == "done" and self.verdict in ("same", "close")


def loss(score: float, own: float, more_is_better: bool) -> float:
    """How much worse a score is than the network's own, in their unit; negative if better."""
    return own - score if more_is_better else score - own


class Report(msgspec.Struct, kw_only=True):
    """Everything about one model."""

    schema: int = SCHEMA
    model: str
    versions: str
    host: dict[str, Any] = {}
    signature: str = ""
    """Inputs and answers in words."""
    examples: int = 0
    task: str = ""
    metric: str = ""
    metric_unit: str = ""
    """``%`` for a share, 0 to 1."""
    metric_more_is_better: bool = True
    score: float | None = None
    """The network's own."""
    eager_ms: float | None = None
    """The network's own median time at one thread in milliseconds."""
    parameters: int = 0
    weights_kb: float = 0.0
    reasons: list[Reason] = []
    """What is to be known of the network whatever the road."""
    rows: list[Row] = []
    advice: str = ""
    seconds: float = 0.0

    def row(self, road: str) -> Row:
        """The row of one road.

        Raises:
            KeyError: if it was not walked.
        """
        found = {row.road: row for row in self.rows}
        return found[road]

    def json(self) -> str:
        """As JSON; an error that is no finite number is null."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2).decode()


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a report."""
    return msgspec.json.schema(Report)
