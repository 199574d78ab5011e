"""`train.batch_size: auto` and `train.workers: auto` on a GPU, by trying steps: what fits, what is faster."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import cv2
import torch

from maskwright.config.base import seconds_of
from maskwright.data.loader import TrainSamples
from maskwright.errors import is_out_of_memory
from maskwright.models import Segmenter
from maskwright.models.devices import torch_device, tune_gpu
from maskwright.runs import usable_cores
from maskwright.training.freeze import Freezer
from maskwright.training.plan import Plan
from maskwright.training.resolve import MOST_BATCH
from maskwright.training.timing import step_seconds

MEMORY_SHARE = 0.8  # of the GPU's free memory; validation of large images and fragments take some as well
LEAST_GAIN = 1.1  # times as many images a second, for a batch of twice the size: large batches mean few steps
SPARE = 1.5  # times as many workers as the mean asks for: some batches take longer, and a compiled step less
_STEPS = 5
_BUDGET_SHARE, _SECONDS = 0.03, 20.0  # of a budget, and without one, that may pass before the last trial


@dataclass(frozen=True)
class Trial:
    """Seconds of a step and of making its batch in one process, and the share of the device's free memory it took."""

    step: float
    make: float
    memory: float


TryBatch = Callable[[int], Trial | None]  # a number of inputs → what a step of them took; None: out of memory


def resolve_batch_size(plan: Plan, model: Segmenter, samples: TrainSamples) -> Plan:
    """The plan with batch size and workers from measured steps, where they are `auto` and it trains on NVIDIA's."""
    device = torch_device(plan.config.train.devices)
    if device.type != "cuda" or not {"train.batch_size", "train.workers"} & plan.reasons.keys():
        return plan
    return measure_batch(plan, model, samples, device)


def measure_batch(plan: Plan, model: Segmenter, samples: TrainSamples, device: torch.device) -> Plan:
    """`resolve_batch_size` on any device."""
    train, changes, reasons = plan.config.train, dict[str, Any](), dict(plan.reasons)
    assert train.batch_size != "auto"
    world, trial = train.num_devices, None
    try_batch, size = trials(plan, model, samples, device), -(-train.batch_size // world)
    if "train.batch_size" in reasons:
        limit = _SECONDS if train.budget is None else _BUDGET_SHARE * seconds_of(train.budget)
        size, reasons["train.batch_size"], trial = choose_batch_size(try_batch, len(samples), world, limit, usual=size)
        changes["train.batch_size"] = size * world
    trial = trial or try_batch(size)
    if "train.workers" in reasons and trial:
        changes["train.workers"], reasons["train.workers"] = choose_workers(trial, max(1, usable_cores() // world))
    return replace(plan, config=plan.config.replace(changes), reasons=reasons)


def choose_batch_size(
    try_batch: TryBatch, num_inputs: int, num_devices: int = 1, seconds: float = math.inf,
    clock: Callable[[], float] = time.perf_counter, usual: int = 2,
) -> tuple[int, str, Trial | None]:  # fmt: skip
    """Doubled for as long as it fits and more images a second come of it: the size on each device, why, and a trial.

    Where time is over before, `usual` inputs, or as many of them as would fit by what was seen.

    >>> choose_batch_size(lambda size: Trial(0.1 + 0.01 * size, 0.1, 0.1 * size), 100)[:2]
    (8, '8 inputs take 80% of the free memory, and 16 would take 160%')
    """
    most, began = max(2, min(MOST_BATCH["gpu"], num_inputs) // num_devices), clock()
    size, best = 2, try_batch(2)
    if best is None:
        return size, "no more fit into the GPU's memory", None
    while 2 * size <= most:
        message = f"{size} inputs take {best.memory:.0%} of the free memory, and {2 * size}"
        if clock() - began > seconds:
            fitting = int(MEMORY_SHARE / best.memory * size) if best.memory else usual
            taken = max(size, min(usual, most, fitting))
            usually = f"; {taken} is usual for their size" if taken > size else ""
            return taken, f"{message} were not tried for want of time{usually}", best
        trial = try_batch(2 * size)
        if trial is None:
            return size, f"{message} do not fit", best
        if trial.memory > MEMORY_SHARE:
            return size, f"{message} would take {trial.memory:.0%}", best
        gain = 2 * best.step / trial.step
        if gain < LEAST_GAIN:
            return size, f"{message} would bring {max(0.0, gain - 1):.0%} more images a second", best
        size, best = 2 * size, trial
    why = f"{num_inputs} inputs an epoch" if num_inputs < MOST_BATCH["gpu"] else "the images"
    return (
        size,
        f"{size} inputs take {best.memory:.0%} of the free memory, and more would make few steps of {why}",
        best,
    )


def choose_workers(trial: Trial, cores: int) -> tuple[int, str]:
    """As many as make a batch in less than its step takes, with one core left to the process that trains.

    >>> choose_workers(Trial(step=0.1, make=0.3, memory=0.5), cores=8)
    (5, 'a batch takes 0.3 s to make and 0.1 s to learn from')
    """
    most, needed = max(1, cores - 1), trial.make / trial.step
    workers = min(most, max(1, math.ceil(SPARE * needed)))
    message = f"a batch takes {trial.make:.2g} s to make and {trial.step:.2g} s to learn from"
    if workers < needed:
        message += f"; {cores} cores cannot keep up, and the GPU will wait {1 - workers / needed:.0%} of the time"
    return workers, message


def trials(plan: Plan, model: Segmenter, samples: TrainSamples, device: torch.device) -> TryBatch:
    """Whole steps on real inputs, with a throw-away copy of the model."""
    tune_gpu(device)
    is_cuda = device.type == "cuda"
    free = torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device) if is_cuda else math.inf
    cv2.setNumThreads(1)  # as in the processes that make batches
    copied = copy.deepcopy(model).to(device)
    Freezer(copied, plan.config.optim).at_the_end()  # what thaws later needs its memory then

    def release() -> None:
        if is_cuda:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(device)

    def try_batch(size: int) -> Trial | None:
        try:
            started = time.perf_counter()
            batch = samples.batch([(0, number % len(samples), False) for number in range(size)])
            make = time.perf_counter() - started
            batch = batch.to(device)
            step_seconds(plan.config, copied, batch, 1)  # cuDNN tries its ways, in memory that no later step needs
            release()
            step = min(step_seconds(plan.config, copied, batch, _STEPS))
            taken = torch.cuda.max_memory_reserved(device) if is_cuda else 0
            return Trial(step, make, taken / free)
        except (RuntimeError, MemoryError) as error:
            # what cuDNN says where none of its ways finds room
            if not is_out_of_memory(error) and "unable to find an engine" not in str(error):
                raise
            return None
        finally:
            copied.zero_grad()
            release()

    return try_batch
