"""What the training images are like, as far as the choice of augmentation, scale and stages rests on it.

traits = measure_traits(dataset, store)
traits.has_upside, traits.thinness, traits.has_grain
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import cv2
import numpy as np

from maskwright.data.dataset import IGNORE, Dataset
from maskwright.data.store import PixelStore

MOST_IMAGES, LEAST_IMAGES = 120, 8  # spread over the training images: more tell the same
MOST_PIXELS = 1e8  # of all that are looked at, which takes a second
_GRID = 8  # cells a side in which the places of classes are looked at
_FINE = 128  # pixels a side, about, from which a cell's shares are counted
_SURE = 3.0  # standard errors: a difference below may be chance
_MATTERS = 0.05  # of the surprise at an image's classes: a difference below decides nothing
_GRAIN, _ALIKE = 0.15, 0.95  # photographs and cells have 0.07 at most, machined metal 0.33
_PART = 512  # pixels: side of the part in which grain is looked for
_PRIOR = 0.5  # images' worth of the classes' mean shares, so that a cell never seen with a class is not impossible


@dataclass(frozen=True)
class Traits:
    """`places` says by how much a turned image's classes surprise more than the image's own, as (share, standard
    errors).

    `thickness` is of each class in pixels of the images: a line's width, a disc's radius; NaN where a class has no
    border. `grain` is by how much tones change more across (+1) than down (-1) an image, on average, and `alike` the
    share of images that agree on which.
    """

    places: dict[str, tuple[float, float]]
    thickness: tuple[float, ...]
    commonest: int
    grain: float
    alike: float

    @property
    def has_grain(self) -> bool:
        """Whether images are streaked, and all the same way: machined metal, wood, rows of a field."""
        return abs(self.grain) > _GRAIN and self.alike > _ALIKE

    @property
    def has_upside(self) -> bool:
        """Whether classes lie otherwise in images turned upside down."""
        share, errors = self.places["vflip"]
        return share > _MATTERS and errors > _SURE

    @property
    def thinness(self) -> float:
        """The middle one of the classes' thicknesses, the commonest aside, which is what lies behind the others."""
        known = [one for label, one in enumerate(self.thickness) if label != self.commonest and math.isfinite(one)]
        return float(np.median(known)) if known else math.inf


def measure_traits(dataset: Dataset, store: PixelStore) -> Traits:
    """The traits of the training images, by as many of them as it takes."""
    indices = dataset.split("train")
    pixels = np.mean([dataset.items[index].height * dataset.items[index].width for index in indices])
    most = min(len(indices), MOST_IMAGES, max(LEAST_IMAGES, int(MOST_PIXELS / pixels)))
    chosen = [indices[place] for place in np.linspace(0, len(indices) - 1, most).astype(int)]
    return traits_of((store.get(index) for index in chosen), dataset.classes.num_classes)


def traits_of(pairs: Iterable[tuple[np.ndarray, np.ndarray]], num_classes: int) -> Traits:
    """The traits of images H W C and their masks H W."""
    layouts, grains = [], []
    areas, borders = np.zeros(num_classes), np.zeros(num_classes)
    for image, mask in pairs:
        layouts.append(_layout(mask, num_classes))
        grains.append(_grain(image))
        areas += np.bincount(mask.ravel(), minlength=256)[:num_classes]
        borders += _borders(mask, num_classes)
    with np.errstate(divide="ignore", invalid="ignore"):
        # steps of pixels are 4/π of a length
        thickness = np.where(borders > 0, 2 * areas / (borders * np.pi / 4), np.nan)
    seen, signs = np.stack(layouts), np.sign(grains)
    return Traits(
        places={name: _surprise(seen, turn) for name, turn in _TURNS.items()},
        thickness=tuple(thickness.tolist()),
        commonest=int(areas.argmax()),
        grain=float(np.mean(grains)),
        alike=float(max((signs > 0).mean(), (signs < 0).mean())),
    )


_TURNS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "hflip": functools.partial(np.flip, axis=-1),
    "vflip": functools.partial(np.flip, axis=-2),
}


def _grain(image: np.ndarray) -> float:
    """How much more tones change across an image than down it, from -1 to 1. H W C"""
    if min(image.shape[:2]) < 2:
        return 0.0
    top, left = (max(0, (side - _PART) // 2) for side in image.shape[:2])
    image = image[top : top + _PART, left : left + _PART]
    # without the noise, which has no direction
    grey = cv2.GaussianBlur(image.mean(axis=2, dtype=np.float32), (0, 0), 1.0)
    across, down = float(np.abs(np.diff(grey, axis=1)).mean()), float(np.abs(np.diff(grey, axis=0)).mean())
    return (across - down) / max(1e-9, across + down)


def _layout(mask: np.ndarray, num_classes: int) -> np.ndarray:
    """Share of each class in each cell. H W → K G G"""
    step = max(1, min(mask.shape) // _FINE)
    fine = mask[::step, ::step]
    planes = [(fine == label).astype(np.float32) for label in range(num_classes)]
    return np.stack([cv2.resize(plane, (_GRID, _GRID), interpolation=cv2.INTER_AREA) for plane in planes])


def _borders(mask: np.ndarray, num_classes: int) -> np.ndarray:
    """Edges of pixels between each class and any other, or what is ignored. K"""
    found = np.zeros(num_classes)
    for one, other in ((mask[1:], mask[:-1]), (mask[:, 1:], mask[:, :-1])):
        differs = one != other
        for side in (one, other):
            found += np.bincount(side[differs & (side != IGNORE)], minlength=256)[:num_classes]
    return found


def _surprise(layouts: np.ndarray, turn: Callable[[np.ndarray], np.ndarray]) -> tuple[float, float]:
    """How much more the turned layout of an image surprises who knows all the others: share, and standard errors."""
    num, everywhere = len(layouts), layouts.mean(axis=(0, 2, 3))[:, None, None]
    if num < 2:
        return 0.0, 0.0
    others = layouts.sum(axis=0) - layouts + _PRIOR * everywhere + 1e-2 / layouts.shape[1]
    logs = np.log(others / others.sum(axis=1, keepdims=True))
    own, turned = -(layouts * logs).sum(axis=1), -(np.stack([turn(one) for one in layouts]) * logs).sum(axis=1)
    more = (turned - own).mean(axis=(1, 2))
    spread = float(more.std(ddof=1)) / math.sqrt(num)
    return float(more.mean() / max(1e-9, own.mean())), float(more.mean() / max(1e-9, spread))
