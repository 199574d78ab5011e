"""Outlines to pixels: a pixel is inside when its centre is, by the even-odd rule.

Coordinates are x, y with 0, 0 at the upper left corner of the first pixel, whose centre is at 0.5, 0.5. A centre
exactly on an outline's left or upper side is inside, on its right or lower side outside: neighbours share no pixel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_MOST_CROSSINGS = 1 << 24  # of edges and rows: of a traced outline there are as many as it is long


@dataclass(frozen=True)
class Patch:
    """The part of a picture an object lies in: its first row and column, and which pixels are inside. → H W bool"""

    top: int
    left: int
    inside: np.ndarray

    @property
    def place(self) -> tuple[slice, slice]:
        """Where it lies in the picture."""
        height, width = self.inside.shape
        return slice(self.top, self.top + height), slice(self.left, self.left + width)


def fill(points: np.ndarray, height: int, width: int) -> Patch:
    """Pixels of a picture whose centre an outline encloses. N 2 → patch

    >>> fill(np.array([[1, 0], [3, 0], [3, 1], [1, 1]]), 2, 4)
    Patch(top=0, left=1, inside=array([[ True,  True]]))
    """
    start = np.asarray(points, np.float64).reshape(-1, 2)
    end = np.roll(start, -1, axis=0)
    down = (start[:, 1] <= end[:, 1])[:, None]  # always from the upper end: neighbours round a shared edge alike
    start, end = np.where(down, start, end), np.where(down, end, start)
    # the rows whose centre line an edge crosses: first, and one past the last
    first = np.clip(np.ceil(start[:, 1] - 0.5), 0, height).astype(int)
    past = np.clip(np.ceil(end[:, 1] - 0.5), 0, height).astype(int)
    count = past - first
    if count.sum() > _MOST_CROSSINGS:
        raise ValueError(f"an outline that crosses {count.sum():,} rows, which no object does")
    edge = np.repeat(np.arange(len(start)), count)
    if not edge.size:
        return Patch(0, 0, np.zeros((0, 0), bool))
    row = np.arange(len(edge)) - np.repeat(np.cumsum(count) - count, count) + first[edge]
    slope = (end[edge, 0] - start[edge, 0]) / (end[edge, 1] - start[edge, 1])
    column = np.clip(np.ceil(start[edge, 0] + (row + 0.5 - start[edge, 1]) * slope - 0.5), 0, width).astype(int)
    top, left = int(row.min()), int(column.min())
    # each crossing turns everything to its right over: what was turned an odd number of times is inside
    turns = np.zeros((int(row.max()) + 1 - top, int(column.max()) + 1 - left), np.int32)
    np.add.at(turns, (row - top, column - left), 1)
    return Patch(top, left, (np.cumsum(turns, axis=1)[:, :-1] % 2).astype(bool))


def disc(centre: tuple[float, float], radius: float, height: int, width: int) -> Patch:
    """Pixels whose centre lies in a circle around x, y."""
    top, left = (max(0, int(np.floor(part - radius))) for part in (centre[1], centre[0]))
    y = np.arange(top, min(height, int(np.ceil(centre[1] + radius)))) + 0.5
    x = np.arange(left, min(width, int(np.ceil(centre[0] + radius)))) + 0.5
    return Patch(top, left, (x[None] - centre[0]) ** 2 + (y[:, None] - centre[1]) ** 2 <= radius**2)


def joined(patches: Sequence[Patch]) -> Patch:
    """Everything that lies in any of the patches."""
    patches = [patch for patch in patches if patch.inside.size]
    if len(patches) <= 1:
        return patches[0] if patches else Patch(0, 0, np.zeros((0, 0), bool))
    top, left = min(patch.top for patch in patches), min(patch.left for patch in patches)
    bottom, right = max(patch.place[0].stop for patch in patches), max(patch.place[1].stop for patch in patches)
    inside = np.zeros((bottom - top, right - left), bool)
    for patch in patches:
        inside[Patch(patch.top - top, patch.left - left, patch.inside).place] |= patch.inside
    return Patch(top, left, inside)


def cropped(inside: np.ndarray) -> Patch:
    """The smallest patch that holds everything inside. H W bool → patch"""
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    if not len(rows):
        return Patch(0, 0, np.zeros((0, 0), bool))
    part = inside[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return Patch(int(rows[0]), int(columns[0]), np.ascontiguousarray(part))
