"""Which images an epoch draws and where its windows are aimed: help for classes with few pixels, chosen from their
shares.

Both follow from (seed, epoch, sample) alone, as augmentation does. Drawing uniformly and aiming nothing takes no random
number, so a set without rare classes is trained as if none of this existed.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np

from maskwright.data.dataset import Dataset
from maskwright.data.geometry import Aim
from maskwright.errors import listed

RARE = 0.1  # of an even share of the pixels (1 / num_classes): a class below this is rare
FEW = 0.5  # share of the images; a rare class in fewer of them is drawn too seldom
FOCUS = 0.33  # of the windows, a third as nnU-Net aims: https://doi.org/10.1038/s41592-020-01008-z
MOST = 4.0  # times as often as an image without rare classes; more would show a few images over and over
_TILE = 64  # pixels: side of a square of the index of positions
_DRAW = 1 << 41  # apart from the keys of shuffling (1 << 40) and of samples


def choose_sampling(dataset: Dataset) -> tuple[str, str]:
    """`balanced` where a rare class is in few of the training images, else `uniform`; and why."""
    rare, shares = _rare(dataset), dataset.class_shares("train")
    if not rare:
        return "uniform", _none_is_rare(dataset)
    within = _held(dataset, dataset.split("train")).mean(axis=0)
    few = [index for index in rare if within[index] < FEW]
    if not few:
        return "uniform", f"most images show {listed(dataset.classes.names[i] for i in rare)}, few as the pixels are"
    detail = [
        f"{dataset.classes.names[i]} has {shares[i]:.2%} of the pixels and is in {within[i]:.0%} of the images"
        for i in few
    ]
    return "balanced", listed(detail, "and", 3)


def choose_focus(dataset: Dataset, kind: str) -> tuple[float, str]:
    """The share of windows aimed at rare classes, and why."""
    if kind != "crop":
        return 0.0, "view whole shows every pixel of an image"
    rare, shares = _rare(dataset), dataset.class_shares("train")
    if not rare:
        return 0.0, _none_is_rare(dataset)
    detail = [f"{dataset.classes.names[i]} has {shares[i]:.2%} of the pixels" for i in rare]
    return FOCUS, f"{listed(detail, 'and', 3)}: most windows laid at random would miss it"


def image_weights(dataset: Dataset, indices: Sequence[int]) -> list[float]:
    """How often each of these images is drawn, beside one that shows only the commonest class.

    A class in a share s of the images makes those sqrt(most common share / s) times as frequent; an image takes its
    rarest class's factor. The square root is what repeat-factor sampling uses: https://arxiv.org/abs/1908.03195
    """
    held = _held(dataset, indices)
    within = held.mean(axis=0)
    factors = np.sqrt(within.max(initial=0.0) / np.where(within > 0, within, 1.0)).clip(1.0, MOST)
    return np.where(held, factors, 1.0).max(axis=1).tolist()


def draw_images(weights: Sequence[float], num: int, seed: int, epoch: int) -> list[int]:
    """Places among `weights` for each of an epoch's `num` inputs: each as often as its weight asks, give or take one.

    >>> draw_images([1.0, 1.0, 2.0], 8, seed=0, epoch=0)
    [0, 0, 1, 1, 2, 2, 2, 2]
    """
    rng = np.random.default_rng((seed, epoch, _DRAW))
    order = rng.permutation(len(weights))
    upto = np.cumsum(np.asarray(weights, np.float64)[order])
    upto = np.floor(upto / upto[-1] * num + rng.uniform(0, 1))
    upto[-1] = num  # whatever the rounding: an epoch has as many inputs as ever
    counts = np.empty(len(weights), np.int64)
    counts[order] = np.diff(upto, prepend=0.0).astype(np.int64)
    return np.repeat(np.arange(len(weights)), counts).tolist()


class Aimer:
    """Aims a share of the windows at pixels of classes below their even share, the rarer the more often.

    Where a class is in an image is looked up in counts by tile, made once from the mask at hand when it is first asked
    for.
    """

    def __init__(self, share: float, targets: Mapping[int, float], class_pixels: Mapping[int, Sequence[int]]) -> None:
        self.share, self.targets, self.class_pixels = share, dict(targets), class_pixels
        self._index: dict[tuple[int, int], tuple[np.ndarray, np.ndarray]] = {}

    def aim(self, item: int, mask: np.ndarray, rng: np.random.Generator) -> tuple[int, Aim] | None:
        """A class and the centre of one of its pixels in this mask; None for a window at a random place."""
        if rng.random() >= self.share:
            return None
        held = {label: weight for label, weight in self.targets.items() if self.class_pixels[item][label]}
        if not held:
            return None
        label = _choose(held, rng)
        tiles, upto = self._tiles(item, mask, label)
        place = int(rng.integers(int(upto[-1])))
        nth = int(np.searchsorted(upto, place, side="right"))
        across = -(-mask.shape[1] // _TILE)
        top, left = (int(tiles[nth]) // across) * _TILE, (int(tiles[nth]) % across) * _TILE
        tile = mask[top : top + _TILE, left : left + _TILE]
        row, column = divmod(
            int(np.flatnonzero(tile == label)[place - int(upto[nth - 1] if nth else 0)]), tile.shape[1]
        )
        return label, (left + column + 0.5, top + row + 0.5)

    def _tiles(self, item: int, mask: np.ndarray, label: int) -> tuple[np.ndarray, np.ndarray]:
        """The tiles a class is in, and how many of its pixels are in them up to and with each."""
        if (item, label) not in self._index:
            height, width = mask.shape
            rows = np.add.reduceat((mask == label), np.arange(0, height, _TILE), axis=0, dtype=np.int32)
            counts = np.add.reduceat(rows, np.arange(0, width, _TILE), axis=1).ravel()
            tiles = np.flatnonzero(counts)
            self._index[item, label] = tiles.astype(np.int32), np.cumsum(counts[tiles], dtype=np.int64)
        return self._index[item, label]


def aimer(dataset: Dataset, indices: Sequence[int], share: float) -> Aimer:
    """An `Aimer` for these images: its targets are the classes below an even share of the training pixels."""
    shares = dataset.class_shares("train")
    even = 1 / dataset.classes.num_classes
    targets = {label: 1 / math.sqrt(part) for label, part in enumerate(shares) if 0 < part < even}
    return Aimer(share, targets, {index: dataset.items[index].class_pixels for index in indices})


def unused_settings(sampling: str, crop_focus: float | str, kind: str, dataset: Dataset) -> list[str]:
    """Wishes as configured that change nothing here, in words."""
    notes: list[str] = []
    if sampling == "balanced" and len(set(image_weights(dataset, dataset.split("train")))) == 1:
        notes.append("data.sampling has no effect: the training images show the same classes")
    if crop_focus not in ("auto", 0) and kind != "crop":
        notes.append("data.crop_focus has no effect with view whole")
    return notes


def _rare(dataset: Dataset) -> list[int]:
    """Classes the training images hold, with far less than their even share of the pixels."""
    least = RARE / dataset.classes.num_classes
    return [label for label, share in enumerate(dataset.class_shares("train")) if 0 < share < least]


def _none_is_rare(dataset: Dataset) -> str:
    least = f"{RARE / dataset.classes.num_classes:.2%} of the pixels"
    return f"no class has less than {least}, a tenth of what each would have if all were alike"


def _held(dataset: Dataset, indices: Sequence[int]) -> np.ndarray:
    """Which images hold which classes. N K bool"""
    return np.array([[pixels > 0 for pixels in dataset.items[index].class_pixels] for index in indices])


def _choose(weights: Mapping[int, float], rng: np.random.Generator) -> int:
    upto = list(itertools.accumulate(weights.values()))
    place = rng.random() * upto[-1]
    return next((label for label, end in zip(weights, upto, strict=True) if place < end), list(weights)[-1])
