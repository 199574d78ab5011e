"""Bootstrap over images, or over groups where images belong together: draws, scores of the draws, and intervals.

Legend: R resamples, N images, K classes. One set of draws may serve several runs, which makes their differences paired.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np

from maskwright.metrics.counts import Counts
from maskwright.metrics.scores import Sums, headline_scores
from maskwright.metrics.student import student_quantile
from maskwright.terminal import DASH

RESAMPLES = 2000
LEVEL = 0.95
_LARGEST = 700.0  # e to this is a float still


def draw(groups: Sequence[str | None], resamples: int = RESAMPLES, seed: int = 0) -> np.ndarray:
    """How often each image is drawn in each resample, whole groups at a time; None is a group of its own. → R N float64

    >>> draw(["a", "a", None], resamples=2).shape
    (2, 3)
    """
    units = unit_numbers(groups)
    num_units = int(units.max()) + 1
    picks = np.random.default_rng(seed).integers(0, num_units, (resamples, num_units))
    picks += np.arange(resamples)[:, None] * num_units
    drawn = np.bincount(picks.ravel(), minlength=resamples * num_units).reshape(resamples, num_units)
    return drawn[:, units].astype(float)


def unit_numbers(groups: Sequence[str | None]) -> np.ndarray:
    """The number of each image's unit of resampling: its group, or itself. → N

    >>> unit_numbers(["b", None, "b", None]).tolist()
    [0, 1, 0, 2]
    """
    known: dict[str | int, int] = {}
    return np.array(
        [known.setdefault(index if group is None else group, len(known)) for index, group in enumerate(groups)]
    )


def resampled_scores(counts: Counts, draws: np.ndarray, in_truth: bool = False) -> dict[str, np.ndarray]:
    """The headline scores of each resample, pixels pooled over the images drawn. draws R N → each score R"""
    return headline_scores(Sums.of_images(counts).pooled(draws), in_truth)


def percentile_interval(values: np.ndarray, num_units: int) -> tuple[float, float]:
    """The interval of resampled scores, its tails widened for few units; NaN where one unit tells nothing of the
    spread.

    Percentiles of resamples are too narrow by a factor of sqrt((n - 1) / n), and by the normal's tails in place of
    Student's; with four images that leaves 80 % where 95 % is promised. The tails are moved out to make up for both
    (the expanded percentile interval, Hesterberg 2015, https://doi.org/10.1080/00031305.2015.1089789).
    """
    kept = values[~np.isnan(values)]
    if num_units < 2 or not kept.size:
        return math.nan, math.nan
    tail = expanded_tail(num_units)
    low, high = np.percentile(kept, [100 * tail, 100 * (1 - tail)])
    return float(low), float(high)


def score_interval(values: np.ndarray, num_units: int, most: float = 1.0) -> tuple[float, float]:
    """The 95 % interval of resampled scores between 0 and `most`: Student's, on a scale without ends.

    Percentiles of resamples can't leave the range of the units, so with four of them they hold the truth at most 87
    times in a hundred, however far the tails are moved out. NaN where one unit tells nothing of the spread.
    """
    if num_units < 2:
        return math.nan, math.nan
    return spread_interval(
        values, math.sqrt(num_units / (num_units - 1)) * student_quantile(1 - (1 - LEVEL) / 2, num_units - 1), most
    )


def spread_interval(values: np.ndarray, reach: float, most: float = 1.0) -> tuple[float, float]:
    """Mean and `reach` deviations of resampled scores to either side, as log odds (logarithms when `most` is infinite).

    Where a resample lies on an end there are no odds, and the score's own scale serves, cut off at the ends.

    >>> tuple(round(end, 3) for end in spread_interval(np.array([0.8, 0.9]), 2.0))
    (0.727, 0.931)
    """
    kept = values[~np.isnan(values)]
    if not kept.size:
        return math.nan, math.nan
    low, high = float(kept.min()), float(kept.max())
    if high - low <= 1e-12 * abs(high):  # nothing varies but the rounding
        return low, high
    if low <= 0 or high >= most:
        return max(0.0, _ends(kept, -reach)), min(most, _ends(kept, reach))
    if math.isinf(most):
        logs = np.log(kept)
        return math.exp(_ends(logs, -reach)), math.exp(min(_ends(logs, reach), _LARGEST))
    odds = np.log(kept / (most - kept))
    low, high = (most / (1 + math.exp(min(-_ends(odds, side), _LARGEST))) for side in (-reach, reach))
    return low, high


def _ends(values: np.ndarray, deviations: float) -> float:
    return float(values.mean() + deviations * values.std())


@functools.lru_cache
def expanded_tail(num_units: int) -> float:
    """The share of resamples to leave out at each end, so that the interval covers what it says with `num_units` units.

    >>> round(expanded_tail(10**6), 4)
    0.025
    """
    outer = math.sqrt(num_units / (num_units - 1)) * student_quantile(1 - (1 - LEVEL) / 2, num_units - 1)
    return NormalDist().cdf(-outer)


MOST = {"hd95": math.inf}  # a distance ends with the image, see `most_of`


def intervals(counts: Counts, groups: Sequence[str | None] | None = None, seed: int = 0) -> dict[str, list[float]]:
    """The 95 % interval of each headline score; images of one group are resampled together."""
    groups = groups or [None] * len(counts.images)
    scores, units = resampled_scores(counts, draw(groups, seed=seed)), num_units(groups)
    return {name: list(score_interval(values, units, most_of(name, counts))) for name, values in scores.items()}


def most_of(name: str, *counts: Counts) -> float:
    """What a score can be at most: of a distance the largest image's diagonal, which an empty prediction scores too."""
    most = MOST.get(name, 1.0)
    if math.isfinite(most):
        return most
    longest = [float(one.diagonal.max(initial=0.0)) for one in counts]
    return max(longest) if longest and min(longest) > 0 and not math.isnan(sum(longest)) else most


def num_units(groups: Sequence[str | None]) -> int:
    """How many units the images are resampled by: groups, and images of no group.

    >>> num_units(["a", "a", None])
    2
    """
    return int(unit_numbers(groups).max()) + 1


def spread_in_words(groups: Sequence[str | None]) -> str:
    """What the intervals rest on.

    >>> spread_in_words(["a", "a", "b"])
    '95 % intervals from resampling 2 groups of images (3 images) 2,000 times'
    """
    units = num_units(groups)
    if units == 1:
        one = "one image" if len(groups) == 1 else f"one group ({len(groups)} images)"
        return f"no intervals: {one} tells nothing of how far scores would lie with others"
    what = f"{units:,} images" if units == len(groups) else f"{units:,} groups of images ({len(groups):,} images)"
    return f"95 % intervals from resampling {what} {RESAMPLES:,} times"


def format_latency(median: float, low: float, high: float) -> str:
    """A time with its spread, where that is known.

    >>> format_latency(12.34, 11.0, 14.2), format_latency(1034.6, *[math.nan] * 2), format_latency(2.071, 2.07, 2.0712)
    ('12.3 ms (11–14.2)', '1,035 ms', '2.07 ms')
    """
    if not math.isfinite(median):
        return DASH
    middle, *ends = (f"{value:,.0f}" if value >= 100 else f"{value:.3g}" for value in (median, low, high))
    return f"{middle} ms" if "nan" in ends or ends == [middle, middle] else f"{middle} ms ({ends[0]}–{ends[1]})"
