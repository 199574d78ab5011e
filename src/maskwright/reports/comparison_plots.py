"""Plots of a comparison: score over cost, validation curves, and the standings, for a page and as pictures on white."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup

from maskwright.reports.comparison_facts import ComparisonFacts, Scale, short_labels
from maskwright.reports.comparison_words import differing
from maskwright.reports.pages import short_number, span
from maskwright.reports.plots import (
    COLOURS,
    FONT,
    PAPER,
    SCREEN,
    TITLE_INK,
    VAL,
    Curves,
    Line,
    Theme,
    figure_svg,
    new_figure,
    save_figure,
    style,
    text_size,
)
from maskwright.terminal import score

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.transforms import Bbox

Segment = tuple[tuple[float, float], tuple[float, float]]
# the kinds of cost that are drawn, the surest first; their names in files, titles and units
COSTS = {
    "multiply_adds": ("multiply-adds", "Multiply-adds an image", ""),
    "parameters": ("parameters", "Parameters", ""),
    "milliseconds_an_image": ("milliseconds", "Milliseconds an image", " ms"),
}
ONE_PLOT = 3  # of so few models a second plot says nothing new
DRAWN_SEEDS = 12
_SPAN = 0.04  # of a score axis: less would draw chance as large as a difference
_CLEAR = 2.0  # units left free around a name
_DISTANCES = (9.0, 14.0, 22.0, 34.0, 48.0, 64.0, 84.0, 110.0)
_ANGLES = (0, 180, 90, 270, 45, 315, 135, 225, 22, 338, 158, 202)
_LABEL = 34  # characters of a name in the standings


@dataclass(frozen=True)
class CostPoint:
    """A model: its cost, its score with the 95 % interval, and whether it can't be told apart from the best."""

    label: str
    number: int
    cost: float
    score: float
    is_level: bool
    interval: tuple[float, float] = (math.nan, math.nan)
    on_front: bool = False

    @property
    def colour(self) -> int:
        return (self.number - 1) % COLOURS


@dataclass(frozen=True)
class CostPlot:
    """The score over one kind of cost, cheapest first; on the front are points nothing beats at their cost or less."""

    key: str
    title: str
    unit: str
    points: tuple[CostPoint, ...]
    is_numbered: bool
    note: str = ""

    @property
    def is_log(self) -> bool:
        costs = [point.cost for point in self.points]
        return min(costs) > 0 and max(costs) / min(costs) > 8

    @property
    def alt(self) -> str:
        points = []
        for point in self.points:
            between = f" ({ends})" if (ends := span(point.interval)) else ""
            points.append(f"{point.label} {short_number(point.cost)}{self.unit}, {score(point.score)}{between}")
        on_front = ", ".join(point.label for point in self.points if point.on_front)
        return f"Score over {self.title.lower()}: {'; '.join(points)}. On the front: {on_front}."


def cost_plots(facts: ComparisonFacts) -> list[CostPlot]:
    """The score over what differs in cost: one plot, and of many models one for each cost that orders them otherwise.

    Times are drawn only where the slowest pass of each model lies below the fastest of the next.
    """
    by_name = {one.name: one for one in facts.contenders}
    plots: list[CostPlot] = []
    for cost, (key, title, unit) in COSTS.items():
        points = [point for point in facts.fronts.get(cost, ()) if point.cost > 0]
        if len({point.cost for point in points}) > 1 and any(point.on_front for point in points):
            drawn = []
            for point in points:
                one, is_level = by_name[point.name], point.verdict != "worse"
                drawn.append(
                    CostPoint(one.label, one.number, point.cost, point.score, is_level, point.interval, point.on_front)
                )
            plots.append(CostPlot(key, title, unit, tuple(drawn), facts.is_numbered))
    if len(facts.contenders) <= ONE_PLOT:
        return plots[:1]
    orders = [[point.number for point in plot.points] for plot in plots]
    return [plot for place, plot in enumerate(plots) if orders[place] not in orders[:place]]


