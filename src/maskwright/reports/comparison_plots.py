"""Score against cost, and validation curves overlaid: the data of each plot, then its drawing, for a page and for a PNG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from maskwright.reports.comparison_facts import NUMBERED_FROM, ComparisonFacts
from maskwright.reports.comparison_labels import Box, place, spread_out
from maskwright.reports.comparison_origin import differing
from maskwright.reports.curves import DPI, LOG_FROM, PAPER, SCREEN, Theme, figure_svg
from maskwright.reports.wording import DASH, score

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

SIZE = (5.6, 3.5)  # inches, 72 units of a page each
COLOURS = 6  # further entries have the same colours, dashed
# apart for colour-blind people too, dark enough to write with, and none like the blue, orange and purple of errors in pictures;
# on a page the style sheet's own stand for them
_PAPER_COLOURS = ("#2a2ad0", "#71551c", "#520a50", "#0a8a5c", "#1b1f24", "#757a80")
_SCREEN_COLOURS = tuple(f"#0103{index:02x}" for index in range(COLOURS))
_PAPER = {PAPER: "#ffffff", SCREEN: "#010400"}  # what a hollow point is filled with
_VARIABLES = {_PAPER[SCREEN]: "--paper"} | {colour: f"--c{index}" for index, colour in enumerate(_SCREEN_COLOURS)}
_DASH = (0, (5, 2))
_FONT = 12
Segment = tuple[tuple[float, float], tuple[float, float]]
_SPAN = 0.04  # of a score axis: less would draw chance as large as a difference


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
        values = _finite(value for line in self.lines for seed in line.seeds for value in seed)
        return self.key == "loss" and bool(values) and min(values) > 0 and max(values) / min(values) > LOG_FROM

    @property
    def alt(self) -> str:
        told = "; ".join(f"{line.label} from {score(line.mean[0])} to {score(line.mean[-1])}" for line in self.lines if line.mean)
        return f"{self.title} by epoch: {told}."


# the kinds of cost, their names in files, titles and units
COSTS = {
    "milliseconds_an_image": ("milliseconds", "Milliseconds an image", " ms"),
    "parameters": ("parameters", "Parameters", ""),
    "multiply_adds": ("multiply-adds", "Multiply-adds an image", ""),
    "train_seconds": ("training", "Training a run, seconds", " s"),
}


def cost_plots(facts: ComparisonFacts) -> list[CostPlot]:
    """A plot for each kind of cost that is known of two models or more and isn't the same for all."""
    by_name = {one.name: one for one in facts.contenders}
    found = []
    for cost, (key, title, unit) in COSTS.items():
        points = [point for point in facts.fronts[cost].points if point.cost > 0] if facts.fronts else []
        if len({point.cost for point in points}) < 2:
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
        if cost == "train_seconds":
            size, title, unit = time_unit(max(point.cost for point in points))
            drawn = tuple(replace(point, cost=point.cost / size) for point in drawn)
        found.append(CostPlot(key, title, unit, drawn, front, facts.is_numbered))
    return found


def time_unit(longest: float) -> tuple[float, str, str]:
    """Seconds, minutes or hours: the unit's length, the plot's title and the unit.

    >>> time_unit(900)
    (60.0, 'Training a run, minutes', ' min')
    """
    units = ((3600.0, 2, "hours", " h"), (60.0, 3, "minutes", " min"), (1.0, 0, "seconds", " s"))
    size, _, word, short = next(unit for unit in units if longest >= unit[0] * unit[1])
    return size, f"Training a run, {word}", short


def overlays(facts: ComparisonFacts) -> list[Overlay]:
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


def cost_svg(plot: CostPlot) -> str:
    """The plot for the page."""
    return _coloured(figure_svg(draw_cost(plot, SCREEN, _SCREEN_COLOURS), f"cost-{plot.key}"))


def overlay_svg(plot: Overlay) -> str:
    """The plot for the page."""
    return _coloured(figure_svg(draw_overlay(plot, SCREEN, _SCREEN_COLOURS), f"overlay-{plot.key}"))


def _coloured(svg: str) -> str:
    for stand_in, variable in _VARIABLES.items():
        svg = svg.replace(stand_in, f"var({variable})")
    return svg


def save_cost(plot: CostPlot, title: str, path: Path) -> None:
    """The plot as a picture on white."""
    _save(draw_cost(plot, PAPER, _PAPER_COLOURS, title), path)


def save_overlay(plot: Overlay, title: str, path: Path) -> None:
    """The plot as a picture on white."""
    _save(draw_overlay(plot, PAPER, _PAPER_COLOURS, title), path)


def _save(figure: Figure, path: Path) -> None:
    figure.savefig(path, format="png", dpi=DPI, facecolor="white", metadata={"Software": None})


