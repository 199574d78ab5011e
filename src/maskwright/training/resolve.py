"""Every `auto` of a configuration, resolved once, each with its reason."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from typing import Any

import torch

from maskwright.config import Config
from maskwright.config.augment import AlbumentationsOp, CustomOp
from maskwright.config.base import seconds_of
from maskwright.data.augment import choose_augment
from maskwright.data.dataset import Dataset
from maskwright.data.geometry import Size, Tiling, View, sides_of, size_text
from maskwright.data.sampling import choose_focus, choose_sampling
from maskwright.data.store import PixelStore
from maskwright.data.tiles import EVEN
from maskwright.data.traits import Traits, measure_traits
from maskwright.errors import DataError, counted, must
from maskwright.losses.auto import resolve_loss
from maskwright.models.choice import choose_model
from maskwright.models.devices import choose_device, choose_precision, validate_precision
from maskwright.models.drawn import learns_as_from_nothing
from maskwright.runs import usable_cores
from maskwright.training.optim import choose_optimizer
from maskwright.training.schedules import BUDGET_EPOCHS, resolve_schedule_keys

MOST_WHOLE = 1024  # a foreign network's images: longest side up to which they are shown whole
LEAST_INPUTS_EPOCH = 64  # so that validating stays a small part of an epoch on tiny sets
LEAST_GROWN = 96  # pixels below which half-size inputs show too little to learn from
SPARED = 0.25  # of the rate, for pretrained encoders
GROWN_SHARE = 0.75
UNLIKE = 2.4  # times as long, the larger images as the smaller: their scale means nothing then
FORWARD = 1 / 4  # of the time of a step, what passing the same inputs forward alone takes
WORKING_SIDE = {"cpu": 512, "gpu": 1024}  # pixels that an image's longest side is brought down to
WINDOW = {"cpu": 384, "gpu": 512}
THIN_WINDOW = 256
LEAST_TILE = 512
MOST_BATCH = {"cpu": 16, "gpu": 64}
PIXELS_A_STEP = {"cpu": 1 << 19, "gpu": 1 << 22}
LEAST_THICK = 6.0  # pixels: what is thinner would vanish at half the size
BUDGET = 600  # seconds, where nobody said how long
_SECONDS_A_MEGAPIXEL = 2000  # of training images: tiny sets need no ten minutes
_REPAID = 600  # seconds of a budget from which compiling is repaid
_LEAST_SECONDS = 60
# seconds of a budget for each megapixel of the training images up to which they are seen seldom (recipes/pretrain)
SELDOM, SELDOM_OF_FEW, MANY = 60.0, 15.0, 50


class Resolver:
    """Collects changes and reasons; `value` of a key that is not `auto` is left as configured."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.changes: dict[str, Any] = {}
        self.reasons: dict[str, str] = {}

    def decide(self, key: str, decide: Callable[[], tuple[Any, str]]) -> Any:
        node: Any = self.config
        for part in key.split("."):
            node = getattr(node, part)
        if node != "auto":
            return node
        value, why = decide()
        self.changes[key] = value
        self.reasons[key] = why
        return value


