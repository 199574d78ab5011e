"""The columns of a comparison's table, rounded for a reader: scores, outlines, differences and costs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import repeat

from maskwright.comparison.entries import Cost
from maskwright.comparison.standings import DISTANCES, OUTLINES, SCORES, Standing, Standings
from maskwright.config.base import MONITORS
from maskwright.evaluation.costs import format_latency

DASH = "–"


@dataclass(frozen=True)
class Column:
    """A heading, in lines, and a cell for each row; names and words stand left, numbers right."""

    head: tuple[str, ...]
    cells: tuple[str, ...]
    is_left: bool = False

    @property
    def title(self) -> str:
        """The heading in one line."""
        return " ".join(self.head).replace("- ", "-")


def score_columns(standings: Standings, is_marked: bool = False) -> list[Column]:
    """Name, scores of areas, interval of the ranking score, validation and verdict; `is_marked` puts the star beside the name."""
    rows = standings.rows
    stars = [" *" if row.chosen and len(rows) > 1 else "" for row in rows]
    names = tuple(row.name + (star if is_marked else "") for row, star in zip(rows, stars, strict=True))
    columns = [Column(("model",), names, True)]
    for name in SCORES:
        if name in OUTLINES and name != standings.metric:
            continue
        columns.append(Column(_head(name), tuple(_score(name, row.metrics[name]) for row in rows)))
        if name == standings.metric:
            columns.append(Column(("95 %", "interval"), tuple(_interval(name, row.intervals[name]) for row in rows)))
    vals = tuple(_figure(row.val, 3) + ("" if is_marked else star or "  ") for row, star in zip(rows, stars, strict=True))
    return [
        *columns,
        Column(("val", MONITORS[standings.monitor]), vals),
        Column(("verdict",), tuple(map(verdict_word, rows, repeat(standings.top))), True),
    ]


def outline_columns(standings: Standings) -> list[Column]:
    """Name, and the scores of outlines that some entry has, each with its interval."""
    names = [name for name in OUTLINES if name in standings.told_scores and name != standings.metric]
    return [Column(("model",), tuple(row.name for row in standings.rows), True), *_with_intervals(standings, names)]


def interval_columns(standings: Standings) -> list[Column]:
    """Every score that some entry has, with its interval."""
    first = Column(("95 % intervals",), tuple(row.name for row in standings.rows), True)
    return [first, *_with_intervals(standings, standings.told_scores)]


def cost_columns(standings: Standings) -> list[Column]:
    """Name, seeds, difference to the best with its interval, and what each costs."""
    rows, costs = standings.rows, [row.cost for row in standings.rows]
    digits = _digits(standings)
    return [
        Column(("model",), tuple(row.name for row in rows), True),
        Column(("seeds",), tuple(str(row.num_seeds) for row in rows)),
        Column(("to the best",), tuple(_difference(row, digits) for row in rows)),
        Column(("parameters",), tuple(_large(cost.parameters) for cost in costs)),
        Column(("multiply-", "adds"), tuple(_large(cost.multiply_adds) for cost in costs)),
        Column(("train", "seconds"), tuple(_figures(cost.train_seconds) for cost in costs)),
        Column(("time an", "image"), tuple(map(latency, costs))),
    ]


def latency(cost: Cost) -> str:
    """Milliseconds an image with their spread: 12 ms (11–14)."""
    return format_latency(cost.milliseconds_an_image, cost.milliseconds_low, cost.milliseconds_high)


def verdict_word(row: Standing, top: str) -> str:
    """A verdict as tables tell it: what is best is the highest (a distance the lowest), which says nothing of chance."""
    return {"best": top, "undefined": "no score"}.get(row.verdict, row.verdict)


def marks(standings: Standings) -> list[str]:
    """What a sign in the table means."""
    return ["* chosen on validation."] if standings.chosen and len(standings.rows) > 1 else []


def _with_intervals(standings: Standings, names: Sequence[str]) -> list[Column]:
    rows = standings.rows
    return [
        Column(_head(name), tuple(f"{_score(name, row.metrics[name])} ({_interval(name, row.intervals[name])})" for row in rows))
        for name in names
    ]


def _head(name: str) -> tuple[str, ...]:
    return (f"{SCORES[name]}, px,", "lower is better") if name in DISTANCES else tuple(SCORES[name].split())


def _score(name: str, value: float) -> str:
    return _figure(value, 1 if name in DISTANCES else 3)


def _interval(name: str, bounds: tuple[float, float]) -> str:
    low, high = bounds
    return f"{_score(name, low)}{DASH}{_score(name, high)}" if math.isfinite(high - low) else DASH


def _figure(value: float, digits: int) -> str:
    return f"{value:.{digits}f}" if math.isfinite(value) else DASH


def _digits(standings: Standings) -> int:
    """As many digits as the scores have, one more where a difference would be lost in them."""
    digits = 1 if standings.is_lower_better else 3
    return digits + any(0 < abs(row.difference) < 10**-digits for row in standings.rows)


def _difference(row: Standing, digits: int) -> str:
    """The difference with its interval, signed; the best has none."""
    if row.verdict in ("best", "undefined"):
        return DASH
    low, high = row.difference_interval
    around = f" ({_signed(low, digits)} to {_signed(high, digits)})" if math.isfinite(high - low) else ""
    return _signed(row.difference, digits) + around


def _signed(value: float, digits: int) -> str:
    told = f"{abs(value):.{digits}f}"
    return told if value == 0 or float(told) == 0 else f"{'−' if value < 0 else '+'}{told}"


def _large(value: float) -> str:
    """A large number in thousands, millions or thousands of millions.

    >>> _large(23_400_000), _large(812), _large(float("nan"))
    ('23.4 M', '812', '–')
    """
    if not math.isfinite(value):
        return DASH
    for size, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.1f} {letter}"
    return f"{value:.0f}"


def _figures(value: float) -> str:
    """Three figures, whole from a hundred on."""
    if not math.isfinite(value):
        return DASH
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
