"""Which images the models disagree about, worst first: data for a gallery.

Legend: N images, K classes, m entries, H W an image's sides.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from maskwright.comparison.entries import Comparison, Entry
from maskwright.data.dataset import IGNORE
from maskwright.metrics.scores import headline

# an image's name → its mask and a label map of each entry, in the entries' order
ReadLabels = Callable[[str], tuple[np.ndarray, Sequence[np.ndarray]]]


@dataclass(frozen=True)
class Disagreement:
    """How far apart the entries are on one image.

    `pixels` is the share of its scored pixels they do not all agree on; read from counts it is the least that share can
    be (`is_exact` False). `scores` is each entry's IoU there, `spread` the highest less the lowest of them.
    """

    image: str
    pixels: float
    is_exact: bool
    spread: float
    scores: dict[str, float]


def disagreement(comparison: Comparison, read_labels: ReadLabels | None = None) -> tuple[Disagreement, ...]:
    """Every image, the one with most pixels in dispute first, then by the spread of IoU.

    Counts alone give an order at once; `read_labels` gives the exact share at the price of reading the label maps.
    """
    scores = {entry.name: _image_scores(entry) for entry in comparison.entries}
    least = least_disputed(comparison.entries) if comparison.entries else np.zeros(len(comparison.images))
    found = []
    for index, image in enumerate(comparison.images):
        share = disputed_share(*read_labels(image)) if read_labels else float(least[index])
        row = {name: float(values[index]) for name, values in scores.items()}
        finite = [value for value in row.values() if math.isfinite(value)]
        spread = max(finite) - min(finite) if finite else math.nan
        found.append(Disagreement(image, share, read_labels is not None, spread, row))
    return tuple(sorted(found, key=lambda one: (-one.pixels, -one.spread if math.isfinite(one.spread) else 0.0)))


def least_disputed(entries: Sequence[Entry]) -> np.ndarray:
    """The least share of each image's pixels on which entries must differ, going by their counts (means over seeds). → N

    Two label maps of one image can agree on no more pixels than their counts have in common.
    """
    matrices = [np.mean([counts.matrix for counts in entry.counts], axis=0) for entry in entries]  # m × N K K
    pixels = np.maximum(1, matrices[0].sum((1, 2)))
    least = np.zeros(len(pixels))
    for ours, theirs in combinations(matrices, 2):
        np.maximum(least, np.abs(ours - theirs).sum((1, 2)) / 2, out=least)
    return least / pixels


def disputed(labels: Sequence[np.ndarray]) -> np.ndarray:
    """How many label maps differ from the commonest label of each pixel; 0 where all agree. uint8 maps H W → H W uint8

    >>> disputed([np.array([[0, 1]], np.uint8), np.array([[0, 1]], np.uint8), np.array([[0, 2]], np.uint8)]).tolist()
    [[0, 1]]
    """
    stack = np.stack(labels)
    most = np.zeros(stack.shape[1:], np.uint8)
    for label in np.unique(stack):
        np.maximum(most, np.count_nonzero(stack == label, axis=0).astype(np.uint8), out=most)
    return np.uint8(len(stack)) - most


def disputed_share(mask: np.ndarray, labels: Sequence[np.ndarray]) -> float:
    """The share of scored pixels on which not all label maps agree; 0 where nothing is scored."""
    scored = mask != IGNORE
    return float((disputed(labels)[scored] > 0).mean()) if scored.any() else 0.0


def _image_scores(entry: Entry) -> np.ndarray:
    """IoU of each image, the mean over the seeds that have one. → N"""
    each = np.stack([headline(counts.matrix, counts.boundary_overlap, counts.boundary_union)["iou"] for counts in entry.counts])
    finite = np.isfinite(each)
    total = np.where(finite, each, 0).sum(0)
    return np.divide(total, finite.sum(0), out=np.full(len(total), math.nan), where=finite.any(0))
