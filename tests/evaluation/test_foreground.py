"""The IoU of the foreground at every threshold, and the best of them with its interval."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import jaccard_score

from maskwright.evaluation.tuning import GRID, STEPS, best_threshold, foreground_counts, iou_curve


def test_the_curve_by_hand():
    """Foreground at 0.9, 0.6 and 0.3, background at 0.7 and 0.1."""
    probability = torch.tensor([[0.9, 0.6, 0.3, 0.7, 0.1]])
    counts = foreground_counts(probability, np.array([[1, 1, 1, 0, 0]], np.uint8))
    curve = dict(zip(GRID, iou_curve(counts), strict=True))
    assert curve[1 / 256] == 3 / 5  # all five
    assert curve[0.25] == 3 / 4
    assert curve[0.5] == 2 / 4
    assert curve[0.65625] == 1 / 4
    assert curve[0.75] == 1 / 3
    assert curve[255 / 256] == 0
    best = best_threshold(counts[None], [None])
    assert best is not None and (best.iou, best.iou_at_half) == (0.75, 0.5)
    assert 0.1 < best.value <= 0.3 and best.value == 76 / 256  # of equals the nearest to a half
    assert all(math.isnan(end) for end in best.interval)  # one image


@pytest.mark.parametrize("seed", range(3))
def test_the_curve_is_that_of_the_labels_at_every_threshold(seed):
    """Beside scikit-learn's Jaccard score of probability > threshold, pixel for pixel."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(1, 2, 20, 30, generator=generator) * 2
    truth = torch.randint(0, 3, (20, 30), generator=generator).numpy().astype(np.uint8)
    truth[truth == 2] = 255
    probability, valid = logits.softmax(dim=1)[0, 1], truth != 255
    curve = iou_curve(foreground_counts(probability, truth))
    for threshold, found in zip(GRID.tolist(), curve, strict=True):
        labels = (probability > threshold).numpy()
        assert found == pytest.approx(jaccard_score(truth[valid], labels[valid]), abs=1e-12)


def test_probabilities_on_a_step_and_at_the_ends_are_counted_above_it():
    steps = torch.arange(STEPS + 1, dtype=torch.float32)[None] / STEPS
    counts = foreground_counts(steps, np.ones((1, STEPS + 1), np.uint8))
    assert counts[0].sum() == 0 and counts[1].tolist() == [2] + [1] * (STEPS - 1)
    assert foreground_counts(torch.full((1, 3), math.nan), np.zeros((1, 3), np.uint8)).sum() == 3


def test_images_add_up_and_groups_are_drawn_together():
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 50, (6, 2, STEPS))
    np.testing.assert_array_equal(iou_curve(counts.sum(0)), iou_curve(counts[:3].sum(0) + counts[3:].sum(0)))
    apart, grouped = best_threshold(counts, [None] * 6), best_threshold(counts, ["a"] * 3 + ["b"] * 3)
    assert apart is not None and grouped is not None
    assert apart.value == grouped.value and apart.curve == grouped.curve
    assert apart.interval[0] <= apart.value <= apart.interval[1] and apart.interval != grouped.interval


def test_the_interval_covers_where_the_best_threshold_is():
    """Masks drawn so that IoU is best at one threshold for all images: nothing is left to chance, and there is no
    spread.
    """
    one = foreground_counts(torch.tensor([[0.8, 0.31, 0.29, 0.1]]), np.array([[1, 1, 0, 0]], np.uint8))
    best = best_threshold(np.stack([one] * 8), [None] * 8)
    assert (
        best is not None and best.iou == 1.0 and best.interval == (best.value, best.value) and 0.29 < best.value <= 0.31
    )


def test_without_foreground_there_is_no_best_threshold():
    assert best_threshold(np.zeros((2, 2, STEPS), np.int64), [None, None]) is None
