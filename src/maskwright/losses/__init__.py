"""Losses: logits N K H W float32 and masks N H W (class numbers or IGNORE) → one number.

Each ignores IGNORE pixels and is finite when nothing is labelled. To add one: a function of
(logits, masks) and a line in `LOSSES`; the contract tests pick it up.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch.nn import functional

from maskwright.config import LossTerm
from maskwright.data.dataset import IGNORE
from maskwright.errors import ConfigError, unknown

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def cross_entropy(logits: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """Mean over labelled pixels of −log softmax of the true class."""
    total = functional.cross_entropy(logits, masks.long(), ignore_index=IGNORE, reduction="sum")
    return total / (masks != IGNORE).sum().clamp(min=1)


def binary_cross_entropy(logits: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """Two classes: −log of the true one's probability, which is BCE of sigmoid(z₁ − z₀). More: one against the rest, averaged."""
    if logits.shape[1] == 2:
        return cross_entropy(logits, masks)
    valid = (masks != IGNORE).unsqueeze(1)
    target = one_hot(masks, logits.shape[1])
    pixels = functional.binary_cross_entropy_with_logits(logits, target, reduction="none") * valid
    return pixels.sum() / (valid.sum().clamp(min=1) * logits.shape[1])


def dice(logits: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """1 − soft Dice over the whole batch, averaged over the classes its masks hold (foreground alone when binary)."""
    valid = (masks != IGNORE).unsqueeze(1)
    target = one_hot(masks, logits.shape[1])
    probabilities = logits.softmax(dim=1) * valid
    axes = (0, 2, 3)
    overlap, truth = (probabilities * target).sum(axes), target.sum(axes)
    score = (2 * overlap + 1) / (probabilities.sum(axes) + truth + 1)  # + 1 keeps an empty batch finite
    if logits.shape[1] == 2:
        return 1 - score[1]
    present = truth > 0
    return ((1 - score) * present).sum() / present.sum().clamp(min=1)


def one_hot(masks: torch.Tensor, num_classes: int) -> torch.Tensor:
    """N H W → N K H W floats; ignored pixels are zero in every class."""
    classes = torch.arange(num_classes, device=masks.device, dtype=masks.dtype).view(1, -1, 1, 1)
    return (masks.unsqueeze(1) == classes).float()


LOSSES: dict[str, Loss] = {
    "ce": cross_entropy,
    "bce": binary_cross_entropy,
    "dice": dice,
}
AUTO = (LossTerm(name="ce"), LossTerm(name="dice"))
AUTO_REASON = "cross-entropy settles every pixel, Dice keeps small classes in sight"


def build_loss(wish: str | Sequence[LossTerm]) -> Loss:
    """One loss from a name, `auto`, or a weighted mix."""
    terms = AUTO if wish == "auto" else (LossTerm(name=wish),) if isinstance(wish, str) else tuple(wish)
    problems = [unknown("loss", term.name, [*LOSSES, "auto"]) for term in terms if term.name not in LOSSES]
    if not terms:
        problems.append("`loss` must have at least one term; got an empty list. Write auto, ce, dice, …")
    if problems:
        raise ConfigError(problems)

    def mixed(logits: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
        parts = [LOSSES[term.name](logits, masks) * term.weight for term in terms]
        return torch.stack(parts).sum()

    return mixed
