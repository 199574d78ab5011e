"""Aerial tiles with five very unequal classes: ground, forest, water, road, building.

A tile is planned as shapes in pixels and then painted from the ground up. What is labelled is what is painted: both
come
from the same coverage of each pixel.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np

from maskwright.data.synthetic.texture import (
    Bytes,
    Floats,
    Points,
    as_rgb,
    colour,
    coverage,
    fill,
    fixed_point,
    fractal_noise,
    jitter_colour,
    mix,
    photograph,
    ramp,
    smooth_noise,
    spline,
    white_noise,
)
from maskwright.data.synthetic.vegetation import Fields, paint_fields, paint_trees, random_fields


@dataclass
class Plan:
    """Shapes of one tile in pixels."""

    unit: float  # 1 for tiles of 256 pixels
    sun: Points  # (x, y) of the direction shadows fall in
    fields: Fields
    water: list[Points] = field(default_factory=list)  # outlines
    roads: list[Points] = field(default_factory=list)  # centre lines
    road_breadth: float = 4.0
    houses: list[Points] = field(default_factory=list)  # four corners each


def random_plan(rng: np.random.Generator, height: int, width: int) -> Plan:
    """Farmland, in half of the tiles a river or a lake, mostly a road or two, and a few houses."""
    unit = float(np.clip(min(height, width) / 256, 0.5, 2.0))
    angle = rng.uniform(0, 2 * np.pi)
    plan = Plan(unit, np.array([np.cos(angle), np.sin(angle)]), random_fields(rng, height, width, unit))
    size = np.array([width, height], float)
    wet = rng.choice(3, p=(0.5, 0.3, 0.2))
    if wet:
        plan.water = [_river(rng, size, unit) if wet == 1 else _lake(rng, size)]
    plan.road_breadth = rng.uniform(3.0, 4.8) * max(unit, 0.6)
    taken = _drawn(plan.water, height, width)
    for _ in range(rng.choice((0, 1, 2), p=(0.12, 0.58, 0.3))):
        # Of a few proposals the one with the least water and the least of another road beneath it.
        proposals = [_road(rng, size, plan.fields.angle) for _ in range(5)]
        road = min(proposals, key=lambda line: _overlap(ribbon(line, plan.road_breadth), taken))
        plan.roads.append(road)
        cv2.fillPoly(taken, [fixed_point(ribbon(road, 8 * plan.road_breadth))], 255, shift=4)
    plan.houses = _houses(rng, plan, height, width)
    return plan


def ribbon(line: Points, breadth: float) -> Points:
    """Outline of a strip round a centre line."""
    return np.concatenate([_beside(line, breadth / 2), _beside(line, -breadth / 2)[::-1]])


def _beside(line: Points, distance: np.ndarray | float) -> Points:
    """The line moved sideways."""
    tangent = np.gradient(line, axis=0)
    tangent /= np.hypot(tangent[:, 0], tangent[:, 1])[:, None] + 1e-9
    return line + np.stack([-tangent[:, 1], tangent[:, 0]], 1) * np.reshape(distance, (-1, 1))


def _drawn(polygons: list[Points], height: int, width: int) -> Bytes:
    mask = np.zeros((height, width), np.uint8)
    for polygon in polygons:
        cv2.fillPoly(mask, [fixed_point(polygon)], 255, shift=4)
    return mask


def _overlap(polygon: Points, taken: Bytes) -> int:
    return cv2.countNonZero(cv2.bitwise_and(_drawn([polygon], *taken.shape), taken))


def _crossing(rng: np.random.Generator, size: Points, angle: float, wobble: float, knots: int) -> Points:
    """A smooth line right across the tile, about along `angle`."""
    along = np.array([np.cos(angle), np.sin(angle)])
    across = np.array([-along[1], along[0]])
    reach = float(np.hypot(*size))
    through = size * rng.uniform(0.15, 0.85, 2)
    t = np.linspace(-1.0, 1.0, knots)
    shift = wobble * reach * np.cumsum(rng.normal(0, 1, knots)) / np.sqrt(knots)
    shift -= shift[knots // 2]
    return spline(through + reach * t[:, None] * along + shift[:, None] * across, 16)


def _road(rng: np.random.Generator, size: Points, field_angle: float) -> Points:
    """Roads mostly keep to the direction of the fields."""
    angle = field_angle + rng.integers(2) * np.pi / 2 + rng.normal(0, 0.12)
    return _crossing(rng, size, angle, rng.uniform(0.01, 0.07), 7)


def _river(rng: np.random.Generator, size: Points, unit: float) -> Points:
    line = _crossing(rng, size, rng.uniform(0, np.pi), 0.12, 11)
    middle = rng.uniform(6, 18) * unit
    t = np.linspace(0, 1, len(line))
    breadth = middle * (1 + 0.22 * np.sin(2 * np.pi * (t * rng.uniform(1, 3) + rng.uniform())))
    breadth = breadth * (1 + 0.08 * np.interp(t, np.linspace(0, 1, 40), rng.normal(0, 1, 40)))
    return np.concatenate([_beside(line, breadth), _beside(line, -breadth)[::-1]])


def _lake(rng: np.random.Generator, size: Points) -> Points:
    """Bays and headlands: a few broad waves and many small ones on a circle."""
    turn = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    waves = sum(0.34 / k * rng.normal() * np.sin(k * turn + rng.uniform(0, 2 * np.pi)) for k in range(2, 11))
    radius = rng.uniform(0.13, 0.28) * min(size) * np.clip(1 + 0.8 * waves, 0.4, 1.9)
    stretch = np.array([rng.uniform(0.8, 1.5), rng.uniform(0.8, 1.2)])
    shore = np.stack([np.cos(turn), np.sin(turn)], 1) * radius[:, None] * stretch
    return spline(size * rng.uniform(0.1, 0.9, 2) + shore, 6, closed=True)


def _houses(rng: np.random.Generator, plan: Plan, height: int, width: int) -> list[Points]:
    """Houses along the roads, barns anywhere; none in the water, on a road or on each other."""
    taken = _drawn(plan.water + [ribbon(line, plan.road_breadth + 4 * plan.unit) for line in plan.roads], height, width)
    placed: list[Points] = []
    usual = rng.choice((0, 3, 7, 13), p=(0.12, 0.24, 0.36, 0.28))
    wanted = int(usual * height * width / (256 * plan.unit) ** 2 + rng.random())
    for _ in range(4 * wanted):
        house = _house(rng, plan, height, width)
        middle = house.mean(0)
        inside = bool((middle > 0).all() and (middle < (width, height)).all())
        if inside and not _overlap(middle + 1.3 * (house - middle), taken):
            placed.append(house)
            cv2.fillPoly(taken, [fixed_point(house)], 255, shift=4)
        if len(placed) >= wanted:
            break
    return placed


def _house(rng: np.random.Generator, plan: Plan, height: int, width: int) -> Points:
    """A rectangle: beside a road and square to it where there is one."""
    long, short = rng.uniform(9, 17) * plan.unit, rng.uniform(6, 9.5) * plan.unit
    if rng.random() < 0.12:
        long, short = 1.9 * long, 1.5 * short
    centre, angle = rng.uniform(0.06, 0.94, 2) * (width, height), plan.fields.angle
    if plan.roads and rng.random() < 0.85:
        line = plan.roads[rng.integers(len(plan.roads))]
        inside = np.flatnonzero(((line > 0) & (line < (width, height))).all(1))
        if len(inside):
            at = int(np.clip(inside[rng.integers(len(inside))], 1, len(line) - 2))
            tangent = line[at + 1] - line[at - 1]
            angle = float(np.arctan2(tangent[1], tangent[0]))
            away = (plan.road_breadth + rng.uniform(7, 20) * plan.unit) * rng.choice((-1, 1))
            centre = line[at] + away * np.array([-np.sin(angle), np.cos(angle)])
    angle += rng.integers(2) * np.pi / 2 + rng.normal(0, 0.05)
    along, across = np.array([np.cos(angle), np.sin(angle)]), np.array([-np.sin(angle), np.cos(angle)])
    signs = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) / 2
    return centre + signs[:, :1] * long * along + signs[:, 1:] * short * across


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