def resolve(
    config: Config, dataset: Dataset, cache: tuple[str, str], store: PixelStore | None = None
) -> tuple[Config, dict[str, str]]:
    """The configuration with all decided but a time budget's epochs, and why; `store` has the images' pixels."""
    to = Resolver(config)
    to.decide("data.reader", lambda: (dataset.reader, dataset.reason))
    to.decide("data.window", lambda: _window(dataset))
    to.decide("data.cache", lambda: cache)
    device = to.decide("train.devices", choose_device)
    asked = "auto" in (config.data.scale, config.data.size, config.augment, config.train.grow)
    traits = measure_traits(dataset, store) if asked and store and dataset.split("train") else None
    kind, size, scale = _resolve_inputs(to, dataset, traits, device)
    budget = config.train.budget
    if config.train.epochs == "auto" and budget is None:
        budget, to.reasons["train.budget"] = _budget(dataset, scale)
        to.changes["train.budget"] = budget
    model, why = choose_model(config.model, device, _is_seen_seldom(budget, dataset, scale))
    if model != config.model:
        config = to.config = config.replace({"model": model.model_dump()})
        to.changes["model"] = model.model_dump()
        to.reasons.update(why)
    if model.name == "unet":
        to.decide("model.width", lambda: _width(device))
    to.decide("data.tiles.side", lambda: _tile(config, size))
    to.decide("augment", lambda: choose_augment(dataset, traits))
    sampling = to.decide("data.sampling", lambda: choose_sampling(dataset))
    focus = to.decide("data.crop_focus", lambda: choose_focus(dataset, kind))
    to.decide("optim.encoder_scale", lambda: _encoder_scale(why, config))
    to.decide("optim.name", lambda: choose_optimizer(config.replace(to.changes)))
    validate_precision(to.decide("train.precision", lambda: choose_precision(device)), device)
    to.decide("train.workers", lambda: _workers(device, config.train.num_devices))
    window = math.prod(sides_of(size)) / scale**2 if kind == "crop" else None
    to.changes["loss"], why = resolve_loss(config.loss, dataset, sampling, focus, window)
    to.reasons.update(why)
    resolved = config.replace(to.changes)
    per_image = to.decide("train.repeats", lambda: _repeats(resolved, dataset))
    inputs = per_image * len(dataset.split("train"))
    to.decide("train.grow", lambda: _grow(config, size, device, traits.thinness * scale if traits else math.inf))
    to.decide("data.multiscale", lambda: _multiscale(config.replace(to.changes)))
    to.decide("train.batch_size", lambda: _batch_size(size, device, inputs))
    to.decide("train.compile", lambda: _compile(config.replace(to.changes), device))
    return resolve_schedule(config.replace(to.changes), to.reasons), to.reasons


def _resolve_inputs(to: Resolver, dataset: Dataset, traits: Traits | None, device: str) -> tuple[str, Size, float]:
    """What the network sees of an image: view, size and scale, from the images' sides and their thinnest classes."""
    shapes = [(dataset.items[index].height, dataset.items[index].width) for index in dataset.split("train")]
    shapes = shapes or [(item.height, item.width) for item in dataset.items]
    sides = [max(shape) for shape in shapes]
    longest = statistics.median(sides)
    kind = to.decide("data.view", lambda: _kind(sides))
    thinness = traits.thinness if traits else math.inf
    scale = to.decide("data.scale", lambda: _scale(kind, longest, thinness, device))
    step = 64 if device == "cpu" and to.config.model.name != "auto" else 32  # a stride of 32 is to divide half of it
    size = to.decide("data.size", lambda: _fitting_size(kind, shapes, scale, thinness * scale, device, step))
    return kind, size, scale


def _fitting_size(
    kind: str, shapes: list[tuple[int, int]], scale: float, thinness: float, device: str, step: int
) -> tuple[Size, str]:
    """Windows no higher or wider than the images: what would be shown beyond them are reflections."""
    size, why = _window_size(kind, statistics.median(map(max, shapes)) * scale, thinness, device)
    if kind == "whole":
        return size, why
    ends = [scale * _ninth_tenth([shape[side] for shape in shapes]) for side in (0, 1)]
    height, width = (min(size, math.ceil(end / step) * step) for end in ends)
    if height == width == size:
        return size, why
    return (height, width), f"{why}; images of {ends[0]:.0f} × {ends[1]:.0f} have nothing to show beyond"


def _ninth_tenth(sides: list[int]) -> float:
    return statistics.quantiles(sides, n=10, method="inclusive")[-1] if len(sides) > 1 else sides[0]


def _kind(sides: list[int]) -> tuple[str, str]:
    """Whole images where their sizes differ so much that pixels have no common scale; else windows, which keep it."""
    low, high = statistics.quantiles(sides, n=10, method="inclusive")[::8] if len(sides) > 1 else (sides[0], sides[0])
    if high > UNLIKE * low:
        return "whole", f"images are {low:.0f} to {high:.0f} pixels long: resized, they have a common scale"
    return "crop", "windows keep the images' shape and their common scale"


def _scale(kind: str, longest: float, thinness: float, device: str) -> tuple[float, str]:
    most = WORKING_SIDE[device]
    if kind == "whole" or longest <= most:
        return 1.0, "images at their own scale"
    scale = most / longest
    if thinness * scale < LEAST_THICK:
        scale = min(1.0, LEAST_THICK / thinness)
        return round(scale, 3), f"what is to be found is {thinness:.0f} pixels thick: scaled down more, it would vanish"
    return round(scale, 3), f"{_long(longest)}; at {most} a {device} sees several times as many"


