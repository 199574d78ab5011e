"""Loss and IoU over the epochs: the data of a plot, then its drawing, for a page and for a PNG."""

from __future__ import annotations

import io
import math
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from maskwright.reports.wording import score

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIZE = (5.6, 3.5)  # inches; on a page 1 inch is 72 units, so that text of 12 stays legible on a phone
DPI = 150
LOG_FROM = 40.0  # a loss that falls further than this is flat on a linear axis


@dataclass(frozen=True)
class Curve:
    """One quantity on training and validation images, an entry an epoch; `best` is an index."""

    key: str
    title: str
    train: tuple[float, ...]
    val: tuple[float, ...]
    best: int | None

    @property
    def is_log(self) -> bool:
        """Whether the values span too much for a linear axis."""
        values = [value for value in (*self.train, *self.val) if math.isfinite(value)]
        return self.key == "loss" and bool(values) and min(values) > 0 and max(values) / min(values) > LOG_FROM

    @property
    def alt(self) -> str:
        """The plot in words, for those who can't see it."""
        if not self.train:
            return f"{self.title} by epoch: no epoch was recorded."
        parts = [
            f"{word} from {score(line[0])} to {score(line[-1])}"
            for word, line in (("training", self.train), ("validation", self.val))
        ]
        best = (
            f"; {score(self.val[self.best])} on validation images at the best epoch, {self.best + 1}"
            if self.best is not None
            else ""
        )
        return f"{self.title} over {len(self.train)} epochs: {', '.join(parts)}{best}."


@dataclass(frozen=True)
class Theme:
    """The colours of a plot."""

    ink: str
    faint: str
    train: str
    val: str


PAPER = Theme(ink="#4b5563", faint="#dfe3e8", train="#6b7683", val="#2f55c8")
# stand-ins, exchanged for the page's own CSS variables so that one drawing serves light and dark
SCREEN = Theme(ink="#010203", faint="#010204", train="#010205", val="#010206")
_VARIABLES = {SCREEN.ink: "--muted", SCREEN.faint: "--line", SCREEN.train: "--train", SCREEN.val: "--accent"}


def curves(history: Sequence[Mapping[str, float]], best: int | None) -> tuple[Curve, Curve]:
    """The loss and the IoU of a run's history."""
    loss, iou = (
        Curve(key, title, tuple(row[f"train_{key}"] for row in history), tuple(row[f"val_{key}"] for row in history), best)
        for key, title in (("loss", "Loss"), ("iou", "IoU"))
    )
    return loss, iou


def draw(curve: Curve, theme: Theme = PAPER, title: str = "") -> Figure:
    """A figure of one curve; lines are named at their ends rather than in a legend."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=SIZE)
    axes = figure.add_axes((0.085, 0.135, 0.735, 0.835 if not title else 0.755))
    if title:
        figure.text(0.085, 0.945, title, fontsize=12, color="#1b1f24", weight="bold", parse_math=False)
    _style(axes, curve, theme)
    epochs = np.arange(1, len(curve.train) + 1)
    for line, colour, width in ((curve.train, theme.train, 1.6), (curve.val, theme.val, 2.2)):
        dot = "o" if np.isfinite(line).sum() < 2 else ""  # a single value makes no line
        axes.plot(epochs, line, color=colour, linewidth=width, marker=dot, solid_joinstyle="round", clip_on=False)
    _mark_best(axes, curve, theme)
    _name_lines(axes, curve, theme)
    return figure


def inline_svg(curve: Curve) -> str:
    """The curve as SVG to stand in a page: no fixed size, the page's font and colours, ids of its own."""
    return figure_svg(draw(curve, SCREEN), curve.key)


def figure_svg(figure: Figure, key: str) -> str:
    """A figure drawn in the colours of `SCREEN` as SVG for a page; `key` tells its ids from those of other figures."""
    from matplotlib import rc_context

    buffer = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "maskwright"}):
        _save(figure, buffer, format="svg", transparent=True, metadata=nothing)
    return _for_page(buffer.getvalue(), key)


def save_png(curve: Curve, run: str, path: Path) -> None:
    """The curve as a picture on white, for a submission or a slide."""
    save_figure(draw(curve, PAPER, f"{curve.title}, {run}"), path)


