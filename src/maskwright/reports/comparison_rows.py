"""The rows of a comparison's tables, as data, and the scales their strips are drawn on; the template only lays them out."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from maskwright.comparison.tables import latency
from maskwright.config.base import MONITORS
from maskwright.metrics.scores import iou
from maskwright.reports.comparison_facts import METRIC, ComparisonFacts, Contender
from maskwright.reports.comparison_points import short_number
from maskwright.reports.tables import IN_PIXELS, METRICS, OF_BOUNDARIES, css_colour
from maskwright.reports.wording import DASH, duration, score

VERDICTS = {"best": "highest", "tie": "tie", "worse": "worse", "undefined": "no score"}
_DRAWN_SEEDS = 12


@dataclass(frozen=True)
class Scale:
    """The ends of a strip, round numbers."""

    low: float
    high: float

    def at(self, value: float) -> float:
        """Where a value lies between the ends, 0 to 1."""
        return (value - self.low) / (self.high - self.low)

    @property
    def ends(self) -> tuple[str, str]:
        digits = max(0, min(3, 1 - math.floor(math.log10(self.high - self.low))))
        return signless_zero(f"{self.low:.{digits}f}"), signless_zero(f"{self.high:.{digits}f}")


@dataclass(frozen=True)
class Strip:
    """An interval, its middle and single seeds as shares of a scale; an interval that isn't known is None."""

    at: float
    interval: tuple[float, float] | None
    dots: tuple[float, ...] = ()


@dataclass(frozen=True)
class StandingRow:
    """One model: its score and its difference to the highest, in words and as strips."""

    contender: Contender
    told: str
    interval: str
    strip: Strip | None
    difference: str
    difference_interval: str
    difference_strip: Strip | None
    verdict: str
    word: str


@dataclass(frozen=True)
class StandingTable:
    """All rows, and the two scales their strips share."""

    rows: tuple[StandingRow, ...]
    scale: Scale | None
    difference_scale: Scale | None


def standing_table(facts: ComparisonFacts) -> StandingTable:
    """The models from the highest score down."""
    scored = [one for one in facts.contenders if math.isfinite(one.score)]
    scale = scale_of([value for one in scored for value in (one.score, *one.interval, *one.seeds)], (0.0, 1.0))
    rest = [one for one in scored if one.standing.verdict != "best"]
    gaps = scale_of([0.0, *(value for one in rest for value in (one.standing.difference, *one.standing.difference_interval))])
    rows = tuple(_standing_row(one, scale, gaps if rest else None) for one in facts.contenders)
    return StandingTable(rows, scale, gaps if rest else None)


def _standing_row(one: Contender, scale: Scale | None, gaps: Scale | None) -> StandingRow:
    standing, is_best = one.standing, one.standing.verdict == "best"
    low, high = one.standing.difference_interval
    has_gap = not is_best and math.isfinite(standing.difference)
    return StandingRow(
        one,
        score(one.score),
        span(*one.interval, score),
        strip(scale, one.score, one.interval, one.seeds if len(one.seeds) > 1 else ()),
        signed(standing.difference) if has_gap else "",
        span(low, high, signed) if has_gap else "",
        strip(gaps, standing.difference, (low, high)) if has_gap else None,
        standing.verdict,
        VERDICTS.get(standing.verdict, standing.verdict),
    )


def strip(scale: Scale | None, value: float, interval: tuple[float, float], dots: Sequence[float] = ()) -> Strip | None:
    """Places on a scale; None where there is none."""
    if scale is None or not math.isfinite(value):
        return None
    known = all(map(math.isfinite, interval))
    places = tuple(scale.at(dot) for dot in dots[:_DRAWN_SEEDS] if math.isfinite(dot))
    return Strip(scale.at(value), (scale.at(interval[0]), scale.at(interval[1])) if known else None, places)


