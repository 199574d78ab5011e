"""Losses: logits N K H W float32 and masks N H W (class numbers or IGNORE) → one number.

Each ignores IGNORE pixels, is finite when nothing is labelled, and makes its own targets from the masks. To add one: a
function of (logits, masks, its parameters), its section in `config/losses.py`, and a line in `LOSSES` and `LOSS_SECTIONS`; the
contract tests pick it up.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import torch

from maskwright.config.losses import LOSS_SECTIONS, CeTerm, DiceTerm, LossTerm
from maskwright.errors import ConfigError, unknown
from maskwright.losses.boundary import boundary
from maskwright.losses.hard import topk
from maskwright.losses.overlap import dice, jaccard, lovasz, tversky
from maskwright.losses.pixelwise import binary_cross_entropy, cross_entropy, focal

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
LOSSES: dict[str, Callable[..., torch.Tensor]] = {
    "bce": binary_cross_entropy,
    "ce": cross_entropy,
    "dice": dice,
    "jaccard": jaccard,
    "tversky": tversky,
    "focal": focal,
    "lovasz": lovasz,
    "topk": topk,
    "boundary": boundary,
}
AUTO = (CeTerm(), DiceTerm())
AUTO_REASON = "cross-entropy counts every pixel, Dice every class alike, however small"


def build_loss(wish: str | Sequence[LossTerm]) -> Loss:
    """One loss from a name, `auto`, or a weighted mix whose class weights are numbers by now."""
    if isinstance(wish, str) and wish != "auto" and wish not in LOSSES:
        raise ConfigError([unknown("loss", wish, [*LOSSES, "auto"])])
    terms = AUTO if wish == "auto" else (LOSS_SECTIONS[wish](),) if isinstance(wish, str) else tuple(wish)
    parts = [(_with_parameters(term), term.weight) for term in terms]

    def mixed(logits: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
        return torch.stack([loss(logits, masks) * weight for loss, weight in parts]).sum()

    return mixed


def _with_parameters(term: LossTerm) -> Loss:
    """The term's function with its section's parameters set."""
    assert term.class_weights is None or isinstance(term.class_weights, list), "training/resolve.py settles class weights"
    return functools.partial(LOSSES[term.name], **term.model_dump(exclude={"name", "weight"}))
