"""What a step and a validation image take, measured here."""

from __future__ import annotations

import copy
import time

import torch

from maskwright.config import Config
from maskwright.data.loader import Batch, EpochKeys, TrainSamples
from maskwright.data.opening import Opened
from maskwright.losses import build_loss
from maskwright.models import Segmenter
from maskwright.models.devices import autocast, torch_device
from maskwright.models.wrapper import logits_at_own_size
from maskwright.training.average import Average, bn_passes
from maskwright.training.freeze import Freezer
from maskwright.training.module import training_loss
from maskwright.training.optim import build_optimizer, clip_gradients
from maskwright.training.resolve import FORWARD, view_of

_STEPS = 6
_MARGIN = 1.08  # saving, panels and a noisy machine


def epoch_seconds(config: Config, step: float, image: float, keys: EpochKeys, num_val: int) -> float:
    """Seconds of an epoch, the mean over those at half and at full size, from what `measure` found."""
    assert config.train.grow != "auto"
    # half the size has a quarter of the pixels
    mean = step * (1 - config.train.grow * 3 / 4)
    return (len(keys) * mean + num_val * image + FORWARD * bn_passes(config, len(keys)) * step) * _MARGIN


def measure(
    config: Config, model: Segmenter, samples: TrainSamples, keys: EpochKeys, opened: Opened
) -> tuple[float, float]:
    """Seconds of training on a batch and of validating an image, on a throw-away copy of the model."""
    device = torch_device(config.train.devices)
    trial = copy.deepcopy(model).to(device)
    batch = samples.batch(next(iter(keys))[:: config.train.num_devices]).to(device)
    Freezer(trial, config.optim).at_the_end()  # what thaws later is counted as learning throughout
    steps = step_seconds(config, trial, batch, _STEPS, keys.batches_a_step)
    trial.eval()
    image, _ = opened.store.get(opened.dataset.split("val")[0])
    looks: list[float] = []
    with torch.no_grad(), autocast(device, config.train.precision):
        for _ in range(3):
            started = time.perf_counter()
            logits_at_own_size(trial, image, view_of(config), device).sum().item()
            looks.append(time.perf_counter() - started)
    # the fastest: memory that this process never touched makes first steps slower, up to ten times
    return min(steps), min(looks)


def step_seconds(config: Config, model: Segmenter, batch: Batch, num_steps: int, accumulate: int = 1) -> list[float]:
    """Seconds of whole training steps on one batch that is there already: network, loss, clipping, optimiser, average.

    With `accumulate`, seconds a batch of steps that are made of so many.
    """
    rate = 1e-3 if config.optim.lr == "auto" else config.optim.lr  # a step takes as long at any
    optimizer = build_optimizer(model, config.optim.model_copy(update={"lr": rate}))
    loss = build_loss(config.loss)
    average = Average(model, num_steps) if config.train.average == "ema" else None
    model.train()
    seconds: list[float] = []
    for _ in range(num_steps):
        started = time.perf_counter()
        optimizer.zero_grad()
        value = torch.zeros(())
        for _ in range(accumulate):
            with autocast(batch.images.device, config.train.precision):
                value, _ = training_loss(model, loss, batch)
            value.backward()
        clip_gradients(model, config.optim)
        optimizer.step()
        if average:
            average.update()
        value.item()  # waits for a GPU
        seconds.append((time.perf_counter() - started) / accumulate)
    return seconds
