"""`optim.lr: auto`: a rising rate on a throw-away copy of the model shows which rate it learns fastest by.

The rate rises from step to step by the same factor, over seven decades in a hundred steps, and the loss is watched: it
first stands still, then falls, then explodes or, with batch-norm, wanders. Chosen is half the rate by which four fifths
of the fall are done. Neither usual reading of such a curve is safe: noise moves the steepest place by decades from seed
to seed, and a tenth of the rate of the lowest loss is far too high where the loss wanders along its floor
(docs/log.md).
"""

from __future__ import annotations

import copy
import itertools
import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from maskwright.config import Config
from maskwright.config.optim import OptimConfig
from maskwright.data.loader import Batch, EpochKeys, TrainSamples
from maskwright.errors import TrainingError
from maskwright.losses import Loss
from maskwright.models import Segmenter
from maskwright.models.devices import autocast, torch_device
from maskwright.runs import Run
from maskwright.training.freeze import Freezer
from maskwright.training.module import training_loss
from maskwright.training.optim import build_optimizer, clip_gradients

STEPS = 100
LOWEST, HIGHEST = 1e-6, 10.0
DIVISOR = 2.0
_DONE = 0.8  # share of the fall that is done by the rate the choice is made from
_EXPLODED = 2.0  # times the loss of the first steps
_LOOK = 5  # steps that say where the loss began, and whether it has exploded
_REACH = 6  # steps to either side that a smoothed loss is made of
_FALL = 0.02  # share of the first loss it must fall by for the curve to say anything


@dataclass(frozen=True)
class RangeTest:
    """Rates, the loss of each step, the smoothed losses, the rate chosen, and why."""

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    smooth: tuple[float, ...]
    chosen: float
    why: str


def range_test(config: Config, model: Segmenter, loss: Loss, samples: TrainSamples, keys: EpochKeys) -> RangeTest:
    """Train a copy at rising rates; the model, and torch's random state, are afterwards as before."""
    device = torch_device(config.train.devices)
    trial = copy.deepcopy(model).to(device)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(config.train.seed)
        losses = list(_losses(config, trial, loss, _steps(samples, keys, config.train.seed), device))
    return choose(rising_rates()[: len(losses)], losses)


def rising_rates() -> list[float]:
    """The rate of each step, each the same multiple of the one before.

    >>> [f"{rate:.1e}" for rate in rising_rates()[::33]]
    ['1.0e-06', '2.2e-04', '4.6e-02', '1.0e+01']
    """
    return [LOWEST * (HIGHEST / LOWEST) ** (step / (STEPS - 1)) for step in range(STEPS)]


def choose(rates: Sequence[float], losses: Sequence[float]) -> RangeTest:
    """Half the rate by which four fifths of the fall are done; the default's rate where the loss never falls."""
    if len(losses) < 2 * _LOOK:
        raise TrainingError(
            f"the loss must be finite at the lowest rates for optim.lr auto; it was not after {len(losses)} steps. "
            "Look at the data with maskwright check, or give --lr a number."
        )
    smooth, start = smoothed(losses), statistics.mean(losses[:_LOOK])
    lowest = min(smooth[_REACH:-_REACH] or smooth)  # the ends have few neighbours
    if lowest > start * (1 - _FALL):
        chosen = float(OptimConfig.model_fields["lr"].default)
        why = (
            f"the loss fell at no rate from {rates[0]:.0e} to {rates[-1]:.2g} in {len(rates)} steps, so the default "
            "was taken"
        )
    else:
        done = next(rate for rate, loss in zip(rates, smooth, strict=True) if loss <= start - _DONE * (start - lowest))
        chosen = float(f"{done / DIVISOR:.2g}")
        why = (
            f"half of {done:.2g}, by which the loss of a range test of {len(rates)} steps had fallen four fifths "
            "(lr-range.png)"
        )
    return RangeTest(tuple(rates), tuple(losses), tuple(smooth), chosen, why)


