"""Every `auto` of a configuration, settled once, each with its reason."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from typing import Any

from maskwright.config import Config
from maskwright.config.augment import AlbumentationsOp
from maskwright.data.dataset import Dataset
from maskwright.data.geometry import View
from maskwright.data.sampling import choose_focus, choose_sampling
from maskwright.errors import DataError, must
from maskwright.losses.auto import resolve_loss
from maskwright.models.devices import choose_device, choose_precision
from maskwright.models.wrapper import EVEN
from maskwright.runs import usable_cores
from maskwright.training.schedules import BUDGET_EPOCHS, settle_schedule

MOST_WHOLE = 1024  # longest side up to which an image is shown whole
LEAST_INPUTS_EPOCH = 64  # so that validating stays a small part of an epoch on tiny sets
LEAST_INPUTS = 3000  # below this, training from scratch has not converged
LEAST_EPOCHS = 30
LEAST_GROWN = 96  # pixels below which half-size inputs show too little to learn from
GROWN_SHARE = 0.75


class Resolver:
    """Collects changes and reasons; `value` of a key that is not `auto` is left as configured."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.changes: dict[str, Any] = {}
        self.reasons: dict[str, str] = {}

    def settle(self, key: str, decide: Callable[[], tuple[Any, str]]) -> Any:
        node: Any = self.config
        for part in key.split("."):
            node = getattr(node, part)
        if node != "auto":
            return node
        value, why = decide()
        self.changes[key] = value
        self.reasons[key] = why
        return value


