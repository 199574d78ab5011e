"""Building blocks the demo pictures share: noise, anti-aliased shapes, light, and what a camera does to all of them.

Pictures are `float32` arrays H W 3 with values 0..255 until `photograph` turns them into `uint8`.
Points are (x, y) with the top left corner of the picture at (0, 0) and pixel i covering [i, i + 1).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

Floats = np.ndarray  # float32, H W or H W 3
Bytes = np.ndarray  # uint8, H W or H W 3
Points = np.ndarray  # float64, N x (x, y) or one (x, y)
Colour = np.ndarray | tuple[float, ...]  # red, green, blue

SUPERSAMPLING = 4
_SHIFT = 4  # fractional bits OpenCV keeps of a drawn point


def white_noise(rng: np.random.Generator, *shape: int) -> Floats:
    """Independent values with mean 0 and deviation 1.

    The sum of two dice of 256 faces: as good as normal to the eye and ten times as quick.
    """
    dice = np.frombuffer(rng.bytes(2 * math.prod(shape)), np.uint8).reshape(2, *shape)
    return (dice[0].astype(np.float32) + dice[1] - np.float32(255)) * np.float32(1 / 104.51)


def smooth_noise(rng: np.random.Generator, height: int, width: int, cell: float | tuple[float, float]) -> Floats:
    """Noise whose bumps are about `cell` pixels wide; a pair (down, across) stretches them."""
    down, across = cell if isinstance(cell, tuple) else (cell, cell)
    rows = max(2, round(height / max(down, 1.0)) + 1)
    columns = max(2, round(width / max(across, 1.0)) + 1)
    # Wide bumps are drawn at a quarter of the size first: nobody sees the straight lines between those points.
    inner = (max(1, width // 4) if across >= 12 else width, max(1, height // 4) if down >= 12 else height)
    noise = cv2.resize(white_noise(rng, rows, columns), inner, interpolation=cv2.INTER_CUBIC)
    return noise if inner == (width, height) else cv2.resize(noise, (width, height), interpolation=cv2.INTER_LINEAR)


def fractal_noise(
    rng: np.random.Generator,
    height: int,
    width: int,
    cell: float | tuple[float, float],
    octaves: int = 4,
    gain: float = 0.55,
) -> Floats:
    """Sum of ever finer `smooth_noise`, scaled to a standard deviation near 1."""
    down, across = cell if isinstance(cell, tuple) else (cell, cell)
    total = smooth_noise(rng, height, width, (down, across))
    weight, power = gain, 1.0
    for octave in range(1, octaves):
        total += weight * smooth_noise(rng, height, width, (down / 2**octave, across / 2**octave))
        power += weight**2
        weight *= gain
    return total * np.float32(1.35 / np.sqrt(power))


def as_rgb(plane: Floats) -> Floats:
    """H W → H W 3, the same value in each colour; far faster to compute with than a broadcast last axis."""
    return cv2.merge([plane, plane, plane])


def mix(low: Colour, high: Colour, amount: Floats | float) -> Floats:
    """`low` where `amount` is 0, `high` where it is 1; each a colour or a picture, the amount a number or H W."""
    start, stop, share = (np.asarray(value, np.float32) for value in (low, high, amount))
    if share.ndim == 2 and start.ndim == stop.ndim == 1:
        return cv2.merge([a + (b - a) * share for a, b in zip(start, stop, strict=True)])
    mixed = np.asarray(stop - start, np.float32)  # in place from here: new arrays of this size cost more than sums
    mixed *= as_rgb(share) if share.ndim == 2 else share
    mixed += start
    return mixed


def ramp(values: Floats, start: float, stop: float) -> Floats:
    """0 below `start`, 1 above `stop`, a smooth step between."""
    share = np.clip((values - np.float32(start)) / np.float32(stop - start), 0, 1)
    return share * share * (3 - 2 * share)


def colour(*rgb: float) -> Floats:
    """One colour as an array."""
    return np.array(rgb, np.float32)


def jitter_colour(rng: np.random.Generator, rgb: Colour, spread: float = 8.0) -> Floats:
    """A neighbour of a colour: mostly brighter or darker, a little of another hue."""
    moved = np.asarray(rgb, np.float32) + rng.normal(0, spread) + white_noise(rng, 3) * np.float32(0.4 * spread)
    return np.clip(moved, 4, 252).astype(np.float32)


def coordinates(height: int, width: int) -> tuple[Floats, Floats]:
    """Row vector of x and column vector of y of the pixel centres; they broadcast against each other."""
    return np.arange(width, dtype=np.float32)[None] + 0.5, np.arange(height, dtype=np.float32)[:, None] + 0.5


def fixed_point(points: Points, scale: int = 1) -> np.ndarray:
    """Points as OpenCV wants them: integer pixel centres, `_SHIFT` fractional bits."""
    return np.rint((np.asarray(points, np.float64) * scale - 0.5) * (1 << _SHIFT)).astype(np.int32)


def coverage(polygons: list[Points], height: int, width: int) -> Floats:
    """Share of each pixel that lies in the union of the polygons: exact to 1/16, drawn at four times the size."""
    canvas = np.zeros((height * SUPERSAMPLING, width * SUPERSAMPLING), np.uint8)
    for points in polygons:
        cv2.fillPoly(canvas, [fixed_point(points, SUPERSAMPLING)], 255, shift=_SHIFT)
    return cv2.resize(canvas, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32) / np.float32(255)


def at(x: float, y: float) -> Points:
    """One point or step."""
    return np.array((x, y), np.float64)


def fill(canvas: Bytes, points: Points, rgb: Colour) -> None:
    """Fill a polygon, edges anti-aliased."""
    cv2.fillPoly(canvas, [fixed_point(points)], [float(v) for v in rgb], cv2.LINE_AA, _SHIFT)


def stroke(canvas: Bytes, points: Points, rgb: Colour, thickness: float) -> None:
    """Draw an open line through the points, edges anti-aliased."""
    cv2.polylines(
        canvas, [fixed_point(points)], False, [float(v) for v in rgb], max(1, round(thickness)), cv2.LINE_AA, _SHIFT
    )


def ellipse(centre: Points | tuple[float, float], radii: tuple[float, float], angle: float, steps: int = 28) -> Points:
    """Outline of an ellipse turned by `angle` radians."""
    turn = np.linspace(0, 2 * np.pi, steps, endpoint=False)
    x, y = radii[0] * np.cos(turn), radii[1] * np.sin(turn)
    cos, sin = np.cos(angle), np.sin(angle)
    return np.stack([x * cos - y * sin, x * sin + y * cos], 1) + np.asarray(centre)


def spline(points: Points, steps: int = 12, closed: bool = False) -> Points:
    """Smooth (Catmull-Rom) curve through the points."""
    knots = np.asarray(points, np.float64)
    if closed:
        before, start, stop, after = (np.roll(knots, shift, 0) for shift in (1, 0, -1, -2))
    else:
        padded = np.concatenate([2 * knots[:1] - knots[1:2], knots, 2 * knots[-1:] - knots[-2:-1]])
        before, start, stop, after = padded[:-3], padded[1:-2], padded[2:-1], padded[3:]
    t = np.linspace(0, 1, steps, endpoint=False)[None, :, None]
    a, b, c, d = (part[:, None] for part in (before, start, stop, after))
    curve = 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
    flat = curve.reshape(-1, 2)
    return flat if closed else np.concatenate([flat, knots[-1:]])


@dataclass(frozen=True)
class Light:
    """How a scene is lit: a colour factor for every pixel and the direction (x, y) in which the lamp stands."""

    field: Floats
    toward: tuple[float, float]
    softness: float


def indoor_light(rng: np.random.Generator, height: int, width: int) -> Light:
    """Uneven lamp light: brighter on one side, warm against cool, darker in the corners."""
    angle = rng.uniform(0, 2 * np.pi)
    toward = (float(np.cos(angle)), float(np.sin(angle)))
    # The field is smooth, so a small one enlarged looks the same and costs nothing.
    rows, columns = 36, 48
    y, x = np.mgrid[-1 : 1 : rows * 1j, -1 : 1 : columns * 1j].astype(np.float32)
    along = x * toward[0] + y * toward[1]
    level = 1 + rng.uniform(0.04, 0.2) * along + 0.03 * smooth_noise(rng, rows, columns, 18.0)
    centre = rng.uniform(-0.25, 0.25, 2)
    radius = (x - centre[0]) ** 2 + (y - centre[1]) ** 2
    level *= 1.06 - rng.uniform(0.06, 0.24) * radius
    warm, cast = rng.uniform(0.01, 0.06), rng.normal(0, 0.035)
    tint = np.stack([1 + cast + warm * along, np.ones_like(along), 1 - cast - warm * along], 2)
    field = (level[..., None] * tint * rng.uniform(0.86, 1.06)).astype(np.float32)
    return Light(cv2.resize(field, (width, height), interpolation=cv2.INTER_LINEAR), toward, rng.uniform(0.6, 1.6))


def photograph(rng: np.random.Generator, picture: Floats, blur: float, grain: float, quality: int) -> Bytes:
    """Camera: slight blur, sensor noise in brightness and (coarser) in colour, JPEG compression."""
    height, width = picture.shape[:2]
    soft = cv2.GaussianBlur(picture, (0, 0), blur) if blur > 0 else picture
    speckle = white_noise(rng, height, width) * np.float32(grain)
    blotch = white_noise(rng, (height + 1) // 2, (width + 1) // 2, 3) * np.float32(0.5 * grain)
    noisy = soft + as_rgb(speckle) + cv2.resize(blotch, (width, height), interpolation=cv2.INTER_LINEAR)
    photo = np.clip(noisy, 0, 255).astype(np.uint8)
    encoded = cv2.imencode(".jpg", cv2.cvtColor(photo, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    decoded = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
    assert decoded is not None, "OpenCV could not read what it wrote"
    return cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB)
