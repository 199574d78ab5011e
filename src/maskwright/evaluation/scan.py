"""One pass over the images of a split: each is predicted once, and all that is asked of it is gathered then.

Legend: K classes, C channels, H W sides.
"""

from __future__ import annotations

import math
import statistics
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from maskwright.evaluation.calibration import Calibrator
from maskwright.losses import Loss
from maskwright.metrics.counts import Counts, count_image
from maskwright.prediction.predictor import Predictor
from maskwright.prediction.writers import write_labels
from maskwright.runs import usable_cores

TIMED = 9  # images predicted while nothing else runs: one of warm-up, and those whose median is the latency
Image = tuple[str, np.ndarray, np.ndarray]


@dataclass
class Scan:
    """What is done with each image, and what was found; `seconds` are those of predictions that nothing else disturbed."""

    predictor: Predictor
    loss: Loss
    calibrator: Calibrator
    labels_folder: Path
    threshold: float | None
    boundary_width: int
    counts: list[Counts] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def look(self, images: Iterator[Image], total: int, progress: Callable[[int, int], None] | None = None) -> None:
        """Take every image: name, pixels H W C, mask H W.

        While one is looked at, the next is read and the labels are counted and written, on all cores. On a CPU a prediction
        waits until that is done, for it would take the cores from it; a GPU predicts on, a few images ahead of the counting.
        """
        ahead = 0 if self.predictor.device.type == "cpu" else 2 * usable_cores()
        with ThreadPoolExecutor(usable_cores(), "evaluate") as pool:
            waiting: deque[Future[Counts]] = deque()
            following = pool.submit(next, images, None)
            while (image := following.result()) is not None:
                name, pixels, mask = image
                undisturbed = not ahead or len(self.losses) < TIMED
                self._gather(waiting, 0 if undisturbed else ahead)
                started = time.perf_counter()
                logits = self.predictor.logits(pixels)
                labels = self.predictor.labels(logits, self.threshold)  # on the CPU, so the device has finished
                if undisturbed:
                    self.seconds.append(time.perf_counter() - started)
                following = pool.submit(next, images, None)
                waiting.append(pool.submit(self._look_at_labels, name, labels, mask))
                self._look_at_logits(logits, mask)
                if progress:
                    progress(len(self.losses), total)
            self._gather(waiting, 0)

    def _gather(self, waiting: deque[Future[Counts]], leave: int) -> None:
        while len(waiting) > leave:
            self.counts.append(waiting.popleft().result())

    def _look_at_logits(self, logits: torch.Tensor, mask: np.ndarray) -> None:
        """What needs probabilities, on the device, where they are. logits 1 K H W, mask H W uint8"""
        self.losses.append(float(self.loss(logits, torch.from_numpy(mask).to(logits.device).unsqueeze(0))))
        self.calibrator.add(logits, mask)

    def _look_at_labels(self, name: str, labels: np.ndarray, mask: np.ndarray) -> Counts:
        """What needs labels alone, on any thread. labels, mask H W uint8"""
        num_classes = self.predictor.classes.num_classes
        write_labels(self.labels_folder / f"{name}.png", labels, num_classes)
        return count_image(name, mask, labels, num_classes, self.boundary_width)

    @property
    def milliseconds_an_image(self) -> float:
        """The median of a prediction, from pixels to labels, the first left out; NaN when there is no other."""
        return 1000 * statistics.median(self.seconds[1:]) if len(self.seconds) > 1 else math.nan
