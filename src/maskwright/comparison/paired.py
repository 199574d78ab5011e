"""Paired differences between entries: one set of draws for all, and intervals that hold for every pair at once.

Two things could have come out otherwise: the images and the seeds. Images (or groups) are drawn jointly for all
entries, so what is hard for all cancels in a difference; seeds are drawn within each entry.

The best is itself picked by the scores, so comparing m entries with it is comparing all m (m - 1) / 2 pairs. The rate
at which a single pair may err is read from the largest of all pairs' standardised differences in each draw (max-t), and
turned into an interval by Student's t, since few units know their own spread badly. Simulated (benchmarks/paired.py),
this holds the family-wise rate from 4 images on; percentiles of the draws do not, nor does Holm over the m - 1
differences to the best, which overlooks that the best was picked.

Legend: R resamples, S seeds, m entries; `units` are the images or groups that are drawn.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from maskwright.evaluation.intervals import LEVEL, resampled_scores, spread_interval
from maskwright.metrics.counts import Counts
from maskwright.metrics.scores import nanmean, nanmeans
from maskwright.metrics.student import student_quantile

_STILL = 1e-12  # a spread below this is rounding


@dataclass(frozen=True)
class Scores:
    """One score of one entry: of each seed on the images as they are (S), and its mean over seeds in each draw (R)."""

    seeds: np.ndarray
    draws: np.ndarray

    @property
    def value(self) -> float:
        """The mean over the seeds; a seed without a score is left out."""
        return nanmean(self.seeds)


@dataclass(frozen=True)
class Spread:
    """How far an entry's score could have come out elsewhere.

    `images` are the deviations over draws of images, `seeds` over draws of seeds (R each); `seed_variance` is that of
    the mean over seeds and `seed_degrees` on how many degrees of freedom it rests.
    """

    value: float
    images: np.ndarray
    seeds: np.ndarray
    seed_variance: float
    seed_degrees: int


@dataclass(frozen=True)
class Difference:
    """A score less another's, with the standard error of that and its interval; NaN where nothing can be said."""

    value: float
    error: float
    interval: tuple[float, float]

    @property
    def holds_zero(self) -> bool:
        """Whether the two can't be told apart."""
        low, high = self.interval
        return not (low > 0 or high < 0)


def seed_scores(runs: Sequence[Counts], draws: np.ndarray) -> dict[str, Scores]:
    """Each headline score of an entry from the counts of its seeds, means over the classes that the truth holds. draws
    R N

    A class in no image's truth would count as 0 for the entries that predict it somewhere and be left out for the
    others: means over different classes, which say nothing about each other.
    """
    once = np.ones((1, draws.shape[1]))
    points = [resampled_scores(counts, once, in_truth=True) for counts in runs]
    drawn = [resampled_scores(counts, draws, in_truth=True) for counts in runs]
    found = {}
    for name in points[0]:
        seeds = np.array([point[name][0] for point in points])
        found[name] = Scores(seeds, nanmeans(np.stack([one[name] for one in drawn], 1)))
    return found


def spreads(entries: Sequence[Scores], seed: int = 0) -> tuple[Spread, ...]:
    """The spread of each entry over images and over seeds.

    A few seeds may lie close together by chance, so an entry's variance over seeds is taken to be no less than what all
    entries show together; an entry with one seed borrows that. Where no entry has several, seeds are left out.
    """
    kept = [scores.seeds[np.isfinite(scores.seeds)] for scores in entries]
    degrees = [max(0, len(seeds) - 1) for seeds in kept]
    squares = [float(((seeds - seeds.mean()) ** 2).sum()) if len(seeds) else 0.0 for seeds in kept]
    together = sum(squares) / sum(degrees) if sum(degrees) else 0.0
    residuals = _residuals(kept)
    rng = np.random.default_rng(seed)
    found = []
    for scores, seeds, own_degrees, square in zip(entries, kept, degrees, squares, strict=True):
        own = square / own_degrees if own_degrees else 0.0
        variance = max(own, together) / max(1, len(seeds))
        picks = rng.choice(residuals, (len(scores.draws), max(1, len(seeds)))).mean(1) * math.sqrt(max(1, len(seeds)))
        rests_on = own_degrees if own > together else sum(degrees)
        found.append(Spread(scores.value, scores.draws - scores.value, picks * math.sqrt(variance), variance, rests_on))
    return tuple(found)


