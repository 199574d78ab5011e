"""Values nobody drew: what soft borders, resizing and JPEG put between those of the classes; and taking it back.

Values are greys or class numbers, or colours as 0xRRGGBB; distances are those of greys, or of colours in RGB.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

MIXED = (
    0.6  # of a value's pixels lie between others: in 12 classes of street scenes, numbered at random, at most 0.29 do
)
# of the pixels: what is rarer and near nothing is what smoothing and JPEG left over
LEAST, LEAST_BLURRED = 0.0005, 0.01
_AROUND = 3  # pixels: how far a value's neighbours are looked for
_FAR = 24.0  # JPEG changes values by so much at most, far from borders
_MOST = 1024  # colours that are told apart one by one; the rarer ones are mixtures
_ENDS = 12  # colours whose mixtures are looked at
_LIKE = 5  # of a pixel and the eight around it
_MUCH_MORE = 10  # times as many pixels have each of the colours that JPEG mixed into one
_MANY = 8  # values near those of classes: fewer may have been drawn


@dataclass(frozen=True)
class Sorted:
    """Values by what they are: somebody's classes, mixtures of these, and what nothing explains. Each in order.

    `pixels` of a colour in JPEG are those of all that JPEG made of it.
    """

    classes: tuple[int, ...]
    mixed: tuple[int, ...]
    strange: tuple[int, ...]
    pixels: Mapping[int, int]


def lying_between(codes: np.ndarray, colours: bool) -> np.ndarray:
    """Pixels of each code between others: a lower and a higher one, or of colours, which have no order, any. → 256"""
    if colours:
        kernel = np.ones((3, 3), np.uint8)
        inside = cv2.erode(codes, kernel) == cv2.dilate(codes, kernel)
        return np.bincount(codes[~inside], minlength=256)
    kernel = np.ones((2 * _AROUND + 1, 2 * _AROUND + 1), np.uint8)
    return np.bincount(codes[(cv2.erode(codes, kernel) < codes) & (cv2.dilate(codes, kernel) > codes)], minlength=256)


def sort_values(
    totals: Mapping[int, int],
    between: Mapping[int, int],
    colours: bool,
    lossy: bool,
    known: Collection[int] | None = None,
) -> Sorted:
    """Which values are classes and which are mixtures. `known` are those that somebody has given a meaning."""
    pixels = max(1, sum(totals.values()))
    mixed: list[int] = []
    strange: list[int] = []
    if lossy and colours:
        totals, between, mixed = _gathered(totals, between, known or ())
    ordered = sorted(totals, key=lambda value: (-totals[value], value))
    classes = [value for value in ordered if known is not None and value in known]
    odd = [value for value in ordered if value not in classes]
    near = _near(odd, classes, colours)
    noisy = lossy or colours or len(near) >= _MANY
    for value in odd:
        few = totals[value] < LEAST * pixels
        is_mixed = between.get(value, 0) >= MIXED * totals[value]
        if known is not None:
            if is_mixed and colours and not lossy and not few:  # JPEG's lie beside the way from colour to colour, too
                is_mixed = _is_mixture(value, [*classes, *strange])
            (mixed if is_mixed or (noisy and (value in near or (few and not colours))) else strange).append(value)
            continue
        blurred = lossy and colours and not between.get(value)  # too many colours to see where each of them lies
        few = (lossy or colours) and totals[value] < (LEAST_BLURRED if blurred else LEAST) * pixels
        if (is_mixed or blurred) and colours:
            is_mixed = _is_mixture(
                value, [end for end in classes if not blurred or totals[end] >= _MUCH_MORE * totals[value]]
            )
        (mixed if few or is_mixed or (lossy and _near([value], classes, colours, _FAR)) else classes).append(value)
    return Sorted(tuple(sorted(classes)), tuple(sorted(mixed)), tuple(sorted(strange)), totals)


def snapped(raw: np.ndarray, targets: Sequence[int], colours: bool) -> np.ndarray:
    """Each pixel as one of the targets: plainly one, that; else the nearest of those around. H W → H W"""
    values, inverse = np.unique(raw, return_inverse=True)
    inverse = inverse.reshape(raw.shape)
    aims = np.array(sorted(targets))
    distances = _distances(values, aims, colours)  # U K
    chosen = distances.argmin(axis=1)[inverse]
    mixed = (distances.min(axis=1) > 0)[inverse]
    if mixed.any():
        near = (distances.min(axis=1) <= reach(targets, colours))[inverse]
        # near, with others like it around: alone it may be a mixture of two other classes
        for place in range(len(aims)):
            like = (near & (chosen == place)).astype(np.uint8)
            mixed &= (cv2.boxFilter(like, -1, (3, 3), normalize=False) < _LIKE) | (like == 0)
        rows, columns = np.nonzero(mixed)
        best = np.full(len(rows), np.inf, np.float32)
        kernel = np.ones((2 * _AROUND + 3, 2 * _AROUND + 3), np.uint8)
        for place in range(len(aims)):
            around = cv2.dilate(((chosen == place) & ~mixed).astype(np.uint8), kernel)[rows, columns] > 0
            away = np.where(around, distances[inverse[rows, columns], place], np.inf)
            nearer = away < best
            best[nearer] = away[nearer]
            chosen[rows[nearer], columns[nearer]] = place
    return aims.astype(raw.dtype)[chosen]


def apart(raw: np.ndarray, targets: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Colours with targets for what is near them, and which pixels are areas of others. H W → H W, H W bool"""
    values, inverse = np.unique(raw, return_inverse=True)
    distances = _distances(values, np.array(sorted(targets)), True)
    plain = distances.min(axis=1) <= reach(targets, True)
    folded = np.where(plain, np.array(sorted(targets))[distances.argmin(axis=1)], values).astype(raw.dtype)
    inverse = inverse.reshape(raw.shape)
    other = (~plain[inverse]).astype(np.uint8)
    return folded[inverse], cv2.morphologyEx(
        other, cv2.MORPH_OPEN, np.ones((2 * _AROUND + 1, 2 * _AROUND + 1), np.uint8)
    ) > 0


