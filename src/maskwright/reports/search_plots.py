"""A search drawn: how its best score rose from trial to trial, and the scores over each key that was searched."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from maskwright.comparison.search_result import SearchResult
from maskwright.comparison.search_space import Choices, Space
from maskwright.config.base import MONITORS, higher_is_better
from maskwright.files import write_atomically
from maskwright.reports.comparison_facts import short_labels
from maskwright.reports.plots import PAPER, save_figure, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_INK, _DONE, _PRUNED, _BEST = PAPER.ink, "#2f6fb3", "#b8c0c8", "#c2410c"


@dataclass(frozen=True)
class Panel:
    """One drawing: a point (x, score, state) a trial; `names` where x are places of choices, `line` the best so far."""

    title: str
    points: tuple[tuple[float, float, str], ...]
    best: tuple[float, float] | None
    names: tuple[str, ...] = ()
    is_log: bool = False
    line: tuple[tuple[float, float], ...] = ()


def panels(result: SearchResult, space: Space) -> tuple[Panel, ...]:
    """The data of the drawings: the course of the search, then each key."""
    scored = [trial for trial in result.trials if not math.isnan(trial.score)]
    best = result.best
    pick = max if higher_is_better(result.monitor) else min
    line, so_far = [], math.nan
    for trial in scored:
        if trial.state == "done":
            so_far = trial.score if math.isnan(so_far) else pick(so_far, trial.score)
        if not math.isnan(so_far):
            line.append((float(trial.number), so_far))
    course = tuple((float(trial.number), trial.score, trial.state) for trial in scored)
    found = [Panel("trial", course, (float(best.number), best.score) if best else None, line=tuple(line))]
    for axis in space.axes:
        names = tuple(axis.values) if isinstance(axis, Choices) else ()

        def place(value: object, names: tuple[str, ...] = names) -> float:
            return float(names.index(str(value))) if names else float(str(value))

        points = tuple((place(trial.values[axis.key]), trial.score, trial.state) for trial in scored)
        marked = (place(best.values[axis.key]), best.score) if best else None
        found.append(Panel(axis.key, points, marked, names, not isinstance(axis, Choices) and axis.log))
    return tuple(found)


def write_plots(result: SearchResult, space: Space) -> Path | None:
    """Write plots/search.png beside the trials; None where no trial has a score."""
    data = panels(result, space)
    if not data[0].points:
        return None
    path = result.root / "plots" / "search.png"
    figure = draw(data, f"validation {MONITORS[result.monitor]}")
    write_atomically(path, lambda temporary: save_figure(figure, temporary))
    return path


def draw(data: tuple[Panel, ...], score: str) -> Figure:
    """The panels side by side, at most three a row, on one scale of scores."""
    from matplotlib.figure import Figure

    columns = min(3, len(data))
    rows = math.ceil(len(data) / columns)
    figure = Figure(figsize=(3.5 * columns, 2.9 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, sharey=True)
    for axes in grid.flat[len(data) :]:
        axes.set_axis_off()
    for place, (axes, panel) in enumerate(zip(grid.flat, data)):
        _panel(axes, panel)
        if place % columns == 0:
            axes.set_ylabel(score, fontsize=11, color=_INK)
    figure.legend(
        *grid.flat[0].get_legend_handles_labels(),
        loc="outside upper left",
        ncols=4,
        frameon=False,
        fontsize=10,
        labelcolor=_INK,
    )
    return figure


def _panel(axes: Axes, panel: Panel) -> None:
    for state, colour, name in (("pruned", _PRUNED, "pruned"), ("done", _DONE, "ran to its end")):
        points = [(x, y) for x, y, of in panel.points if of == state]
        if points:
            axes.scatter(*zip(*points), s=26, color=colour, label=name, zorder=3, linewidths=0)
    if panel.line:
        axes.step(*zip(*panel.line), where="post", color=_INK, linewidth=1.2, label="best so far", zorder=2)
    if panel.best:
        axes.scatter(*panel.best, s=70, facecolors="none", edgecolors=_BEST, linewidths=1.8, label="best", zorder=4)
    if panel.is_log:
        axes.set_xscale("log")
    if panel.names:
        axes.set_xticks(range(len(panel.names)), short_labels(panel.names), parse_math=False)
        axes.set_xlim(-0.5, len(panel.names) - 0.5)
        axes.tick_params(axis="x", rotation=20 if max(map(len, panel.names)) * len(panel.names) > 24 else 0)
    elif not panel.is_log:
        from matplotlib.ticker import MaxNLocator

        axes.xaxis.set_major_locator(MaxNLocator(5, integer=all(x == int(x) for x, _, _ in panel.points)))
    axes.set_xlabel(panel.title, fontsize=11, color=_INK)
    style(axes, PAPER, size=10)
