"""The foreground threshold of two classes: IoU at every threshold of a grid, exactly, and the one that is best.

A threshold is a whole number of 1/256. Probabilities are counted between such steps, so the IoU at each is that of the
labels it would give, pixel for pixel, and a thousand resamples of the images are scored without predicting again.

Legend: N images, R resamples, Q = 256 steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from maskwright.data.dataset import IGNORE
from maskwright.evaluation.intervals import num_units
from maskwright.evaluation.resampling import draw, percentile_interval

STEPS = 256
GRID = np.arange(1, STEPS) / STEPS  # the thresholds looked at


@dataclass(frozen=True)
class BestThreshold:
    """The threshold with the highest IoU on val, and what it was chosen on.

    `interval` is where it would lie with other images of the same kind, 95 % of the time; `curve` the IoU at each of `GRID`.
    """

    value: float
    iou: float
    iou_at_half: float
    interval: tuple[float, float]
    curve: tuple[float, ...]


def foreground_counts(probability: torch.Tensor, truth: np.ndarray) -> np.ndarray:
    """Pixels by truth and step of their foreground probability. H W float32, H W uint8 with IGNORE → 2 Q int64

    >>> foreground_counts(torch.tensor([[0.0, 0.5, 1.0]]), np.array([[0, 1, 255]], np.uint8)).nonzero()
    (array([0, 1]), array([  0, 128]))
    """
    step = (probability * STEPS).to(torch.int32).clamp_(0, STEPS - 1)
    valid = truth != IGNORE
    code = step.cpu().numpy()[valid] + STEPS * truth[valid].astype(np.int32)
    return np.bincount(code, minlength=2 * STEPS).reshape(2, STEPS)


def iou_curve(counts: np.ndarray) -> np.ndarray:
    """IoU of the foreground at each threshold of the grid. … 2 Q → … Q-1; NaN where nothing is foreground or called so"""
    above = np.cumsum(counts[..., ::-1], axis=-1)[..., ::-1]  # … 2 Q, pixels at least as probable
    hits, false = above[..., 1, 1:].astype(float), above[..., 0, 1:].astype(float)
    whole = above[..., 1, :1] + false
    return np.divide(hits, whole, out=np.full(hits.shape, np.nan), where=whole > 0)


def best_threshold(counts: np.ndarray, groups: Sequence[str | None], seed: int = 0) -> BestThreshold | None:
    """The threshold with the highest IoU, of equals the nearest to a half; None where no pixel is foreground. N 2 Q"""
    total = counts.sum(0)
    if not total[1].any():
        return None
    curve = iou_curve(total)
    place = int(_best(curve[None])[0])
    draws = draw(groups, seed=seed)
    pooled = (draws @ counts.reshape(len(counts), -1).astype(float)).reshape(-1, 2, STEPS)
    seen = pooled[pooled[:, 1].any(1)]  # a resample without foreground has no best threshold
    low, high = percentile_interval(GRID[_best(iou_curve(seen))], num_units(groups))
    half = float(curve[STEPS // 2 - 1])
    return BestThreshold(float(GRID[place]), float(curve[place]), half, (low, high), tuple(curve.tolist()))


def _best(curves: np.ndarray) -> np.ndarray:
    """The place of each curve's highest value, of equals the nearest to a half. R Q-1 → R"""
    nearest = np.argsort(np.abs(GRID - 0.5), kind="stable")
    return nearest[np.argmax(curves[:, nearest], axis=1)]
