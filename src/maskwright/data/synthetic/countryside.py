"""What lies where on an aerial tile: fields, water, roads and houses as shapes in pixels."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np

from maskwright.data.synthetic.fields import Fields, random_fields
from maskwright.data.synthetic.texture import Bytes, Points, fixed_point, spline


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
