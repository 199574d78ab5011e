"""One pass over the images of a split: each is predicted once, and all that is asked of it is gathered then.

Legend: K classes, C channels, H W sides.
"""

from __future__ import annotations

import itertools
import math
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from maskwright.data.dataset import IGNORE
from maskwright.evaluation.calibration import Calibrator
from maskwright.losses import Loss
from maskwright.metrics.counts import Counts, count_image
from maskwright.prediction.predictor import Predictor
from maskwright.prediction.writers import write_labels
from maskwright.runs import usable_cores


@contextmanager
def single_threaded_pool(num: int) -> Iterator[ThreadPoolExecutor]:
    """A pool of `num` threads in which torch uses one thread for an operation; elsewhere it uses as many as before.

    Operations that share the cores wait for each other's slowest part, at every one of them. And sums of one thread do
    not depend on how many cores there are.

    >>> with single_threaded_pool(2) as pool:
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


Image = tuple[str, np.ndarray, np.ndarray]
_Loss = Future[float | None]


@dataclass
class Scan:
    """What is done with each image, and what was found; `last` are the pixels of the last one."""

    predictor: Predictor
    loss: Loss
    calibrator: Calibrator
    labels_folder: Path
    threshold: float | None
    boundary_width: int
    counts: list[Counts] = field(default_factory=list)
    losses: list[float | None] = field(default_factory=list)  # None where nothing is labelled
    last: np.ndarray | None = field(default=None, repr=False)

    def look(self, images: Iterator[Image], total: int, progress: Callable[[int, int], None] | None = None) -> None:
        """Take every image: name, pixels H W C, mask H W.

        While one is looked at the next is read, each part of that in a thread of its own. On a CPU a prediction waits
        until that is done, for it would take the cores from it; a GPU predicts on, a few images ahead of the counting.
        """
        on_cpu = self.predictor.device.type == "cpu"
        ahead = 0 if on_cpu else 2 * usable_cores()
        with single_threaded_pool(usable_cores()) as pool:
            waiting: deque[tuple[Future[Counts], _Loss]] = deque()
            following = pool.submit(next, images, None)
            for done in itertools.count():
                image = following.result()
                self._gather(waiting, 0 if image is None else ahead)
                if progress and done:
                    progress(done, total)
                if image is None:
                    return
                name, pixels, mask = image
                self.last = pixels
                logits = self.predictor.logits(pixels)
                labels = self.predictor.labels(logits, self.threshold)
                found = pool.submit(self._look_at_labels, name, labels, mask)
                loss = (
                    pool.submit(self._look_at_logits, logits, mask)
                    if on_cpu
                    else _done(self._look_at_logits(logits, mask))
                )
                waiting.append((found, loss))
                following = pool.submit(next, images, None)

    def _gather(self, waiting: deque[tuple[Future[Counts], _Loss]], leave: int) -> None:
        while len(waiting) > leave:
            found, loss = waiting.popleft()
            self.counts.append(found.result())
            self.losses.append(loss.result())

    def _look_at_logits(self, logits: torch.Tensor, mask: np.ndarray) -> float | None:
        """What needs probabilities, on the device, where they are; image by image. logits 1 K H W, mask H W uint8"""
        if (mask == IGNORE).all():
            return None
        self.calibrator.add(logits, mask)
        return float(self.loss(logits, torch.from_numpy(mask).to(logits.device).unsqueeze(0)))

    def _look_at_labels(self, name: str, labels: np.ndarray, mask: np.ndarray) -> Counts:
        """What needs labels alone, on any thread. labels, mask H W uint8"""
        num_classes = self.predictor.classes.num_classes
        write_labels(self.labels_folder / f"{name}.png", labels, num_classes)
        return count_image(name, mask, labels, num_classes, self.boundary_width)

    @property
    def mean_loss(self) -> float:
        """The mean over images that are labelled anywhere: where nothing is, a loss of zero would flatter."""
        known = [loss for loss in self.losses if loss is not None]
        return sum(known) / len(known) if known else math.nan


def _done(value: float | None) -> _Loss:
    """What is known already, in the form of what is waited for."""
    future: _Loss = Future()
    future.set_result(value)
    return future
