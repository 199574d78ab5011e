"""Which images the models disagree about, worst first: data for a gallery.

Legend: N images, K classes, m entries, H W an image's sides.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from maskwright.comparison.entries import Entry
from maskwright.data.dataset import IGNORE


def least_disputed(entries: Sequence[Entry]) -> np.ndarray:
    """The least share of each image's pixels on which entries must differ, by their counts (means over seeds). → N

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
