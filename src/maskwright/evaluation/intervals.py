"""How far a score could lie from here with other images of the same kind: bootstrap over images."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from maskwright.metrics.counts import Counts
from maskwright.metrics.scores import summary

RESAMPLES = 1000
LEVEL = 0.95


def intervals(counts: Counts, names: tuple[str, ...], seed: int = 0) -> dict[str, list[float]]:
    """The 95 % interval of each headline score, resampling images with replacement."""
    num_images = len(counts.images)
    rng = np.random.default_rng(seed)
    draws = rng.multinomial(num_images, np.full(num_images, 1 / num_images), size=RESAMPLES)  # how often each image is drawn
    pooled = np.einsum("rn,nij->rij", draws, counts.matrix)
    overlap, union = draws @ counts.boundary_overlap, draws @ counts.boundary_union
    rows = [
        summary(replace(counts, images=("",), matrix=pooled[r : r + 1], boundary_overlap=overlap[r : r + 1],
                        boundary_union=union[r : r + 1]), names).metrics
        for r in range(RESAMPLES)
    ]  # fmt: skip
    tail = 50 * (1 - LEVEL)
    found: dict[str, list[float]] = {}
    for name in rows[0]:
        values = np.array([row[name] for row in rows])
        kept = values[~np.isnan(values)]
        found[name] = [float(bound) for bound in np.percentile(kept, [tail, 100 - tail])] if kept.size else [float("nan")] * 2
    return found
