"""How far a network's confidence can be believed: reliability, calibration error, and the temperature that corrects it.

A pixel's confidence is the probability of the class it is predicted as. Where it can be believed, eight in ten pixels
of confidence 0.8 are right. The calibration error is how far the two lie apart, bin by bin, in the mean over pixels
(arXiv:1706.04599).

Legend: K classes, H W sides, M pixels, L levels of confidence.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from maskwright.data.dataset import IGNORE
from maskwright.models.wrapper import labels_from_logits

BINS = 15  # as most papers have it
_FINE = 4096  # levels a bin is counted in, so that its mean confidence is known to within 1 / 122,880
LEVELS = BINS * _FINE
_VALUES = 1 << 21  # probabilities an image may cost when there are more than two classes: a few milliseconds
COOLEST, WARMEST = 0.05, 20.0  # temperatures looked at


@dataclass(frozen=True)
class Bin:
    """Pixels of like confidence, and how many of them are right; NaN in an empty bin."""

    low: float
    high: float
    confidence: float
    accuracy: float
    pixels: int

    def to_json(self) -> dict[str, float | int | None]:
        """NaN becomes null."""
        empty = self.pixels == 0
        return {
            "low": self.low, "high": self.high, "confidence": None if empty else self.confidence,
            "accuracy": None if empty else self.accuracy, "pixels": self.pixels,
        }  # fmt: skip


class Reliability:
    """Pixels by level of confidence, wrong and right ones, added up image by image. counts 2 L int64

    >>> reliability = Reliability()
    >>> reliability.add(torch.tensor([0.9, 0.9, 0.6]), np.array([True, False, True]))
    >>> round(reliability.error, 3)
    0.4
    """

    def __init__(self) -> None:
        self.counts = np.zeros((2, LEVELS), np.int64)

    def add(self, confidence: torch.Tensor, right: np.ndarray, weight: int = 1) -> None:
        """Count pixels, each standing for `weight`. confidence M float32, right M bool"""
        # the cast makes anything of NaN, and the clamp a level of that
        level = (confidence * LEVELS).to(torch.int32).clamp_(0, LEVELS - 1).cpu()
        code = level + torch.from_numpy(right) * LEVELS
        self.counts += torch.bincount(code, minlength=2 * LEVELS).view(2, LEVELS).numpy() * weight

    @property
    def pixels(self) -> int:
        """How many pixels were counted."""
        return int(self.counts.sum())

    @property
    def bins(self) -> tuple[Bin, ...]:
        """The reliability curve: `BINS` bins of equal width."""
        pixels = self.counts.reshape(2, BINS, _FINE).sum(2)
        middle = (np.arange(LEVELS) + 0.5) / LEVELS
        confidence = (self.counts.sum(0) * middle).reshape(BINS, _FINE).sum(1)
        found = []
        for place, (wrong, right) in enumerate(pixels.T.tolist()):
            total = wrong + right
            mean, share = (confidence[place] / total, right / total) if total else (math.nan, math.nan)
            found.append(Bin(place / BINS, (place + 1) / BINS, float(mean), share, total))
        return tuple(found)

    @property
    def error(self) -> float:
        """Expected calibration error: the pixels' mean of |confidence - accuracy| of their bin; NaN without pixels."""
        filled = [each for each in self.bins if each.pixels]
        apart = sum(each.pixels * abs(each.confidence - each.accuracy) for each in filled)
        return apart / self.pixels if filled else math.nan


@dataclass(frozen=True)
class Calibration:
    """How far the confidence on a split can be believed, as it is and at the temperature fitted on val.

    `temperature` is None where none could be fitted, and `reason` says why; `fitted_on` is val or None.
    """

    error: float
    bins: tuple[Bin, ...]
    temperature: float | None
    error_after: float | None
    reason: str | None

    def to_json(self) -> dict[str, Any]:
        """The `calibration` of evaluation/SPLIT.json."""
        return {
            "ece": self.error if math.isfinite(self.error) else None,
            "bins": [each.to_json() for each in self.bins],
            "temperature": self.temperature,
            "ece_after": self.error_after if self.error_after is not None and math.isfinite(self.error_after) else None,
            "fitted_on": "val" if self.temperature is not None else None,
            "reason": self.reason,
        }

    def __str__(self) -> str:
        if self.temperature is None:
            return f"calibration error {self.error:.4f}; no temperature: {self.reason}"
        return (
            f"calibration error {self.error:.4f}, {self.error_after:.4f} at temperature {self.temperature:.2f} (fitted "
            "on val)"
        )


