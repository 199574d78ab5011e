"""What all plots share: colours, axes, saving; and lines by epoch, of a run or of several models."""

from __future__ import annotations

import io
import math
import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from maskwright.terminal import score

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIZE = (5.6, 3.5)  # inches; on a page 1 inch is 72 units, so that text of 12 stays legible on a phone
FONT = 12
DPI = 150
TITLE_INK = "#1b1f24"
LOG_FROM = 40.0  # a loss that falls further than this is flat on a linear axis
COLOURS = 6  # of models; further ones have the same colours, dashed
TRAIN, VAL = -2, -1  # colours of the lines of a single run
NUMBERED_FROM = 7  # so many names beside lines and points are easier to find by number


@dataclass(frozen=True)
class Theme:
    """The colours of a plot: of models `COLOURS`, then of training and of validation."""

    ink: str
    faint: str
    paper: str
    lines: tuple[str, ...]


# models' are apart for colour-blind people too, dark enough to write with, and unlike the blue and orange of errors
PAPER = Theme("#4b5563", "#dfe3e8", "#ffffff",
              ("#2a2ad0", "#71551c", "#520a50", "#0a8a5c", "#1b1f24", "#757a80", "#6b7683", "#2f55c8"))  # fmt: skip
# stand-ins, exchanged for the page's own CSS variables so that one drawing serves light and dark
SCREEN = Theme(
    "#010203", "#010204", "#010400", (*(f"#0103{index:02x}" for index in range(COLOURS)), "#010205", "#010206")
)
_VARIABLES = {SCREEN.ink: "muted", SCREEN.faint: "line", SCREEN.paper: "paper"} | dict(
    zip(SCREEN.lines, (*(f"c{index}" for index in range(COLOURS)), "train", "accent"), strict=True)
)


@dataclass(frozen=True)
class Line:
    """A named line: one a seed, and their mean as far as all go; `number` is its model's in the table."""

    label: str
    number: int
    seeds: tuple[tuple[float, ...], ...]
    mean: tuple[float, ...]

    @property
    def colour(self) -> int:
        return (self.number - 1) % COLOURS if self.number > 0 else self.number


@dataclass(frozen=True)
class Curves:
    """One quantity by epoch, a line each for training and validation or for each model.

    `best` is the index of the epoch whose weights are kept, `note` what to mind when comparing heights.
    """

    key: str
    title: str
    lines: tuple[Line, ...]
    is_numbered: bool = False
    best: int | None = None
    note: str = ""

    @property
    def is_of_run(self) -> bool:
        return all(line.number < 0 for line in self.lines)

    @property
    def values(self) -> list[float]:
        """All that can be drawn."""
        return finite(value for line in self.lines for seed in line.seeds for value in seed)

    @property
    def is_log(self) -> bool:
        """Whether the values span too much for a linear axis."""
        values = self.values
        return self.key.endswith("loss") and bool(values) and min(values) > 0 and max(values) / min(values) > LOG_FROM

    @property
    def alt(self) -> str:
        """The plot in words, for those who can't see it."""
        parts = [f"{one.label} from {score(one.mean[0])} to {score(one.mean[-1])}" for one in self.lines if one.mean]
        text = f"{self.title} over {max(len(one.mean) for one in self.lines)} epochs: {', '.join(parts)}"
        if self.best is not None:
            at_best = score(self.lines[-1].mean[self.best])
            text += f"; {at_best} on validation images at the best epoch, {self.best + 1}"
        return f"{text}."


def finite(values: Iterable[float]) -> list[float]:
    """Those that can be drawn."""
    return [value for value in values if math.isfinite(value)]


def run_curves(history: Sequence[Mapping[str, float]], best: int | None) -> list[Curves]:
    """The loss and the IoU of a run's history; none where it has no epoch."""
    found = []
    for key, title in (("loss", "Loss"), ("iou", "IoU")):
        lines = []
        for part, name, number in (("train", "training", TRAIN), ("val", "validation", VAL)):
            values = tuple(row[f"{part}_{key}"] for row in history)
            lines.append(Line(name, number, (values,), values))
        found.append(Curves(key, title, tuple(lines), best=best))
    return found if history else []


def curves_svg(curves: Curves) -> Markup:
    """The plot for a page."""
    return figure_svg(draw_curves(curves, SCREEN), curves.key if curves.is_of_run else f"overlay-{curves.key}")


