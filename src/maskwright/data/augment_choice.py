"""`augment: auto`: what may be turned, mirrored and recoloured, by what the training images are like.

steps, why = choose_augment(dataset, traits)
"""

from __future__ import annotations

from typing import Any

from maskwright.data.dataset import Dataset
from maskwright.data.traits import Traits

_ZOOM, _SHIFT = 0.4, 0.1
_UPRIGHT_TURN = 10.0  # degrees a camera is held askew
_MIRROR_MOST = 1.0  # of the surprise at an image's classes: where a mirrored one surprises so much more, sides mean something
_TONES = {"brightness": 0.1, "contrast": 0.25, "channel_shift": 0.05}


def choose_augment(dataset: Dataset, traits: Traits | None) -> tuple[list[dict[str, Any]], str]:
    """Steps with their strengths, and why these; without traits what harms no photograph."""
    geometry, why = _geometry(traits)
    tones = dict(_TONES)
    if len(set(dataset.bands.chosen)) == 1:
        del tones["channel_shift"]
    steps = [{"name": name, "amount": amount} for name, amount in (geometry | tones).items()]
    return steps, f"{why}; tones vary by a quarter, as between cameras and days"


def _geometry(traits: Traits | None) -> tuple[dict[str, float | None], str]:
    upright = {"hflip": None, "rotate": _UPRIGHT_TURN, "scale": _ZOOM, "shift": _SHIFT}
    if traits is None:
        return upright, "images are not looked at, so they stay upright"
    more, _ = traits.places["hflip"]
    if more > _MIRROR_MOST:
        del upright["hflip"]
        return upright, f"mirrored, classes would lie where they never do ({more:.0%} more surprising): nothing is mirrored"
    if traits.has_upside:
        more, errors = traits.places["vflip"]
        return upright, f"upside down, classes would lie elsewhere ({more:.0%} more surprising, {errors:.0f} standard errors)"
    free = {"hflip": None, "vflip": None, "rotate": 180.0, "scale": _ZOOM, "shift": _SHIFT}
    return free, "classes lie alike in images turned upside down, so all are turned and mirrored"
