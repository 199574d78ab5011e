"""How often verdicts of a comparison err, and what they can see, on simulated test sets; and how long they take.

A simulated test set has images of unequal size and difficulty; each entry's IoU on each image is that difficulty and a
part of its own. Under the null no entry is better than another, and a "worse" is an error.

python benchmarks/paired.py [--repeats 400]
"""

from __future__ import annotations

import argparse
import sys
import time
from functools import cache
from itertools import combinations, product
from pathlib import Path

import numpy as np
from scipy import stats

from common import Figure, publish
from maskwright.comparison.entries import Comparison, Cost, Entry
from maskwright.comparison.paired import Scores, Spread, difference, pair_rate, score_interval, spreads
from maskwright.comparison.standings import standings
from maskwright.evaluation.intervals import draw, expanded_tail
from maskwright.metrics.counts import Counts
from maskwright.runs import Run

RESAMPLES = 1000
SHIFT = 0.5  # logits by which the one bad entry is worse, about 0.07 of IoU


def simulated(rng, num_images, num_entries, num_seeds=1, shift=0.0, seed_sd=0.0, own_sd=0.4):
    """Hits and unions of each image: m S N each. The last entry is worse by `shift` logits."""
    pixels = np.exp(rng.normal(8, 0.6, num_images))
    logits = rng.normal(2, 1, num_images) + rng.normal(0, own_sd, (num_entries, 1, num_images))
    logits = (
        logits
        + rng.normal(0, seed_sd, (num_entries, num_seeds, 1))
        + rng.normal(0, seed_sd, (num_entries, num_seeds, num_images))
    )
    logits[-1] -= shift
    iou = 1 / (1 + np.exp(-logits))
    union = pixels * (1 + 0.3 * (1 - iou))
    return iou * union, union


def scores_of(hits, union, draws):
    """What `seed_scores` gives, for IoU alone."""
    drawn = np.einsum("rn,msn->mrs", draws, hits) / np.einsum("rn,msn->mrs", draws, union)
    points = hits.sum(2) / union.sum(2)
    return [Scores(point, one.mean(1)) for point, one in zip(points, drawn)]


def verdicts(found: tuple[Spread, ...], num_units: int, rate: float) -> list[bool]:
    """Which entries are called worse than the best."""
    best = max(found, key=lambda one: one.value)
    return [not difference(one, best, num_units, rate).holds_zero for one in found]


def other_ways(found: tuple[Spread, ...], num_units: int) -> dict[str, bool]:
    """Whether anything is called worse by ways not taken."""
    best = max(found, key=lambda one: one.value)
    others = [one for one in found if one is not best]
    apart = [one.images - best.images for one in others]
    gaps = np.array([best.value - one.value for one in others])
    errors = np.array([one.std() for one in apart]) * np.sqrt(num_units / (num_units - 1))
    alone = 2 * stats.t.sf(gaps / errors, num_units - 1)
    tail = 100 * expanded_tail(num_units)
    tops = [np.percentile(one - gap, 100 - tail) for one, gap in zip(apart, gaps)]
    return {
        "each pair alone": bool((alone < 0.05).any()),
        "percentiles, each pair alone": bool((np.array(tops) < 0).any()),
        "Holm against the best": bool(
            alone.min() < 0.05 / len(others)
        ),  # its first step decides whether any is rejected
    }


def family(rng, num_images, num_entries, repeats):
    """Rates of one cell of the table: family-wise error of each way, coverage, and power."""
    shares: dict[str, list[float]] = {}
    truth = true_gap()
    for index in range(repeats):
        draws = draw([None] * num_images, RESAMPLES, seed=index)
        found = spreads(scores_of(*simulated(rng, num_images, num_entries), draws))
        row = {"ours": any(verdicts(found, num_images, pair_rate(found))), **other_ways(found, num_images)}
        low, high = score_interval(found[0], num_images)
        row["score covered"] = low <= truth[0] <= high
        shifted = spreads(scores_of(*simulated(rng, num_images, num_entries, shift=SHIFT), draws))
        rate = pair_rate(shifted)
        row["bad one found"] = verdicts(shifted, num_images, rate)[-1]
        row["false beside it"] = any(verdicts(shifted, num_images, rate)[:-1])
        row["pairs covered"] = all(
            low <= (0 if b < num_entries - 1 else truth[1]) <= high
            for a, b in combinations(range(num_entries), 2)
            for low, high in [difference(shifted[a], shifted[b], num_images, rate).interval]
        )
        for name, value in row.items():
            shares.setdefault(name, []).append(float(value))
    return {name: float(np.mean(values)) for name, values in shares.items()}


