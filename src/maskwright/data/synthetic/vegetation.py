"""Farmland from above (parcels of a plane, each with its crop, rows and wear) and tree crowns lit from one side."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from maskwright.data.synthetic.texture import (
    Floats,
    Points,
    as_rgb,
    coordinates,
    fixed_point,
    fractal_noise,
    jitter_colour,
    mix,
    ramp,
    smooth_noise,
    white_noise,
)

# Colour, strength of the rows, strength of the patches; by how common they are.
_CROPS = (
    ((112, 128, 66), 5.0, 7.0),  # young grain
    ((92, 112, 58), 4.0, 6.0),  # beet, maize
    ((178, 160, 104), 5.0, 6.0),  # ripe grain
    ((190, 172, 128), 8.0, 5.0),  # stubble
    ((138, 112, 84), 7.0, 10.0),  # ploughed
    ((162, 138, 108), 5.0, 10.0),  # bare, dry
    ((106, 122, 70), 1.0, 10.0),  # meadow
    ((128, 132, 84), 1.5, 13.0),  # pasture
    ((196, 184, 82), 3.0, 6.0),  # rape
)
_SHARES = (0.17, 0.13, 0.12, 0.11, 0.11, 0.08, 0.14, 0.1, 0.04)


@dataclass(frozen=True)
class Fields:
    """Convex parcels that fill a tile, the parcel each pixel belongs to, and their common direction."""

    polygons: list[Points]
    number: np.ndarray
    edges: Floats
    angle: float


def random_fields(rng: np.random.Generator, height: int, width: int, unit: float) -> Fields:
    """Cut the tile into parcels, mostly along one direction and square to it."""
    angle = float(rng.uniform(0, np.pi))
    corners = np.array([(-4, -4), (width + 4, -4), (width + 4, height + 4), (-4, height + 4)], float)
    polygons = _divide(rng, corners, angle, rng.uniform(3500, 14000) * unit**2)
    number = np.zeros((height, width), np.int32)
    edges = np.zeros((height, width), np.uint8)
    for index, polygon in enumerate(polygons):
        cv2.fillPoly(number, [fixed_point(polygon)], index, shift=4)
    breadth = max(1, round(1.4 * unit))
    for polygon in polygons:
        cv2.polylines(edges, [fixed_point(polygon)], True, 255, breadth, cv2.LINE_AA, 4)
    return Fields(polygons, number, edges.astype(np.float32) / 255, angle)


def _divide(rng: np.random.Generator, polygon: Points, angle: float, largest: float) -> list[Points]:
    """Halve a convex polygon until its parts are small enough."""
    x, y = polygon[:, 0], polygon[:, 1]
    area = abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2
    if area < largest * rng.uniform(0.6, 1.6):
        return [polygon]
    axes = np.array([(np.cos(angle), np.sin(angle)), (-np.sin(angle), np.cos(angle))])
    spans = np.ptp(polygon @ axes.T, axis=0)
    # Long parcels are common, so the longer direction is cut only a little more often than it must.
    axis = axes[0] if spans[0] * rng.uniform(0.6, 1.3) > spans[1] else axes[1]
    turn = rng.normal(0, 0.06)
    axis = axis @ np.array([(np.cos(turn), np.sin(turn)), (-np.sin(turn), np.cos(turn))])
    along = polygon @ axis
    cut = along.min() + np.ptp(along) * rng.uniform(0.32, 0.68)
    parts = [_clip(polygon, along - cut), _clip(polygon, cut - along)]
    return [piece for part in parts for piece in _divide(rng, part, angle + turn, largest)]


def _clip(polygon: Points, distance: np.ndarray) -> Points:
    """The part of a convex polygon where `distance`, given at its corners, is positive."""
    kept = []
    for index in range(len(polygon)):
        after = (index + 1) % len(polygon)
        if distance[index] >= 0:
            kept.append(polygon[index])
        if distance[index] * distance[after] < 0:
            share = distance[index] / (distance[index] - distance[after])
            kept.append(polygon[index] + share * (polygon[after] - polygon[index]))
    return np.array(kept)


def paint_fields(rng: np.random.Generator, fields: Fields, height: int, width: int) -> Floats:
    """Each parcel in its crop's colour, with rows, tramlines, patches of growth and a grassy margin."""
    unit = float(np.clip(min(height, width) / 256, 0.5, 2.0))
    count = len(fields.polygons)
    crops = [_CROPS[kind] for kind in rng.choice(len(_CROPS), count, p=_SHARES)]
    tones = np.stack([jitter_colour(rng, crop[0], 8) for crop in crops])
    row_depth = np.array([crop[1] for crop in crops], np.float32) * rng.uniform(0.5, 1.3, count).astype(np.float32)
    patch_depth = np.array([crop[2] for crop in crops], np.float32)
    level = _rows(rng, fields, height, width, unit) * row_depth[fields.number]
    patches = fractal_noise(rng, height, width, 46 * unit, 4)
    level += patches * patch_depth[fields.number]
    level += 2.5 * smooth_noise(rng, height, width, 2 * unit) + 2 * white_noise(rng, height, width)
    tile = tones[fields.number] + as_rgb(level)
    # Growth differs in hue too: thin patches show soil, thick ones are greener.
    hue = 0.45 * patches * patch_depth[fields.number]
    tile += cv2.merge([hue, 0 * hue, -0.4 * hue])
    return _margins(rng, tile, fields, unit)