def draw_cost(plot: CostPlot, theme: Theme = PAPER, colours: Sequence[str] = _PAPER_COLOURS, title: str = "") -> Figure:
    """Points, the front as steps, and a name or a number at every point."""
    figure, axes = _figure(title, right=0.97)
    xs, ys = np.array([point.cost for point in plot.points]), np.array([point.score for point in plot.points])
    if plot.is_log:
        axes.set_xscale("log")
        axes.set_xlim(xs.min() / (xs.max() / xs.min()) ** 0.12, xs.max() * (xs.max() / xs.min()) ** 0.2)
    else:
        axes.set_xlim(max(0.0, xs.min() - 0.15 * np.ptp(xs)), xs.max() + 0.25 * np.ptp(xs))
    ends = np.array([*ys, *(y for point in plot.points for _, y in point.bar or ())])
    span = max(float(np.ptp(ends)), _SPAN)
    middle = (ends.max() + ends.min()) / 2
    axes.set_ylim(middle - 0.68 * span, middle + 0.68 * span)
    _style(axes, theme)
    _cost_ticks(axes, plot, theme)
    corners = _steps(plot, axes.get_xlim()[1])
    axes.plot([x for x, _ in corners], [y for _, y in corners], color=theme.ink, linewidth=1.1, linestyle=(0, (2, 2)),
              zorder=2)  # fmt: skip
    for point in plot.points:
        colour = colours[(point.number - 1) % COLOURS]
        if point.bar:
            (_, low), (_, high) = point.bar
            axes.plot([point.cost] * 2, [low, high], color=colour, linewidth=1.4, alpha=0.55, marker="_", markersize=7, zorder=3)
        axes.plot([point.cost], [point.score], "o", markersize=8, markeredgewidth=1.8, color=colour, zorder=4,
                  markerfacecolor=colour if point.is_level else _PAPER[theme], clip_on=False)  # fmt: skip
    _name_points(figure, axes, plot, colours, bool(title) or not plot.is_numbered)
    return figure


def _name_points(figure: Figure, axes: Axes, plot: CostPlot, colours: Sequence[str], with_names: bool) -> None:
    """Names where they are wanted and find room, else the numbers of the table."""
    per_unit = figure.dpi / 72
    points = [tuple(axes.transData.transform((point.cost, point.score)) / per_unit) for point in plot.points]
    area = axes.get_window_extent()
    room = Box(area.x0 / per_unit, area.y0 / per_unit + 2, figure.bbox.x1 / per_unit - 2, area.y1 / per_unit + 6)
    corners = [tuple(axes.transData.transform(at) / per_unit) for at in _steps(plot, axes.get_xlim()[1])]
    bars = [point.bar for point in plot.points if point.bar]
    lines = [*pairwise(corners), *(_in_units(axes, bar, per_unit) for bar in bars)]
    numbers = [str(point.number) for point in plot.points]
    names = [f"{point.number} {point.label}" if plot.is_numbered else point.label for point in plot.points]
    for texts in (names, numbers) if with_names else (numbers,):
        placed = place(points, [_text_size(text) for text in texts], room, lines=lines)
        if placed:
            break
    else:
        return
    for text, one, point in zip(texts, placed, plot.points, strict=True):
        colour = colours[(point.number - 1) % COLOURS]
        if one.leader:
            (x0, y0), (x1, y1) = one.leader
            figure.add_artist(_line((x0, x1), (y0, y1), figure, colour))
        width, height = figure.get_size_inches() * 72
        figure.text(one.box.left / width, (one.box.bottom + one.box.top) / 2 / height, text, fontsize=_FONT, color=colour,
                    va="center_baseline", ha="left", parse_math=False)  # fmt: skip


def _in_units(axes: Axes, line: Segment, per_unit: float) -> Segment:
    """A line of the plot in the units of the figure."""
    (x0, y0), (x1, y1) = (axes.transData.transform(end) / per_unit for end in line)
    return (float(x0), float(y0)), (float(x1), float(y1))


def _line(xs: tuple[float, float], ys: tuple[float, float], figure: Figure, colour: str) -> Line2D:
    from matplotlib.lines import Line2D

    width, height = figure.get_size_inches() * 72
    return Line2D([x / width for x in xs], [y / height for y in ys], color=colour, linewidth=0.8)


def _steps(plot: CostPlot, right: float) -> list[tuple[float, float]]:
    """The corners of the front, and where it leaves the plot."""
    corners: list[tuple[float, float]] = []
    for index in plot.front:
        point = plot.points[index]
        if corners:
            corners.append((point.cost, corners[-1][1]))
        corners.append((point.cost, point.score))
    return [*corners, (right, corners[-1][1])]