def reach(targets: Sequence[int], colours: bool) -> float:
    """How far from a target's value a pixel is plainly that: a quarter of the way to the next, at most what JPEG does.

    >>> reach([0, 128, 255], False), reach([0, 1, 2], False)
    (24.0, 0.25)
    """
    found = _distances(np.array(sorted(targets)), np.array(sorted(targets)), colours)
    apart_by = found[~np.eye(len(found), dtype=bool)]
    return min(_FAR, float(apart_by.min(initial=4 * _FAR)) / 4)


def _near(values: Sequence[int], targets: Sequence[int], colours: bool, far: float | None = None) -> set[int]:
    if not values or not targets:
        return set()
    within = _distances(np.array(values), np.array(targets), colours).min(axis=1) <= (far or reach(targets, colours))
    return {value for value, is_near in zip(values, within, strict=True) if is_near}


def _gathered(
    totals: Mapping[int, int], between: Mapping[int, int], known: Collection[int]
) -> tuple[dict[int, int], dict[int, int], list[int]]:
    """Colours as JPEG scatters them around the drawn ones: the pixels of each heap, and the colours that are in one."""
    values = sorted(totals, key=lambda value: (-totals[value], value))
    values = [value for value in totals if value in known] + [value for value in values if value not in known][:_MOST]
    counts = np.array([totals[value] for value in values], np.float64)
    alike = _distances(np.array(values), np.array(values), True) <= _FAR
    free = np.ones(len(values), bool)
    heaps: dict[int, int] = {}
    lying: dict[int, int] = {}
    while free.any():
        first = next((place for place in np.flatnonzero(free) if values[place] in known), None)
        centre = int(np.argmax(alike @ (counts * free) * free)) if first is None else int(first)
        inside = free & alike[centre]
        inside[centre] = True
        top = centre if first is not None else int(np.argmax(counts * inside))
        heaps[values[top]] = int(counts[inside].sum())
        lying[values[top]] = sum(between.get(values[place], 0) for place in np.flatnonzero(inside))
        free &= ~inside
    return heaps, lying, [value for value in totals if value not in heaps]


def _is_mixture(value: int, ends: Sequence[int]) -> bool:
    """Whether mixing two or three of some colours gives this one."""
    points = _points(np.array([value, *ends], np.int64), True)
    point, ends_at = points[0], points[1 : 1 + _ENDS]
    for some in itertools.chain(itertools.combinations(ends_at, 2), itertools.combinations(ends_at, 3)):
        sides = np.stack([end - some[0] for end in some[1:]], axis=1)
        parts = np.linalg.lstsq(sides, point - some[0], rcond=None)[0].clip(0, 1)
        if np.linalg.norm(sides @ (parts / max(1.0, parts.sum())) + some[0] - point) <= _FAR:
            return True
    return False


def _points(values: np.ndarray, colours: bool) -> np.ndarray:
    numbers = values.astype(np.int64)
    channels = [(numbers >> shift) & 255 for shift in (16, 8, 0)] if colours else [numbers]
    return np.stack(channels, axis=1).astype(np.float32)


def _distances(values: np.ndarray, targets: np.ndarray, colours: bool) -> np.ndarray:
    """U values, K targets → U K"""
    points = _points(values, colours)
    return np.stack([np.linalg.norm(points - aim, axis=1) for aim in _points(targets, colours)], axis=1)
