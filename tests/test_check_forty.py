"""Each kind of network ends with its known outcome on every road.

The roads of ExecuTorch and LiteRT take most of the time: without ``MOBILELAB_EVERY_ROAD=1`` one in
:data:`EVERY` networks walks them.
"""

import os
import warnings
from pathlib import Path

import msgspec
import pytest
import torch
from forty import FORTY, trained

from mobilelab.check import roads, runner, work
from mobilelab.check.launcher import Outcome

TABLE = msgspec.toml.decode(Path(__file__).with_name("forty.toml").read_bytes())
#: Roads that take seconds each for the smallest network.
LONG = ("et-portable", "et-xnnpack", "et-int8", "litert", "litert-int8")
EVERY = 15


class Here:
    """Works on jobs in this process, as the launcher's own do, and takes no times."""

    def __init__(self, *_):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def at_once(self, _):
        return 1  # two would share torch's settings

    def stop(self):
        pass

    def run(self, name, job, deadline, memory_mib):
        if job["kind"] in ("time", "peak"):
            return Outcome("done", {}, 0.0, 0.0, 0.0)
        threads = torch.get_num_threads()
        try:
            with warnings.catch_warnings():
                return Outcome("done", work.main(job), 0.0, 0.0, 0.0)
        finally:
            torch.set_num_threads(threads)


def walked(road, name):
    if road.name in ("phone", "npu"):  # test_check.py and test_npu.py have them
        return False
    asked = os.environ.get("MOBILELAB_EVERY_ROAD") == "1" or list(TABLE).index(name) % EVERY == 0
    return asked or road.name not in LONG


def expected(name, road):
    """The outcome in the table; what it does not say is the usual one."""
    return TABLE[name].get(road.name, "same" if road.exact else "close")


def outcome(row):
    """A row in words: the verdict or the status, and the causes told."""
    causes = ", ".join(reason.cause for reason in row.reasons if reason.cause)
    return (row.verdict or row.status) + (f": {causes}" if causes else "")


def test_the_table_has_each_network_and_known_roads():
    known = {road.name for road in roads.ROADS} | {"network"}
    assert list(TABLE) == list(FORTY) and len(FORTY) >= 40
    assert all(set(row) <= known for row in TABLE.values())
    lines = [line for row in TABLE.values() for line in row.values()]
    assert not [line for line in lines if line in ("refused", "DIFFERENT")]  # each has a cause


@pytest.mark.slow
@pytest.mark.parametrize("name", FORTY)
def test_a_network_ends_as_it_is_known_to(name, monkeypatch):
    monkeypatch.setattr(runner, "Launcher", Here)
    kind = FORTY[name]
    torch.manual_seed(0)
    model, given = trained(kind.build()), kind.examples()
    chosen = [road for road in roads.ROADS if walked(road, name)]
    report = runner.check(model, given, kind.task, names=[road.name for road in chosen])
    told = ", ".join(reason.cause for reason in report.reasons)
    found = {"network": told, **{row.road: outcome(row) for row in report.rows}}
    wanted = {road.name: expected(name, road) for road in chosen}
    assert found == {"network": TABLE[name].get("network", ""), **wanted}