def _window_size(kind: str, longest: float, thinness: float, device: str) -> tuple[int, str]:
    if kind == "crop" and thinness < LEAST_THICK and longest > THIN_WINDOW:
        return THIN_WINDOW, f"what is to be found is {thinness:.1f} pixels thick and known by what is near"
    most = WINDOW[device]
    size = max(32, math.ceil(longest / 32) * 32)
    if kind == "whole" or size >= most:
        return most, f"{most} pixels show texture and enough around it at a cost a {device} can bear"
    return size, _long(longest)


def resolve_view(to: Resolver, longest: float, device: str) -> tuple[str, Size, float]:
    """What the network sees of an image: kind of view, size and scale, from the images' longest side."""
    kind = to.decide("data.view", lambda: _view(longest))
    size = to.decide("data.size", lambda: _size(kind, longest, device))
    return kind, size, to.decide("data.scale", lambda: (1.0, "images at their own scale"))


def resolve_schedule(config: Config, reasons: dict[str, str]) -> Config:
    """The schedule's own `auto` keys, once the number of epochs is known; `reasons` takes the reasons in."""
    epochs = BUDGET_EPOCHS if config.train.epochs == "auto" else config.train.epochs
    changes, why = resolve_schedule_keys(config.optim, epochs)
    reasons.update(why)
    return config.replace(changes)


def validate_threshold(threshold: float, num_classes: int) -> None:
    """Stop where the likeliest of several classes is taken, so that a threshold of the foreground means nothing."""
    if threshold != EVEN and num_classes != 2:
        fix = "There the likeliest class is taken; leave it out."
        raise DataError(
            must("train.mask_threshold", "left out with more than two classes", f"{threshold} and {num_classes}", fix)
        )


def view_of(config: Config) -> View:
    """The resolved view of a configuration; runs from before there were tiles have those that `auto` stands for."""
    data, tiles = config.data, config.data.tiles
    assert data.view != "auto" and data.size != "auto" and data.scale != "auto"
    side = _tile(config, data.size)[0] if tiles.side == "auto" else tiles.side
    return View(
        data.view, data.size, data.scale, data.letterbox, data.outside, Tiling(side, tiles.overlap, tiles.whole)
    )


def val_inputs(config: Config, dataset: Dataset) -> float:
    """How many training inputs' pixels a validation comes to."""
    view = view_of(config)
    items = [dataset.items[index] for index in dataset.split("val")]
    return both_sizes(config) * sum(view.inputs(item.height, item.width) for item in items)


def both_sizes(config: Config) -> float:
    """What predicting costs, where passing the full size alone is 1: half the size is a quarter more."""
    return 1.25 if config.data.multiscale is True else 1.0


def _tile(config: Config, size: Size) -> tuple[int, str]:
    """Tiles no smaller than the windows trained on, of a side that strides divide."""
    least = max(LEAST_TILE, *sides_of(size), 2 * config.data.tiles.overlap)
    return math.ceil(least / 32) * 32, "no smaller than what was trained on, and large beside the overlap"


def _window(dataset: Dataset) -> tuple[int | str, str]:
    sides = [max(item.record.window[2:]) for item in dataset.items if item.record.window]
    return (max(sides), "scenes are larger than one window") if sides else ("none", "every image is read whole")


def _long(longest: float) -> str:
    return f"the images' longest side is {longest:.0f} pixels (median)"


def _view(longest: float) -> tuple[str, str]:
    if longest <= MOST_WHOLE:
        return "whole", f"{_long(longest)}; up to {MOST_WHOLE} they are shown whole"
    return "crop", f"{_long(longest)}; above {MOST_WHOLE} they are shown in windows"


def _size(kind: str, longest: float, device: str) -> tuple[int, str]:
    largest = 256 if kind == "crop" and device == "cpu" else 512
    if kind == "crop" or longest >= largest:
        return largest, f"{largest} pixels show texture and enough around it at a cost a {device} can bear"
    size = max(32, math.ceil(longest / 32) * 32)
    return size, _long(longest)


def _grow(config: Config, size: Size, device: str, thinness: float) -> tuple[float, str]:
    """Most is learned on inputs of half the size, at a quarter of the cost; the last epochs learn the borders."""
    if device == "gpu":
        return 0.0, "a GPU can bear the full size throughout"
    if not isinstance(config.augment, str) and any(
        isinstance(step, AlbumentationsOp | CustomOp) for step in config.augment
    ):
        return 0.0, "steps of Albumentations or your own may depend on the inputs' size"
    if math.prod(sides_of(size)) < (2 * LEAST_GROWN) ** 2:
        return 0.0, f"half of {size_text(size)} pixels would show too little"
    if thinness < LEAST_THICK:
        return 0.0, f"what is to be found is {thinness:.1f} pixels thick and would vanish at half the size"
    return GROWN_SHARE, "on a CPU most is learned at half the size, at a quarter of the cost"


