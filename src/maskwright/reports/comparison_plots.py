"""Score against cost, and validation curves overlaid, drawn for a page and for a PNG from `comparison_points`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from maskwright.reports.comparison_facts import NUMBERED_FROM
from maskwright.reports.comparison_labels import Box, place, spread_out
from maskwright.reports.comparison_points import CostPlot, Line, Overlay, Segment, finite, short_number
from maskwright.reports.curves import PAPER, SCREEN, Theme, figure_svg, save_figure

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
_SPAN = 0.04  # of a score axis: less would draw chance as large as a difference


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
    save_figure(draw_cost(plot, PAPER, _PAPER_COLOURS, title), path)


def save_overlay(plot: Overlay, title: str, path: Path) -> None:
    """The plot as a picture on white."""
    save_figure(draw_overlay(plot, PAPER, _PAPER_COLOURS, title), path)


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
        dot = "o" if len(finite(line.mean)) < 2 else ""
        axes.plot(range(1, len(line.mean) + 1), line.mean, color=colour, linewidth=width, linestyle=style, marker=dot,
                  solid_joinstyle="round", clip_on=False)  # fmt: skip
    _name_ends(figure, axes, plot, texts, colours)
    return figure


def _overlay_axes(axes: Axes, plot: Overlay, num_epochs: int) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_xlim((1, num_epochs) if num_epochs > 1 else (0.5, 1.5))
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
    values = finite(value for line in plot.lines for seed in line.seeds for value in seed)
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
