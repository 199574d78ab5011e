"""The standings as a picture: every model's interval and seeds, and its difference to the highest, on white."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from maskwright.reports.comparison_facts import short_labels
from maskwright.reports.comparison_rows import Scale, StandingTable, Strip
from maskwright.reports.curves import PAPER, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 9.0  # inches
ROW = 0.36
LABEL = 34  # characters
_INK = "#1b1f24"


def draw_standings(table: StandingTable, subject: str, is_numbered: bool = False) -> Figure:
    """Two columns of strips beside the names, numbered where the other plots say numbers."""
    from matplotlib.figure import Figure

    num = len(table.rows)
    height = 1.05 + ROW * num
    figure = Figure(figsize=(WIDTH, height))
    bottom, tall = 0.5 / height, ROW * num / height
    has_gaps = table.difference_scale is not None
    scores = figure.add_axes((0.36, bottom, 0.3 if has_gaps else 0.6, tall))
    _column(scores, table.scale, [row.strip for row in table.rows], subject)
    if has_gaps:
        gaps = figure.add_axes((0.7, bottom, 0.27, tall))
        gaps.axvline(0, color=PAPER.ink, linewidth=0.8)
        _column(gaps, table.difference_scale, [row.difference_strip for row in table.rows], "difference to the highest")
    names = short_labels([row.contender.name for row in table.rows], LABEL)
    for place, row in enumerate(table.rows):
        name = f"{row.contender.number} {names[place]}" if is_numbered else names[place]
        at = (0, num - 1 - place)
        scores.annotate(name, at, xycoords=("axes fraction", "data"), xytext=(-12, 0), textcoords="offset points", ha="right",
                        va="center", fontsize=10.5, color=_INK, parse_math=False)  # fmt: skip
    return figure


def save_standings(table: StandingTable, subject: str, is_numbered: bool, path: Path) -> None:
    """The picture as PNG."""
    save_figure(draw_standings(table, subject, is_numbered), path)


def _column(axes: Axes, scale: Scale | None, strips: list[Strip | None], title: str) -> None:
    assert scale, "a table without any score isn't drawn"
    width = scale.high - scale.low
    axes.set_xlim(scale.low, scale.high)
    axes.set_ylim(-0.6, len(strips) - 0.4)
    for place, strip in enumerate(strips):
        y = len(strips) - 1 - place
        if strip is None:
            continue
        if strip.interval:
            low, high = (scale.low + width * end for end in strip.interval)
            axes.plot([low, high], [y, y], color=PAPER.val, alpha=0.35, linewidth=6, solid_capstyle="round")
        axes.plot([scale.low + width * dot for dot in strip.dots], [y] * len(strip.dots), "o", color=_INK, markersize=4.5,
                  markerfacecolor="white", markeredgewidth=1.1, zorder=3)  # fmt: skip
        axes.plot([scale.low + width * strip.at], [y], "|", color=PAPER.val, markersize=13, markeredgewidth=2.6, zorder=4)
    axes.set_yticks([])
    axes.tick_params(length=0, labelsize=10, labelcolor=PAPER.ink, pad=5)
    axes.grid(axis="x", color=PAPER.faint, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.set_title(title, fontsize=10.5, color=PAPER.ink, loc="left", pad=8, parse_math=False)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(PAPER.faint)
