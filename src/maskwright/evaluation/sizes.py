"""How well objects are found, by class and size, with the interval of the share of their pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from maskwright.evaluation.intervals import draw, num_units, score_interval
from maskwright.metrics.counts import Counts
from maskwright.metrics.objects import SIZES

Rows = dict[str, list[dict[str, Any]]]


def by_size(counts: Counts, names: Sequence[str], groups: Sequence[str | None] | None = None, seed: int = 0) -> Rows:
    """For each class (the foreground alone when binary) and size: objects, objects found, pixels, and the share of them
    found.

    `recall` is of pixels and its 95 % `interval` rests on the same resamples as those of the other scores.
    """
    groups = groups or [None] * len(counts.images)
    units = num_units(groups)
    tallies = counts.objects.sum(0)
    pooled = draw(groups, seed=seed) @ counts.objects[..., 2:].reshape(len(groups), -1).astype(float)
    pooled = pooled.reshape(-1, *tallies.shape[:2], 2)
    recalls = np.divide(
        pooled[..., 1], pooled[..., 0], out=np.full(pooled.shape[:-1], np.nan), where=pooled[..., 0] > 0
    )
    first = 1 if counts.num_classes == 2 else 0
    return {
        name: [
            _row(size, tallies[index, place], score_interval(recalls[:, index, place], units))
            for place, size in enumerate(SIZES)
        ]
        for index, name in enumerate(names)
        if index >= first
    }


def in_words(rows: Rows) -> str:
    """All classes together, on one line; empty without objects."""
    lines = []
    for place, size in enumerate(SIZES):
        cells = [sizes[place] for sizes in rows.values()]
        objects, found = (sum(cell[key] for cell in cells) for key in ("objects", "found"))
        if objects:
            lines.append(f"{size} {found:,} of {objects:,}")
    return f"objects found: {', '.join(lines)}" if lines else ""


def _row(size: str, tallies: np.ndarray, interval: tuple[float, float]) -> dict[str, Any]:
    objects, found, pixels, hits = tallies.tolist()
    low, high = SIZES[size]
    return {
        "size": size, "from": low, "to": high, "objects": objects, "found": found, "pixels": pixels,
        "recall": hits / pixels if pixels else float("nan"), "interval": list(interval),
    }  # fmt: skip
