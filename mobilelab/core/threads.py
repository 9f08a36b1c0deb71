"""The pool of threads of the mobile kernels: one thread, unless a process is started for more.

QNNPACK's and XNNPACK's kernels run in a pool of threads that torch makes once per process, as
large as the number of threads at that moment, and never resizes. Made at two threads it goes on
using two when torch is set to one. To let "one thread" mean one thread for them as well, the pool
is made as soon as this module is imported. What times such kernels (``measure``) and what loads a
file for them (``runtimes.lite``) import it before anything is computed.
"""

from __future__ import annotations

import os

import torch

#: Environment variable: the size of the pool in a process that is started to measure at more.
POOL_THREADS = "MOBILELAB_POOL_THREADS"


def _size_the_mobile_pool() -> int:
    """Make the pool and say how many threads it has; torch's own number stays as it was."""
    size = int(os.environ.get(POOL_THREADS, "1"))
    threads = torch.get_num_threads()
    torch.set_num_threads(size)
    torch.set_num_threads(threads)
    return size


#: Threads in the pool of this process, as long as it lives.
POOL_SIZE = _size_the_mobile_pool()
