"""Intervals hold the truth as often as they say, on simulated data; what they rest on; object sizes resampled alike."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from maskwright.evaluation.intervals import (
    MOST,
    draw,
    intervals,
    most_of,
    num_units,
    resampled_scores,
    score_interval,
    spread_in_words,
    spread_interval,
)
from maskwright.evaluation.sizes import by_size, in_words
from maskwright.metrics.counts import Counts
from maskwright.metrics.scores import summary

TRIALS = 300


def simulated(rng: np.random.Generator, num_groups: int, num_each: int = 1) -> Counts:
    """Images of 10,000 pixels, a third foreground; the recall and precision of a group's images are alike."""
    num = num_groups * num_each
    skill = np.repeat(rng.normal(1.5, 0.5, num_groups), num_each) + rng.normal(0, 0.2, num)
    share = 1 / (1 + np.exp(-skill))
    truth = np.rint(rng.uniform(2500, 4000, num))
    hits, added = np.rint(share * truth), (1 - share) * 2000
    matrix = np.stack([np.stack([10_000 - truth - added, added], -1), np.stack([truth - hits, hits], -1)], -2)
    outline = np.stack([np.zeros((num, 2)), np.stack([share * 400, share * 380], -1)], 1)
    whole = np.stack([np.zeros((num, 2)), np.full((num, 2), 400.0)], 1)
    distance = np.stack([np.full(num, np.nan), 30 * (1 - share)], 1)
    objects = np.zeros((num, 2, 3, 4))
    objects[:, 1, 0] = np.stack([np.full(num, 10), share * 10, truth, hits], -1)
    whole_counts = (np.rint(found).astype(np.int64) for found in (outline, whole, objects))
    zero = np.zeros((num, 2), np.int64)
    names = tuple(map(str, range(num)))
    return Counts(names, np.rint(matrix).astype(np.int64), zero, zero, *whole_counts, hd95=distance, boundary_width=3)


def groups_of(num_groups: int, num_each: int) -> list[str | None]:
    return [str(group) for group in range(num_groups) for _ in range(num_each)] if num_each > 1 else [None] * num_groups


@pytest.mark.parametrize(("num_groups", "num_each"), [(4, 1), (10, 1), (40, 1), (5, 6), (20, 4)])
def test_intervals_hold_the_true_score_as_often_as_they_say(num_groups: int, num_each: int) -> None:
    """The true score is that of very many images. In 300 trials a rate of 95 % is seen as 91.5 to 98.5 % (2.8
    deviations).
    """
    rng = np.random.default_rng((num_groups, num_each))
    true = summary(simulated(rng, 20_000), ("bg", "fg")).metrics
    draws = draw(groups_of(num_groups, num_each), resamples=600)
    held = dict.fromkeys(("iou", "precision", "recall", "boundary_f", "hd95"), 0)
    for _ in range(TRIALS):
        scores = resampled_scores(simulated(rng, num_groups, num_each), draws)
        for name in held:
            low, high = score_interval(scores[name], num_groups, MOST.get(name, 1.0))
            held[name] += low <= true[name] <= high
    for name, times in held.items():
        assert 0.915 <= times / TRIALS <= 0.985, (name, times / TRIALS)


def test_resampling_images_that_belong_together_one_by_one_would_be_too_sure() -> None:
    """Why groups are resampled whole: with 5 groups of 6 images, intervals over images would hold the truth far too
    seldom.
    """
    rng = np.random.default_rng(0)
    true = summary(simulated(rng, 20_000), ("bg", "fg")).metrics["iou"]
    draws, held = draw([None] * 30, resamples=600), 0
    for _ in range(TRIALS):
        low, high = score_interval(resampled_scores(simulated(rng, 5, 6), draws)["iou"], 30)
        held += low <= true <= high
    assert held / TRIALS < 0.75


def test_groups_of_alike_images_are_as_uncertain_as_one_image_each() -> None:
    """Every image three times over, in groups: nothing is learnt from the copies, so the intervals stay."""
    counts = simulated(np.random.default_rng(1), 8)
    copies = Counts.join([counts] * 3)
    groups: list[str | None] = [str(index) for index in range(8)] * 3
    alone, grouped, ungrouped = intervals(counts), intervals(copies, groups), intervals(copies)
    for name in ("iou", "f1", "boundary_f", "hd95"):
        assert grouped[name] == pytest.approx(alone[name], rel=1e-12)
        assert ungrouped[name][1] - ungrouped[name][0] < 0.7 * (alone[name][1] - alone[name][0])