class Calibrator:
    """Measures the calibration of a split image by image, before and after a temperature that val has fixed."""

    def __init__(self, temperature: float | None, reason: str | None = None) -> None:
        self.temperature, self.reason = temperature, reason
        self.before, self.after = Reliability(), Reliability()

    def add(self, logits: torch.Tensor, truth: np.ndarray) -> None:
        """Count one image. logits 1 K H W, truth H W uint8 with IGNORE"""
        inner, truth, step = _lattice(logits, truth)
        valid = truth != IGNORE
        right = (labels_from_logits(inner[None])[0].cpu().numpy() == truth)[valid]
        kept = None if valid.all() else torch.from_numpy(valid).to(logits.device)
        for reliability, temperature in ((self.before, 1.0), (self.after, self.temperature)):
            if temperature is not None:
                found = confidence(inner, temperature)
                reliability.add(found.flatten() if kept is None else found[kept], right, step * step)

    def result(self) -> Calibration:
        """What was measured."""
        after = None if self.temperature is None else self.after.error
        return Calibration(self.before.error, self.before.bins, self.temperature, after, self.reason)


def _lattice(logits: torch.Tensor, truth: np.ndarray) -> tuple[torch.Tensor, np.ndarray, int]:
    """Every pixel of two classes; of more, every `step`-th of every `step`-th row where all are many. → K H W, H W"""
    num_classes, height, width = logits.shape[1:]
    step = 1 if num_classes == 2 else max(1, math.ceil(math.sqrt(num_classes * height * width / _VALUES)))
    start = min(step // 2, height - 1, width - 1)
    inner = logits[0, :, start::step, start::step]
    return (inner if num_classes == 2 else inner.contiguous()), truth[start::step, start::step], step


def confidence(logits: torch.Tensor, temperature: float = 1.0) -> torch.Tensor:
    """The probability of the likeliest class. K H W → H W float32

    >>> confidence(torch.tensor([0.0, 1.0]).view(2, 1, 1)).item() == torch.tensor(1.0).sigmoid().item()
    True
    """
    if len(logits) == 2:  # the sigmoid of how far the two logits lie apart: 1/8 of the softmax's time
        return (logits[1] - logits[0]).abs_().div_(temperature).sigmoid_()
    return (logits / temperature if temperature != 1 else logits).softmax(0).amax(0)


def likelihood_loss(logits: np.ndarray, truth: np.ndarray, temperature: float = 1.0) -> float:
    """Mean negative log-likelihood of the truth at a temperature. logits M K, truth M"""
    scaled = logits.astype(np.float64) / temperature
    scaled -= scaled.max(1, keepdims=True)
    return float((np.log(np.exp(scaled).sum(1)) - scaled[np.arange(len(truth)), truth]).mean())


def fit_temperature(logits: np.ndarray, truth: np.ndarray) -> float | None:
    """The temperature at which the truth is likeliest, or None where none from 0.05 to 20 is. logits M K, truth M

    The loss is convex in 1 / temperature, so its slope has one root: Newton, kept between bounds that close in.
    """
    centred = logits - logits.max(1, keepdims=True)
    low, high = 1 / WARMEST, 1 / COOLEST
    if _slope(centred, truth, low)[0] >= 0 or _slope(centred, truth, high)[0] <= 0:
        return None
    inverse = 1.0
    for _ in range(60):
        slope, bend = _slope(centred, truth, inverse)
        low, high = (inverse, high) if slope < 0 else (low, inverse)
        step = inverse - slope / bend if bend > 0 else low
        nearer = step if low < step < high else math.sqrt(low * high)
        if abs(nearer - inverse) < 1e-7 * inverse:
            break
        inverse = nearer
    return 1 / inverse


def _slope(logits: np.ndarray, truth: np.ndarray, inverse: float) -> tuple[float, float]:
    """First and second derivative of the loss by 1 / temperature. logits M K, each row's largest 0"""
    weights = np.exp(inverse * logits)
    weights /= weights.sum(1, keepdims=True)
    mean = np.einsum("mk,mk->m", weights, logits)
    square = np.einsum("mk,mk,mk->m", weights, logits, logits)
    own = logits[np.arange(len(truth)), truth]
    return float((mean - own).mean(dtype=np.float64)), float((square - mean * mean).mean(dtype=np.float64))
