"""Farmland from above: parcels cut out of a plane, each with its crop, rows and wear."""

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