def save_curves(curves: Curves, title: str, path: Path) -> None:
    """The plot as a picture on white, for a submission or a slide."""
    save_figure(draw_curves(curves, PAPER, title), path)


def draw_curves(curves: Curves, theme: Theme = PAPER, title: str = "") -> Figure:
    """Seeds thin, their mean bold; lines are named at their ends rather than in a legend."""
    from matplotlib.ticker import MaxNLocator

    texts = [f"{line.number} {line.label}" if curves.is_numbered else line.label for line in curves.lines]
    margin = max(text_size(text)[0] for text in texts) / (72 * SIZE[0]) + 0.045
    figure, axes = new_figure(theme, title, right=1 - margin)
    num_epochs = max(len(seed) for line in curves.lines for seed in line.seeds)
    axes.set_xlim((1, num_epochs) if num_epochs > 1 else (0.5, 1.5))
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
    axes.set_xlabel("epoch", fontsize=FONT, color=theme.ink, loc="right", labelpad=1)
    _set_heights(axes, curves)
    bold = 2.2 if len(curves.lines) < NUMBERED_FROM else 1.6
    for line in curves.lines if curves.is_of_run else reversed(curves.lines):  # the best on top
        colour = theme.lines[line.colour]
        for seed in line.seeds if len(line.seeds) > 1 else ():
            axes.plot(range(1, len(seed) + 1), seed, color=colour, linewidth=0.8, alpha=0.45, clip_on=False)
        dot = "o" if len(finite(line.mean)) < 2 else ""  # a single value makes no line
        width = 1.6 if line.number == TRAIN else bold
        axes.plot(range(1, len(line.mean) + 1), line.mean, color=colour, linewidth=width,
                  linestyle="-" if line.number <= COLOURS else (0, (5, 2)), marker=dot, solid_joinstyle="round",
                  clip_on=False)  # fmt: skip
    if curves.best is not None and num_epochs > 1:
        _mark_best(axes, curves, curves.best, theme)
    _name_ends(figure, axes, curves, texts, theme)
    return figure


def _set_heights(axes: Axes, curves: Curves) -> None:
    values = curves.values
    if curves.is_log:
        axes.set_yscale("log")
    elif curves.key != "iou":
        axes.set_ylim(min(0.0, *values) if values else 0.0, 1.04 * max(values, default=1.0) or 1.0)
    elif curves.is_of_run:
        axes.set_ylim(0, 1)
    else:
        low = math.floor(10 * min(values, default=0.0)) / 10
        axes.set_ylim(min(low, 0.9), min(1.0, math.ceil(10 * max(values, default=1.0) + 0.01) / 10))


def _mark_best(axes: Axes, curves: Curves, best: int, theme: Theme) -> None:
    """A dot on the validation line and a thin rule, named where the lines leave room."""
    val, at_top = curves.lines[-1].mean, curves.key == "loss"
    axes.axvline(best + 1, color=theme.ink, linewidth=0.8, linestyle=(0, (2, 3)))
    axes.plot([best + 1], [val[best]], "o", color=theme.lines[VAL], markersize=6.5, clip_on=False, zorder=4)
    left = best < len(val) / 2
    axes.annotate(f"best epoch {best + 1}", (best + 1, 0.96 if at_top else 0.04), xycoords=axes.get_xaxis_transform(),
                  xytext=(7 if left else -7, 0), textcoords="offset points", ha="left" if left else "right",
                  va="top" if at_top else "bottom", fontsize=FONT, color=theme.ink)  # fmt: skip


def _name_ends(figure: Figure, axes: Axes, curves: Curves, texts: Sequence[str], theme: Theme) -> None:
    """Each name at the height its line ends at, kept apart, with a thin line to the end."""
    ends = {}
    for place, line in enumerate(curves.lines):
        known = [(epoch, value) for epoch, value in enumerate(line.mean, 1) if math.isfinite(value)]
        if known:
            x, y = axes.transAxes.inverted().transform(axes.transData.transform(known[-1]))
            ends[place] = (float(x), float(y))
    area = axes.get_window_extent()
    gap = min(16.5 / (area.height / figure.dpi * 72), 1.03 / max(1, len(ends) - 1))
    point = figure.dpi / 72 / area.width  # as a share of the axes
    heights = spread_out([y for _, y in ends.values()], gap, 0.02, 1.05)
    for (place, (x, y)), height in zip(ends.items(), heights, strict=True):
        colour = theme.lines[curves.lines[place].colour]
        if abs(height - y) > 0.012 or x < 0.99:
            axes.plot([x, 1 + 1.5 * point, 1 + 9 * point], [y, y, height], transform=axes.transAxes, color=colour,
                      linewidth=0.7, linestyle="-", clip_on=False, alpha=0.8)  # fmt: skip
        axes.text(1 + 11 * point, height, str(texts[place]), transform=axes.transAxes, fontsize=FONT, color=colour,
                  va="center_baseline", parse_math=False)  # fmt: skip