def validation_curves(facts: ComparisonFacts) -> list[Curves]:
    """Validation IoU and loss of every model, by epoch: its seeds and their mean."""
    losses_differ = any(key.split(".")[0] == "loss" for key in differing(facts))
    note = "The models make different losses small, so compare the shapes of these lines, not their heights."
    found = []
    for key, title in (("iou", "Validation IoU"), ("loss", "Validation loss")):
        lines = []
        for one, histories in zip(facts.contenders, facts.histories, strict=True):
            seeds = tuple(tuple(row[f"val_{key}"] for row in history) for history in histories if history)
            if seeds:  # a mean over fewer seeds than all would jump where one stops
                mean = np.mean([seed[: min(map(len, seeds))] for seed in seeds], axis=0)
                lines.append(Line(one.label, one.number, seeds, tuple(mean.tolist())))
        if lines:
            notes = note if losses_differ and key == "loss" else ""
            found.append(Curves(key, title, tuple(lines), facts.is_numbered, note=notes))
    return found


def cost_svg(plot: CostPlot) -> Markup:
    """The plot for the page."""
    return figure_svg(draw_cost(plot, SCREEN), f"cost-{plot.key}")


def save_cost(plot: CostPlot, title: str, path: Path) -> None:
    """The plot as a picture on white."""
    save_figure(draw_cost(plot, PAPER, title), path)


def draw_cost(plot: CostPlot, theme: Theme = PAPER, title: str = "") -> Figure:
    """Points, the front as steps, and a name or a number at every point."""
    figure, axes = new_figure(theme, title)
    xs, ys = np.array([point.cost for point in plot.points]), np.array([point.score for point in plot.points])
    if plot.is_log:
        axes.set_xscale("log")
        axes.set_xlim(xs.min() / (xs.max() / xs.min()) ** 0.12, xs.max() * (xs.max() / xs.min()) ** 0.2)
    else:
        axes.set_xlim(max(0.0, xs.min() - 0.15 * np.ptp(xs)), xs.max() + 0.25 * np.ptp(xs))
    ends = np.array([*ys, *(end for point in plot.points for end in point.interval)])
    height, middle = max(float(np.nanmax(ends) - np.nanmin(ends)), _SPAN), (np.nanmax(ends) + np.nanmin(ends)) / 2
    axes.set_ylim(middle - 0.68 * height, middle + 0.68 * height)
    _cost_ticks(axes, plot)
    corners = _front(plot, axes.get_xlim()[1])
    axes.plot(*zip(*corners, strict=True), color=theme.ink, linewidth=1.1, linestyle=(0, (2, 2)), zorder=2)
    bars: list[Segment] = []
    for point in plot.points:
        colour = theme.lines[point.colour]
        if math.isfinite(sum(point.interval)):
            bars.append(((point.cost, point.interval[0]), (point.cost, point.interval[1])))
            axes.plot([point.cost] * 2, point.interval, color=colour, linewidth=1.4, alpha=0.55, marker="_",
                      markersize=7, zorder=3)  # fmt: skip
        axes.plot([point.cost], [point.score], "o", markersize=8, markeredgewidth=1.8, color=colour, zorder=4,
                  markerfacecolor=colour if point.is_level else theme.paper, clip_on=False)  # fmt: skip
    _name_points(figure, axes, plot, theme, [*pairwise(corners), *bars], bool(title) or not plot.is_numbered)
    return figure


def _front(plot: CostPlot, right: float) -> list[tuple[float, float]]:
    """The corners of the front, and where it leaves the plot."""
    corners: list[tuple[float, float]] = []
    for point in plot.points:
        if point.on_front:
            corners += [(point.cost, corners[-1][1])] if corners else []
            corners.append((point.cost, point.score))
    return [*corners, (right, corners[-1][1])]


