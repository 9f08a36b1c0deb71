"""Each kind of network ends with its known outcome on every road."""

import warnings

from mobilelab.check import runner, work
from mobilelab.check.launcher import Outcome


class Here:
    """Works on jobs in this process, and takes no times."""

    def __init__(self, *_):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def run(self, name, job, deadline, memory_mib):
        if job["kind"] in ("time", "peak"):
            return Outcome("done", {}, 0.0, 0.0, 0.0)
        with warnings.catch_warnings():
            return Outcome("done", work.main(job), 0.0, 0.0, 0.0)