def resolve(config: Config, dataset: Dataset, cache: tuple[str, str]) -> tuple[Config, dict[str, str]]:
    """The configuration with nothing left to decide but a time budget's epochs, and why."""
    to = Resolver(config)
    to.settle("data.reader", lambda: (dataset.reader, dataset.reason))
    to.settle("data.window", lambda: _window(dataset))
    to.settle("data.cache", lambda: cache)
    device = to.settle("train.devices", choose_device)
    longest = statistics.median(max(item.height, item.width) for item in dataset.items)
    kind, size, scale = settle_view(to, longest, device)
    sampling = to.settle("data.sampling", lambda: choose_sampling(dataset))
    focus = to.settle("data.crop_focus", lambda: choose_focus(dataset, kind))
    to.settle("train.precision", lambda: choose_precision(device))
    to.settle("train.workers", lambda: _workers(device))
    window = (size / scale) ** 2 if kind == "crop" else None
    to.changes["loss"], told = resolve_loss(config.loss, dataset, sampling, focus, window)
    to.reasons.update(told)
    if config.model.name == "unet":
        to.settle("model.width", lambda: _width(device))
    settled = config.replace(to.changes)
    per_image = to.settle("train.repeats", lambda: _repeats(settled, dataset))
    inputs = per_image * len(dataset.split("train"))
    grow = to.settle("train.grow", lambda: _grow(config, size, device))
    to.settle("train.batch_size", lambda: _batch_size(size**2 // (2 if grow else 1), device, inputs))
    if config.train.budget is None:
        to.settle("train.epochs", lambda: _epochs(inputs))
    return resolve_schedule(config.replace(to.changes), to.reasons), to.reasons


def settle_view(to: Resolver, longest: float, device: str) -> tuple[str, int, float]:
    """What the network sees of an image: kind of view, size and scale, from the images' longest side."""
    kind = to.settle("data.view", lambda: _view(longest))
    size = to.settle("data.size", lambda: _size(kind, longest, device))
    return kind, size, to.settle("data.scale", lambda: (1.0, "images at their own scale"))


def resolve_schedule(config: Config, reasons: dict[str, str]) -> Config:
    """The schedule's own `auto` keys, once the number of epochs is known; `reasons` takes the reasons in."""
    epochs = BUDGET_EPOCHS if config.train.epochs == "auto" else config.train.epochs
    changes, told = settle_schedule(config.optim, epochs)
    reasons.update(told)
    return config.replace(changes)


def refuse_threshold(threshold: float, num_classes: int) -> None:
    """Stop where the likeliest of several classes is taken, so that a threshold of the foreground means nothing."""
    if threshold != EVEN and num_classes != 2:
        fix = "There the likeliest class is taken; leave it out."
        raise DataError(
            must("train.mask_threshold", "left out with more than two classes", f"{threshold} and {num_classes}", fix)
        )


def view_of(config: Config) -> View:
    """The resolved view of a configuration."""
    data = config.data
    assert data.view != "auto" and data.size != "auto" and data.scale != "auto"
    return View(data.view, data.size, data.scale, data.letterbox, data.outside)


def _window(dataset: Dataset) -> tuple[int | str, str]:
    sides = [max(item.record.window[2:]) for item in dataset.items if item.record.window]
    return (max(sides), "scenes are larger than one window") if sides else ("none", "every image is read whole")


def _view(longest: float) -> tuple[str, str]:
    if longest <= MOST_WHOLE:
        return "whole", f"the images' longest side is {longest:.0f} pixels; up to {MOST_WHOLE} they are shown whole"
    return "crop", f"the images' longest side is {longest:.0f} pixels; above {MOST_WHOLE} they are shown in windows"


def _size(kind: str, longest: float, device: str) -> tuple[int, str]:
    largest = 256 if kind == "crop" and device == "cpu" else 512
    if kind == "crop" or longest >= largest:
        return largest, f"{largest} pixels show texture and enough around it at a cost a {device} can bear"
    size = max(32, math.ceil(longest / 32) * 32)
    return size, f"the images' longest side is {longest:.0f} pixels"


def _grow(config: Config, size: int, device: str) -> tuple[float, str]:
    """Most is learned on inputs of half the size, at a quarter of the cost; the last epochs learn texture and borders."""
    if device == "gpu":
        return 0.0, "a GPU can bear the full size throughout"
    if not isinstance(config.augment, str) and any(isinstance(step, AlbumentationsOp) for step in config.augment):
        return 0.0, "steps of Albumentations may depend on the inputs' size"
    if size < 2 * LEAST_GROWN:
        return 0.0, f"half of {size} pixels would show too little"
    return GROWN_SHARE, "on a CPU most is learned at half the size, at a quarter of the cost"


def _width(device: str) -> tuple[int, str]:
    if device == "gpu":
        return 64, "the lab's width, which a GPU can bear"
    return 32, "on a CPU 32 wide sees three to four times as many inputs as the lab's 64 in the same time"


def _workers(device: str) -> tuple[int, str]:
    cores = usable_cores()
    if device == "cpu" or cores < 4:
        return 0, "the network needs all cores, and a batch takes far less time than a step"
    return min(8, cores - 1), f"{cores} cores keep the GPU fed"


def _repeats(config: Config, dataset: Dataset) -> tuple[int, str]:
    train = dataset.split("train")
    view = view_of(config)
    windows = statistics.mean(view.windows(dataset.items[i].height, dataset.items[i].width) for i in train)
    if config.augment == "none" and view.kind == "whole":
        return 1, "without augmentation every repeat would be the same"
    least = LEAST_INPUTS_EPOCH / len(train)
    if windows >= least:
        return max(1, round(windows)), "windows that cover an image once"
    return math.ceil(least), f"{len(train)} images make short epochs; {LEAST_INPUTS_EPOCH} inputs keep validation a small part"


def _batch_size(area: int, device: str, inputs: int) -> tuple[int, str]:
    pixels = (1 << 22) if device == "gpu" else (1 << 19)
    batch = max(2, min(32, pixels // area, max(2, inputs)))
    return batch, f"so that a step sees about {pixels // 1024} thousand pixels, which suits a {device}"


def _epochs(inputs: int) -> tuple[int, str]:
    epochs = max(LEAST_EPOCHS, math.ceil(LEAST_INPUTS / inputs))
    return epochs, f"at least {LEAST_EPOCHS} epochs and {LEAST_INPUTS} inputs"
