"""What a cell takes, measured in a process of its own: parameters, memory, disk, seconds of a step.

A server imports what is needed once and forks for each cell (where the system can), so that a peak of memory is of
one cell alone, and a cell that takes more than there is ends nothing else.
"""

from __future__ import annotations

import contextlib
import math
import multiprocessing
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maskwright.config import Config
from maskwright.config.base import seconds_of
from maskwright.data.geometry import sides_of
from maskwright.data.opening import Opened
from maskwright.errors import MaskwrightError, is_out_of_memory
from maskwright.runtime import free_memory, limit_memory
from maskwright.training.plan import Plan

_MEMORY_SHARE = 0.9  # of what is free, for a trial
OUT_OF_MEMORY = "a step needs more memory than there is. Lower train.batch_size or data.size."


@dataclass(frozen=True)
class Task:
    """The resolved plan, and the data, whose pixels are decoded anew when they are asked for."""

    plan: Plan
    num_test: int


@dataclass(frozen=True)
class Measured:
    """What a cell takes. `memory` and `disk` are bytes; `seconds` of training and scoring a whole cell."""

    parameters: int
    multiply_adds: float
    step: float
    epochs: int
    memory: int
    disk: int
    seconds: float


def measure_in_subprocess(task: Task) -> Measured | str:
    """What a cell takes, or the sentence that says why it cannot be."""
    kind = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    context = multiprocessing.get_context(kind)
    if kind == "forkserver":
        context.set_forkserver_preload(["maskwright.training.fit"])  # once, before any cell
    with ProcessPoolExecutor(1, context, initializer=_spare_others) as pool:
        try:
            return pool.submit(_attempt, task).result()
        except BrokenProcessPool:
            why = "most likely for want of memory. Lower train.batch_size or data.size."
            return f"its step was ended by the system, {why}"


def _spare_others() -> None:
    """A cell that needs more memory than there is must not take other programs' of it; nor does it print anything."""
    for stream in (1, 2):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")  # the first to be ended, where the system ends any
    limit_memory(_MEMORY_SHARE)


def _attempt(task: Task) -> Measured | str:
    try:
        return measure(task)
    except MaskwrightError as error:
        return " ".join(str(error).split())
    except Exception as error:  # noqa: BLE001 - whatever building or a step stumbles over is this cell's answer
        if is_out_of_memory(error):
            return OUT_OF_MEMORY
        return f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')[:300]}"


def measure(task: Task) -> Measured | str:
    """Build the network, make a few steps and look at an image; memory is the peak of this process until now.

    A sentence where its weights alone are more than there is memory for.
    """
    import torch

    from maskwright.models import build_model
    from maskwright.models.devices import torch_device
    from maskwright.models.sizing import multiply_adds
    from maskwright.training import timing
    from maskwright.training.batch_size import resolve_batch_size
    from maskwright.training.build import seeded_model, training_inputs

    opened, bands = task.plan.opened, task.plan.opened.dataset.bands.num_channels
    with contextlib.suppress(Exception), torch.device("meta"):  # nothing is allocated; networks that cannot are built
        weights = _weights(build_model(task.plan.config.model, opened.dataset.classes, bands, start=False))
        if 2 * weights > _MEMORY_SHARE * free_memory() > 0:  # weights and their gradients
            return OUT_OF_MEMORY
    model = seeded_model(task.plan.config, opened)
    config = resolve_batch_size(task.plan, model, training_inputs(task.plan.config, opened)[0]).config
    train = config.train
    at_full_size = config.replace({"train.epochs": "auto"})  # from the first epoch on
    samples, keys = training_inputs(at_full_size, opened)
    step, image = timing.measure(config, model, samples, keys, opened)
    weights, last = _disk(config, model)
    if torch_device(train.devices).type == "cpu":
        _take(2 * last + weights)
    memory = _peak(opened)
    epoch = timing.epoch_seconds(config, step, image, keys, len(opened.dataset.split("val")))
    epochs = max(1, int(seconds_of(train.budget) / epoch)) if train.budget is not None else train.epochs
    assert epochs != "auto"
    assert config.data.size != "auto"
    parameters = sum(parameter.numel() for parameter in model.parameters())
    adds = multiply_adds(model, bands, *sides_of(config.data.size))
    seconds = epochs * epoch + task.num_test * image
    disk = 2 * weights + last  # best.ckpt holds the weights, too
    return Measured(parameters, math.nan if adds is None else float(adds), step, epochs, memory, disk, seconds)


def _peak(opened: Opened) -> int:
    """The most memory so far, and the pixels that training keeps near; on a GPU, the GPU's."""
    import torch

    if torch.cuda.is_available() and torch.cuda.is_initialized():
        return torch.cuda.max_memory_reserved()
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    deep = opened.dataset.bands.num_channels + 1
    pixels = sum(height * width * deep for height, width in opened.store.sizes)
    return peak + (pixels if opened.cache == "ram" else 0)


def _disk(config: Config, model: Any) -> tuple[int, int]:
    """Bytes of the weights, and of last.ckpt, which has the average and the optimiser as well."""
    weights = _weights(model)
    learned = sum(parameter.numel() * parameter.element_size() for parameter in model.parameters())
    moments = {"muon": 1, "sgd": 1 if config.optim.momentum else 0}.get(config.optim.name, 2)
    return weights, weights + moments * learned + (learned if config.train.average == "ema" else 0)


def _weights(model: Any) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in model.state_dict().values())


def _take(amount: int) -> None:
    """Hold so many bytes for a moment, as writing a checkpoint does: it is in memory twice, beside the best weights."""
    taken = bytearray(amount)
    taken[::4096] = b"x" * len(range(0, amount, 4096))  # a page that nothing was written to takes no memory
