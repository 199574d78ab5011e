"""Cross-entropy that counts more near the border of two classes."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from maskwright.losses.targets import nearness, pixel_entropy, pixel_weights, weighted_mean


def boundary(
    logits: torch.Tensor,
    masks: torch.Tensor,
    class_weights: Sequence[float] | None = None,
    width: int = 3,
    strength: float = 4.0,
) -> torch.Tensor:
    """Cross-entropy in which a pixel counts 1 + strength at the border of two classes, falling to 1 at `width` pixels from it.

    The idea is the weight map of the U-Net (https://arxiv.org/abs/1505.04597), made from the mask at hand, so that it is
    right after any augmentation.
    """
    weights = pixel_weights(masks, class_weights, logits) * (1 + strength * nearness(masks, width))
    return weighted_mean(pixel_entropy(logits, masks), weights)
