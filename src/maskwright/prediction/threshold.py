"""The foreground threshold as a person may wish it: a number, `fixed` (the run's own `train.mask_threshold`)
or `tuned` (on val, see evaluation/tuning)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import numpy as np

from maskwright.errors import UsageError, closest, must

if TYPE_CHECKING:
    import torch

EVEN = 0.5  # the foreground threshold of two classes at which the likelier one is taken
Wish = float | Literal["tuned"] | None
_CONSTRAINT = "between 0 and 1, or the word fixed or tuned"


def read_threshold(wish: str | float | None, num_classes: int) -> Wish:
    """The threshold wished for; None stands for the run's own. Refuses what means nothing with so many classes.

    >>> read_threshold("0.4", num_classes=2), read_threshold("fixed", num_classes=2)
    (0.4, None)
    """
    if wish is None or wish == "fixed":
        return None
    if wish != "tuned":
        wish = _number(wish)
    if num_classes != 2:
        fix = "There the likeliest class is taken; leave it out."
        raise UsageError(
            must("--mask-threshold", "left out of a run with more than two classes", f"{wish} and {num_classes}", fix)
        )
    return "tuned" if wish == "tuned" else wish


def _number(wish: str | float) -> float:
    try:
        value = float(wish)
    except ValueError:
        near = closest(str(wish), ("fixed", "tuned"), limit=1)
        fix = f"Did you mean {near[0]}?" if near else "Leave it out for the run's own."
        raise UsageError(must("--mask-threshold", _CONSTRAINT, repr(wish), fix)) from None
    if not (math.isfinite(value) and 0 < value < 1):
        raise UsageError(must("--mask-threshold", _CONSTRAINT, wish, "Leave it out for the run's own."))
    return value


def foreground(logits: torch.Tensor) -> torch.Tensor:
    """Probability of the foreground, which a threshold is compared with. 1 2 H W → H W"""
    return logits.softmax(dim=1)[0, 1]


def labels_from_probabilities(probabilities: np.ndarray, threshold: float | None, own: float = EVEN) -> np.ndarray:
    """The likeliest class of each pixel, the first of equals; of two, the foreground from a threshold. K H W → H W uint8

    Without a threshold it is the run's `own`; of an even one, equals are background.
    """
    if len(probabilities) == 2:
        if threshold is None and own == EVEN:
            return (probabilities[1] > probabilities[0]).astype(np.uint8)
        return (probabilities[1] >= (own if threshold is None else threshold)).astype(np.uint8)
    best = probabilities[0].copy()
    labels = np.zeros(best.shape, np.uint8)
    for index in range(1, len(probabilities)):  # a plane at a time: argmax visits a pixel's classes far apart in memory
        labels[probabilities[index] > best] = index
        np.maximum(best, probabilities[index], out=best)
    return labels