@cache
def true_gap() -> tuple[float, float]:
    """The IoU of an entry over endless images, and how much more it is than the bad one's."""
    hits, union = simulated(np.random.default_rng(12), 2_000_000, 2, shift=SHIFT)
    good, bad = (hits.sum(2) / union.sum(2))[:, 0]
    return float(good), float(good - bad)


def several_seeds(rng, num_seeds, num_images, num_entries, repeats) -> dict[str, float]:
    """Family-wise error where seeds differ as much as images do, and when seeds are pooled as if they were one run."""
    wrong, naive = 0, 0
    for index in range(repeats):
        draws = draw([None] * num_images, RESAMPLES, seed=index)
        scores = scores_of(*simulated(rng, num_images, num_entries, num_seeds, seed_sd=0.2), draws)
        found = spreads(scores)
        wrong += any(verdicts(found, num_images, pair_rate(found)))
        blind = spreads([Scores(np.array([one.value]), one.draws) for one in scores])
        naive += any(verdicts(blind, num_images, pair_rate(blind)))
    return {"ours": wrong / repeats, "seeds overlooked": naive / repeats}


def speed() -> float:
    """Seconds for 9 entries × 3 seeds × 1,000 images × 20 classes × 2,000 resamples."""
    rng = np.random.default_rng(0)
    names = tuple(map(str, range(1000)))

    def counts():
        return Counts(
            names, rng.integers(0, 999, (1000, 20, 20)), rng.integers(0, 9, (1000, 20)), rng.integers(9, 99, (1000, 20))
        )

    entries = tuple(
        Entry(str(one), {}, (Run(Path()),) * 3, tuple(counts() for _ in range(3)), (0.5,) * 3, Cost(1, 1.0, 1.0, 1.0))
        for one in range(9)
    )
    comparison = Comparison("test", tuple(map(str, range(20))), names, (None,) * 1000, entries)
    started = time.perf_counter()
    standings(comparison)
    return time.perf_counter() - started


def error_figure(name: str, rates: dict[str, float], repeats: int) -> Figure:
    """A family-wise error, which may be above 0.05 by what chance explains."""
    value = rates.pop("ours")
    limit = 0.05 + 2.6 * (0.05 * 0.95 / repeats) ** 0.5
    return Figure(f"family-wise error, {name}", value, f"<= 0.05 (by chance {limit:.3f})", value <= limit, {**rates})


def main() -> bool:
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=400)
    repeats = parser.parse_args().repeats
    rng = np.random.default_rng(0)
    figures = []
    for num_images, num_entries in product((4, 8, 20, 60), (2, 5, 9)):
        rates = family(rng, num_images, num_entries, repeats)
        figures.append(error_figure(f"{num_images} images, {num_entries} entries", rates, repeats))
    for num_seeds, (num_images, num_entries) in product((2, 3, 5), ((8, 3), (60, 3), (60, 9))):
        rates = several_seeds(rng, num_seeds, num_images, num_entries, repeats)
        figures.append(error_figure(f"{num_seeds} seeds, {num_images} images, {num_entries} entries", rates, repeats))
    spent = speed()
    told = "seconds for 9 entries x 3 seeds x 1,000 images x 20 classes x 2,000 resamples"
    figures.append(Figure(told, spent, "<= 5", spent <= 5, {}))
    return publish("paired", figures)


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
