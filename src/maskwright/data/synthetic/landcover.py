"""Aerial tiles with five very unequal classes: ground, forest, water, road, building.

A tile is planned as shapes and then painted from the ground up. What is labelled is what is painted: both come from
the same coverage of each pixel.
"""

from __future__ import annotations

import cv2
import numpy as np

from maskwright.data.synthetic.countryside import Plan, random_plan, ribbon
from maskwright.data.synthetic.fields import paint_fields
from maskwright.data.synthetic.texture import (
    Bytes,
    Floats,
    Points,
    as_rgb,
    colour,
    coverage,
    fill,
    fractal_noise,
    jitter_colour,
    mix,
    photograph,
    ramp,
    smooth_noise,
    white_noise,
)
from maskwright.data.synthetic.trees import paint_trees

CLASSES = ("ground", "forest", "water", "road", "building")
GROUND, FOREST, WATER, ROAD, BUILDING = range(5)
COLOURS = ((196, 178, 118), (38, 104, 52), (64, 124, 196), (224, 224, 224), (204, 62, 52))

_ROOFS = ((164, 92, 68), (142, 74, 58), (186, 122, 92), (112, 110, 112), (86, 84, 88), (206, 204, 200), (150, 128, 108))
_WATERS = ((44, 66, 68), (52, 82, 84), (66, 84, 70), (38, 58, 76))
_PAVINGS = ((156, 154, 152), (132, 132, 134), (182, 174, 160), (196, 182, 152))


def generate(rng: np.random.Generator, height: int, width: int) -> tuple[Bytes, Bytes]:
    """One tile H W 3 and its mask H W with the class of each pixel."""
    plan = random_plan(rng, height, width)
    tile = paint_fields(rng, plan.fields, height, width)
    water = coverage(plan.water, height, width)
    houses = coverage(plan.houses, height, width)
    tile = _paint_water(rng, tile, water, plan.unit)
    road = _paint_roads(rng, tile, plan)
    _paint_yards(rng, tile, plan)
    clear = _grown(np.maximum(np.maximum(road, water), houses), 2.2 * plan.unit)
    crowns = paint_trees(rng, tile, _woods(rng, plan, height, width), clear, plan.sun, plan.unit)
    shade = np.maximum(_swept(crowns, plan.sun, 3.2 * plan.unit), _house_shadow(plan, height, width))
    shade *= (1 - crowns) * (1 - houses)
    dark = np.float32(rng.uniform(0.42, 0.6)) * cv2.GaussianBlur(shade, (0, 0), 0.6)
    tile *= cv2.merge([1 - dark, 1 - 0.96 * dark, 1 - 0.86 * dark])
    _paint_houses(rng, tile, plan)
    label = np.full((height, width), GROUND, np.uint8)
    for share, value in ((water, WATER), (road, ROAD), (crowns, FOREST), (houses, BUILDING)):
        label[share >= 0.5] = value
    return _seen_from_above(rng, tile, plan.unit), label


def _woods(rng: np.random.Generator, plan: Plan, height: int, width: int) -> Floats:
    """Above 0 where forest grows: clumps of any shape and some whole parcels; a few tiles are mostly wood."""
    clumps = fractal_noise(rng, height, width, 80 * plan.unit, 4)
    level = rng.choice((0.05, 0.75, 1.3, 1.9), p=(0.14, 0.36, 0.3, 0.2))
    whole_fields = np.where(rng.random(len(plan.fields.polygons)) < 0.1, 1.6, 0.0).astype(np.float32)
    return clumps - np.float32(level) + whole_fields[plan.fields.number]


def _paint_water(rng: np.random.Generator, tile: Floats, water: Floats, unit: float) -> Floats:
    """A bank, shallows and the open water."""
    if not water.any():
        return tile
    height, width = water.shape
    near = cv2.GaussianBlur(water, (0, 0), 2.6 * unit)
    bank = jitter_colour(rng, ((122, 116, 84), (86, 100, 62), (150, 138, 108))[rng.integers(3)], 8)
    tile = mix(tile, bank, 0.75 * ramp(near, 0.08, 0.5))
    deep = jitter_colour(rng, _WATERS[rng.integers(len(_WATERS))], 8)
    body = mix(deep + colour(18, 18, 10), deep, ramp(near, 0.55, 1.0))
    ripple = 2.0 * smooth_noise(rng, height, width, (1.5, 3.0)) + 5 * smooth_noise(rng, height, width, 60 * unit)
    return mix(tile, body + as_rgb(ripple), water)


