"""Losses that are a mean over pixels: cross-entropy, its binary form, of the hardest pixels, near borders, focal.

Why not segmentation-models-pytorch's: its smoothed CE and BCE divide by ignored pixels too, so a loss would shrink with
them; its focal loss of several classes is one of sigmoids, not of the softmax these networks are read by, and is NaN
when nothing is labelled. Where they should agree they do, and where they don't is shown:
tests/losses/test_beside_smp.py.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch.nn import functional

from maskwright.data.dataset import IGNORE
from maskwright.losses.targets import (
    class_tensor,
    hardest_first,
    nearness,
    one_hot,
    pixel_entropy,
    pixel_weights,
    weighted_mean,
)

_MILLION = 1_000_000
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
    """−log of the probability that each class is there, or that it isn't: one class against the rest, averaged over
    classes.

    The probabilities are the softmax's that the network is read by. Of two classes both questions are one, and this is
    cross-entropy, which is BCE of sigmoid(z₁ − z₀); so with more, sigmoid(z_k − log Σ exp z_others).
    """
    if logits.shape[1] == 2:
        return cross_entropy(logits, masks, class_weights, smoothing)
    target = one_hot(masks, logits.shape[1]).to(logits.dtype)
    if smoothing:
        target = target * (1 - smoothing) + smoothing / 2  # two answers a class: half of the share each
    there, absent = _log_either(logits)
    return weighted_mean(-torch.lerp(absent, there, target).mean(dim=1), pixel_weights(masks, class_weights, logits))


def _log_either(logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """log p and log(1 − p) of each class, both exact where p is nearly 0 or 1. N K H W each

    Arithmetic with zeros and ones, for choosing by mask is several times slower on a CPU. log(1 − p) ends at −87, where
    float32 ends; log p does not, and keeps pulling.
    """
    there = logits.log_softmax(dim=1)
    probabilities = there.exp()
    likely = (probabilities.detach() > 0.5).to(logits.dtype)  # at most one class; its 1 − p would be rounded away,
    unlikely = probabilities * (1 - likely)
    others = unlikely.sum(dim=1, keepdim=True) + torch.finfo(logits.dtype).tiny  # but is the sum of the others
    return there, torch.addcmul(1 - likely - unlikely, others, likely).log()


def focal(
    logits: torch.Tensor, masks: torch.Tensor, class_weights: Sequence[float] | None = None, gamma: float = 2.0
) -> torch.Tensor:
    """Mean over labelled pixels of (1 − p)^gamma × −log p of the true class: https://arxiv.org/abs/1708.02002"""
    entropy = pixel_entropy(logits, masks)
    missing = -torch.expm1(-entropy)  # 1 − p, exact also where p is nearly 1
    return weighted_mean(missing.clamp_min(_LEAST) ** gamma * entropy, pixel_weights(masks, class_weights, logits))


def boundary(
    logits: torch.Tensor,
    masks: torch.Tensor,
    class_weights: Sequence[float] | None = None,
    width: int = 3,
    strength: float = 4.0,
) -> torch.Tensor:
    """Cross-entropy in which a pixel counts 1 + strength at the border of two classes, falling to 1 at `width` pixels
    from it.

    The idea is the weight map of the U-Net (https://arxiv.org/abs/1505.04597), made from the mask at hand, so that it
    is right after any augmentation.
    """
    weights = pixel_weights(masks, class_weights, logits) * (1 + strength * nearness(masks, width))
    return weighted_mean(pixel_entropy(logits, masks), weights)


def topk(
    logits: torch.Tensor,
    masks: torch.Tensor,
    class_weights: Sequence[float] | None = None,
    share: float = 0.2,
    threshold: float | None = None,
) -> torch.Tensor:
    """Cross-entropy of the worst `share` of the labelled pixels, and of all below the probability `threshold`.

    Pixels as bad as the last one chosen count too: which of them come first must not hang on their places.
    """
    weights = pixel_weights(masks, class_weights, logits)
    entropy = pixel_entropy(logits, masks)
    valid = weights > 0  # neither ignored nor of a class without weight
    weighed = (entropy.detach() * weights).flatten()
    order = hardest_first(weighed, valid.flatten())
    # whole numbers, and no number fetched from the device: share × pixels, rounded up
    num = (valid.sum() * round(share * _MILLION) + (_MILLION - 1)) // _MILLION
    last = order.index_select(0, (num - 1).clamp(min=0).view(1))
    chosen = weighed.view_as(weights) >= weighed.index_select(0, last)
    if threshold is not None:
        chosen = chosen | (entropy.detach() > -math.log(threshold))
    return weighted_mean(entropy, weights * chosen)
