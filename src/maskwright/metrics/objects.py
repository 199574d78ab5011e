"""How much of each object of the truth was found, by the object's size.

An object is a connected part (by sides or corners) of the pixels of one class in the truth; ignored pixels are part of
none. It is found when at least half of its pixels are predicted as its class.
"""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np

# of an object's pixels: from, to (exclusive); the bounds of COCO, 32 and 96 squared
SIZES: dict[str, tuple[int, int | None]] = {"small": (0, 32**2), "medium": (32**2, 96**2), "large": (96**2, None)}
TALLIES = ("objects", "found", "pixels", "hits")
_BOUNDS = [end for _, end in SIZES.values() if end]


def count_objects(truth: np.ndarray, labels: np.ndarray, num_classes: int, present: Iterable[int]) -> np.ndarray:
    """Of the classes `present`: objects, objects found, their pixels, and those of them predicted right, by size.

    truth, labels H W uint8 → K 3 4 int64, in the order of SIZES and TALLIES
    """
    found = np.zeros((num_classes, len(SIZES), len(TALLIES)), np.int64)
    for index in present:
        region = (truth == index).view(np.uint8)
        left, top, wide, high = cv2.boundingRect(region)
        if not wide:
            continue
        box = np.s_[top : top + high, left : left + wide]
        num, parts, stats, _ = cv2.connectedComponentsWithStats(np.ascontiguousarray(region[box]), connectivity=8)
        pixels = stats[1:, cv2.CC_STAT_AREA].astype(np.int64)
        missed = np.flatnonzero(region[box].view(bool) & (labels[box] != index))
        hits = pixels - np.bincount(parts.ravel()[missed], minlength=num)[1:]
        size = np.searchsorted(_BOUNDS, pixels, side="right")
        for column, tally in enumerate((np.ones(num - 1), 2 * hits >= pixels, pixels, hits)):
            found[index, :, column] = np.bincount(size, tally, len(SIZES))
    return found
