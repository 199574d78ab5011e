"""`Counts`: per image × class × class confusion counts, the one currency of every metric, table and plot.

Legend: N images, K classes; `matrix[n, t, p]` is the number of pixels of truth t predicted as p.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from maskwright.data.dataset import IGNORE

BOUNDARY_SHARE = 0.02  # of the image's diagonal, as in the paper that named the measure (arXiv:2103.16562)
_EXACT = 1 << 24  # calcHist counts in float32, exact up to here; it is four times faster than bincount


@dataclass(frozen=True)
class Counts:
    """Confusion counts of each image, and the overlap of the class boundaries.

    matrix N K K, boundary_overlap N K, boundary_union N K, all int64
    """

    images: tuple[str, ...]
    matrix: np.ndarray
    boundary_overlap: np.ndarray
    boundary_union: np.ndarray

    @property
    def num_classes(self) -> int:
        return self.matrix.shape[1]

    def total(self) -> np.ndarray:
        """Confusion over all images, K K."""
        return self.matrix.sum(0)

    @classmethod
    def join(cls, parts: Sequence[Counts]) -> Counts:
        """Counts of several images or ranks as one."""
        return cls(
            tuple(name for part in parts for name in part.images),
            np.concatenate([part.matrix for part in parts]),
            np.concatenate([part.boundary_overlap for part in parts]),
            np.concatenate([part.boundary_union for part in parts]),
        )

    def save(self, path: Path) -> None:
        """Write as .npz."""
        with path.open("wb") as file:
            np.savez_compressed(file, images=np.array(self.images), matrix=self.matrix,
                                boundary_overlap=self.boundary_overlap, boundary_union=self.boundary_union)  # fmt: skip

    @classmethod
    def load(cls, path: Path) -> Counts:
        """Read what `save` wrote."""
        with np.load(path) as data:
            names = tuple(str(name) for name in data["images"])
            return cls(names, data["matrix"], data["boundary_overlap"], data["boundary_union"])


def count_image(name: str, truth: np.ndarray, labels: np.ndarray, num_classes: int) -> Counts:
    """Counts of one image at its own size. truth, labels H W uint8; truth may hold IGNORE."""
    overlap, union = _boundaries(truth, labels, num_classes)
    return Counts((name,), confusion(truth, labels, num_classes)[None], overlap[None], union[None])


def confusion(truth: np.ndarray, labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Pixels of truth t predicted as p, ignored pixels left out. uint8 arrays of one shape → K K int64.

    >>> confusion(np.array([[0, 1, 255]], np.uint8), np.array([[0, 0, 1]], np.uint8), 2).tolist()
    [[1, 0], [1, 0]]
    """
    assert truth.shape == labels.shape and truth.dtype == labels.dtype == np.uint8
    truth, labels = np.ascontiguousarray(truth).reshape(1, -1), np.ascontiguousarray(labels).reshape(1, -1)
    found = np.zeros((num_classes, num_classes), np.int64)
    bins, limits = [num_classes, num_classes], [0, num_classes, 0, num_classes]
    for start in range(0, truth.shape[1], _EXACT):
        planes = [truth[:, start : start + _EXACT], labels[:, start : start + _EXACT]]
        found += cv2.calcHist(planes, [0, 1], None, bins, limits).astype(np.int64)
    return found


def _boundaries(truth: np.ndarray, labels: np.ndarray, num_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Overlap and union of the inner boundary bands of each class; ignored pixels belong to neither."""
    height, width = truth.shape
    distance = max(1, round(BOUNDARY_SHARE * float(np.hypot(height, width))))
    valid = truth != IGNORE
    overlap, union = np.zeros(num_classes, np.int64), np.zeros(num_classes, np.int64)
    for index in np.union1d(np.unique(truth[valid]), np.unique(labels[valid])):
        ours, theirs = _band(labels == index, distance) & valid, _band(truth == index, distance) & valid
        overlap[index] = np.count_nonzero(ours & theirs)
        union[index] = np.count_nonzero(ours | theirs)
    return overlap, union


def _band(region: np.ndarray, distance: int) -> np.ndarray:
    """Pixels of a region within `distance` (chessboard) of its edge; the image's border counts as an edge."""
    kernel = np.ones((3, 3), np.uint8)
    padded = cv2.copyMakeBorder(region.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    core = cv2.erode(padded, kernel, iterations=distance)[1:-1, 1:-1]
    return region & (core == 0)
