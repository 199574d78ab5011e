"""How far a score could lie from here with other images of the same kind: bootstrap over images or their groups."""

from __future__ import annotations

from collections.abc import Sequence

from maskwright.evaluation.resampling import draw, percentile_interval, resampled_scores, unit_numbers
from maskwright.metrics.counts import Counts


def intervals(counts: Counts, groups: Sequence[str | None] | None = None, seed: int = 0) -> dict[str, list[float]]:
    """The 95 % interval of each headline score; images of one group are resampled together."""
    groups = groups or [None] * len(counts.images)
    num_units = int(unit_numbers(groups).max()) + 1
    scores = resampled_scores(counts, draw(groups, seed=seed))
    return {name: list(percentile_interval(values, num_units)) for name, values in scores.items()}
