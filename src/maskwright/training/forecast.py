"""What more time would likely bring, from a run's own curve.

told = more_time(run)        # "twice the time would likely bring val IoU 0.93 …", or None where the curve does not say
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

import numpy as np

from maskwright.errors import as_typed, counted
from maskwright.runs import Run

_LEAST_POINTS = 4
_FROM = 0.2  # of the time: before, a curve is all warm-up
_STEEPEST = 0.5  # of the error's fall with time: the last part is steep because the rate falls, which comes only once
_FLAT = 0.003  # a gain below this is within what the next seed changes
_FEW = 20  # validation images below which the curve itself is uncertain


def more_time(run: Run) -> str | None:
    """A sentence on twice the time, with the line that spends it; None without budget or with too short a curve."""
    budget = run.config.train.budget
    points = curve(run.history)
    gain = likely_gain(points)
    if budget is None or gain is None:
        return None
    line = as_typed("maskwright", "train", "--resume", run.root, "--budget", budget)
    if gain < _FLAT:
        return f"the curve is flat: twice the time would likely bring little; {line} goes on anyway"
    num = len(run.data["splits"]["val"])
    doubt = f", as far as {counted(num, 'validation image')} can tell" if num < _FEW else ""
    return (
        f"twice the time would likely bring val IoU {points[-1][1] + gain:.2f} ({points[-1][1]:.2f} now){doubt}: {line}"
    )


def curve(history: Sequence[Mapping[str, Any]]) -> list[tuple[float, float]]:
    """Seconds and val IoU at the end of each epoch that has one."""
    ends = accumulate(row["seconds"] for row in history)
    return [(at, row["val_iou"]) for at, row in zip(ends, history, strict=True) if row["val_iou"] == row["val_iou"]]


def is_flat(history: Sequence[Mapping[str, Any]]) -> bool:
    """Whether twice the time would likely bring next to nothing."""
    gain = likely_gain(curve(history))
    return gain is not None and gain < _FLAT


def likely_gain(points: list[tuple[float, float]]) -> float | None:
    """By how much a score from 0 to 1 would rise in twice the time, if its error goes on falling as a power of time.

    >>> round(likely_gain([(t, 1 - 0.4 * t ** -0.25) for t in range(1, 11)]), 3)
    0.036
    >>> likely_gain([(1.0, 0.5), (2.0, 0.6)]) is None
    True
    """
    if not points:
        return None
    late = [(at, score) for at, score in points if at >= _FROM * points[-1][0]]
    if len(late) < _LEAST_POINTS or points[-1][1] >= 1:
        return None
    times, errors = np.log([at for at, _ in late]), np.log([max(1e-6, 1 - score) for _, score in late])
    slope = float(np.polyfit(times, errors, 1)[0])
    return (1 - points[-1][1]) * (1 - math.pow(2, -min(_STEEPEST, max(0.0, -slope))))