def test_what_they_rest_on_is_said() -> None:
    assert num_units([None, None, "a", "a"]) == 3
    assert spread_in_words([None] * 1500) == "95 % intervals from resampling 1,500 images 2,000 times"
    assert (
        spread_in_words([None, "a", "a"]) == "95 % intervals from resampling 2 groups of images (3 images) 2,000 times"
    )
    assert (
        spread_in_words(["a"])
        == spread_in_words([None])
        == ("no intervals: one image tells nothing of how far scores would lie with others")
    )


def test_one_unit_has_no_interval() -> None:
    counts = simulated(np.random.default_rng(2), 3)
    assert all(math.isnan(end) for pair in intervals(counts, ["a", "a", "a"]).values() for end in pair)
    rows = by_size(counts, ("bg", "fg"), ["a", "a", "a"])
    assert all(math.isnan(end) for row in rows["fg"] for end in row["interval"])


def test_objects_are_resampled_as_scores_are() -> None:
    """All objects are small and all pixels theirs, so the recall of small objects is recall, with its very interval."""
    counts = simulated(np.random.default_rng(3), 12)
    rows = by_size(counts, ("bg", "fg"))
    assert list(rows) == ["fg"]
    small, medium, large = rows["fg"]
    assert small["recall"] == pytest.approx(summary(counts, ("bg", "fg")).metrics["recall"])
    assert small["interval"] == pytest.approx(intervals(counts)["recall"], rel=1e-12)
    assert small["objects"] == 120
    for row in (medium, large):
        assert row["objects"] == 0 and math.isnan(row["recall"]) and all(map(math.isnan, row["interval"]))
    assert in_words(rows) == f"objects found: small {small['found']} of 120"
    assert in_words({"fg": [medium, medium, medium]}) == ""


# ------------------------------------------------------------------ the ends


def test_by_hand() -> None:
    """Odds of 1/2, 1 and 2, each in a third of the resamples: log odds of mean 0 and variance 2/3 · log(2)².

    One deviation to either side is a log odds of 0.5659: 1 / (1 + e^0.5659) = 0.3622, and 0.6378.
    """
    found = spread_interval(np.tile([1 / 3, 1 / 2, 2 / 3], 10), 1.0)
    assert found == pytest.approx((0.3622, 0.6378), abs=1e-4)


def test_distances_are_told_as_logarithms() -> None:
    """Distances of 1 and 100 px: the mean of their logarithms is that of 10, the deviation log(10)."""
    assert spread_interval(np.array([1.0, 100.0]), 1.0, math.inf) == pytest.approx((1.0, 100.0))
    assert spread_interval(np.array([0.0, 10.0]), 2.0, math.inf) == (0.0, 15.0)


def test_scores_at_an_end_keep_within_the_ends() -> None:
    """A mean of 0.75 and a deviation of 0.25, twice: 0.25 to 1.25, cut off at 1."""
    assert spread_interval(np.array([1.0, 0.5]), 2.0) == (0.25, 1.0)
    assert spread_interval(np.array([0.0, 0.0, 0.0]), 2.0) == (0.0, 0.0)
    assert spread_interval(np.full(5, 0.1 + 0.2), 9.0) == (0.1 + 0.2, 0.1 + 0.2)
    assert spread_interval(np.array([0.4, 0.6, np.nan]), 1e6) == pytest.approx((0.0, 1.0))
    assert all(map(math.isnan, spread_interval(np.array([np.nan]), 2.0)))


def test_few_units_reach_further() -> None:
    """Student's quantile and the factor of a sample's variance: 12.706 · sqrt(2) = 17.97 deviations of two, 1.96 of
    many.
    """
    values = np.random.default_rng(0).normal(0.5, 0.001, 2000)
    widths = [high - low for low, high in (score_interval(values, units) for units in (2, 4, 10**6))]
    assert widths[0] / widths[2] == pytest.approx(12.706 * math.sqrt(2) / 1.96, rel=1e-3)
    assert widths[1] / widths[2] == pytest.approx(3.182 * math.sqrt(4 / 3) / 1.96, rel=1e-3)


def test_the_interval_of_a_distance_ends_where_the_largest_image_does() -> None:
    wide = np.array([[np.nan, 1.0], [np.nan, 2.0], [np.nan, 30.0], [np.nan, 40.0]])
    unknown = replace(simulated(np.random.default_rng(0), 4), hd95=wide)
    assert intervals(unknown)["hd95"][1] > 68  # of counts kept before, images' sizes are not known
    diagonal = math.hypot(48, 48)
    low, high = intervals(replace(unknown, diagonal=np.full(4, diagonal)))["hd95"]
    assert 0 <= low < 18.25 < high <= diagonal
    empty = replace(unknown, hd95=np.array([[np.nan, 60.0]] * 3 + [[np.nan, diagonal]]), diagonal=np.full(4, diagonal))
    assert intervals(empty)["hd95"][1] <= diagonal
    assert most_of("iou", unknown) == 1 and most_of("hd95", unknown, empty) == math.inf
