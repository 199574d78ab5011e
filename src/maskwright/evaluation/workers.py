"""Threads that look at predictions while others work, each computing alone."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import torch


@contextmanager
def lone_workers(num: int) -> Iterator[ThreadPoolExecutor]:
    """A pool of `num` threads in which torch uses one thread for an operation; elsewhere it uses as many as before.

    Operations that share the cores wait for each other's slowest part, at every one of them. And sums of one thread do not
    depend on how many cores there are.

    >>> with lone_workers(2) as pool:
    ...     pool.submit(torch.get_num_threads).result()
    1
    """
    before = torch.get_num_threads()
    ready = threading.Barrier(num + 1)

    def alone() -> None:
        torch.get_num_threads()  # a thread's first use of torch takes the number meant for all, so that comes before
        torch.set_num_threads(1)
        ready.wait()

    with ThreadPoolExecutor(num, "lone", alone) as pool:
        for _ in range(num):
            pool.submit(int)  # none is idle before all are ready, so each of these begins a thread
        ready.wait()
        torch.set_num_threads(before)  # setting it in a thread has set what new threads begin with
        yield pool