def _paint_roads(rng: np.random.Generator, tile: Floats, plan: Plan) -> Floats:
    """Verge, paving and the worn middle; returns the share of each pixel that is road."""
    height, width = tile.shape[:2]
    road = np.zeros((height, width), np.float32)
    for line in plan.roads:
        paving = jitter_colour(rng, _PAVINGS[rng.integers(len(_PAVINGS))], 6)
        verge = coverage([ribbon(line, plan.road_breadth + 3.0 * plan.unit)], height, width)
        own = coverage([ribbon(line, plan.road_breadth)], height, width)
        worn = coverage([ribbon(line, max(0.8, 0.22 * plan.road_breadth))], height, width)
        tile[:] = mix(tile, (104, 112, 72), 0.55 * verge)
        grain = 4 * white_noise(rng, height, width) + 5 * smooth_noise(rng, height, width, 9 * plan.unit) - 14 * worn
        tile[:] = mix(tile, paving + as_rgb(grain), own)
        road = np.maximum(road, own)
    return road


def _paint_yards(rng: np.random.Generator, tile: Floats, plan: Plan) -> None:
    """Lawn or gravel round each house."""
    height, width = tile.shape[:2]
    yards = np.zeros((height, width), np.uint8)
    for house in plan.houses:
        middle = house.mean(0)
        fill(yards, middle + rng.uniform(1.5, 2.4) * (house - middle) + rng.normal(0, 1.5, 2) * plan.unit, (255.0,))
    if plan.houses:
        tone = jitter_colour(rng, ((112, 124, 78), (158, 148, 128), (130, 130, 96))[rng.integers(3)], 8)
        soft = cv2.GaussianBlur(yards, (0, 0), 0.8 * plan.unit).astype(np.float32) / 255
        tile[:] = mix(tile, tone, np.clip(0.6 + 0.25 * smooth_noise(rng, height, width, 6 * plan.unit), 0, 1) * soft)


def _house_shadow(plan: Plan, height: int, width: int) -> Floats:
    """Where houses throw their shadow: each outline swept along the sun's direction."""
    swept = []
    for house in plan.houses:
        reach = 0.5 * min(np.hypot(*(house[1] - house[0])), np.hypot(*(house[2] - house[1])))
        both = np.concatenate([house, house + reach * plan.sun]).astype(np.float32)
        swept.append(cv2.convexHull(both)[:, 0])
    return coverage(swept, height, width)


def _paint_houses(rng: np.random.Generator, tile: Floats, plan: Plan) -> None:
    """Gabled or flat roofs, the slope that faces the sun brighter; one kind of tile prevails in a village."""
    village = rng.integers(len(_ROOFS))
    for house in plan.houses:
        kind = village if rng.random() < 0.6 else rng.integers(len(_ROOFS))
        roof = jitter_colour(rng, _ROOFS[kind], 9)
        if np.hypot(*(house[1] - house[0])) < np.hypot(*(house[2] - house[1])):
            house = np.roll(house, -1, 0)
        left, top = np.maximum(np.floor(house.min(0)) - 1, 0).astype(int)
        right, bottom = np.ceil(house.max(0)).astype(int) + 1
        part = tile[top:bottom, left:right]
        height, width = part.shape[:2]
        house = house - (left, top)
        first, second = (house[0] + house[3]) / 2, (house[1] + house[2]) / 2
        slope = (house[3] - house[0]) / np.hypot(*(house[3] - house[0]))
        lit = 0.2 * float(slope @ plan.sun) if rng.random() < 0.85 else 0.0
        upper, lower = np.stack([house[0], house[1], second, first]), np.stack([first, second, house[2], house[3]])
        grain = as_rgb(1 + 0.03 * white_noise(rng, height, width))
        for slab, factor in ((house, 1.0), (upper, 1 + lit), (lower, 1 - lit)):
            part[:] = mix(part, roof * np.float32(factor) * grain, coverage([slab], height, width))


def _grown(mask: Floats, reach: float) -> Floats:
    size = 2 * max(1, round(reach)) + 1
    return cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)))


def _swept(mask: Floats, sun: Points, reach: float) -> Floats:
    """The mask drawn out along the direction shadows fall in."""
    middle = int(np.ceil(reach))
    kernel = np.zeros((2 * middle + 1, 2 * middle + 1), np.uint8)
    # A dilation looks from each pixel at those the kernel covers, so the line points back to what throws the shadow.
    stop = np.rint(middle - reach * sun).astype(int)
    cv2.line(kernel, (middle, middle), (int(stop[0]), int(stop[1])), 1)
    return cv2.dilate(mask, kernel)


def _seen_from_above(rng: np.random.Generator, tile: Floats, unit: float) -> Bytes:
    """Season, haze and the aerial camera."""
    height, width = tile.shape[:2]
    tile = tile * (np.float32(rng.uniform(0.88, 1.1)) * (1 + white_noise(rng, 3) * np.float32(0.02)))
    grey = as_rgb(cv2.cvtColor(tile, cv2.COLOR_RGB2GRAY))
    tile += (grey - tile) * np.float32(rng.uniform(0.05, 0.3))
    haze = np.clip(np.float32(rng.uniform(0.02, 0.16)) + 0.02 * smooth_noise(rng, height, width, 200 * unit), 0, 0.3)
    tile = mix(tile, (176, 188, 200), haze)
    return photograph(rng, tile, rng.uniform(0.4, 0.65), rng.uniform(2.0, 4.5), int(rng.integers(86, 96)))
