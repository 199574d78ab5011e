"""Losses: logits N K H W float32 and masks N H W (class numbers or IGNORE) → one number.

Each ignores IGNORE pixels, is finite when nothing is labelled, and makes its own targets from the masks. To add one: a
function of (logits, masks, its parameters), its section in `config/losses.py`, and a line in `LOSSES` and
`LOSS_SECTIONS`; the contract tests pick it up.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import torch

from maskwright.config.losses import LOSS_SECTIONS, CeTerm, CustomTerm, DiceTerm, LossTerm
from maskwright.errors import ConfigError, is_out_of_memory, must, one_line, unknown
from maskwright.losses.overlap import dice, jaccard, lovasz, tversky
from maskwright.losses.pixelwise import binary_cross_entropy, boundary, cross_entropy, focal, topk

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
    parts = [(_with_parameters(term, f"loss.{place}"), term.weight) for place, term in enumerate(terms)]

    def mixed(logits: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
        return torch.stack([loss(logits, masks) * weight for loss, weight in parts]).sum()

    return mixed


def _with_parameters(term: LossTerm, key: str) -> Loss:
    """The term's function with its section's parameters set."""
    if isinstance(term, CustomTerm):
        return _custom(term, key)
    assert term.class_weights is None or isinstance(term.class_weights, list), (
        "training/resolve.py decides class weights"
    )
    return functools.partial(LOSSES[term.name], **term.model_dump(exclude={"name", "weight"}))


def _custom(term: CustomTerm, key: str) -> Loss:
    """A person's own function, module, or class of modules; masks come as int64, which torch's own losses want."""
    given = term.load(key)
    try:
        made = given(**term.options) if isinstance(given, type) else functools.partial(given, **term.options)
    except TypeError as error:
        raise ConfigError(
            [must(f"{key}.options", f"arguments that {term.source} takes", one_line(str(error)))]
        ) from error
    module = made if isinstance(made, torch.nn.Module) else getattr(made, "func", None)

    def loss(logits: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
        if isinstance(module, torch.nn.Module):
            module.to(logits.device)  # its class weights, say
        try:
            value = made(logits, masks.long())
        except Exception as error:
            if is_out_of_memory(error):
                raise
            message = f"{type(error).__name__}: {one_line(str(error))}"
            raise ConfigError(
                [must(key, "a function of (logits, masks)", f"{term.source}, which fails with {message}")]
            ) from error
        if not isinstance(value, torch.Tensor) or value.ndim:
            got = f"a tensor of {tuple(value.shape)}" if isinstance(value, torch.Tensor) else type(value).__name__
            raise ConfigError(
                [must(key, "a loss that gives one number, a tensor without axes", f"{got} from {term.source}")]
            )
        return value

    return loss
