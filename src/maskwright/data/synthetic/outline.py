"""Outlines of jigsaw pieces: four sides, each with a knob, a socket or none."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from maskwright.data.synthetic.texture import Points, at

_QUARTER = 0.5523  # handle length that makes a cubic Bezier a quarter circle
_STEPS = 14


@dataclass(frozen=True)
class Side:
    """One side from (0, 0) to (1, 0); lengths are shares of it, +y points out of the piece."""

    kind: int  # 1 knob, -1 socket, 0 straight
    centre: float
    neck: float
    head: float
    height: float
    fillet: float
    lean: float
    bow: float


def random_side(rng: np.random.Generator, kind: int) -> Side:
    """A side as a die might cut it."""
    head = rng.uniform(0.125, 0.18)
    return Side(
        kind=kind,
        centre=0.5 + rng.normal(0, 0.03),
        neck=head * rng.uniform(0.58, 0.8),
        head=head,
        height=rng.uniform(0.23, 0.31),
        fillet=rng.uniform(0.06, 0.11),
        lean=rng.normal(0, 0.018),
        bow=rng.normal(0, 0.006 if kind == 0 else 0.022),
    )


def random_outline(rng: np.random.Generator) -> Points:
    """Closed outline (N, 2), body about the unit square round (0, 0), y downwards, clockwise on the screen."""
    kinds = rng.choice((1, -1), 4)
    flat_sides = rng.choice(3, p=(0.72, 0.22, 0.06))  # inner piece, border piece, corner piece
    start = rng.integers(4)
    for step in range(flat_sides):
        kinds[(start + step) % 4] = 0
    if abs(kinds.sum()) == 4:
        kinds[start] *= -1  # four knobs or four sockets look like a mistake
    corners = np.array([(-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)]) + rng.normal(0, 0.022, (4, 2))
    parts = []
    for index, kind in enumerate(kinds):
        begin, end = corners[index], corners[(index + 1) % 4]
        along = end - begin
        outward = np.array([along[1], -along[0]])
        profile = _profile(random_side(rng, int(kind)))
        parts.append(begin + profile[:-1, :1] * along + profile[:-1, 1:] * outward)
    return _soften(np.concatenate(parts))


def _profile(side: Side) -> Points:
    """Points from (0, 0) to (1, 0) along a side."""
    t = np.linspace(0, 1, 4 * _STEPS)
    if side.kind == 0:
        points = np.stack([t, np.zeros_like(t)], 1)
    else:
        left = _half(side, side.neck, side.head)
        right = _half(side, side.neck, side.head)
        right[:, 0] *= -1
        points = np.concatenate([left, right[::-1][1:]])
        # Lean moves the head sideways and leaves the foot where it is.
        points[:, 0] += side.centre + side.lean * np.clip(points[:, 1] / side.height, 0, 1) ** 2
        points[:, 1] *= side.kind
        start, end = np.array([0.0, 0.0]), np.array([1.0, 0.0])
        points = np.concatenate([_line(start, points[0])[:-1], points, _line(points[-1], end)[1:]])
    points[:, 1] += 4 * side.bow * points[:, 0] * (1 - points[:, 0])
    return points


def _half(side: Side, neck: float, head: float) -> Points:
    """Left half of a knob, from where it leaves the side up to its top at x = 0."""
    waist, broad, top = 0.3 * side.height, 0.64 * side.height, side.height
    foot = np.array([-neck - side.fillet, 0.0])
    narrow, wide, crown = np.array([-neck, waist]), np.array([-head, broad]), np.array([0.0, top])
    up = np.array([0.0, 1.0])
    return np.concatenate(
        [
            _bezier(foot, foot + at(side.fillet * 0.8, 0), narrow - up * waist * 0.6, narrow),
            _bezier(narrow, narrow + up * (broad - waist) * 0.4, wide - up * (broad - waist) * 0.45, wide)[1:],
            _bezier(wide, wide + up * (top - broad) * _QUARTER, crown - at(head * _QUARTER, 0), crown)[1:],
        ]
    )


def _bezier(a: Points, b: Points, c: Points, d: Points) -> Points:
    t = np.linspace(0, 1, _STEPS)[:, None]
    return a * (1 - t) ** 3 + 3 * b * t * (1 - t) ** 2 + 3 * c * t**2 * (1 - t) + d * t**3


def _line(a: Points, b: Points) -> Points:
    t = np.linspace(0, 1, _STEPS)[:, None]
    return a * (1 - t) + b * t


def _soften(points: Points, count: int = 480, width: float = 0.016) -> Points:
    """Resample evenly and average along the outline: cut cardboard has no sharp corner."""
    closed = np.concatenate([points, points[:1]])
    travelled = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(closed, axis=0).T))])
    where = np.linspace(0, travelled[-1], count, endpoint=False)
    even = np.stack([np.interp(where, travelled, closed[:, axis]) for axis in (0, 1)], 1)
    sigma = width * count / travelled[-1]
    reach = int(np.ceil(3 * sigma))
    kernel = cv2.getGaussianKernel(2 * reach + 1, sigma)[:, 0]
    padded = np.concatenate([even[-reach:], even, even[:reach]])
    return np.stack([np.convolve(padded[:, axis], kernel, "valid") for axis in (0, 1)], 1)


def area(points: Points) -> float:
    """Area inside a closed outline."""
    x, y = points[:, 0], points[:, 1]
    return float(abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2)
