"""What a noisy curve does: its trend with an interval that knows neighbouring epochs are alike, its level, its swing.

Legend: n epochs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from maskwright.metrics.student import student_quantile

LEVEL = 0.95
LEAST_POINTS = 4  # fewer epochs show no trend
_SHOWS_A_BEND, _SHOWS_TWO = 16, 24


@dataclass(frozen=True)
class Trend:
    """The mean slope an epoch, its 95 % interval, and the scatter about the curve; NaN with too few epochs."""

    slope: float
    low: float
    high: float
    scatter: float

    @property
    def rises(self) -> bool:
        """Whether the whole interval lies above nothing."""
        return self.low > 0

    @property
    def falls(self) -> bool:
        """Whether the whole interval lies below nothing."""
        return self.high < 0


def trend(values: np.ndarray) -> Trend:
    """Least squares, with as many independent epochs as neighbours' likeness leaves. values n → slope an epoch

    A bend is taken out first, where there are epochs enough to see one: a curve that levels off is no noise. What is
    left is taken as a first-order autoregression, and n (1 - r) / (1 + r) for the number of epochs that say something
    of their own (Santer et al. 2000, https://doi.org/10.1029/1999JD901105).

    >>> trend(np.array([1.0, 1.2, 1.1, 1.3, 1.2, 1.4])).rises
    True
    """
    kept = np.isfinite(values)
    places, values = np.flatnonzero(kept).astype(float), values[kept]
    num = len(values)
    if num < LEAST_POINTS:
        return Trend(math.nan, math.nan, math.nan, math.nan)
    centred = places - places.mean()
    spread = float((centred**2).sum())
    slope = float(centred @ values) / spread
    terms = 2 + (num >= _SHOWS_A_BEND) + (num >= _SHOWS_TWO)
    shapes, _ = np.linalg.qr((centred / centred.max())[:, None] ** np.arange(terms))  # the slope stays the same
    left = values - shapes @ (shapes.T @ values)
    independent = _independent(left)
    error = math.sqrt(float(left @ left) / max(1.0, independent - terms) / spread)
    degrees = round(max(2.0, independent - terms), 1)  # so that few are worked out
    reach = student_quantile(1 - (1 - LEVEL) / 2, degrees) * error
    return Trend(slope, slope - reach, slope + reach, math.sqrt(float(left @ left) / max(1, num - terms)))


def _independent(left: np.ndarray) -> float:
    """How many independent values a remainder is worth; its likeness to itself is estimated too low on few values."""
    num, power = len(left), float(left @ left)
    if power == 0:
        return float(num)
    likeness = float(left[1:] @ left[:-1]) / power
    likeness = min(0.95, max(0.0, likeness + (1 + 4 * likeness) / num))
    return max(3.0, num * (1 - likeness) / (1 + likeness))


def smooth(values: np.ndarray, reach: int) -> np.ndarray:
    """Each value's median with `reach` neighbours to either side, fewer at the ends. n → n

    >>> smooth(np.array([1.0, 9.0, 1.0, 1.0]), 1).tolist()
    [5.0, 1.0, 1.0, 1.0]
    """
    found = [values[max(0, place - reach) : place + reach + 1] for place in range(len(values))]
    return np.array([np.median(near[np.isfinite(near)]) if np.isfinite(near).any() else math.nan for near in found])


def swing(values: np.ndarray) -> float:
    """The typical jump from epoch to epoch away from the run of the curve, as a standard deviation. values n

    Second differences know no trend; of independent noise they have six times its variance.

    >>> round(swing(np.array([0.1, 0.2, 0.3, 0.4])), 12)
    0.0
    """
    values = values[np.isfinite(values)]
    if len(values) < LEAST_POINTS:
        return math.nan
    return float(np.sqrt(np.mean(np.diff(values, 2) ** 2) / 6))


def usual(left: np.ndarray) -> float:
    """The usual distance from the median, as a standard deviation that a few outliers cannot move. values n"""
    return 1.4826 * float(np.median(np.abs(left - np.median(left)))) + 1e-12


def end_of(values: np.ndarray) -> float:
    """The level a curve ends on: the mean of its last tenth, three epochs at least."""
    last = values[-max(3, len(values) // 10) :]
    last = last[np.isfinite(last)]
    return float(last.mean()) if last.size else math.nan
