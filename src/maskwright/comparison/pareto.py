"""Accuracy against cost, as data: which entries nothing beats at their cost or less."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from maskwright.comparison.entries import Cost, Standings

# what a front can be about; the first that is known of all decides `on_front` in the table. A time comes last, as it is
# the machine's as much as the model's
COSTS = ("multiply_adds", "parameters", "milliseconds_an_image")


@dataclass(frozen=True)
class Point:
    """An entry at its cost, with its verdict: a front of points whose intervals overlap is one by chance."""

    name: str
    cost: float
    score: float
    interval: tuple[float, float]
    verdict: str
    on_front: bool


def on_front(costs: Sequence[float], scores: Sequence[float]) -> list[bool]:
    """Whether no other scores at least as high for at most the cost, one of the two strictly; never for NaN.

    >>> on_front([1, 2, 3], [0.8, 0.7, 0.9])
    [True, False, True]
    """
    pairs = list(zip(costs, scores, strict=True))
    known = [pair for pair in pairs if math.isfinite(sum(pair))]
    return [
        math.isfinite(cost + score) and not any(c <= cost and s >= score and (c, s) != (cost, score) for c, s in known)
        for cost, score in pairs
    ]


def latencies_differ(costs: Sequence[Cost]) -> bool:
    """Whether the times of no two entries overlap, fastest to slowest pass: only then is there an order of them."""
    ends = sorted((cost.milliseconds_low, cost.milliseconds_high) for cost in costs)
    known = all(math.isfinite(low + high) for low, high in ends)
    return known and all(high < low for (_, high), (low, _) in pairwise(ends))


def front_cost(costs: Sequence[Cost]) -> str:
    """The first cost that every entry has."""
    known = [name for name in COSTS if all(math.isfinite(float(getattr(cost, name))) for cost in costs)]
    return known[0] if known else "parameters"


def fronts(standings: Standings) -> dict[str, tuple[Point, ...]]:
    """The entries by each kind of cost that is known of them, cheapest first.

    By times nobody is on the front, unless no two of them overlap.
    """
    found = {}
    sign = -1 if standings.is_lower_better else 1
    ranked = latencies_differ([row.cost for row in standings.rows])
    for name in COSTS:
        rows = [(float(getattr(row.cost, name)), row.metrics[standings.metric], row) for row in standings.rows]
        known = [each for each in rows if math.isfinite(each[0] + each[1])]
        flags = on_front([cost for cost, _, _ in known], [sign * score for _, score, _ in known])
        if name == "milliseconds_an_image" and not ranked:
            flags = [False] * len(known)
        points = [
            Point(row.name, cost, score, row.intervals[standings.metric], row.verdict, flag)
            for (cost, score, row), flag in zip(known, flags, strict=True)
        ]
        found[name] = tuple(sorted(points, key=lambda point: (point.cost, -sign * point.score)))
    return found
