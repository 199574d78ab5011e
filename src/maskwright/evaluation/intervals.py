"""How far a score could lie from here with other images of the same kind: bootstrap over images or their groups."""

from __future__ import annotations

import math
from collections.abc import Sequence

from maskwright.evaluation.resampling import RESAMPLES, draw, resampled_scores, score_interval, unit_numbers
from maskwright.metrics.counts import Counts

MOST = {"hd95": math.inf}  # a distance ends with the image, see `most_of`


def intervals(counts: Counts, groups: Sequence[str | None] | None = None, seed: int = 0) -> dict[str, list[float]]:
    """The 95 % interval of each headline score; images of one group are resampled together."""
    groups = groups or [None] * len(counts.images)
    scores, units = resampled_scores(counts, draw(groups, seed=seed)), num_units(groups)
    return {name: list(score_interval(values, units, most_of(name, counts))) for name, values in scores.items()}


def most_of(name: str, *counts: Counts) -> float:
    """What a score can be at most: of a distance the largest image's diagonal, which an empty prediction scores too."""
    most = MOST.get(name, 1.0)
    if math.isfinite(most):
        return most
    longest = [float(one.diagonal.max(initial=0.0)) for one in counts]
    return max(longest) if longest and min(longest) > 0 and not math.isnan(sum(longest)) else most


def num_units(groups: Sequence[str | None]) -> int:
    """How many units the images are resampled by: groups, and images of no group.

    >>> num_units(["a", "a", None])
    2
    """
    return int(unit_numbers(groups).max()) + 1


def spread_in_words(groups: Sequence[str | None]) -> str:
    """What the intervals rest on.

    >>> spread_in_words(["a", "a", "b"])
    '95 % intervals from resampling 2 groups of images (3 images) 2,000 times'
    """
    units = num_units(groups)
    if units == 1:
        one = "one image" if len(groups) == 1 else f"one group ({len(groups)} images)"
        return f"no intervals: {one} tells nothing of how far scores would lie with others"
    what = f"{units:,} images" if units == len(groups) else f"{units:,} groups of images ({len(groups):,} images)"
    return f"95 % intervals from resampling {what} {RESAMPLES:,} times"
