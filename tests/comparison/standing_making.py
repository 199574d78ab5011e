"""Comparisons with made-up counts, for the tests of what is read from them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from maskwright.comparison.entries import Comparison, Cost, Entry, Failure
from maskwright.metrics.counts import Counts
from maskwright.runs import Run

PIXELS = 20_000  # of an image


def counts(hits: Sequence[float], missed: Sequence[float], false: Sequence[float]) -> Counts:
    """Two classes, pixels of the foreground hit, missed and falsely found in each image; boundaries a tenth of them.

    Of 100 edge pixels on either side as many are near as the image's IoU says; outlines lie a pixel apart for each
    wrong hundred.
    """
    hits, missed, false = (np.asarray(part).round().astype(np.int64) for part in (hits, missed, false))
    matrix = np.stack([np.stack([PIXELS - hits - missed - false, false], -1), np.stack([missed, hits], -1)], 1)
    overlap, union = np.stack([hits, hits], -1) // 10, np.stack([hits + missed + false] * 2, -1) // 10
    near = np.round(100 * hits / np.maximum(1, hits + missed + false)).astype(np.int64)
    near, edge = (np.stack([np.stack([part] * 2, -1)] * 2, 1) for part in (near, np.full_like(near, 100)))
    hd95 = np.stack([(missed + false) / 100.0] * 2, -1)
    names = tuple(f"image{index}" for index in range(len(hits)))
    return Counts(names, matrix, overlap, union, near, edge, hd95=hd95, boundary_width=3)


def simulated(
    rng: np.random.Generator, num_images: int, shifts: Sequence[float], num_seeds: int = 1
) -> list[tuple[Counts, ...]]:
    """Counts of each seed of each entry: shared difficulty of images, each run's own part, and a shift in logits."""
    pixels, difficulty = rng.uniform(2000, 8000, num_images), rng.normal(2, 0.8, num_images)
    entries = []
    for shift in shifts:
        shares = [1 / (1 + np.exp(-(difficulty + shift + rng.normal(0, 0.3, num_images)))) for _ in range(num_seeds)]
        entries.append(tuple(counts(pixels * q, pixels * (1 - q), pixels * 0.2 * (1 - q)) for q in shares))
    return entries


def comparison(
    entries: Sequence[Sequence[Counts]], *, names: Sequence[str] | None = None, vals: Sequence[float] | None = None,
    groups: Sequence[str | None] | None = None, failures: Sequence[Failure] = (), split: str = "test",
    costs: Sequence[Cost] | None = None, monitor: str = "val_iou",
) -> Comparison:  # fmt: skip
    """Entries of counts, named entry0, entry1, …, validation and costs rising with the number."""
    images = entries[0][0].images if entries else ()
    made = tuple(
        Entry(
            names[number] if names else f"entry{number}",
            {},
            (Run(Path("nowhere")),) * len(runs),
            tuple(runs),
            ((vals[number] if vals else 0.5 + number / 100),) * len(runs),
            costs[number] if costs else Cost(1_000_000 * (number + 1), 1e9 * (number + 1), 10.0, 2.5),
        )
        for number, runs in enumerate(entries)
    )
    return Comparison(split, ("background", "piece"), images, tuple(groups or [None] * len(images)), made,
                      tuple(failures), monitor=monitor)  # fmt: skip