def save_figure(figure: Figure, path: Path, dpi: int = DPI) -> None:
    """A figure as a picture on white."""
    _save(figure, path, format="png", dpi=dpi, facecolor="white", metadata={"Software": None})


def _save(figure: Figure, target: Path | io.BytesIO | io.StringIO, **options: Any) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # names are written in any letters; a box stands for one
        figure.savefig(target, **options)


def spread(positions: Sequence[float], gap: float) -> list[float]:
    """Move two label positions apart, evenly, until `gap` lies between them.

    >>> spread([0.5, 0.5], 0.1)
    [0.45, 0.55]
    """
    first, second = positions
    short = gap - abs(second - first)
    if not short > 0:  # far enough, or one of them is NaN
        return [first, second]
    sign = 1 if second >= first else -1
    return [first - sign * short / 2, second + sign * short / 2]


def _style(axes: Axes, curve: Curve, theme: Theme) -> None:
    from matplotlib.ticker import MaxNLocator

    num_epochs = max(1, len(curve.train))
    axes.set_xlim((1, num_epochs) if num_epochs > 1 else (0.5, 1.5))
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
    if curve.key == "iou":
        axes.set_ylim(0, 1)
    elif curve.is_log:
        axes.set_yscale("log")
    else:
        finite = [value for value in (*curve.train, *curve.val) if math.isfinite(value)]
        axes.set_ylim(min(0.0, *finite) if finite else 0.0, 1.04 * max(finite, default=1.0) or 1.0)
    axes.set_xlabel("epoch", fontsize=12, color=theme.ink, loc="right", labelpad=1)
    axes.tick_params(which="both", length=0, pad=6, labelsize=12, labelcolor=theme.ink)
    axes.grid(axis="y", color=theme.faint, linewidth=0.8)
    axes.set_axisbelow(True)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(theme.faint)


def _mark_best(axes: Axes, curve: Curve, theme: Theme) -> None:
    """A dot on the validation line and a thin rule, named where the lines leave room."""
    if curve.best is None or len(curve.val) < 2:
        return
    epoch, at_top = curve.best + 1, curve.key == "loss"
    axes.axvline(epoch, color=theme.ink, linewidth=0.8, linestyle=(0, (2, 3)))
    axes.plot([epoch], [curve.val[curve.best]], "o", color=theme.val, markersize=6.5, clip_on=False, zorder=4)
    left = curve.best < len(curve.val) / 2
    axes.annotate(f"best epoch {epoch}", (epoch, 0.96 if at_top else 0.04), xycoords=axes.get_xaxis_transform(),
                  xytext=(7 if left else -7, 0), textcoords="offset points", ha="left" if left else "right",
                  va="top" if at_top else "bottom", fontsize=12, color=theme.ink)  # fmt: skip


def _name_lines(axes: Axes, curve: Curve, theme: Theme) -> None:
    """Write each line's name at its last value, the two kept apart."""
    ends = [next((value for value in reversed(line) if math.isfinite(value)), math.nan) for line in (curve.train, curve.val)]
    to_share = axes.transAxes.inverted()
    heights = [
        float(to_share.transform(axes.transData.transform((1, end)))[1]) if math.isfinite(end) else math.nan for end in ends
    ]
    for height, name, colour in zip(spread(heights, 0.085), ("training", "validation"), (theme.train, theme.val), strict=True):
        if math.isfinite(height):
            axes.annotate(name, (1, height), xycoords="axes fraction", xytext=(8, 0), textcoords="offset points",
                          va="center", fontsize=12, color=colour)  # fmt: skip


def _for_page(svg: str, key: str) -> str:
    """matplotlib's SVG file as part of an HTML page."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", svg, flags=re.DOTALL)
    head, body = svg.split(">", 1)
    head = re.sub(r'\s(xmlns(:\w+)?|version|width|height)="[^"]*"', "", head)  # HTML knows what an svg is, CSS how wide
    body = body.replace("xlink:href", "href")
    body = re.sub(r"font-family: [^;]*; ", "", body)  # the page's own font
    for stand_in, variable in _VARIABLES.items():
        body = body.replace(stand_in, f"var({variable})")
    body = re.sub(r'<g id="[^"]*"', "<g", body)  # nothing refers to groups
    body = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{key}-", body)  # two plots, one page
    return "\n".join(filter(None, map(str.strip, f"{head}>{body}".split("\n"))))
