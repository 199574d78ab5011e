"""How far a score could lie from here with other images of the same kind: bootstrap over images."""

from __future__ import annotations

import numpy as np

from maskwright.metrics.counts import Counts
from maskwright.metrics.scores import headline

RESAMPLES = 1000
LEVEL = 0.95


def intervals(counts: Counts, seed: int = 0) -> dict[str, list[float]]:
    """The 95 % interval of each headline score, resampling images with replacement."""
    num_images = len(counts.images)
    rng = np.random.default_rng(seed)
    draws = rng.multinomial(num_images, np.full(num_images, 1 / num_images), size=RESAMPLES)  # how often each image is drawn
    pooled = np.tensordot(draws, counts.matrix, axes=1)
    scores = headline(pooled, draws @ counts.boundary_overlap, draws @ counts.boundary_union)
    tail = 50 * (1 - LEVEL)
    found: dict[str, list[float]] = {}
    for name, values in scores.items():
        kept = values[~np.isnan(values)]
        found[name] = [float(bound) for bound in np.percentile(kept, [tail, 100 - tail])] if kept.size else [float("nan")] * 2
    return found
