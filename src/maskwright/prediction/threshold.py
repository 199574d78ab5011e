"""From probabilities to labels: the foreground threshold as a person may wish it, and the temperature.

A threshold is a number, `fixed` (the run's own `train.mask_threshold`) or `tuned` (on val, see evaluation/tuning).
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from maskwright.data.tiles import EVEN, is_foreground
from maskwright.errors import UsageError, closest, did_you_mean, must

if TYPE_CHECKING:
    from maskwright.runs import Run

SETTLED = "evaluation/settled.json"  # what val decided; written by `evaluation/tuning`
Wish = float | Literal["tuned"] | None
_CONSTRAINT = "between 0 and 1, or the word fixed or tuned"


def read_threshold(wish: str | float | None, num_classes: int) -> Wish:
    """The threshold wished for; None stands for the run's own. Refuses what means nothing with so many classes.

    >>> read_threshold("0.4", num_classes=2), read_threshold("fixed", num_classes=2)
    (0.4, None)
    """
    if wish is None or wish == "fixed":
        return None
    read = wish if wish == "tuned" else _number(wish)
    if num_classes != 2:
        fix = "There the likeliest class is taken; leave it out."
        got = f"{read} and {num_classes}"
        raise UsageError(must("--mask-threshold", "left out of a run with more than two classes", got, fix))
    return "tuned" if read == "tuned" else float(read)


def _number(wish: str | float) -> float:
    try:
        value = float(wish)
    except ValueError:
        near = closest(str(wish), ("fixed", "tuned"), limit=1)
        fix = did_you_mean(near) or "Leave it out for the run's own."
        raise UsageError(must("--mask-threshold", _CONSTRAINT, repr(wish), fix)) from None
    if not (math.isfinite(value) and 0 < value < 1):
        raise UsageError(must("--mask-threshold", _CONSTRAINT, wish, "Leave it out for the run's own."))
    return value


def labels_from_probabilities(probabilities: np.ndarray, threshold: float | None = None) -> np.ndarray:
    """The likeliest class of each pixel, the first of equals; of two, as `is_foreground` says. K H W → H W uint8"""
    if len(probabilities) == 2:
        return is_foreground(probabilities, EVEN if threshold is None else threshold).astype(np.uint8)
    best = probabilities[0].copy()
    labels = np.zeros(best.shape, np.uint8)
    for index in range(1, len(probabilities)):  # a plane at a time: argmax visits a pixel's classes far apart in memory
        is_better = (probabilities[index] > best).view(np.uint8)
        np.maximum(labels, is_better * np.uint8(index), out=labels)  # later classes have higher numbers
        np.maximum(best, probabilities[index], out=best)
    return labels


def calibrated(probabilities: np.ndarray, temperature: float | None) -> np.ndarray:
    """Probabilities K … as they are of logits divided by a temperature; None leaves them as they are.

    >>> calibrated(np.array([0.2, 0.8], np.float32), 2.0).round(3).tolist()
    [0.3330000042915344, 0.6669999957084656]
    """
    if temperature is None:
        return probabilities
    found = np.power(probabilities, np.float32(1 / temperature))
    found /= found.sum(axis=0)
    return found


def fingerprint_of(entries: Sequence[dict[str, Any]]) -> str:
    """A hash of all that val is: its entries of data.json."""
    return hashlib.sha256(json.dumps(entries, sort_keys=True).encode()).hexdigest()


def read_settled(run: Run, document: Mapping[str, Any], weights: str) -> dict[str, Any] | None:
    """What val decided, or None where nothing was for these val images and weights (their hash)."""
    if not (run.root / SETTLED).exists():
        return None
    from maskwright import schemas  # late: a bundle needs none of them

    settled = run.read_json(SETTLED, schemas.Settled)
    fingerprint = fingerprint_of(document["splits"].get("val", []))
    return settled if (settled.get("fingerprint"), settled.get("weights_sha256")) == (fingerprint, weights) else None
