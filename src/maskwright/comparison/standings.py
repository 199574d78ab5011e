"""How the entries of a comparison stand: scores over seeds, intervals, differences to the best, and verdicts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from maskwright.comparison.entries import DISTANCES, SCORES, Comparison, Standing, Standings, Verdict
from maskwright.comparison.paired import Difference, Spread, difference, pair_rate, score_interval, seed_scores, spreads
from maskwright.comparison.pareto import front_cost, on_front
from maskwright.comparison.sentences import in_words, remarks, verdict
from maskwright.config.base import best_index
from maskwright.errors import UsageError, unknown
from maskwright.evaluation.intervals import RESAMPLES, draw, most_of, num_units
from maskwright.metrics.scores import nanmean


def standings(comparison: Comparison, metric: str = "iou", resamples: int = RESAMPLES) -> Standings:
    """Stand the entries by one headline score, on draws of images that all of them share."""
    if metric not in SCORES:
        raise UsageError(unknown("metric", metric, SCORES))
    entries, num_images = comparison.entries, len(comparison.images)
    units = num_units(comparison.groups) if num_images else 0
    rate, rows = math.nan, ()
    if entries:
        draws = draw(comparison.groups, resamples)
        scored = [seed_scores(entry.counts, draws) for entry in entries]
        spread = {name: spreads([scores[name] for scores in scored]) for name in SCORES}
        rate = pair_rate(spread[metric])
        rows = _rows(comparison, spread, metric, units, rate)
    found = Standings(
        comparison.split, metric, comparison.monitor, _subject(comparison, metric), num_images, units, resamples, rate,
        front_cost([entry.cost for entry in entries]), rows, comparison.failures, _absent(comparison), comparison.notes,
        comparison.same_val,
    )  # fmt: skip
    return replace(found, verdict=verdict(found), remarks=remarks(found), sentences=in_words(found))


def _rows(
    comparison: Comparison, spread: Mapping[str, Sequence[Spread]], metric: str, units: int, rate: float
) -> tuple[Standing, ...]:
    """A standing for each entry, in the order of the metric."""
    entries, ranked = comparison.entries, spread[metric]
    costs = [entry.cost for entry in entries]
    values = [-one.value if metric in DISTANCES else one.value for one in ranked]  # more is better
    order = sorted(range(len(entries)), key=lambda index: (math.isnan(values[index]), -values[index]))
    best = ranked[order[0]]
    front = on_front([float(getattr(cost, front_cost(costs))) for cost in costs], values)
    vals = [nanmean(np.array(entry.val)) for entry in entries]
    chosen = best_index(vals, comparison.monitor) if comparison.same_val else None
    most = {name: most_of(name, *(counts for entry in entries for counts in entry.counts)) for name in SCORES}
    rows = []
    for index in order:
        entry, ours = entries[index], ranked[index]
        to_best = difference(ours, best, units, rate, most[metric])
        is_best = ours is best and not math.isnan(best.value)
        rows.append(
            Standing(
                name=entry.name,
                num_seeds=entry.num_seeds,
                metrics={name: each[index].value for name, each in spread.items()},
                intervals={name: score_interval(each[index], units, most=most[name]) for name, each in spread.items()},
                difference=0.0 if is_best else to_best.value,
                difference_interval=(math.nan, math.nan) if is_best else to_best.interval,
                verdict="best" if is_best else _verdict(to_best),
                val=vals[index],
                cost=entry.cost,
                chosen=index == chosen,
                on_front=front[index],
            )
        )
    return tuple(rows)


def _verdict(to_best: Difference) -> Verdict:
    if math.isnan(to_best.value):
        return "undefined"
    return "tie" if to_best.holds_zero else "worse"


def _subject(comparison: Comparison, metric: str) -> str:
    """What the ranking score is of, in words."""
    classes = comparison.classes
    if metric == "accuracy":
        return "accuracy over all pixels"
    num_classes = len(classes) - len(_absent(comparison))
    return (
        f"{classes[1]} {SCORES[metric]}" if len(classes) == 2 else f"mean {SCORES[metric]} over {num_classes} classes"
    )


def _absent(comparison: Comparison) -> tuple[str, ...]:
    """Classes that no image's truth holds, of more than two: left out of means, whoever predicts them."""
    if len(comparison.classes) == 2 or not comparison.entries:
        return ()
    pixels = comparison.entries[0].counts[0].total().sum(1)
    return tuple(name for name, number in zip(comparison.classes, pixels, strict=True) if not number)
