"""What the network is given in training, looked at before anything is written: what it pads, and what it cannot take."""

from __future__ import annotations

import copy

import torch

from maskwright.config import Config
from maskwright.data.loader import EpochKeys, TrainSamples
from maskwright.errors import UsageError, must
from maskwright.models import Segmenter
from maskwright.training.freeze import Freezer


def padding_notes(model: Segmenter, config: Config, samples: TrainSamples) -> list[str]:
    """Inputs whose side the network pads, at every step of training: time that teaches nothing."""
    told: list[str] = []
    for size in _sides(samples):
        padded = max(-(-size // model.stride) * model.stride, model.smallest)
        if padded != size:
            below = padded - model.stride
            better = f"--size {below} or {padded}" if model.smallest <= below < size == config.data.size else f"--size {padded}"
            fix = f"; {better} pads nothing" if size == config.data.size else ", while they have half the size"
            takes = f"multiples of {model.stride}" if padded > model.smallest else f"{padded} pixels and more"
            told.append(f"inputs of {size} x {size} are padded to {padded} x {padded}, as the network takes {takes}{fix}")
    return told


def refuse_lone_input(model: Segmenter, config: Config, samples: TrainSamples, keys: EpochKeys) -> None:
    """A batch of one, where batch-norm is left a single value: told by the model itself, on a throw-away copy."""
    inputs, world = min(len(batch) for batch in keys), config.train.num_devices
    if inputs < world:
        fix = f"Lower it, or raise --batch-size to {2 * world} or more."
        raise UsageError(must("train.num_devices", f"at most the {inputs} inputs of the smallest batch", world, fix))
    if inputs // world > 1:
        return
    trial = copy.deepcopy(model).train()
    Freezer(trial, config.optim).at_the_end()
    side = min(_sides(samples))
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        trial.training_logits(torch.zeros(1, samples.store.bands.num_channels, side, side, dtype=torch.uint8))


def _sides(samples: TrainSamples) -> list[int]:
    """The sides inputs have in the course of training."""
    halved = [samples.view.halved().size] if samples.small_epochs else []
    return [*halved, samples.view.size]
