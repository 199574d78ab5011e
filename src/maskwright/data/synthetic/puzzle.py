"""Photographs of jigsaw pieces on a table, with their mask: four sides, each with a knob, a socket or none."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from maskwright.data.synthetic.prints import random_print
from maskwright.data.synthetic.tables import random_table
from maskwright.data.synthetic.texture import (
    Bytes,
    Floats,
    Light,
    Points,
    as_rgb,
    at,
    coverage,
    indoor_light,
    jitter_colour,
    mix,
    photograph,
    ramp,
    smooth_noise,
)

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


_REACH = 0.86  # the picture covers the piece's own coordinates -0.86..0.86: body and knobs
_HIDDEN_SHARE = 0.36


@dataclass(frozen=True)
class _Piece:
    """A piece where it lies: homography from its own coordinates to pixels, outline in pixels, size of its body."""

    matrix: np.ndarray
    outline: Points
    side: float


def generate(rng: np.random.Generator, height: int, width: int) -> tuple[Bytes, Bytes]:
    """One photograph H W 3 and its mask H W with 255 on the pieces."""
    unit = min(height, width) / 384
    picture = random_table(rng, height, width)
    light = indoor_light(rng, height, width)
    hidden = picture.mean((0, 1)) if rng.random() < _HIDDEN_SHARE else None
    covered = np.zeros((height, width), np.float32)
    for cell in _cells(rng, height, width):
        covered = np.maximum(covered, _paint(rng, picture, _place(rng, *cell), light, hidden))
    picture *= light.field
    picture += np.float32(rng.uniform(2, 12))  # stray light in the lens: no true black
    blur = rng.uniform(0.45, 1.0) * max(unit, 0.6)
    photo = photograph(rng, picture, blur, rng.uniform(2.0, 5.0), int(rng.integers(80, 95)))
    return photo, np.where(covered >= 0.5, 255, 0).astype(np.uint8)


def _cells(rng: np.random.Generator, height: int, width: int) -> list[tuple[float, float, float, float]]:
    """Boxes (left, top, width, height), one for each piece: mostly one, sometimes two or three."""
    count = rng.choice((1, 2, 3), p=(0.74, 0.18, 0.08))
    whole = (0.0, 0.0, float(width), float(height))
    if count == 1:
        return [whole]
    first, second = _halves(whole, rng.uniform(0.44, 0.56))
    return [first, second] if count == 2 else [first, *_halves(second, 0.5)]


def _halves(box: tuple[float, float, float, float], share: float) -> list[tuple[float, float, float, float]]:
    """Cut a box across its longer side."""
    left, top, width, height = box
    if width >= height:
        return [(left, top, width * share, height), (left + width * share, top, width * (1 - share), height)]
    return [(left, top, width, height * share), (left, top + height * share, width, height * (1 - share))]


def _place(rng: np.random.Generator, left: float, top: float, width: float, height: float) -> _Piece:
    """Turn, tilt and size a random piece so that it lies within a box."""
    outline = random_outline(rng)
    angle = rng.integers(4) * np.pi / 2 + (rng.normal(0, 0.16) if rng.random() < 0.7 else rng.uniform(-0.8, 0.8))
    stretch = np.diag([rng.uniform(0.9, 1.12), rng.uniform(0.9, 1.12), 1.0])
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    lens = np.eye(3)
    lens[2, :2] = rng.normal(0, 0.05, 2)  # a camera held not quite straight above
    matrix = lens @ turn @ stretch
    flat = _project(matrix, outline)
    spans = np.ptp(flat, axis=0)
    wanted = np.sqrt(rng.uniform(0.27, 0.4) * width * height / area(flat))
    scale = min(wanted, 0.92 * width / spans[0], 0.92 * height / spans[1])
    # What room is left decides how far from the middle of its box the piece may lie.
    room = np.array([width, height]) - scale * spans
    corner = np.array([left, top]) + room * (0.5 + np.clip(rng.normal(0, 0.2, 2), -0.42, 0.42))
    shift = corner - scale * flat.min(0)
    to_pixels = np.array([[scale, 0, shift[0]], [0, scale, shift[1]], [0, 0, 1]])
    return _Piece(to_pixels @ matrix, flat * scale + shift, float(scale))


def _project(matrix: np.ndarray, points: Points) -> Points:
    homogeneous = np.concatenate([points, np.ones((len(points), 1))], 1) @ matrix.T
    return homogeneous[:, :2] / homogeneous[:, 2:]


def _paint(rng: np.random.Generator, picture: Floats, piece: _Piece, light: Light, hidden: Floats | None) -> Floats:
    """Draw a piece and its shadow onto the table; returns the share of each pixel it covers."""
    thickness = piece.side * rng.uniform(0.008, 0.02)
    rows, columns, piece = _window(piece, picture.shape, margin=6 * thickness + 3)
    part = picture[rows, columns]
    height, width = part.shape[:2]
    view = rng.normal(0, 0.5, 2)
    lean = thickness * view / max(1.0, float(np.hypot(*view)))  # how far the foot of the edge shows from under the top
    walls = [piece.outline + lean * step for step in np.linspace(0, 1, 4)]
    top, whole = coverage(walls[:1], height, width), coverage(walls, height, width)
    _cast_shadow(rng, part, whole, light, thickness)
    face = _shade(rng, _printed(rng, piece, height, width, hidden), top, light, thickness)
    facing = float(np.dot(lean, light.toward)) / thickness
    wall = jitter_colour(rng, (132, 122, 110), 10) * np.float32(0.72 + 0.3 * facing)
    body = mix(wall, face, top / np.maximum(whole, np.float32(1e-6)))
    part[:] = mix(part, body, whole)
    covered = np.zeros(picture.shape[:2], np.float32)
    covered[rows, columns] = whole
    return covered


def _window(piece: _Piece, shape: tuple[int, ...], margin: float) -> tuple[slice, slice, _Piece]:
    """The rows and columns a piece and its shadow touch, and the piece as seen from their corner."""
    left, top = np.maximum(np.floor(piece.outline.min(0) - margin), 0).astype(int)
    right, bottom = np.ceil(piece.outline.max(0) + margin).astype(int)
    shift = np.array([[1.0, 0, -left], [0, 1.0, -top], [0, 0, 1.0]])
    moved = _Piece(shift @ piece.matrix, piece.outline - (left, top), piece.side)
    return slice(top, min(bottom, shape[0])), slice(left, min(right, shape[1])), moved


def _printed(rng: np.random.Generator, piece: _Piece, height: int, width: int, hidden: Floats | None) -> Floats:
    """The print as the camera sees it: composed on a square, then carried along with the piece."""
    side = int(np.clip(2 * _REACH * piece.side, 24, 1400))
    flat = random_print(rng, side, hidden)
    # Pixel centres of the square → the piece's coordinates, the picture upright on any of the four sides.
    step = 2 * _REACH / side
    cos, sin = ((1, 0), (0, 1), (-1, 0), (0, -1))[rng.integers(4)]
    middle = (side - 1) / 2
    centred = np.array([[1, 0, -middle], [0, 1, -middle], [0, 0, 1]])
    to_piece = np.array([[cos * step, -sin * step, 0], [sin * step, cos * step, 0], [0, 0, 1]]) @ centred
    return cv2.warpPerspective(
        flat, piece.matrix @ to_piece, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )


def _cast_shadow(rng: np.random.Generator, picture: Floats, whole: Floats, light: Light, thickness: float) -> None:
    """Dark seam where the piece touches the table, and a soft shadow away from the lamp."""
    reach = thickness * rng.uniform(1.0, 2.4)
    move = np.array([[1, 0, -light.toward[0] * reach], [0, 1, -light.toward[1] * reach]], np.float32)
    size = (picture.shape[1], picture.shape[0])
    cast = cv2.GaussianBlur(cv2.warpAffine(whole, move, size), (0, 0), max(0.6, 0.8 * reach * light.softness))
    seam = cv2.GaussianBlur(whole, (0, 0), max(0.6, 0.6 * thickness))
    dark = np.minimum(np.float32(rng.uniform(0.25, 0.5)) * cast + np.float32(rng.uniform(0.12, 0.26)) * seam, 0.7)
    picture *= cv2.merge([1 - dark, 1 - 0.98 * dark, 1 - 0.95 * dark])


def _shade(rng: np.random.Generator, face: Floats, top: Floats, light: Light, thickness: float) -> Floats:
    """Bend the print down at the rim: bright towards the lamp, dark away from it; a sheen across the middle."""
    height, width = top.shape
    soft = cv2.GaussianBlur(top, (0, 0), max(0.7, 0.5 * thickness))
    slope_x, slope_y = cv2.Sobel(soft, cv2.CV_32F, 1, 0), cv2.Sobel(soft, cv2.CV_32F, 0, 1)
    # `soft` falls outwards, so a rim that faces the lamp has a slope against the lamp's direction.
    facing = -(slope_x * light.toward[0] + slope_y * light.toward[1]) * np.float32(0.25 * max(1.0, thickness))
    rim = 1 - ramp(soft, 0.45, 0.98)
    shade = 1 - np.float32(rng.uniform(0.06, 0.18)) * rim + np.float32(rng.uniform(0.25, 0.45)) * facing
    gloss = np.float32(rng.uniform(20, 70)) * np.sqrt(np.maximum(facing, 0)) ** 3 * 1.6
    sheen = np.float32(rng.uniform(0, 12)) * ramp(smooth_noise(rng, height, width, max(height, width) / 2), -0.5, 1.5)
    return face * as_rgb(shade.astype(np.float32)) + as_rgb(gloss + sheen)
