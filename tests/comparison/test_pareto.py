"""The fronts of accuracy against cost, and which images models disagree about."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from standing_making import comparison, simulated

from maskwright.comparison.disagreement import disputed, disputed_share, least_disputed
from maskwright.comparison.entries import Cost
from maskwright.comparison.pareto import COSTS, fronts, on_front
from maskwright.comparison.standings import standings
from maskwright.metrics.counts import Counts, confusion

# ------------------------------------------------------------------ fronts


def test_the_front_by_hand():
    assert on_front([1, 2, 3, 4], [0.5, 0.4, 0.6, 0.6]) == [True, False, True, False]
    assert on_front([1, 1], [0.5, 0.5]) == [True, True]  # alike: neither beats the other
    assert on_front([math.nan, 2], [0.9, 0.1]) == [False, True]
    assert on_front([1, 2], [math.nan, 0.1]) == [False, True]
    assert on_front([], []) == []


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=12))
def test_what_is_off_the_front_is_beaten_by_something_on_it(points):
    flags = on_front(*zip(*points, strict=True))
    front = [point for point, flag in zip(points, flags, strict=True) if flag]
    assert front
    for (cost, score), flag in zip(points, flags, strict=True):
        beaten = any(c <= cost and s >= score and (c, s) != (cost, score) for c, s in front)
        assert beaten != flag


def test_a_front_for_each_cost():
    costs = [Cost(3, 30.0, 1.0, math.nan), Cost(1, 10.0, 2.0, 5.0, 5.0, 6.0), Cost(2, 20.0, 3.0, 4.0, 4.0, 4.5)]
    stood = standings(comparison(simulated(np.random.default_rng(0), 80, [1, 0.5, 0]), costs=costs))
    found = fronts(stood)
    assert list(found) == list(COSTS)
    assert [(point.name, point.on_front) for point in found["parameters"]] == [
        ("entry1", True), ("entry2", False), ("entry0", True),
    ]  # fmt: skip
    times = found["milliseconds_an_image"]
    assert [(point.name, point.cost) for point in times] == [("entry2", 4.0), ("entry1", 5.0)]
    assert not any(point.on_front for point in times)  # as the time of one is not known
    best = next(row for row in stood.rows if row.name == "entry0")
    point = found["multiply_adds"][-1]
    assert (point.score, point.interval, point.verdict) == (best.metrics["iou"], best.intervals["iou"], "best")


@pytest.mark.parametrize(
    ("spreads", "order"),
    [(((11, 14), (15, 16)), [True, False]), (((11, 15), (15, 16)), [False] * 2), (((11, 90), (15, 16)), [False] * 2),
     (((math.nan, math.nan), (15, 16)), [False] * 2)],
)  # fmt: skip
def test_times_are_ranked_only_where_they_do_not_overlap(spreads, order):
    costs = [Cost(1, 1.0, 1.0, 10.0 + place, *ends) for place, ends in enumerate(spreads)]
    stood = standings(comparison(simulated(np.random.default_rng(0), 80, [1, 0]), costs=costs))
    assert [point.on_front for point in fronts(stood)["milliseconds_an_image"]] == order


# ------------------------------------------------------------------ disagreement


def label_maps(rng, num_images=6, num_entries=3):
    """Masks with ignored pixels, and label maps that stray further from them the later the image."""
    masks = rng.integers(0, 3, (num_images, 16, 16)).astype(np.uint8)
    stray = rng.random((num_entries, num_images, 16, 16)) < np.linspace(0.02, 0.6, num_images)[:, None, None]
    labels = np.where(stray, rng.integers(0, 3, stray.shape), masks).astype(np.uint8)
    masks[:, :2] = 255
    return masks, labels


def counted(masks, labels) -> Counts:
    names = tuple(f"image{index}" for index in range(len(masks)))
    matrix = np.stack([confusion(mask, label, 3) for mask, label in zip(masks, labels, strict=True)])
    return Counts(names, matrix, np.zeros((len(masks), 3), np.int64), np.zeros((len(masks), 3), np.int64))


def test_counts_give_the_least_that_label_maps_confirm():
    masks, labels = label_maps(np.random.default_rng(0))
    made = comparison([(counted(masks, one),) for one in labels])
    exact = [disputed_share(mask, labels[:, index]) for index, mask in enumerate(masks)]
    least = least_disputed(made.entries)
    assert (least <= np.array(exact) + 1e-12).all() and least[-1] > least[0]
    # by hand: every image, whatever the number of label maps
    for index, mask in enumerate(masks):
        scored = mask != 255
        apart = (labels[:, index] != labels[0, index]).any(0)
        assert exact[index] == pytest.approx(apart[scored].mean())


def test_votes():
    maps = [np.array([[value]], np.uint8) for value in (0, 1, 1, 2, 255)]
    assert disputed(maps).item() == 3
    assert disputed(maps[:1]).item() == 0
    assert disputed_share(np.full((1, 1), 255, np.uint8), maps) == 0.0