def smoothed(losses: Sequence[float]) -> list[float]:
    """A mean over the neighbours on both sides, nearer ones counting more: it does not lag behind the rate.

    >>> smoothed([1.0, 1.0, 1.0]), smoothed([0.0] * 3 + [16.0] + [0.0] * 3)[3]
    ([1.0, 1.0, 1.0], 4.0)
    """
    found = []
    for place in range(len(losses)):
        # as far to the left as to the right, or the ends would lean
        reach = min(_REACH, place, len(losses) - 1 - place)
        weights = {offset: reach + 1 - abs(offset) for offset in range(-reach, reach + 1)}
        found.append(sum(losses[place + offset] * weight for offset, weight in weights.items()) / sum(weights.values()))
    return found


def write(run: Run, test: RangeTest) -> None:
    """lr-range.csv and lr-range.png in the run folder."""
    rows = zip(test.rates, test.losses, test.smooth, strict=True)
    run.write_rows("lr-range.csv", [{"lr": rate, "loss": loss, "smoothed": mean} for rate, loss, mean in rows])
    run.write("lr-range.png", lambda path: draw(test, path))


def draw(test: RangeTest, path: Path) -> None:
    """The curve as a picture: each step's loss, the smoothed line, and the rate chosen."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(test.rates, test.losses, ".", color="#9aa4b2", markersize=4, label="loss of a step")
    axes.plot(test.rates, test.smooth, color="#2f55c8", linewidth=2, label="smoothed")
    axes.axvline(test.chosen, color="#b4470f", linewidth=1.5, label=f"chosen: {test.chosen:g}")
    first, lowest = statistics.mean(test.losses[:_LOOK]), min(test.smooth)
    room = max(first - lowest, 0.05 * first)
    axes.set_ylim(lowest - 0.35 * room, first + 0.9 * room)  # the explosion itself would flatten all that matters
    axes.set_xlim(LOWEST, HIGHEST)
    axes.set_xscale("log")
    axes.set_xlabel("learning rate")
    axes.set_ylabel("loss")
    axes.set_title("Range test of the learning rate", loc="left", fontsize=12)
    axes.grid(color="#dfe3e8", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.legend(frameon=False, loc="lower left")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, format="png", dpi=150, facecolor="white", metadata={"Software": None})


def _steps(samples: TrainSamples, keys: EpochKeys, seed: int) -> Iterator[list[tuple[Batch, float]]]:
    """The batches of each step with their weights, epoch after epoch, as training will see them."""
    mine = EpochKeys(len(samples), keys.batch_size, seed, accumulate=keys.accumulate)
    for epoch in itertools.count():
        mine.set_epoch(epoch)
        batches = enumerate(mine)
        while step := list(itertools.islice(batches, mine.batches_a_step)):
            yield [(samples.batch(one), mine.share_of(number) / mine.batches_a_step) for number, one in step]


def _losses(
    config: Config, trial: Segmenter, loss: Loss, steps: Iterator[list[tuple[Batch, float]]], device: torch.device
) -> Iterator[float]:
    """The loss before each step, at rising rates, until it explodes."""
    optim = config.optim.model_copy(update={"lr": 1.0})
    freezer = Freezer(trial.train(), optim)
    freezer.at(0)
    scaler = torch.amp.GradScaler(device.type, enabled=config.train.precision == "fp16")
    optimizer: Any = build_optimizer(trial, optim, fused=not scaler.is_enabled())
    seen: list[float] = []
    for rate, step in zip(rising_rates(), steps, strict=False):
        for group in optimizer.param_groups:
            group["lr"] = rate * (optim.encoder_share if group.get("part") else 1.0)
        optimizer.zero_grad()
        total = 0.0
        for batch, share in step:
            moved = batch.to(device)
            with autocast(device, config.train.precision):
                value, _ = training_loss(trial, loss, moved)
            scaler.scale(value * share).backward()
            total += value.item() * share
        if not math.isfinite(total):
            return
        seen.append(total)
        yield total
        if len(seen) > 2 * _LOOK and statistics.mean(seen[-_LOOK:]) > _EXPLODED * statistics.mean(seen[:_LOOK]):
            return
        scaler.unscale_(optimizer)
        clip_gradients(trial, optim)
        scaler.step(optimizer)
        scaler.update()