def draw_overlay(plot: Overlay, theme: Theme = PAPER, colours: Sequence[str] = _PAPER_COLOURS, title: str = "") -> Figure:
    """Seeds thin, their mean bold, each model's name where its line ends."""
    texts = [f"{line.number} {line.label}" if plot.is_numbered else line.label for line in plot.lines]
    margin = max(_text_size(text)[0] for text in texts) / (72 * SIZE[0]) + 0.045
    figure, axes = _figure(title, right=1 - margin)
    num_epochs = max(len(seed) for line in plot.lines for seed in line.seeds)
    _overlay_axes(axes, plot, num_epochs)
    _style(axes, theme)
    axes.set_xlabel("epoch", fontsize=_FONT, color=theme.ink, loc="right", labelpad=1)
    width = 2.2 if len(plot.lines) < NUMBERED_FROM else 1.6
    for line in reversed(plot.lines):  # the best on top
        colour, style = colours[(line.number - 1) % COLOURS], "-" if line.number <= COLOURS else _DASH
        for seed in line.seeds if len(line.seeds) > 1 else ():
            axes.plot(range(1, len(seed) + 1), seed, color=colour, linewidth=0.8, alpha=0.45, clip_on=False)
        dot = "o" if len(_finite(line.mean)) < 2 else ""
        axes.plot(range(1, len(line.mean) + 1), line.mean, color=colour, linewidth=width, linestyle=style, marker=dot,
                  solid_joinstyle="round", clip_on=False)  # fmt: skip
    _name_ends(figure, axes, plot, texts, colours)
    return figure


def _overlay_axes(axes: Axes, plot: Overlay, num_epochs: int) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_xlim((1, num_epochs) if num_epochs > 1 else (0.5, 1.5))
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
    values = _finite(value for line in plot.lines for seed in line.seeds for value in seed)
    if plot.is_log:
        axes.set_yscale("log")
    elif plot.key == "iou":
        low = math.floor(10 * min(values, default=0.0)) / 10
        axes.set_ylim(min(low, 0.9), min(1.0, math.ceil(10 * max(values, default=1.0) + 0.01) / 10))
    else:
        axes.set_ylim(min(0.0, *values) if values else 0.0, 1.04 * max(values, default=1.0) or 1.0)


def _name_ends(figure: Figure, axes: Axes, plot: Overlay, texts: Sequence[str], colours: Sequence[str]) -> None:
    """Each name at the height its line ends at, kept apart, with a thin line to the end."""
    ends = [_end(line) for line in plot.lines]
    to_share = axes.transAxes.inverted()
    shares = [tuple(to_share.transform(axes.transData.transform(end))) if end else None for end in ends]
    known = [index for index, share in enumerate(shares) if share]
    height = axes.get_window_extent().height / figure.dpi * 72
    point = figure.dpi / 72 / axes.get_window_extent().width  # as a share of the axes
    gap = min(16.5 / height, 1.03 / max(1, len(known) - 1))
    heights = spread_out([shares[index][1] for index in known if shares[index]], gap, 0.02, 1.05)  # type: ignore[index]
    for index, at in zip(known, heights, strict=True):
        share = shares[index]
        assert share
        colour = colours[(plot.lines[index].number - 1) % COLOURS]
        if abs(at - share[1]) > 0.012 or share[0] < 0.99:
            axes.plot([share[0], 1 + 1.5 * point, 1 + 9 * point], [share[1], share[1], at], transform=axes.transAxes,
                      color=colour, linewidth=0.7, linestyle="-", clip_on=False, alpha=0.8)  # fmt: skip
        axes.text(1 + 11 * point, at, texts[index], transform=axes.transAxes, fontsize=_FONT, color=colour,
                  va="center_baseline", parse_math=False)  # fmt: skip


def _end(line: Line) -> tuple[float, float] | None:
    return next(((len(line.mean) - back, value) for back, value in enumerate(reversed(line.mean)) if math.isfinite(value)), None)


def _figure(title: str, right: float) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=SIZE, dpi=72)
    axes = figure.add_axes((0.105, 0.135, right - 0.105, 0.835 if not title else 0.755))
    if title:
        figure.text(0.105, 0.945, title, fontsize=_FONT, color="#1b1f24", weight="bold", parse_math=False)
    return figure, axes


def _style(axes: Axes, theme: Theme) -> None:
    axes.tick_params(which="both", length=0, pad=6, labelsize=_FONT, labelcolor=theme.ink)
    axes.grid(axis="y", color=theme.faint, linewidth=0.8)
    axes.set_axisbelow(True)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(theme.faint)


def _cost_ticks(axes: Axes, plot: CostPlot, theme: Theme) -> None:
    from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

    low, high = axes.get_xlim()
    if plot.is_log:
        steps = [10.0**power * part for power in range(-9, 16) for part in (1, 3)]
        inside = [step for step in steps if low <= step <= high]
        axes.xaxis.set_major_locator(FixedLocator(inside if len(inside) < 7 else inside[:: -(-len(inside) // 6)]))
    else:
        axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short_number(value).replace(".0\u00a0", "\u00a0")))
    axes.yaxis.set_major_locator(MaxNLocator(5))


@lru_cache(maxsize=256)
def _text_size(text: str) -> tuple[float, float]:
    """Width and height of a label in units; measured in a wide face, so that the page's own surely fits."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    extents = TextPath((0, 0), text.replace("$", "S"), size=_FONT, prop=FontProperties(family="DejaVu Sans")).get_extents()
    return float(extents.x1) + 1, _FONT * 1.1


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


def _finite(values: object) -> list[float]:
    return [value for value in values if math.isfinite(value)]  # type: ignore[attr-defined]