def _rows(rng: np.random.Generator, fields: Fields, height: int, width: int, unit: float) -> Floats:
    """Rows of plants along each parcel's long side, with the wheel tracks of the tractor between them."""
    count = len(fields.polygons)
    directions = np.array([_long_direction(polygon) for polygon in fields.polygons]) + rng.normal(0, 0.03, count)
    pitch = rng.uniform(2.6, 5.0, count) * max(unit, 0.8)
    x, y = coordinates(height, width)
    sine = (-np.sin(directions)).astype(np.float32)[fields.number]
    cosine = np.cos(directions).astype(np.float32)[fields.number]
    across = x * sine + y * cosine + 0.8 * smooth_noise(rng, height, width, 40 * unit)
    rows = np.sin(across * (2 * np.pi / pitch).astype(np.float32)[fields.number])
    track_pitch = rng.uniform(16, 30, count).astype(np.float32)[fields.number] * np.float32(unit)
    tracks = ramp(np.abs((across / track_pitch) % 1 - 0.5), 0.455, 0.485)
    tracked = np.where(rng.random(count) < 0.5, 2.2, 0.0).astype(np.float32)[fields.number]
    swath = np.sin(across * (2 * np.pi / (5.3 * pitch)).astype(np.float32)[fields.number])
    return rows + 0.45 * swath - tracked * tracks


def _long_direction(polygon: Points) -> float:
    """Direction of the longest side."""
    sides = np.roll(polygon, -1, 0) - polygon
    longest = sides[np.argmax(np.hypot(sides[:, 0], sides[:, 1]))]
    return float(np.arctan2(longest[1], longest[0]))


def _margins(rng: np.random.Generator, tile: Floats, fields: Fields, unit: float) -> Floats:
    """Strips between the parcels: grass, a dirt track or nothing but a seam."""
    height, width = fields.edges.shape
    margin = jitter_colour(rng, ((96, 106, 62), (168, 150, 116), (120, 122, 78))[rng.integers(3)], 8)
    uneven = 0.75 + 0.2 * smooth_noise(rng, height, width, 14 * unit)
    share = np.clip(fields.edges * uneven, 0, 0.95)[..., None]
    return (tile + (margin - tile) * share).astype(np.float32)


_GREENS = ((58, 82, 44), (48, 72, 46), (74, 92, 50), (42, 64, 48), (88, 96, 56))


