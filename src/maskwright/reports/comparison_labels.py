"""Where the names in a plot go, so that none covers a point or another name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

CLEAR = 2.0  # units left free around a name
_DISTANCES = (9.0, 14.0, 22.0, 34.0, 48.0, 64.0, 84.0, 110.0)
_ANGLES = (0, 180, 90, 270, 45, 315, 135, 225, 22, 338, 158, 202)


@dataclass(frozen=True)
class Box:
    """A rectangle in the units of the figure, y upwards."""

    left: float
    bottom: float
    right: float
    top: float

    def meets(self, other: Box) -> bool:
        return self.left < other.right and other.left < self.right and self.bottom < other.top and other.bottom < self.top

    def within(self, other: Box) -> bool:
        inside = self.left >= other.left and self.right <= other.right
        return inside and self.bottom >= other.bottom and self.top <= other.top

    def crossed_by(self, start: tuple[float, float], end: tuple[float, float]) -> bool:
        """Whether a line runs through it: what both directions leave of the line, as shares of its length."""
        first, last = 0.0, 1.0
        for here, there, low, high in ((start[0], end[0], self.left, self.right), (start[1], end[1], self.bottom, self.top)):
            if here == there:
                if not low < here < high:
                    return False
                continue
            near, far = sorted(((low - here) / (there - here), (high - here) / (there - here)))
            first, last = max(first, near), min(last, far)
        return first < last


@dataclass(frozen=True)
class Placed:
    """A name's box, and the point's edge its leader line starts at; None where the name is near enough."""

    box: Box
    leader: tuple[tuple[float, float], tuple[float, float]] | None


def place(
    points: Sequence[tuple[float, float]],
    sizes: Sequence[tuple[float, float]],
    room: Box,
    radius: float = 5.0,
    lines: Sequence[tuple[tuple[float, float], tuple[float, float]]] = (),
) -> list[Placed] | None:
    """A box for the name of each point, beside it or led to it; None where there is no room for all.

    `lines` are kept clear of where that can be had.

    >>> place([(50, 50)], [(30, 10)], Box(0, 0, 100, 100))[0].box.left
    59.0
    """  # fmt: skip
    discs = [Box(x - radius, y - radius, x + radius, y + radius) for x, y in points]
    crowded = [sum(np.hypot(x - u, y - v) < 60 for u, v in points) for x, y in points]
    found: dict[int, Placed] = {}
    for index in sorted(range(len(points)), key=lambda index: (-crowded[index], index)):
        free = [one for one in _candidates(points[index], sizes[index], radius)
                if one.box.within(room) and _is_free(one, index, discs, list(found.values()))]  # fmt: skip
        clear = [one for one in free if not any(one.box.crossed_by(*line) for line in lines)]
        if not free:
            return None
        found[index] = (clear or free)[0]
    return [found[index] for index in range(len(points))]


def spread_out(positions: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Move positions apart until `gap` lies between neighbours, in their order and within bounds where they fit.

    >>> spread_out([1, 1, 5], 2, 0, 10)
    [0.0, 2.0, 5.0]
    """
    order = sorted(range(len(positions)), key=lambda index: (positions[index], index))
    blocks: list[tuple[float, int]] = []  # the middle of a run of touching names, and how many they are
    low, high = low, max(high, low + gap * (len(positions) - 1))
    for index in order:
        blocks.append((float(np.clip(positions[index], low, high)), 1))
        while len(blocks) > 1 and blocks[-1][0] - blocks[-2][0] < gap * (blocks[-1][1] + blocks[-2][1]) / 2:
            (first, num), (second, more) = blocks[-2:]
            half = gap * (num + more - 1) / 2
            middle = (first * num + second * more) / (num + more)
            blocks[-2:] = [(float(np.clip(middle, low + half, high - half)), num + more)]
    found = [middle + gap * (place - (num - 1) / 2) for middle, num in blocks for place in range(num)]
    moved = [0.0] * len(order)
    for index, position in zip(order, found, strict=True):
        moved[index] = float(position)
    return moved


def _candidates(point: tuple[float, float], size: tuple[float, float], radius: float) -> list[Placed]:
    """Near before far, beside before above."""
    (x, y), (width, height) = point, size
    found: list[Placed] = []
    for distance in _DISTANCES:
        for angle in _ANGLES:
            across, up = np.cos(np.radians(angle)), np.sin(np.radians(angle))
            # the box's nearest edge, not its middle, is that far away
            near = (x + distance * across, y + distance * up)
            left = near[0] - (0 if across > 0.3 else width if across < -0.3 else width / 2)
            bottom = near[1] - height / 2 + (height / 2 if up > 0.3 else -height / 2 if up < -0.3 else 0)
            box = Box(float(left), float(bottom), float(left + width), float(bottom + height))
            start = (float(x + (radius + 1) * across), float(y + (radius + 1) * up))
            found.append(Placed(box, (start, (float(near[0]), float(near[1]))) if distance > 14 else None))
    return found


def _is_free(one: Placed, index: int, discs: Sequence[Box], others: Sequence[Placed]) -> bool:
    wide = Box(one.box.left - CLEAR, one.box.bottom - CLEAR, one.box.right + CLEAR, one.box.top + CLEAR)
    if any(one.box.meets(disc) for disc in discs) or any(wide.meets(other.box) for other in others):
        return False
    if any(other.leader and wide.crossed_by(*other.leader) for other in others):
        return False
    if one.leader is None:
        return True
    return not any(other.box.crossed_by(*one.leader) for other in others) and not any(
        disc.crossed_by(*one.leader) for place, disc in enumerate(discs) if place != index
    )
