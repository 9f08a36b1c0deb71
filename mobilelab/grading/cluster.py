"""The Dask cluster that grades: one that was named, or a local one."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import warnings
from collections.abc import Iterator
from typing import cast

import dask.config
from distributed import Client, LocalCluster

from mobilelab.core.errors import MobileLabError

#: Seconds that a scheduler may take to answer.
PATIENCE = 15


class SchedulerError(MobileLabError):
    """The Dask scheduler cannot be reached, or its workers do not fit this course."""


def threads_of(client: Client) -> dict[str, int]:
    """The threads of each worker, by its address."""
    return cast("dict[str, int]", client.nthreads())  # no coroutine: the client is not async


@contextlib.contextmanager
def connected(scheduler: str | None, workers: int | None, jobs: int) -> Iterator[Client]:
    """A Dask client: of the cluster that was named, or of a local one that ends with it."""
    dask.config.set(
        {
            "distributed.scheduler.allowed-failures": 3,
            # a notebook full of pictures is large, and is sent once
            "distributed.admin.large-graph-warning-threshold": "1GB",
        }
    )
    for name in ("distributed", "asyncio", "tornado"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    if scheduler is not None:
        try:
            client = Client(scheduler, timeout=PATIENCE, set_as_default=False)
        except (OSError, ValueError, TimeoutError, asyncio.TimeoutError) as error:
            raise SchedulerError(
                f"No Dask scheduler answers at {scheduler}; start one with `dask scheduler` and "
                "give the address that it prints."
            ) from error
        with client:
            if not client.nthreads():
                raise SchedulerError(
                    f"The scheduler at {scheduler} has no workers; start some with "
                    f"`dask worker {scheduler}` where this course is installed."
                )
            yield client
        return
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cluster = LocalCluster(
            n_workers=min(workers, jobs) if workers else 1,
            threads_per_worker=1 if workers else min(2 * (cores or 1), jobs),
            processes=bool(workers),
            dashboard_address=":0",  # any port that is free: another cluster may have 8787
            silence_logs=logging.CRITICAL,
        )
    with cluster, Client(cluster, set_as_default=False) as client:
        yield client
