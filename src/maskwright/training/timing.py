"""How many epochs fit into a time: by steps measured here, before training starts."""

from __future__ import annotations

import copy
import time

import torch

from maskwright.config import Config
from maskwright.data.loader import EpochKeys, TrainSamples
from maskwright.data.opening import Opened
from maskwright.losses import build_loss
from maskwright.models import Segmenter
from maskwright.models.devices import autocast, torch_device
from maskwright.models.wrapper import logits_at_own_size
from maskwright.training.average import num_settle_batches
from maskwright.training.optim import build_optimizer
from maskwright.training.resolve import view_of

_STEPS = 4  # the first is warm-up
_MARGIN = 1.08  # saving, panels and a noisy machine


def epochs_within(config: Config, model: Segmenter, samples: TrainSamples, keys: EpochKeys, opened: Opened) -> tuple[int, str]:
    """The epochs that fit into train.minutes, and the measurement they follow from."""
    assert config.train.minutes is not None
    step, image = measure(config, model, samples, keys, opened)
    settle = num_settle_batches(len(keys)) * step / 3 if config.train.average == "ema" else 0.0
    epoch = (len(keys) * step + len(opened.dataset.split("val")) * image + settle) * _MARGIN
    epochs = max(1, int(config.train.minutes * 60 / epoch))
    return epochs, f"{config.train.minutes:g} minutes at {step:.3f} s a step and {image:.3f} s a validation image, measured here"


def measure(config: Config, model: Segmenter, samples: TrainSamples, keys: EpochKeys, opened: Opened) -> tuple[float, float]:
    """Seconds of a training step and of validating an image, on a throw-away copy of the model."""
    device = torch_device(config.train.devices)
    trial = copy.deepcopy(model).to(device).train()
    optimizer, loss = build_optimizer(trial, config.optim), build_loss(config.loss)
    batches = list(keys)[:1] * _STEPS
    steps: list[float] = []
    for batch_keys in batches:
        started = time.perf_counter()
        batch = samples.__getitems__(batch_keys).to(device)
        with autocast(device, config.train.precision):
            value = loss(trial(batch.images), batch.masks)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        steps.append(value.item() * 0 + time.perf_counter() - started)  # item() waits for a GPU
    trial.eval()
    image, _ = opened.store.get(opened.dataset.split("val")[0])
    looks: list[float] = []
    with torch.no_grad(), autocast(device, config.train.precision):
        for _ in range(2):
            started = time.perf_counter()
            logits_at_own_size(trial, image, view_of(config), device).sum().item()
            looks.append(time.perf_counter() - started)
    return sorted(steps[1:])[len(steps[1:]) // 2], looks[-1]
