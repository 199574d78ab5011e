"""What a training is made of, the same in every process: the network, its inputs, the Lightning module, the loader.

samples, keys = training_inputs(config, opened)
model = seeded_model(config, opened)
"""

from __future__ import annotations

import copy
import functools
import itertools
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader

from maskwright.config import Config
from maskwright.data.augment import resolve as resolve_augment
from maskwright.data.geometry import size_text
from maskwright.data.loader import Batch, EpochKeys, TrainSamples, train_loader
from maskwright.data.opening import Opened
from maskwright.data.sampling import aimer, image_weights
from maskwright.errors import UsageError, must
from maskwright.losses import build_loss
from maskwright.models import Segmenter, build_model
from maskwright.runs import Run
from maskwright.training.average import bn_passes, num_bn_batches
from maskwright.training.batch_size import resolve_batch_size
from maskwright.training.callbacks import CheckpointManager
from maskwright.training.freeze import Freezer, validate_freeze
from maskwright.training.initial_weights import load_initial_weights, validate_checkpoints
from maskwright.training.module import SegmentationTraining
from maskwright.training.pace import Pace, PacedKeys, pace_of, takes_last
from maskwright.training.plan import Plan
from maskwright.training.progress import Effort
from maskwright.training.ranks import Ranks
from maskwright.training.resolve import FORWARD, val_inputs, view_of
from maskwright.training.schedules import BUDGET_EPOCHS
from maskwright.training.threads import SpareCores

_SCHEDULE_STEPS = 1000  # of a part of a budget's schedule: as fine as anybody needs
_BN_EPOCH = 1 << 40  # never reached by training; batch-norm is measured on the same inputs every time


def seeded_model(config: Config, opened: Opened, run: Run | None = None, resumed: bool = False) -> Any:
    """The network before its first step; a run that has begun needs no pretrained weights, whatever it started from."""
    torch.manual_seed(config.train.seed)
    classes, num_channels = opened.dataset.classes, opened.dataset.bands.num_channels
    model = build_model(config.model, classes, num_channels, run is None, config.data.multiscale is True)
    if run is not None and not resumed:
        load_initial_weights(run, model, config)
    return model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]


def with_model(plan: Plan) -> tuple[Plan, Segmenter]:
    """The network of a plan, and the plan with what only the network tells; stops where the two cannot be trained."""
    build_loss(plan.config.loss)
    model = seeded_model(plan.config, plan.opened)
    validate_freeze(model, plan.config.optim)
    plan = resolve_batch_size(plan, model, training_inputs(plan.config, plan.opened)[0])
    samples, keys = training_inputs(plan.config, plan.opened)
    validate_smallest_batch(model, plan.config, samples, keys)
    dataset = plan.opened.dataset
    notes = (*dataset.notes, *padding_notes(model, samples))
    return replace(plan, opened=replace(plan.opened, dataset=replace(dataset, notes=notes))), model


def training_inputs(config: Config, opened: Opened) -> tuple[TrainSamples, EpochKeys]:
    """The inputs a resolved configuration trains on, and their keys by batch."""
    assert config.train.repeats != "auto" and config.train.batch_size != "auto"
    plan, view = resolve_augment(config.augment), view_of(config)
    indices, focus = opened.dataset.split("train"), config.data.crop_focus
    weights = image_weights(opened.dataset, indices) if config.data.sampling == "balanced" else None
    aiming = aimer(opened.dataset, indices, focus) if view.kind == "crop" and focus != "auto" and focus > 0 else None
    seed, repeats = config.train.seed, config.train.repeats
    grow, epochs = config.train.grow, config.train.epochs
    small = 0 if epochs == "auto" or grow == "auto" else int(grow * epochs)
    small = 1 if config.train.budget is not None and grow else small  # there the keys say which are small
    samples = TrainSamples(opened.store, indices, view, plan, seed, repeats, weights, aiming, small)
    return samples, EpochKeys(len(samples), config.train.batch_size, seed, accumulate=config.train.accumulate)


def build_training(
    run: Run, plan: Plan, checkpoint: Path | None, began: float, ranks: Ranks
) -> tuple[Pace | None, SegmentationTraining, CheckpointManager, DataLoader[Batch], int]:
    """What every process of a training has: pace, module, checkpoints, loader, and the batches of a step."""
    config, opened = plan.config, plan.opened
    samples, keys = training_inputs(config, opened)
    samples.rank, samples.world = ranks.rank, ranks.world
    assert config.train.workers != "auto"
    pace, fed = None, keys
    if config.train.budget is not None:
        threads = SpareCores().threads if config.train.devices == "cpu" and ranks.world == 1 else None
        pace = pace_of(run, config, opened, keys, began, ranks, threads)
        fed = PacedKeys(len(samples), config.train.seed, pace, config.train.accumulate)
    model = seeded_model(config, opened, run, checkpoint is not None)
    if checkpoint:
        steps = validate_checkpoints(run, model)
        if pace:  # Lightning takes the first batch before it says where training is
            pace.seek(steps)
    module = _module(config, opened, samples, keys, model, pace, ranks)
    checkpoints = CheckpointManager(run, config.train, takes_last(config, len(opened.dataset.split("val"))))
    module.is_better = checkpoints.is_better
    loader = train_loader(
        samples, fed, config.train.workers, pin=config.train.devices == "gpu" and torch.cuda.is_available()
    )
    ranks.agree(lambda: None)  # all have read what the run's folder holds, before any of it changes
    return pace, module, checkpoints, loader, config.train.accumulate if pace else keys.batches_a_step


