"""RUN/evaluation/settled.json, what val decided, as predicting reads it; `evaluation/tuning` writes it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from maskwright import schemas
from maskwright.runs import Run

FILE = "evaluation/settled.json"


def fingerprint_of(entries: Sequence[dict[str, Any]]) -> str:
    """A hash of all that val is: its entries of data.json."""
    return hashlib.sha256(json.dumps(entries, sort_keys=True).encode()).hexdigest()


def read_settled(run: Run, fingerprint: str, weights: str) -> dict[str, Any] | None:
    """What was settled, or None where nothing was for these val images and weights (their hash)."""
    if not (run.root / FILE).exists():
        return None
    document = run.read_json(FILE, schemas.Settled)
    is_ours = (document.get("fingerprint"), document.get("weights_sha256")) == (fingerprint, weights)
    return document if is_ours else None


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
