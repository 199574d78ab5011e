"""Losses of overlap, a score a class over the whole batch: Dice, Jaccard, Tversky, Lovász.

Of several classes, those that the batch's masks hold are averaged; of two, the foreground alone counts, present or not,
as if the class weights were 0 and 1.

Why not segmentation-models-pytorch's: its Dice, Jaccard and Tversky count an absent class as a perfect one, so that the
gradient shrinks with the classes a batch happens to lack, and a binary batch without foreground teaches nothing; its
Lovász fails when nothing is labelled and waits for the device at every class. Where they should agree they do:
tests/losses/test_beside_smp.py.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from maskwright.data.dataset import IGNORE
from maskwright.losses.targets import class_tensor, hardest_first, one_hot

_SMOOTH = 0.5  # pixels; keeps a class that is neither there nor predicted finite


def dice(logits: torch.Tensor, masks: torch.Tensor, class_weights: Sequence[float] | None = None) -> torch.Tensor:
    """1 − soft Dice over the whole batch, averaged over the classes its masks hold (foreground alone when binary)."""
    overlap, predicted, truth = _soft_counts(logits, masks)
    score = (2 * overlap + 2 * _SMOOTH) / (predicted + truth + 2 * _SMOOTH)
    return _over_classes(1 - score, truth, class_weights, logits)


def jaccard(logits: torch.Tensor, masks: torch.Tensor, class_weights: Sequence[float] | None = None) -> torch.Tensor:
    """1 − soft IoU over the whole batch, averaged like Dice."""
    overlap, predicted, truth = _soft_counts(logits, masks)
    score = (overlap + _SMOOTH) / (predicted + truth - overlap + _SMOOTH)
    return _over_classes(1 - score, truth, class_weights, logits)


def tversky(
    logits: torch.Tensor,
    masks: torch.Tensor,
    class_weights: Sequence[float] | None = None,
    alpha: float = 0.3,
    beta: float = 0.7,
) -> torch.Tensor:
    """1 − overlap / (overlap + alpha × false positives + beta × misses), as Dice: arxiv.org/abs/1706.05721"""
    overlap, predicted, truth = _soft_counts(logits, masks)
    score = (overlap + _SMOOTH) / (overlap + alpha * (predicted - overlap) + beta * (truth - overlap) + _SMOOTH)
    return _over_classes(1 - score, truth, class_weights, logits)


def lovasz(logits: torch.Tensor, masks: torch.Tensor, class_weights: Sequence[float] | None = None) -> torch.Tensor:
    """Lovász extension of 1 − IoU over the whole batch, averaged like Dice: https://arxiv.org/abs/1705.08790"""
    probabilities = logits.softmax(dim=1)
    valid = (masks != IGNORE).flatten()
    if logits.shape[1] == 2 and class_weights is None:
        return _lovasz_of_class(probabilities[:, 1].flatten(), (masks == 1).flatten(), valid)
    of_class = [
        _lovasz_of_class(probabilities[:, label].flatten(), (masks == label).flatten(), valid)
        for label in range(logits.shape[1])
    ]
    truth = one_hot(masks, logits.shape[1]).sum((0, 2, 3))
    return _over_classes(torch.stack(of_class), truth, class_weights, logits)


def _lovasz_of_class(probability: torch.Tensor, truth: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
    """Errors, the largest first, each times what the IoU loses by its pixel. All P; valid ⊇ truth."""
    errors = (truth.to(probability.dtype) - probability).abs()
    with torch.no_grad():
        order = hardest_first(errors, valid)
        hits = truth[order].cumsum(0, dtype=torch.int32)
        total = truth.sum(dtype=torch.int32)
        union = total + torch.arange(1, len(hits) + 1, device=hits.device, dtype=torch.int32) - hits
        lost = 1 - (total - hits).to(errors.dtype) / union
        steps = torch.diff(lost, prepend=lost.new_zeros(1))
        # back to where the pixels are, so that no gradient has to find its way through the order
        worth = torch.empty_like(steps).scatter_(0, order, steps) * valid  # ignored pixels came last; they lose nothing
    return (errors * worth).sum()


def _soft_counts(logits: torch.Tensor, masks: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Overlap, predicted and true pixels of each class, of labelled pixels alone. K each"""
    valid = (masks != IGNORE).unsqueeze(1)
    target = one_hot(masks, logits.shape[1])
    probabilities = logits.softmax(dim=1) * valid
    axes = (0, 2, 3)
    return (probabilities * target).sum(axes), probabilities.sum(axes), target.sum(axes)


def _over_classes(
    losses: torch.Tensor, truth: torch.Tensor, class_weights: Sequence[float] | None, logits: torch.Tensor
) -> torch.Tensor:
    """The mean of the classes' losses (K) by weight."""
    weights = class_tensor(class_weights, logits)
    if logits.shape[1] == 2:
        return losses[1] if weights is None else (losses * weights).sum() / weights.sum()
    present = (truth > 0).to(losses.dtype)
    if weights is None:
        return (losses * present).sum() / present.sum().clamp(min=1)
    present = present * weights
    total = present.sum()
    return (losses * present).sum() / torch.where(total > 0, total, torch.ones_like(total))
