"""How well the outlines of the classes agree in one image: boundary IoU, boundary F and HD95, as counts and distances.

Three conventions hold for all of them. The edge of a region is those of its pixels that have one of their four
neighbours outside it. The image's border is an edge. Ignored pixels are taken to be what was predicted there: then no
edge arises where ignoring begins, and what cannot be known never counts against a prediction; edges in ignored pixels
are not scored.

Legend: K classes, H W sides.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from maskwright.data.dataset import IGNORE

BOUNDARY_SHARE = 0.02  # of the image's diagonal, as in the paper that named boundary IoU (arXiv:2103.16562)
BOUNDARY_WIDTH = 3  # pixels; the strictest of the widths in use for street scenes (arXiv:1907.05740)
_SQUARE = np.ones((3, 3), np.uint8)
_CROSS = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
_REACH = 31  # pixels searched about a point before the whole plane of distances is computed
_WIDE = 32  # from this distance on a sum over a box is faster than an erosion


@dataclass(frozen=True)
class Outlines:
    """Counts of one image: overlap K and union K of the bands of boundary IoU; the first of two is the prediction's,
    the second truth's: near K 2 edge pixels within the width of the other's edge, edge K 2 all of them; hd95 K in
    pixels.
    """

    overlap: np.ndarray
    union: np.ndarray
    near: np.ndarray
    edge: np.ndarray
    hd95: np.ndarray


def compare_outlines(
    truth: np.ndarray, labels: np.ndarray, num_classes: int, present: np.ndarray, width: int = BOUNDARY_WIDTH
) -> Outlines:
    """Compare the outlines of the classes `present` (their numbers). truth, labels H W uint8; truth may hold IGNORE"""
    band = max(1, round(BOUNDARY_SHARE * math.hypot(*truth.shape)))
    valid = (truth != IGNORE).view(np.uint8)
    all_valid = bool(valid.all())
    filled = truth if all_valid else np.where(valid, truth, labels)
    overlap, union = np.zeros(num_classes, np.int64), np.zeros(num_classes, np.int64)
    near, edge = np.zeros((num_classes, 2), np.int64), np.zeros((num_classes, 2), np.int64)
    hd95 = np.full(num_classes, np.nan)
    for index in present:
        regions = [(found == index).view(np.uint8) for found in (labels, filled)]
        left, top, wide, high = cv2.boundingRect(regions[0] | regions[1])
        box = np.s_[top : top + high, left : left + wide]
        regions = [np.ascontiguousarray(region[box]) for region in regions]
        known = None if all_valid else valid[box]
        ours, theirs = (_known(region - _core(region, band), known) for region in regions)
        overlap[index], union[index] = np.count_nonzero(ours & theirs), np.count_nonzero(ours | theirs)
        edges = [region - _eroded(region, _CROSS) for region in regions]
        points = [_where(_known(found, known)) for found in edges]
        edge[index] = [len(found) for found in points]
        if not (regions[0].any() and regions[1].any()):
            hd95[index] = math.hypot(*truth.shape)
            continue
        distances = [distances_to(edges[1 - side], points[side], width) for side in (0, 1)]
        near[index] = [np.count_nonzero(found <= width) for found in distances]
        hd95[index] = max((_percentile(found) for found in distances if len(found)), default=math.nan)
    return Outlines(overlap, union, near, edge, hd95)


def distances_to(edge: np.ndarray, points: np.ndarray, width: float = 0, share: float = 0.95) -> np.ndarray:
    """Distance of each point to the nearest pixel of an edge that has some, Euclidean and exact.

    edge H W uint8, points are flat indices into it. Points further than the `share`-th percentile and further than
    `width` may be given as infinitely far: neither that percentile nor what lies within the width depends on them.

    >>> distances_to(np.array([[1, 0, 0], [0, 0, 0]], np.uint8), np.array([2, 4]), share=1).tolist()
    [2.0, 1.4142135623730951]
    """
    side = edge.shape[1]
    # the percentile lies below so many of them
    can_wait = max(0, len(points) - 2 - math.floor(share * (len(points) - 1)))
    column = _rows_away(edge).ravel()
    y, x = np.divmod(points, side)
    away = column[points].astype(np.int64)
    squared = np.where(away <= _REACH, away**2, np.iinfo(np.int64).max)
    open_ = np.flatnonzero(squared > 0)
    for step in range(1, _REACH + 1):
        open_ = open_[squared[open_] > step * step]
        if len(open_) <= can_wait and step > width:
            distances = np.sqrt(squared.astype(float))
            distances[open_] = math.inf
            return distances
        start = y[open_] * side
        for shifted in (x[open_] - step, x[open_] + step):
            # beyond the border stands the border's own column, looked at before from nearer by
            away = column[start + np.clip(shifted, 0, side - 1)].astype(np.int64)
            found = np.where(away <= _REACH, away**2 + step * step, np.iinfo(np.int64).max)
            squared[open_] = np.minimum(squared[open_], found)
    plane = cv2.distanceTransform(1 - edge, cv2.DIST_L2, cv2.DIST_MASK_PRECISE).ravel()[points].astype(float)
    # its last bits differ from call to call; squares are whole numbers, which float32 tells apart up to a distance of
    # 1000
    return np.where(plane < 1000, np.sqrt(np.rint(plane**2)), np.round(plane, 2))


def _rows_away(edge: np.ndarray) -> np.ndarray:
    """How many rows each pixel is from an edge pixel in its column, up to _REACH; more stands for further. H W uint8"""
    away = np.where(edge, np.uint8(0), np.uint8(200))  # 200 + 16 is still a byte
    step = 1
    while step <= min(_REACH, len(edge) - 1):  # every number up to 31 is a sum of some of 1, 2, 4, 8, 16
        next_ = away.copy()
        np.minimum(next_[step:], away[:-step] + np.uint8(step), out=next_[step:])
        np.minimum(next_[:-step], away[step:] + np.uint8(step), out=next_[:-step])
        away, step = next_, 2 * step
    return away


def _core(region: np.ndarray, distance: int) -> np.ndarray:
    """Pixels of a region further than `distance` (chessboard) from what is outside it. H W uint8 of 0 and 1"""
    if distance < _WIDE:
        return _eroded(region, _SQUARE, distance)
    side = 2 * distance + 1
    inside = cv2.boxFilter(region, cv2.CV_32S, (side, side), normalize=False, borderType=cv2.BORDER_CONSTANT)
    return (inside == side * side).view(np.uint8)


def _eroded(region: np.ndarray, kernel: np.ndarray, times: int = 1) -> np.ndarray:
    return cv2.erode(region, kernel, iterations=times, borderType=cv2.BORDER_CONSTANT, borderValue=0)


def _known(region: np.ndarray, known: np.ndarray | None) -> np.ndarray:
    return region if known is None else region & known


def _where(region: np.ndarray) -> np.ndarray:
    """Flat indices of the ones in H W uint8; numpy looks for True six times faster than for a byte that isn't 0."""
    return np.flatnonzero(region.view(bool))


def _percentile(distances: np.ndarray) -> float:
    return float(np.percentile(distances, 95))