def _cost_ticks(axes: Axes, plot: CostPlot) -> None:
    from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

    low, high = axes.get_xlim()
    if plot.is_log:
        steps = [10.0**power * part for power in range(-9, 16) for part in (1, 3)]
        inside = [step for step in steps if low <= step <= high]
        axes.xaxis.set_major_locator(FixedLocator(inside[:: -(-len(inside) // 6)]))
    else:
        axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short_number(value).replace(".0\u00a0", "\u00a0")))
    axes.yaxis.set_major_locator(MaxNLocator(5))


def _name_points(
    figure: Figure, axes: Axes, plot: CostPlot, theme: Theme, lines: Sequence[Segment], with_names: bool
) -> None:
    """Names where they are wanted and find room, else the numbers of the table."""
    from matplotlib.lines import Line2D
    from matplotlib.transforms import Bbox

    per_unit = figure.dpi / 72
    units = [axes.transData.transform(line) / per_unit for line in lines]
    points = axes.transData.transform([(point.cost, point.score) for point in plot.points]) / per_unit
    area = axes.get_window_extent()
    right = figure.bbox.x1 / per_unit - 2
    room = Bbox.from_extents(area.x0 / per_unit, area.y0 / per_unit + 2, right, area.y1 / per_unit + 6)
    numbers = [str(point.number) for point in plot.points]
    names = [f"{point.number} {point.label}" if plot.is_numbered else point.label for point in plot.points]
    texts, placed = names, place_names(points, [text_size(text) for text in names], room, units) if with_names else None
    if placed is None:
        texts, placed = numbers, place_names(points, [text_size(text) for text in numbers], room, units)
    width, height = figure.get_size_inches() * 72
    for text, (box, leader), point in zip(texts, placed or [], plot.points, strict=bool(placed)):
        colour = theme.lines[point.colour]
        if leader is not None:
            figure.add_artist(Line2D(leader[:, 0] / width, leader[:, 1] / height, color=colour, linewidth=0.8))
        figure.text(box.x0 / width, (box.y0 + box.y1) / 2 / height, text, fontsize=FONT, color=colour,
                    va="center_baseline", ha="left", parse_math=False)  # fmt: skip


def place_names(
    points: np.ndarray,
    sizes: Sequence[tuple[float, float]],
    room: Bbox,
    lines: Sequence[np.ndarray] = (),
    radius: float = 5,
) -> list[tuple[Bbox, np.ndarray | None]] | None:
    """A box for the name of each point, beside it or with a line to it; None where there is no room for all.

    No name covers a point, a name or a line to one; `lines` are kept clear of where that can be had.
    """
    from matplotlib.transforms import Bbox

    discs = [Bbox.from_extents(x - radius, y - radius, x + radius, y + radius) for x, y in points]
    crowded = (np.linalg.norm(points[:, None] - points, axis=-1) < 60).sum(1)
    found: dict[int, tuple[Bbox, np.ndarray | None]] = {}
    for index in np.argsort(-crowded, kind="stable").tolist():
        boxes, leaders = [box for box, _ in found.values()], [line for _, line in found.values() if line is not None]
        others = [*boxes, *(disc for place, disc in enumerate(discs) if place != index)]
        free = None
        for box, leader in _candidates(points[index], sizes[index], radius):
            wide = box.padded(_CLEAR)
            is_within = room.x0 <= box.x0 and box.x1 <= room.x1 and room.y0 <= box.y0 and box.y1 <= room.y1
            if not is_within or box.count_overlaps(discs) or wide.count_overlaps(boxes) or _crosses(leaders, [wide]):
                continue
            if leader is None or not _crosses([leader], others):
                free = free or (box, leader)
                if not _crosses(lines, [box]):
                    free = (box, leader)
                    break
        if free is None:
            return None
        found[index] = free
    return [found[index] for index in range(len(points))]


def _candidates(point: np.ndarray, size: tuple[float, float], radius: float) -> list[tuple[Bbox, np.ndarray | None]]:
    """Where a name can be, near before far, beside before above; far ones with a line from the point's edge."""
    from matplotlib.transforms import Bbox

    width, height = size
    found: list[tuple[Bbox, np.ndarray | None]] = []
    for distance in _DISTANCES:
        for angle in np.radians(_ANGLES):
            way = np.array([np.cos(angle), np.sin(angle)])
            x, y = point + distance * way  # the box's nearest edge, not its middle, is that far away
            left = x - (0 if way[0] > 0.3 else width if way[0] < -0.3 else width / 2)
            bottom = y - (0 if way[1] > 0.3 else height if way[1] < -0.3 else height / 2)
            leader = np.array([point + (radius + 1) * way, (x, y)]) if distance > 14 else None
            found.append((Bbox.from_bounds(left, bottom, width, height), leader))
    return found


def _crosses(lines: Sequence[np.ndarray], boxes: Sequence[Bbox]) -> bool:
    from matplotlib.path import Path as Outline

    return any(Outline(line).intersects_bbox(box, filled=False) for line in lines for box in boxes)


def save_standings(facts: ComparisonFacts, path: Path) -> None:
    """The standings as a picture on white: every model's interval and seeds, and its difference to the highest."""
    save_figure(draw_standings(facts), path)


def draw_standings(facts: ComparisonFacts) -> Figure:
    """Two columns of strips beside the names, numbered where the other plots say numbers."""
    from matplotlib.figure import Figure

    num = len(facts.contenders)
    height = 1.05 + 0.36 * num
    figure = Figure(figsize=(9.0, height))
    bottom, tall = 0.5 / height, 0.36 * num / height
    scale, difference_scale = facts.scales
    assert scale, "a table without any score isn't drawn"
    axes = figure.add_axes((0.36, bottom, 0.3 if difference_scale else 0.6, tall))
    scores = [
        (one.score, one.interval, one.seeds[:DRAWN_SEEDS] if len(one.seeds) > 1 else ()) for one in facts.contenders
    ]
    _strips(axes, scale, scores, facts.subject)
    if difference_scale:
        gaps = figure.add_axes((0.7, bottom, 0.27, tall))
        gaps.axvline(0, color=PAPER.ink, linewidth=0.8)
        rows = [(one.standing.difference if one.has_difference else math.nan, one.standing.difference_interval, ())
                for one in facts.contenders]  # fmt: skip
        _strips(gaps, difference_scale, rows, "difference to the highest")
    for place, (one, name) in enumerate(
        zip(facts.contenders, short_labels([one.name for one in facts.contenders], _LABEL))
    ):
        axes.annotate(f"{one.number} {name}" if facts.is_numbered else name, (0, num - 1 - place), xytext=(-12, 0),
                      xycoords=("axes fraction", "data"), textcoords="offset points", ha="right", va="center",
                      fontsize=10.5, color=TITLE_INK, parse_math=False)  # fmt: skip
    return figure


def _strips(
    axes: Axes, scale: Scale, rows: Sequence[tuple[float, tuple[float, float], Sequence[float]]], title: str
) -> None:
    """A row for each value, its interval and its seeds."""
    axes.set_xlim(scale.low, scale.high)
    axes.set_ylim(-0.6, len(rows) - 0.4)
    for y, (value, interval, dots) in enumerate(reversed(rows)):
        if not math.isfinite(value):
            continue
        axes.plot(interval, [y, y], color=PAPER.lines[VAL], alpha=0.35, linewidth=6, solid_capstyle="round")
        axes.plot(dots, [y] * len(dots), "o", color=TITLE_INK, markersize=4.5, markerfacecolor="white",
                  markeredgewidth=1.1, zorder=3)  # fmt: skip
        axes.plot([value], [y], "|", color=PAPER.lines[VAL], markersize=13, markeredgewidth=2.6, zorder=4)
    axes.set_yticks([])
    style(axes, PAPER, grid="x", size=10, pad=5)
    axes.set_title(title, fontsize=10.5, color=PAPER.ink, loc="left", pad=8, parse_math=False)
