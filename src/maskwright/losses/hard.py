"""The hardest pixels of a batch: their order, and cross-entropy of the worst share (top-k, OHEM)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from maskwright.losses.targets import pixel_entropy, pixel_weights, weighted_mean

_MILLION = 1_000_000
_LAST = 2**31 - 1


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


def hardest_first(errors: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
    """The order of the errors (P, none below 0), the largest first; those not valid come last.

    Floats above zero lie in the order of their bits, and whole numbers are sorted eight times faster than floats on a CPU.
    """
    errors = errors.detach()
    if errors.dtype != torch.float32:
        return errors.masked_fill(~valid, -1.0).argsort(descending=True)
    return (_LAST - 1 - errors.abs().contiguous().view(torch.int32)).masked_fill(~valid, _LAST).argsort()
