"""Losses that are a mean over pixels: cross-entropy, its binary form, focal.

Why not segmentation-models-pytorch's: its smoothed CE and BCE divide by ignored pixels too, so a loss would shrink with
them; its focal loss of several classes is one of sigmoids, not of the softmax these networks are read by, and is NaN when
nothing is labelled. Where they should agree they do, and where they don't is shown: tests/losses/test_beside_smp.py.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn import functional

from maskwright.data.dataset import IGNORE
from maskwright.losses.targets import class_tensor, one_hot, pixel_entropy, pixel_weights, weighted_mean

_LEAST = 1e-6  # (1 − p)^gamma has no slope at p = 1 when gamma is below 1


def cross_entropy(
    logits: torch.Tensor, masks: torch.Tensor, class_weights: Sequence[float] | None = None, smoothing: float = 0.0
) -> torch.Tensor:
    """Mean over labelled pixels of −log softmax of the true class; with class weights, their weighted mean."""
    weights = class_tensor(class_weights, logits)
    total = functional.cross_entropy(
        logits, masks.long(), weight=weights, ignore_index=IGNORE, reduction="sum", label_smoothing=smoothing
    )
    if class_weights is None:
        return total / (masks != IGNORE).sum().clamp(min=1)
    weighing = pixel_weights(masks, class_weights, logits).sum()
    return total / torch.where(weighing > 0, weighing, torch.ones_like(weighing))


def binary_cross_entropy(
    logits: torch.Tensor, masks: torch.Tensor, class_weights: Sequence[float] | None = None, smoothing: float = 0.0
) -> torch.Tensor:
    """Two classes: −log of the true one's probability, which is BCE of sigmoid(z₁ − z₀). More: one against the rest, averaged."""
    num_classes = logits.shape[1]
    if num_classes == 2:
        return cross_entropy(logits, masks, class_weights, smoothing)
    valid = (masks != IGNORE).unsqueeze(1)
    target = one_hot(masks, num_classes).to(logits.dtype)
    if smoothing:
        target = target * (1 - smoothing) + smoothing / 2  # two answers a class: half of the share each
    pixels = functional.binary_cross_entropy_with_logits(logits, target, reduction="none") * valid
    if class_weights is None:
        return pixels.sum() / (valid.sum().clamp(min=1) * num_classes)
    weights = class_tensor(class_weights, logits)
    assert weights is not None
    return (pixels.sum((0, 2, 3)) * weights).sum() / (valid.sum().clamp(min=1) * weights.sum())


def focal(
    logits: torch.Tensor, masks: torch.Tensor, class_weights: Sequence[float] | None = None, gamma: float = 2.0
) -> torch.Tensor:
    """Mean over labelled pixels of (1 − p)^gamma × −log p of the true class: https://arxiv.org/abs/1708.02002"""
    entropy = pixel_entropy(logits, masks)
    missing = -torch.expm1(-entropy)  # 1 − p, exact also where p is nearly 1
    return weighted_mean(missing.clamp_min(_LEAST) ** gamma * entropy, pixel_weights(masks, class_weights, logits))
