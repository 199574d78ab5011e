"""The loss for the classes' shares: which terms, and how much each class counts, with the reason.

One story with `data.sampling`: drawing and aiming decide how often a class is seen, weights how much a pixel of it
counts. So weights follow from the shares as training will see them, and a class that is drawn and aimed at often enough
gets none.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from maskwright.config.losses import CustomTerm, LossTerm
from maskwright.data.dataset import Dataset
from maskwright.data.sampling import RARE, aimer, image_weights
from maskwright.errors import ConfigError, listed, unknown
from maskwright.losses import AUTO, AUTO_REASON

LEAST, MOST = 0.5, 4.0  # of a class weight; mild, so that a rare class's false positives stay dear


def resolve_loss(
    wish: str | Sequence[LossTerm], dataset: Dataset, sampling: str, crop_focus: float, window: float | None
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """The terms with their class weights as numbers, and the reason of each `auto` by its key.

    `window` is the area of a training window in pixels of the images, None where images are shown whole.
    """
    shares = shares_as_seen(dataset, sampling, crop_focus, window)
    if isinstance(wish, str):
        return _auto(dataset, shares)
    terms, reasons, problems = [], {}, []
    for place, term in enumerate(wish):
        if isinstance(term, CustomTerm):
            terms.append(term.model_dump())
            continue
        written, key = term.class_weights, f"loss.{place}.class_weights"
        if written == "auto":
            written = class_weights(shares)
            reasons[key] = _format_shares(dataset, shares, range(len(shares)))
        elif written is not None:
            written, problem = _by_class(written, dataset.classes.names, key)
            problems += [problem] if problem else []
        terms.append({**term.model_dump(), "class_weights": written})
    if problems:
        raise ConfigError(problems)
    return terms, reasons


def class_weights(shares: Sequence[float]) -> list[float]:
    """For each class √(even share / share), from 0.5 to 4; 1 for a class that is not there.

    >>> class_weights([0.5, 0.49, 0.01])
    [0.816, 0.825, 4.0]
    """
    even = 1 / len(shares)
    return [round(min(MOST, max(LEAST, math.sqrt(even / share))), 3) if share > 0 else 1.0 for share in shares]


def shares_as_seen(dataset: Dataset, sampling: str, crop_focus: float, window: float | None) -> list[float]:
    """Share of the labelled pixels each class has in what training is shown.

    `balanced` shows images by their weights. An aimed window is taken to hold all pixels its class has in the image, as
    many as fit: the most help that aiming can be, so that the weights never count it twice.
    """
    if sampling != "balanced" and (window is None or crop_focus == 0):
        return dataset.class_shares("train")
    indices = dataset.split("train")
    drawn = np.array(image_weights(dataset, indices) if sampling == "balanced" else [1.0] * len(indices))
    pixels = np.array([dataset.items[index].class_pixels for index in indices], np.float64)
    seen = (drawn[:, None] * pixels).sum(axis=0)
    seen /= max(1.0, seen.sum())
    if window is not None and crop_focus > 0:
        seen = (1 - crop_focus) * seen + crop_focus * _aimed(dataset, indices, drawn, pixels, seen, window)
    return [float(share) for share in seen / max(seen.sum(), 1e-12)]


def _aimed(
    dataset: Dataset, indices: list[int], drawn: np.ndarray, pixels: np.ndarray, seen: np.ndarray, window: float
) -> np.ndarray:
    """Shares in aimed windows: the class aimed at fills what it can, the others keep their shares of the rest. K"""
    targets = aimer(dataset, indices, 1.0).targets
    wish = np.array([targets.get(label, 0.0) for label in range(pixels.shape[1])])
    chance = wish * (pixels > 0)  # N K, as are those below
    aims = chance.sum(axis=1, keepdims=True)
    chance = chance / np.maximum(aims, 1e-12)
    area = np.maximum(pixels.sum(axis=1, keepdims=True), 1.0)
    own = pixels / area
    fill = np.minimum(pixels, window) / np.minimum(area, window)
    rest = np.where(own < 1, chance * (1 - fill) / np.maximum(1 - own, 1e-12), 0.0)
    shown = chance * fill + own * (rest.sum(axis=1, keepdims=True) - rest)
    return (drawn[:, None] * np.where(aims > 0, shown, seen)).sum(axis=0) / drawn.sum()


def _auto(dataset: Dataset, shares: Sequence[float]) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Cross-entropy and Dice; with class weights on the former where a class is rare as seen."""
    least = RARE / len(shares)
    rare = [label for label, share in enumerate(shares) if 0 < share < least]
    terms = [term.model_dump() for term in AUTO]
    if not rare:
        return terms, {"loss": AUTO_REASON}
    terms[0]["class_weights"] = class_weights(shares)
    return terms, {"loss": f"{AUTO_REASON}; {_format_shares(dataset, shares, rare)}"}


def _format_shares(dataset: Dataset, shares: Sequence[float], labels: Sequence[int]) -> str:
    """Which classes the weights are for."""
    weights, names = class_weights(shares), dataset.classes.names
    order = sorted((label for label in labels if shares[label] > 0), key=lambda label: shares[label])
    found = [
        f"{names[label]} has {shares[label]:.2%} of the pixels shown in training and weighs {weights[label]:g}"
        for label in order
    ]
    return f"{listed(found, 'and', 3)}; weights are √(1/{len(shares)} / share), from {LEAST:g} to {MOST:g}"


def _by_class(
    written: list[float] | dict[str, float], names: Sequence[str], key: str
) -> tuple[list[float] | None, str | None]:
    """Weights in the order of the classes, or the sentence of what is wrong."""
    if isinstance(written, list):
        if len(written) == len(names):
            return written, None
        classes = f"{len(names)}: {listed(names, 'and', 12)}"
        return None, f"`{key}` must hold a weight for each class; got {len(written)}. The classes are {classes}."
    strangers = [name for name in written if name not in names]
    if strangers:
        return None, unknown("class", strangers[0], names, key=key)
    found = [float(written.get(name, 1.0)) for name in names]
    return (found, None) if any(found) else (None, f"`{key}` must leave a class a weight above 0; got {written}.")
