"""Scores as pure functions of confusion counts.

One rule for the undefined: 0/0 is NaN, NaN is left out of means, and `POLICY` says so in words.
So a class absent from truth and prediction has no score; one that is only predicted has IoU 0.

Legend: C … × K × K counts, C[t, p] = pixels of truth t predicted as p.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from maskwright.metrics.counts import Counts

POLICY = (
    "A class absent from truth and prediction has no score (null) and is left out of means; "
    "ignored pixels are not counted; scores are computed at each image's own size over the whole split."
)
Scores = dict[str, float]


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(below > 0, above / below, np.nan)


def _parts(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """True positives, truth and prediction totals of each class: … K each."""
    hits = np.diagonal(matrix, axis1=-2, axis2=-1).astype(float)
    return hits, matrix.sum(-1).astype(float), matrix.sum(-2).astype(float)


def iou(matrix: np.ndarray) -> np.ndarray:
    """Intersection over union of each class.

    >>> iou(np.array([[1, 1], [0, 2]])).round(3).tolist()
    [0.5, 0.667]
    """
    hits, truth, predicted = _parts(matrix)
    return _ratio(hits, truth + predicted - hits)


def dice(matrix: np.ndarray) -> np.ndarray:
    """Dice of each class, which is F1 on pixels."""
    hits, truth, predicted = _parts(matrix)
    return _ratio(2 * hits, truth + predicted)


def precision(matrix: np.ndarray) -> np.ndarray:
    """Share of the pixels predicted as a class that are of it."""
    hits, _, predicted = _parts(matrix)
    return _ratio(hits, predicted)


def recall(matrix: np.ndarray) -> np.ndarray:
    """Share of the pixels of a class that are predicted as it."""
    hits, truth, _ = _parts(matrix)
    return _ratio(hits, truth)


def class_accuracy(matrix: np.ndarray) -> np.ndarray:
    """Share of pixels on which truth and prediction agree about belonging to the class."""
    hits, truth, predicted = _parts(matrix)
    total = np.asarray(matrix.sum((-2, -1)), float)[..., None]
    return _ratio(total - truth - predicted + 2 * hits, np.broadcast_to(total, hits.shape))


def accuracy(matrix: np.ndarray) -> np.ndarray:
    """Share of pixels predicted right, over all classes."""
    hits, _, _ = _parts(matrix)
    return _ratio(hits.sum(-1), np.asarray(matrix.sum((-2, -1)), float))


METRICS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "accuracy": class_accuracy,
    "precision": precision,
    "recall": recall,
    "f1": dice,
    "iou": iou,
    "dice": dice,
}


@dataclass(frozen=True)
class Summary:
    """The headline scores, those of each class, and the ways of averaging."""

    metrics: Scores
    per_class: dict[str, Scores]
    averages: dict[str, Scores]


def per_class(counts: Counts, names: tuple[str, ...]) -> dict[str, Scores]:
    """Every metric of every class over the whole split."""
    total = counts.total()
    columns = {name: metric(total) for name, metric in METRICS.items()}
    columns["boundary_iou"] = _ratio(counts.boundary_overlap.sum(0).astype(float), counts.boundary_union.sum(0))
    return {cls: {name: float(column[index]) for name, column in columns.items()} for index, cls in enumerate(names)}


def averages(counts: Counts) -> dict[str, Scores]:
    """The same metric averaged three ways, over the scored classes (foreground alone when binary).

    micro pools pixels of all classes, macro is the mean over classes of the split's scores,
    imagewise the mean over images of each image's mean over classes.
    """
    scored = slice(1, 2) if counts.num_classes == 2 else slice(None)
    total = counts.total()
    found: dict[str, Scores] = {"micro": {}, "macro": {}, "imagewise": {}}
    for name, metric in METRICS.items():
        found["micro"][name] = _micro(name, total, scored)
        found["macro"][name] = nanmean(metric(total)[scored])
        found["imagewise"][name] = nanmean(_means(metric(counts.matrix)[:, scored]))
    return found


def _micro(name: str, total: np.ndarray, scored: slice) -> float:
    hits, truth, predicted = (part[scored].sum() for part in _parts(total))
    pairs = {
        "precision": (hits, predicted), "recall": (hits, truth), "iou": (hits, truth + predicted - hits),
        "f1": (2 * hits, truth + predicted), "dice": (2 * hits, truth + predicted),
    }  # fmt: skip
    if name == "accuracy":
        return float(accuracy(total))
    above, below = pairs[name]
    return float(above / below) if below else float("nan")


def headline(matrix: np.ndarray, boundary_overlap: np.ndarray, boundary_union: np.ndarray) -> dict[str, np.ndarray]:
    """The headline scores: of the foreground when binary, else the mean over classes; accuracy is over all pixels.

    matrix … K K, boundaries … K → each score …, so that a thousand resamples are scored at once.
    """
    columns = {name: metric(matrix) for name, metric in METRICS.items()}
    columns["boundary_iou"] = _ratio(np.asarray(boundary_overlap, float), np.asarray(boundary_union, float))
    binary = matrix.shape[-1] == 2
    found = {name: column[..., 1] if binary else _means(column) for name, column in columns.items()}
    found["accuracy"] = accuracy(matrix)
    return found


def summary(counts: Counts, names: tuple[str, ...]) -> Summary:
    """Headline scores, those of each class, and the ways of averaging."""
    scores = headline(counts.total(), counts.boundary_overlap.sum(0), counts.boundary_union.sum(0))
    return Summary({name: float(score) for name, score in scores.items()}, per_class(counts, names), averages(counts))


def headline_iou(matrix: np.ndarray) -> float:
    """The IoU a run is monitored by: foreground when binary, else the mean over classes. matrix K K."""
    scores = iou(matrix)
    return float(scores[1]) if len(scores) == 2 else nanmean(scores)


def nanmean(values: np.ndarray) -> float:
    """Mean without NaN; NaN when nothing is left."""
    kept = values[~np.isnan(values)]
    return float(kept.mean()) if kept.size else float("nan")


def _means(rows: np.ndarray) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # where no class has a score there is no mean
        return np.nanmean(rows, axis=-1)
