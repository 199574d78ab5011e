"""`Counts`: per image × class × class confusion counts, the one currency of every metric, table and plot.

Legend: N images, K classes; `matrix[n, t, p]` is the number of pixels of truth t predicted as p.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from maskwright.errors import RunError
from maskwright.files import refuse_no_file
from maskwright.metrics.boundaries import BOUNDARY_WIDTH, compare_outlines
from maskwright.metrics.objects import SIZES, TALLIES, count_objects

_EXACT = 1 << 24  # calcHist counts in float32, exact up to here; it is four times faster than bincount


_MOST = 2**53
_FIRST = ("matrix", "boundary_overlap", "boundary_union")
# arrays that came later: what stands for them in files from before, when nothing of it was counted
_LATER = {
    "boundary_near": (2,),
    "boundary_edge": (2,),
    "objects": (len(SIZES), len(TALLIES)),
    "hd95": (),
    "diagonal": (),
}
_UNCOUNTED = np.zeros(0)


@dataclass(frozen=True)
class Counts:
    """Confusion counts of each image, and how its outlines and objects fared.

    matrix N K K, boundary_overlap N K, boundary_union N K; boundary_near N K 2 and boundary_edge N K 2: edge pixels
    within `boundary_width` pixels of the other's edge, and all of them, of the prediction and of truth; objects N K 3
    4: by size, objects, found, pixels, hits; all int64. hd95 N K float, NaN where there is none; diagonal N float, each
    image's, NaN where it was not kept. A width of 0: outlines were not counted.
    """

    images: tuple[str, ...]
    matrix: np.ndarray
    boundary_overlap: np.ndarray
    boundary_union: np.ndarray
    boundary_near: np.ndarray = field(default_factory=_UNCOUNTED.copy)
    boundary_edge: np.ndarray = field(default_factory=_UNCOUNTED.copy)
    objects: np.ndarray = field(default_factory=_UNCOUNTED.copy)
    hd95: np.ndarray = field(default_factory=_UNCOUNTED.copy)
    diagonal: np.ndarray = field(default_factory=_UNCOUNTED.copy)
    boundary_width: int = 0

    def __post_init__(self) -> None:
        """What was not counted is zeros of the right shape (NaN for distances), whose scores are undefined."""
        for name, shape in _LATER.items():
            if not getattr(self, name).size:
                full = self.matrix.shape[:1] if name == "diagonal" else (*self.matrix.shape[:2], *shape)
                empty = np.full(full, np.nan) if name in ("hd95", "diagonal") else np.zeros(full, np.int64)
                object.__setattr__(self, name, empty)

    @property
    def num_classes(self) -> int:
        return self.matrix.shape[1]

    def total(self) -> np.ndarray:
        """Confusion over all images, K K."""
        return self.matrix.sum(0)

    @classmethod
    def join(cls, parts: Sequence[Counts]) -> Counts:
        """Counts of several images or ranks as one."""
        assert len({part.boundary_width for part in parts}) == 1, "outlines are counted at one width"
        names = tuple(name for part in parts for name in part.images)
        arrays = {name: np.concatenate([getattr(part, name) for part in parts]) for name in (*_FIRST, *_LATER)}
        return cls(names, **arrays, boundary_width=parts[0].boundary_width)

    def save(self, path: Path) -> None:
        """Write as .npz."""
        arrays = {name: getattr(self, name) for name in (*_FIRST, *_LATER)}
        with path.open("wb") as file:
            np.savez_compressed(
                file, images=np.array(self.images), boundary_width=np.array(self.boundary_width), **arrays
            )

    @classmethod
    def load(cls, path: Path) -> Counts:
        """Read what `save` wrote, now or before outlines and objects were counted."""
        refuse_no_file(path)
        try:
            with path.open("rb") as file, np.load(file) as data:
                names = tuple(str(name) for name in data["images"])
                arrays = {name: data[name] for name in (*_FIRST, *_LATER) if name in data}
                counts = cls(
                    names, **arrays, boundary_width=int(data["boundary_width"]) if "boundary_width" in data else 0
                )
            wrong = counts._first_wrong()
        except Exception as error:  # noqa: BLE001 - numpy and zipfile raise whatever they stumble over
            raise RunError(
                f"`{path}` must hold the counts of an evaluation; {error}. Remove it, and evaluate again."
            ) from None
        if wrong:
            raise RunError(
                f"`{path}` must hold the counts of an evaluation; {wrong} is none. Remove it, and evaluate again."
            )
        return counts

    def _first_wrong(self) -> str | None:
        """An array that counts nothing: of another shape or kind than the others ask for, or with numbers below 0."""
        num, classes = len(self.images), self.matrix.shape[1]
        shapes = {"matrix": (num, classes, classes), **dict.fromkeys(_FIRST[1:], (num, classes))}
        shapes |= {name: (num,) if name == "diagonal" else (num, classes, *shape) for name, shape in _LATER.items()}
        for name, shape in shapes.items():
            array = getattr(self, name)
            kind = "f" if name in ("hd95", "diagonal") else "i"
            if array.shape != shape or array.dtype.kind != kind or (array < 0).any() or (array > _MOST).any():
                return name
        return None if 0 <= self.boundary_width <= _MOST and len(set(self.images)) == num else "images"


def count_image(
    name: str, truth: np.ndarray, labels: np.ndarray, num_classes: int, boundary_width: int = BOUNDARY_WIDTH
) -> Counts:
    """Counts of one image at its own size. truth, labels H W uint8; truth may hold IGNORE."""
    matrix = confusion(truth, labels, num_classes)
    of_truth, of_either = np.flatnonzero(matrix.sum(1)), np.flatnonzero(matrix.sum(0) + matrix.sum(1))
    of_truth = of_truth[of_truth > 0] if num_classes == 2 else of_truth  # what is left of the foreground is no object
    lines = compare_outlines(truth, labels, num_classes, of_either, boundary_width)
    objects = count_objects(truth, labels, num_classes, of_truth)
    return Counts((name,), matrix[None], lines.overlap[None], lines.union[None], lines.near[None], lines.edge[None],
                  objects[None], lines.hd95[None], np.array([math.hypot(*truth.shape)]), boundary_width)  # fmt: skip


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