def scale_of(values: Iterable[float], bounds: tuple[float, float] = (-1.0, 1.0)) -> Scale | None:
    """The narrowest scale with round ends, within bounds, that holds all values.

    >>> scale_of([0.713, 0.842], (0.0, 1.0))
    Scale(low=0.7, high=0.86)
    """
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return None
    width = max(max(finite) - min(finite), 0.01)
    size = 10 ** math.floor(math.log10(width))
    step = size / 5 if width < 3 * size else size / 2
    low, high = math.floor(min(finite) / step + 1e-9) * step, math.ceil(max(finite) / step - 1e-9) * step
    if high - low < step / 2:
        low, high = low - step, high + step
    low, high = max(bounds[0], low), min(bounds[1], high)
    return Scale(round(low, 6), round(high, 6))


def span(low: float, high: float, told: Callable[[float], str]) -> str:
    """An interval in words, empty where there is none."""
    return f"{told(low)} to {told(high)}" if math.isfinite(low) and math.isfinite(high) else ""


def signed(value: float) -> str:
    """A difference with its sign, a true minus.

    >>> signed(-0.0214), signed(0.003), signed(0)
    ('−0.021', '+0.003', '0.000')
    """
    if not math.isfinite(value):
        return DASH
    text = f"{abs(value):.3f}"
    return text if float(text) == 0 else f"{'−' if value < 0 else '+'}{text}"


def signless_zero(text: str) -> str:
    """A scale's end: 0 without digits, a true minus."""
    return "0" if float(text) == 0 else text.replace("-", "−")


@dataclass(frozen=True)
class ScoreTable:
    """Headline scores of each model, each with its interval."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Contender, tuple[tuple[str, str], ...]], ...]


def score_tables(facts: ComparisonFacts) -> list[ScoreTable]:
    """The other headline scores beside the validation score that chooses, and those of outlines; none that nobody has."""
    watched = f"Validation {MONITORS[facts.comparison.monitor]}"
    known = [name for name in METRICS if name != METRIC and name in facts.standings.known_scores]
    areas, outlines = ([name for name in known if (name in OF_BOUNDARIES) == is_outline] for is_outline in (False, True))
    found = [ScoreTable("Other scores", (*map(_heading, areas), watched),
                        tuple((one, (*_cells(one, areas), (score(one.standing.val), ""))) for one in facts.contenders)),
             ScoreTable("Outlines", tuple(map(_heading, outlines)),
                        tuple((one, _cells(one, outlines)) for one in facts.contenders))]  # fmt: skip
    return [table for table in found if table.columns]


def _heading(name: str) -> str:
    return METRICS[name][0] + (" (px, lower is better)" if name in IN_PIXELS else "")


def _cells(one: Contender, names: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Each score and its interval, in words."""
    cells = []
    for name in names:
        told = partial(score, digits=1 if name in IN_PIXELS else 3)
        cells.append((told(one.standing.metrics[name]), span(*one.standing.intervals[name], told)))
    return tuple(cells)


def cost_table(facts: ComparisonFacts) -> list[tuple[Contender, list[str]]]:
    """Parameters, multiply-adds, training time and time an image of each model."""
    rows = []
    for one in facts.contenders:
        cost = one.entry.cost
        seconds = cost.train_seconds
        cells = [
            short_number(cost.parameters),
            short_number(cost.multiply_adds),
            duration(seconds) if math.isfinite(seconds) else DASH,
            latency(cost),
        ]
        rows.append((one, cells))
    return rows


def class_table(facts: ComparisonFacts) -> list[tuple[str, str, list[str]]]:
    """Each class, its colour, and its IoU under every model, the mean over the seeds."""
    classes = facts.comparison.classes
    if facts.is_binary or not facts.contenders:
        return []
    scores = np.array([np.mean([iou(counts.total()) for counts in one.entry.counts], axis=0) for one in facts.contenders])
    return [
        (name, css_colour(index, len(classes)), [score(value) for value in scores[:, index]])
        for index, name in enumerate(classes)
    ]