def _multiscale(config: Config) -> tuple[bool, str]:
    grow, epochs = config.train.grow, config.train.epochs
    if grow in ("auto", 0) or (epochs != "auto" and int(grow * epochs) == 0):
        return False, "it is trained at one size"
    return True, "it is trained at full and at half the size, and the mean of both errs less, for a quarter more work"


def _encoder_scale(chosen: dict[str, str], config: Config) -> tuple[float, str]:
    if "model" in chosen and not learns_as_from_nothing(config.model.weights):
        return SPARED, "pretrained weights are spared: the decoder, which begins at random, learns at the whole rate"
    return 1.0, "all parts learn at one rate"


def _width(device: str) -> tuple[int, str]:
    if device == "gpu":
        return 64, "the lab's width, which a GPU can bear"
    return 32, "on a CPU 32 wide sees three to four times as many inputs as the lab's 64 in the same time"


def _workers(device: str, num_devices: int) -> tuple[int, str]:
    cores = max(1, usable_cores() // num_devices)
    if device == "cpu":
        return 0, "the network needs all cores, and a batch takes far less time than a step"
    return max(1, min(8, cores - 1)), f"{cores} {'core keeps' if cores == 1 else 'cores keep'} the GPU fed"


def _compile(config: Config, device: str) -> tuple[bool, str]:
    if device == "cpu":
        return False, "on a CPU oneDNN's kernels are as fast, and compiling takes a minute"
    if not torch.cuda.is_available():
        return False, "it is for NVIDIA's GPUs"
    if config.train.budget is None or seconds_of(config.train.budget) < _REPAID:
        return False, f"it takes about a minute, which a budget of {_REPAID // 60} minutes or more repays"
    return True, "it takes about a minute, and steps are faster by more than that in all"


def _repeats(config: Config, dataset: Dataset) -> tuple[int, str]:
    train = dataset.split("train")
    view = view_of(config)
    windows = statistics.mean(view.windows(dataset.items[i].height, dataset.items[i].width) for i in train)
    if config.augment == "none" and view.kind == "whole":
        return 1, "without augmentation every repeat would be the same"
    least = LEAST_INPUTS_EPOCH / len(train)
    if windows >= least:
        return max(1, round(windows)), "windows that cover an image once"
    few = f"epochs of {counted(len(train), 'image')} are short"
    return math.ceil(least), f"{few}; {LEAST_INPUTS_EPOCH} inputs keep validation a small part"


def _batch_size(size: Size, device: str, inputs: int) -> tuple[int, str]:
    pixels = math.prod(sides_of(size))
    batch = max(2, min(MOST_BATCH[device], round(PIXELS_A_STEP[device] / pixels), max(2, inputs)))
    return batch, f"so that a step sees about {batch * pixels // 1024} thousand pixels, which suits a {device}"


def _is_seen_seldom(budget: str | None, dataset: Dataset, scale: float) -> bool:
    """Whether maskwright's own start is worth it: what is seen more often teaches random weights as much or more."""
    seldom = SELDOM if len(dataset.split("train")) >= MANY else SELDOM_OF_FEW
    return budget is not None and seconds_of(budget) <= seldom * _megapixels(dataset, scale)


def _megapixels(dataset: Dataset, scale: float) -> float:
    """Of the training images together, as they are shown."""
    items = [dataset.items[index] for index in dataset.split("train")]
    return sum(item.height * item.width for item in items) * scale**2 / 1e6


def _budget(dataset: Dataset, scale: float) -> tuple[str, str]:
    """Ten minutes, less where there is little to look at."""
    pixels = _megapixels(dataset, scale)
    seconds = min(BUDGET, max(_LEAST_SECONDS, round(_SECONDS_A_MEGAPIXEL * pixels)))
    ask = "--budget gives another time, --epochs a number of passes"
    if seconds < BUDGET:
        return f"{seconds}s", f"the training images have {pixels:.2g} megapixels in all, which need no more; {ask}"
    return f"{BUDGET // 60}m", f"nobody said how long; {ask}"
