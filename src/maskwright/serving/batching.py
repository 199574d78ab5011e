"""Images of one size that several requests have at hand are predicted together.

batcher = Batcher(network.forward)
with batcher.until(time.monotonic() + 30) as forward:   # in any thread
    predict_bands(read, height, width, view, forward)
"""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field

import numpy as np

from maskwright.data.tiles import Forward

_WINDOW = 0.005  # seconds that the first image waits for others, while there are other requests
_MOST_PIXELS = 1 << 21  # of a batch: eight images of 512 × 512


@dataclass(eq=False)
class _Job:
    images: np.ndarray  # N h w C
    result: Future[np.ndarray] = field(default_factory=Future)


class Batcher:
    """One thread that runs the network, for any number that ask; a network needn't be safe to call from several."""

    def __init__(
        self, forward: Forward, window: float = _WINDOW, most_pixels: int = _MOST_PIXELS,
        observe: Callable[[int], object] = lambda size: None,
    ) -> None:  # fmt: skip
        self._forward, self._window, self._most_pixels, self._observe = forward, window, most_pixels, observe
        self._jobs: list[_Job] = []
        self._users = 0
        self._closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="maskwright-batches", daemon=True)
        self._thread.start()

    @contextlib.contextmanager
    def until(self, deadline: float) -> Iterator[Forward]:
        """The network for one request; it raises TimeoutError once the deadline (of time.monotonic) has passed."""

        def forward(images: np.ndarray) -> np.ndarray:
            job = _Job(images)
            with self._changed:
                if self._closed:
                    raise TimeoutError("the server is stopping")
                self._jobs.append(job)
                self._changed.notify_all()
            try:
                return job.result.result(max(0.0, deadline - time.monotonic()))
            finally:
                job.result.cancel()  # nobody waits for it any more; without effect on one that is done

        with self._changed:
            self._users += 1
        try:
            yield forward
        finally:
            with self._changed:
                self._users -= 1
                self._changed.notify_all()

    def close(self) -> None:
        """End the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._jobs or self._closed)
                if not self._jobs:
                    return
                self._changed.wait_for(self._full, self._window)
                batch = self._take()
            if batch:
                self._observe(sum(len(job.images) for job in batch))
                self._run(batch)

    def _next(self) -> tuple[tuple[int, ...], int]:
        """The shape of the images that have waited longest, and how many of them make a batch."""
        shape = self._jobs[0].images.shape[1:]
        return shape, max(1, self._most_pixels // math.prod(shape[:2]))

    def _full(self) -> bool:
        """Whether waiting brings nothing: the batch is full, or everybody who is there waits for it."""
        shape, room = self._next()
        waiting = sum(len(job.images) for job in self._jobs if job.images.shape[1:] == shape)
        return self._closed or waiting >= room or len(self._jobs) >= self._users

    def _take(self) -> list[_Job]:
        """The first jobs of one shape that fit into a batch, those that were given up aside."""
        shape, room = self._next()
        batch: list[_Job] = []
        for job in list(self._jobs):
            if job.images.shape[1:] != shape or (batch and len(job.images) > room):
                continue
            self._jobs.remove(job)
            if job.result.set_running_or_notify_cancel():
                batch.append(job)
                room -= len(job.images)
        return batch

    def _run(self, batch: list[_Job]) -> None:
        try:
            images = batch[0].images if len(batch) == 1 else np.concatenate([job.images for job in batch])
            found = self._forward(images)
        except Exception as error:  # noqa: BLE001 - whoever asked gets it
            if len(batch) == 1:
                batch[0].result.set_exception(error)
            else:  # one request's failure, or a batch too large for memory, is not the others'
                for job in batch:
                    self._run([job])
            return
        at = 0
        for job in batch:
            job.result.set_result(found[at : at + len(job.images)])
            at += len(job.images)