def _module(
    config: Config, opened: Opened, samples: TrainSamples, keys: EpochKeys, model: Any, pace: Pace | None, ranks: Ranks
) -> SegmentationTraining:
    steps = _SCHEDULE_STEPS if pace else keys.num_steps
    records = opened.store.records
    num_bn = num_bn_batches(len(keys))
    bn_keys = EpochKeys(len(samples), keys.batch_size, config.train.seed)
    bn_keys.set_epoch(_BN_EPOCH)

    @functools.cache  # the same at every validation
    def bn_batches() -> Iterable[Batch]:
        return [samples.batch(step) for step in itertools.islice(bn_keys, num_bn)]

    return SegmentationTraining(
        model=model,
        loss=build_loss(config.loss),
        optim=config.optim,
        view=view_of(config),
        num_classes=opened.dataset.classes.num_classes,
        total_steps=num_epochs(config) * steps,
        average=config.train.average == "ema",
        seed=config.train.seed,
        bn_batches=bn_batches,
        name_of=lambda index: records[index].image.name,
        steps_an_epoch=steps,
        share_of=keys.share_of if keys.batches_a_step > 1 and not pace else None,
        monitor=config.train.monitor,
        mask_threshold=config.train.mask_threshold,
        pace=pace,
        compiled=config.train.compile is True,
        ranks=ranks,
    )


def num_epochs(config: Config) -> int:
    """The epochs of a training; the schedule of a budget is divided into as many parts as so many epochs."""
    return BUDGET_EPOCHS if config.train.epochs == "auto" else config.train.epochs


def effort_of(config: Config, opened: Opened, keys: EpochKeys) -> Effort:
    """What the epochs will cost."""
    assert config.train.epochs != "auto" and config.train.grow != "auto"
    validation = FORWARD * (val_inputs(config, opened.dataset) / keys.batch_size + bn_passes(config, len(keys)))
    return Effort(config.train.epochs, len(keys), int(config.train.grow * config.train.epochs), validation)


def padding_notes(model: Segmenter, samples: TrainSamples) -> list[str]:
    """Inputs whose sides the network pads, at every step of training: time that teaches nothing."""
    lines: list[str] = []
    for shape in _shapes(samples):
        height, width = (max(-(-side // model.stride) * model.stride, model.smallest) for side in shape)
        padded = height, width
        if padded != shape:
            below, is_full = padded[0] - model.stride, shape == samples.view.shape
            is_either = shape[0] == shape[1] and model.smallest <= below < shape[0]
            sides = "x".join(map(str, dict.fromkeys(padded)))
            better = f"--size {below} or {sides}" if is_either else f"--size {sides}"
            fix = f"; {better} pads nothing" if is_full else ", while they have half the size"
            takes = f"multiples of {model.stride}" if padded[0] > model.smallest else f"{padded[0]} pixels and more"
            message = f"inputs of {size_text(shape)} are padded to {size_text(padded)}"
            lines.append(f"{message}, as the network takes {takes}{fix}")
    return lines


def validate_smallest_batch(model: Segmenter, config: Config, samples: TrainSamples, keys: EpochKeys) -> None:
    """A batch of one, where batch-norm is left a single value: told by the model itself, on a throw-away copy."""
    inputs, world = min(len(batch) for batch in keys), config.train.num_devices
    if inputs < world:
        fix = f"Lower it, or raise --batch-size to {2 * world} or more."
        raise UsageError(must("train.num_devices", f"at most the {inputs} inputs of the smallest batch", world, fix))
    if inputs // world > 1:
        return
    trial = copy.deepcopy(model).train()
    Freezer(trial, config.optim).at_the_end()
    shape = samples.view.halved().shape if model.multiscale else _shapes(samples)[0]
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        trial.training_logits(torch.zeros(1, samples.store.bands.num_channels, *shape, dtype=torch.uint8))


def _shapes(samples: TrainSamples) -> list[tuple[int, int]]:
    """Height and width of inputs in the course of training, the smallest first."""
    halved = [samples.view.halved().shape] if samples.small_epochs else []
    return [*halved, samples.view.shape]