def spread_out(positions: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Move positions apart until `gap` lies between neighbours, in their order and within bounds where they fit.

    >>> spread_out([1, 1, 5], 2, 0, 10)
    [0.0, 2.0, 5.0]
    """
    order = sorted(range(len(positions)), key=lambda index: (positions[index], index))
    room = max(0.0, high - low - gap * (len(order) - 1))  # what is left of it without the gaps
    blocks: list[list[float]] = []  # of touching names: where each would begin without the gaps before it
    for place, index in enumerate(order):
        blocks.append([positions[index] - gap * place])
        while len(blocks) > 1 and sum(blocks[-1]) / len(blocks[-1]) < sum(blocks[-2]) / len(blocks[-2]):
            blocks[-2:] = [blocks[-2] + blocks[-1]]
    starts = [min(max(sum(block) / len(block), low), low + room) for block in blocks for _ in block]
    moved = {index: float(starts[place] + gap * place) for place, index in enumerate(order)}
    return [moved[index] for index in range(len(positions))]


def new_figure(
    theme: Theme, title: str = "", right: float = 0.97, size: tuple[float, float] = SIZE, left: float = 0.105
) -> tuple[Figure, Axes]:
    """A figure with one plot in the common style, under a title if it has one."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, dpi=72)
    axes = figure.add_axes((left, 0.135, right - left, 0.835 if not title else 0.755))
    if title:
        figure.text(left, 0.945, title, fontsize=FONT, color=TITLE_INK, weight="bold", parse_math=False)
    style(axes, theme)
    return figure, axes


def style(axes: Axes, theme: Theme, grid: str = "y", size: float = FONT, pad: float = 6) -> None:
    """No frame but the foot, faint lines along one axis, no ticks."""
    axes.tick_params(which="both", length=0, pad=pad, labelsize=size, labelcolor=theme.ink)
    axes.grid(axis="x" if grid == "x" else "y", color=theme.faint, linewidth=0.8)
    axes.set_axisbelow(True)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(theme.faint)


@lru_cache(maxsize=256)
def text_size(text: str) -> tuple[float, float]:
    """Width and height of a label in units; measured in a wide face, so that the page's own surely fits."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    face = FontProperties(family="DejaVu Sans")
    extents = TextPath((0, 0), text.replace("$", "S"), size=FONT, prop=face).get_extents()
    return float(extents.x1) + 1, FONT * 1.1


def save_figure(figure: Figure, path: Path) -> None:
    """A figure as a picture on white."""
    _save(figure, path, format="png", dpi=DPI, facecolor="white", metadata={"Software": None})


def figure_svg(figure: Figure, key: str) -> Markup:
    """A figure in the colours of `SCREEN` as SVG for a page: no fixed size, the page's font and colours.

    `key` tells its ids from those of other figures.
    """
    from matplotlib import rc_context

    buffer = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "maskwright"}):
        _save(figure, buffer, format="svg", transparent=True, metadata=nothing)
    svg = buffer.getvalue()
    svg = re.sub(
        r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", svg[svg.index("<svg") :], flags=re.DOTALL
    )
    head, body = svg.split(">", 1)
    head = re.sub(r'\s(xmlns(:\w+)?|version|width|height)="[^"]*"', "", head)  # HTML knows what an svg is, CSS how wide
    body = body.replace("xlink:href", "href")
    body = re.sub(r"font-family: [^;]*; ", "", body)  # the page's own font
    for stand_in, variable in _VARIABLES.items():
        body = body.replace(stand_in, f"var(--{variable})")
    body = re.sub(r'<g id="[^"]*"', "<g", body)  # nothing refers to groups
    body = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{key}-", body)  # two plots, one page
    return Markup("\n".join(filter(None, map(str.strip, f"{head}>{body}".split("\n")))))


def _save(figure: Figure, target: Path | io.StringIO, **options: Any) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # names are in any letters; a box stands for one
        figure.savefig(target, **options)