def paint_trees(
    rng: np.random.Generator, tile: Floats, woods: Floats, clear: Floats, sun: Points, unit: float
) -> Floats:
    """Plant a crown wherever a grid point wants to be forest and none of `clear` is near; returns the area covered."""
    height, width = woods.shape
    spacing = max(3.0, rng.uniform(3.8, 5.8) * unit)
    centres = _centres(rng, woods, clear, spacing)
    domes = np.zeros((height, width), np.float32)
    tones = np.zeros((height, width), np.float32)
    radii = spacing * np.where(rng.random(len(centres)) < 0.5, rng.uniform(0.5, 0.75), rng.uniform(0.7, 1.15))
    radii *= rng.uniform(0.85, 1.15, len(centres))
    for (x, y), radius, tone in zip(centres.tolist(), radii.tolist(), white_noise(rng, len(centres)), strict=True):
        _stamp(domes, tones, x, y, radius, tone)
    crowns = (domes > 0).astype(np.float32)
    closed = cv2.morphologyEx(crowns, cv2.MORPH_CLOSE, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5)))
    closed[clear > 0.5] = 0
    leaves = domes + 0.12 * smooth_noise(rng, height, width, 1.5)
    slope = cv2.Sobel(leaves, cv2.CV_32F, 1, 0) * sun[0] + cv2.Sobel(leaves, cv2.CV_32F, 0, 1) * sun[1]
    green = jitter_colour(rng, _GREENS[rng.integers(len(_GREENS))], 6)
    other = jitter_colour(rng, green * (1.25, 1.12, 0.9), 8)
    kinds = np.clip(0.4 + 0.35 * tones + 0.3 * smooth_noise(rng, height, width, 40 * unit), 0, 1)
    light = 0.58 + 0.36 * np.minimum(domes, 1) + 0.18 * slope + 0.08 * white_noise(rng, height, width)
    canopy = mix(green, other, kinds) * as_rgb(np.clip(light, 0.25, 1.6).astype(np.float32))
    tile[:] = mix(tile, canopy, closed)
    return closed


def _centres(rng: np.random.Generator, woods: Floats, clear: Floats, spacing: float) -> Points:
    """Jittered grid points (x, y) inside the woods, and a few lone trees outside."""
    height, width = woods.shape
    rows, columns = int(np.ceil(height / spacing)) + 1, int(np.ceil(width / spacing)) + 1
    x, y = np.meshgrid(np.arange(columns) * spacing, np.arange(rows) * spacing)
    x = (x + (np.arange(rows)[:, None] % 2) * spacing / 2 + rng.uniform(-0.3, 0.3, x.shape) * spacing).ravel()
    y = (y + rng.uniform(-0.3, 0.3, y.shape) * spacing).ravel()
    column, row = np.clip(x, 0, width - 1).astype(int), np.clip(y, 0, height - 1).astype(int)
    wanted = (woods[row, column] > 0) | (rng.random(len(x)) < 0.004)
    chosen = np.stack([x, y], 1)[wanted & (clear[row, column] < 0.1)]
    return chosen[rng.permutation(len(chosen))]


def _stamp(domes: Floats, tones: Floats, x: float, y: float, radius: float, tone: np.float32) -> None:
    """Raise one dome where it stands above its neighbours."""
    height, width = domes.shape
    left, right = max(0, int(x - radius)), min(width, int(x + radius) + 2)
    top, bottom = max(0, int(y - radius)), min(height, int(y + radius) + 2)
    if left >= right or top >= bottom:
        return
    across = (np.arange(left, right, dtype=np.float32) + np.float32(0.5 - x)) ** 2
    down = (np.arange(top, bottom, dtype=np.float32) + np.float32(0.5 - y)) ** 2
    dome = 1 - (across[None] + down[:, None]) / np.float32(radius**2)
    window = domes[top:bottom, left:right]
    higher = dome > window
    window[higher] = dome[higher]
    tones[top:bottom, left:right][higher] = tone