def score_interval(spread: Spread, num_units: int, level: float = LEVEL, most: float = 1.0) -> tuple[float, float]:
    """The interval of one score, from 0 to `most`, by itself: Student's, of log odds, widened for few units and few
    seeds.

    With one seed it is that of `resampling.score_interval`, as evaluation tells it.
    """
    drawn = (spread.value + spread.images + spread.seeds)[np.isfinite(spread.images)]
    if num_units < 2 or not drawn.size or math.isnan(spread.value):
        return math.nan, math.nan
    plain = float(spread.images[np.isfinite(spread.images)].var())
    wide = plain * num_units / (num_units - 1)
    total, drawn_total = wide + spread.seed_variance, plain + spread.seed_variance
    if total <= _STILL**2:
        return spread.value, spread.value
    degrees = _degrees(wide, num_units, (spread,))
    return spread_interval(drawn, math.sqrt(total / drawn_total) * student_quantile(1 - (1 - level) / 2, degrees), most)


def pair_rate(entries: Sequence[Spread], level: float = LEVEL) -> float:
    """The rate at which a single pair may err so that all pairs together err at 1 - level.

    Never more than that rate itself, and never less than an equal share of it (Bonferroni), which always suffices.
    """
    entries = [spread for spread in entries if math.isfinite(spread.value)]
    rate, num_pairs = 1 - level, len(entries) * (len(entries) - 1) // 2
    if num_pairs < 2:
        return rate
    drawn = np.stack([spread.images + spread.seeds for spread in entries], 1)  # R m
    largest = np.zeros(len(drawn))
    for index in range(len(entries) - 1):
        between = np.abs(drawn[:, index, None] - drawn[:, index + 1 :])
        defined = np.isfinite(between)
        between[~defined] = 0  # a draw in which one of the two has no score tells nothing
        error = np.sqrt((between**2).sum(0) / np.maximum(1, defined.sum(0)))
        ratio = np.divide(between, error, out=np.zeros_like(between), where=error > _STILL)
        np.maximum(largest, ratio.max(1), out=largest)
    found = 2 * NormalDist().cdf(-float(np.quantile(largest, level)))
    return min(rate, max(found, rate / num_pairs))


def difference(ours: Spread, theirs: Spread, num_units: int, rate: float = 1 - LEVEL, most: float = 1.0) -> Difference:
    """Our score less theirs, both from 0 to `most`; the interval errs at `rate`, and keeps to what is possible."""
    value = ours.value - theirs.value
    apart = ours.images - theirs.images
    apart = apart[np.isfinite(apart)]
    if num_units < 2 or not apart.size or math.isnan(value):
        return Difference(value, math.nan, (math.nan, math.nan))
    from_images = float(apart.var()) * num_units / (num_units - 1)
    total = from_images + ours.seed_variance + theirs.seed_variance
    if total <= _STILL**2:  # every draw says the same: identical runs are a tie, a constant gap is none
        value = 0.0 if abs(value) <= _STILL else value
        return Difference(value, 0.0, (value, value))
    reach = student_quantile(1 - rate / 2, _degrees(from_images, num_units, (ours, theirs))) * math.sqrt(total)
    return Difference(value, math.sqrt(total), (max(-most, value - reach), min(most, value + reach)))


def _residuals(kept: Sequence[np.ndarray]) -> np.ndarray:
    """What seeds deviate by, of all entries, brought to a variance of one; a zero where there is nothing to draw."""
    several = [seeds for seeds in kept if len(seeds) > 1]
    all_of_them = np.concatenate(
        [(one - one.mean()) * math.sqrt(len(one) / (len(one) - 1)) for one in several] or [np.zeros(1)]
    )
    size = math.sqrt(float((all_of_them**2).mean()))
    return all_of_them / size if size > _STILL else np.zeros(1)


def _degrees(from_images: float, num_units: int, entries: Sequence[Spread]) -> int:
    """Degrees of freedom of a sum of variances, each with its own degrees (Welch and Satterthwaite), rounded down."""
    parts = [(from_images, num_units - 1), *((one.seed_variance, one.seed_degrees) for one in entries)]
    shares = [(variance, degrees) for variance, degrees in parts if variance > 0 and degrees > 0]
    total = sum(variance for variance, _ in shares)
    return max(1, math.floor(total**2 / sum(variance**2 / degrees for variance, degrees in shares) + 1e-9))
