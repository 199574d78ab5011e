"""What a comparison's plots show: score over cost with the front, and validation curves by epoch. Drawn in `comparison_plots`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from maskwright.reports.comparison_facts import ComparisonFacts
from maskwright.reports.comparison_origin import differing
from maskwright.reports.curves import LOG_FROM
from maskwright.reports.wording import DASH, score

Segment = tuple[tuple[float, float], tuple[float, float]]


@dataclass(frozen=True)
class Point:
    """A model: its cost, its score with the 95 % interval, and whether it can be told apart from the best."""

    label: str
    number: int
    cost: float
    score: float
    is_level: bool
    interval: tuple[float, float] = (math.nan, math.nan)

    @property
    def bar(self) -> Segment | None:
        """The ends of its interval as drawn; None where there is none."""
        low, high = self.interval
        return ((self.cost, low), (self.cost, high)) if math.isfinite(high - low) else None


@dataclass(frozen=True)
class CostPlot:
    """The score over one kind of cost; `front` are the points nothing beats at their cost or less, cheapest first."""

    key: str
    title: str
    unit: str
    points: tuple[Point, ...]
    front: tuple[int, ...]
    is_numbered: bool

    @property
    def is_log(self) -> bool:
        costs = [point.cost for point in self.points]
        return min(costs) > 0 and max(costs) / min(costs) > 8

    @property
    def alt(self) -> str:
        told = "; ".join(
            f"{point.label} {short_number(point.cost)}{self.unit}, {score(point.score)}{_between(point)}" for point in self.points
        )
        on_front = ", ".join(self.points[index].label for index in self.front)
        return f"Score over {self.title.lower()}: {told}. On the front: {on_front}."


def _between(point: Point) -> str:
    low, high = point.interval
    return f" ({score(low)} to {score(high)})" if point.bar else ""


@dataclass(frozen=True)
class Line:
    """A model's curve: one a seed, and their mean as far as all go."""

    label: str
    number: int
    seeds: tuple[tuple[float, ...], ...]
    mean: tuple[float, ...]


@dataclass(frozen=True)
class Overlay:
    """One validation quantity of every model by epoch; `note` is what to mind when comparing heights."""

    key: str
    title: str
    lines: tuple[Line, ...]
    is_numbered: bool
    note: str = ""

    @property
    def is_log(self) -> bool:
        values = finite(value for line in self.lines for seed in line.seeds for value in seed)
        return self.key == "loss" and bool(values) and min(values) > 0 and max(values) / min(values) > LOG_FROM

    @property
    def alt(self) -> str:
        told = "; ".join(f"{line.label} from {score(line.mean[0])} to {score(line.mean[-1])}" for line in self.lines if line.mean)
        return f"{self.title} by epoch: {told}."


# the kinds of cost that are drawn, the surest first; their names in files, titles and units
COSTS = {
    "multiply_adds": ("multiply-adds", "Multiply-adds an image", ""),
    "parameters": ("parameters", "Parameters", ""),
    "milliseconds_an_image": ("milliseconds", "Milliseconds an image", " ms"),
}
ONE_PLOT = 3  # of so few models a second plot says nothing new


def cost_plots(facts: ComparisonFacts) -> list[CostPlot]:
    """The score over what differs in cost: one plot, and of many models one more for each cost that puts them in another order.

    Times are drawn only where the slowest pass of each model lies below the fastest of the next.
    """
    plots = _all_cost_plots(facts)
    if len(facts.contenders) <= ONE_PLOT:
        return plots[:1]
    orders = [[point.number for point in plot.points] for plot in plots]
    return [plot for place, plot in enumerate(plots) if orders[place] not in orders[:place]]


def _all_cost_plots(facts: ComparisonFacts) -> list[CostPlot]:
    """A plot for each kind of cost that is known of two models or more and isn't the same for all."""
    by_name = {one.name: one for one in facts.contenders}
    found = []
    for cost, (key, title, unit) in COSTS.items():
        points = [point for point in facts.fronts[cost] if point.cost > 0] if facts.fronts else []
        if len({point.cost for point in points}) < 2 or not any(point.on_front for point in points):
            continue
        drawn = tuple(
            Point(
                by_name[point.name].label,
                by_name[point.name].number,
                point.cost,
                point.score,
                point.verdict != "worse",
                point.interval,
            )
            for point in points
        )
        front = tuple(index for index, point in enumerate(points) if point.on_front)
        found.append(CostPlot(key, title, unit, drawn, front, facts.is_numbered))
    return found


def overlays_of(facts: ComparisonFacts) -> list[Overlay]:
    """Validation IoU and loss of every model, by epoch."""
    losses_differ = any(key.split(".")[0] == "loss" for key in differing(facts))
    note = (
        "The models make different losses small, so compare the shapes of these lines, not their heights."
        if losses_differ
        else ""
    )
    found = []
    for key, title in (("iou", "Validation IoU"), ("loss", "Validation loss")):
        lines = []
        for one, histories in zip(facts.contenders, facts.histories, strict=True):
            seeds = tuple(tuple(row[f"val_{key}"] for row in history) for history in histories if history)
            if seeds:
                lines.append(Line(one.label, one.number, seeds, _mean(seeds)))
        if lines:
            found.append(Overlay(key, title, tuple(lines), facts.is_numbered, note if key == "loss" else ""))
    return found


def _mean(seeds: Sequence[Sequence[float]]) -> tuple[float, ...]:
    """Epoch by epoch, as far as every seed goes: a mean over fewer would jump where one stops."""
    length = min(map(len, seeds))
    return tuple(float(value) for value in np.mean([seed[:length] for seed in seeds], axis=0))


def short_number(value: float) -> str:
    """A count with thousands, millions or billions as a letter.

    >>> short_number(31_043_521), short_number(7700), short_number(42.0)
    ('31.0\\xa0M', '7.7\\xa0k', '42')
    """
    if not math.isfinite(value):
        return DASH
    for size, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size * 0.9995:
            return f"{value / size:.{1 if value < 99.95 * size else 0}f}\u00a0{letter}"
    return f"{value:.3g}"


def finite(values: Iterable[float]) -> list[float]:
    """Those that can be drawn."""
    return [value for value in values if math.isfinite(value)]
