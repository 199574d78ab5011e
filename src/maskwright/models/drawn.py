"""The start that comes with the package: a U-Net on ResNet18 that learned from drawn pictures (recipes/pretrain)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from maskwright.data.dataset import ClassMap
from maskwright.errors import ModelError, must
from maskwright.models.weights import DRAWN, DRAWN_FILE, Loaded, names_of, read_tensors, take_tensors
from maskwright.models.wrapper import Segmenter

ENCODER, LICENCE = "resnet18", "Apache-2.0"
# of each value, the rest stays random: taken whole, it held back sets that are unlike what is drawn (docs/log)
SHARE = 0.5


def load_drawn(model: Segmenter, config: Any, classes: ClassMap, num_channels: int) -> Loaded:
    """Mix the start into a network's random weights; the decoder only where it has the start's widths."""
    if getattr(config, "encoder", None) != ENCODER:
        fix = f"Write --model unet/{ENCODER}, or start from scratch with --weights none."
        raise ModelError(must("model.weights", "weights of this model", f"{DRAWN}, which is {ENCODER}'s", fix))
    state = model.state_dict()
    random = {name: value.clone() for name, value in state.items() if value.is_floating_point()}
    tensors = read_tensors(DRAWN_FILE)
    decoder = names_of(model, "decoder")
    if any(tensors[name].shape != state[name].shape for name in decoder & tensors.keys()):
        tensors = {name: value for name, value in tensors.items() if name not in decoder}
    loaded = take_tensors(model, tensors, DRAWN_FILE, classes, num_channels)
    for name in random.keys() - set(loaded.fresh):
        state[name].lerp_(random[name], 1 - SHARE)
    return replace(
        loaded, source="maskwright's start from drawn pictures", licence=LICENCE,
        notes=(f"each value is {SHARE:.0%} of the start's and the rest random",),
    )  # fmt: skip


def learns_as_from_nothing(weights: str) -> bool:
    """Whether all parts learn alike, by the optimiser of random weights: none of them was trained on photographs."""
    return weights in ("none", DRAWN)
