"""How big, how fast, how much memory, how accurate.

Nothing here is printed without being measured in the same call. Times come from
``torch.utils.benchmark`` (one thread unless you say otherwise, warm-up first, one call per
sample); peak memory from a process of its own; sizes from the file system.
Chapter 01 introduces each of these measures.
"""

from __future__ import annotations

from mobilelab.core.threads import POOL_THREADS  # and makes the pool
from mobilelab.measure import parity, report
from mobilelab.measure.clocks import CLOCK, Clock, clock
from mobilelab.measure.hosts import Host, host, on_this_host
from mobilelab.measure.memory import PeakMemory, peak_by_shape, peak_memories, peak_memory
from mobilelab.measure.records import Record, file_kb, record
from mobilelab.measure.running import Predict, accuracy, answers, scores, writes
from mobilelab.measure.timing import Ratio, Timing, latency, time_in_turn

__all__ = [
    "CLOCK", "POOL_THREADS", "Clock", "Host", "PeakMemory", "Predict", "Ratio", "Record", "Timing",
    "accuracy", "answers", "clock", "file_kb", "host", "latency", "on_this_host", "parity",
    "peak_by_shape", "peak_memories", "peak_memory", "record", "report", "scores", "time_in_turn",
    "writes",
]  # fmt: skip
