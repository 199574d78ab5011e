"""Scores as pure functions of confusion counts.

One rule for the undefined: 0/0 is NaN, NaN is left out of means, and `POLICY` says so in words.
So a class absent from truth and prediction has no score; one that is only predicted has IoU 0.

Legend: C … × K × K counts, C[t, p] = pixels of truth t predicted as p.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import numpy as np

from maskwright.errors import listed
from maskwright.metrics.counts import Counts

POLICY = (
    "A class absent from truth and prediction has no score (null) and is left out of means; "
    "one that is only predicted, or only missed, has IoU, F1 and boundary scores of 0. "
    "An image where no scored class is in truth or prediction has no score of its own and is left out of means over "
    "images; one with an empty truth and something predicted, or the reverse, scores 0 there. Pooled scores count "
    "every image's pixels. HD95 is the mean over images; where a class is in only one of truth and prediction it is "
    "the image's diagonal. Accuracy is over all pixels; that of one class, and the macro and imagewise means of it, "
    "count as right whatever is rightly not given to the class. Ignored pixels are not counted, and outlines take them "
    "to be as predicted; scores are computed at each image's own size over the whole split."
)
Scores = dict[str, float]
_COLLAPSED = 0.1  # of the pixels of all other classes: no more are predicted as any of them


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(below > 0, above / below, np.nan)


def _parts(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """True positives, truth and prediction totals of each class: … K each."""
    hits = np.diagonal(matrix, axis1=-2, axis2=-1).astype(float)
    return hits, matrix.sum(-1).astype(float), matrix.sum(-2).astype(float)


def accuracy(matrix: np.ndarray) -> np.ndarray:
    """Share of pixels predicted right, over all classes."""
    hits, truth, _ = _parts(matrix)
    return _ratio(hits.sum(-1), truth.sum(-1))


def _class_accuracy(hits: np.ndarray, truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Share of pixels on which truth and prediction agree about belonging to the class."""
    total = truth.sum(-1, keepdims=True)
    return _ratio(total - truth - predicted + 2 * hits, np.broadcast_to(total, hits.shape))


def _dice(hits: np.ndarray, truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Which is F1 on pixels."""
    return _ratio(2 * hits, truth + predicted)


_Formula = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
# of hits, truth's pixels and predicted pixels: … K each → … K
_FORMULAS: dict[str, _Formula] = {
    "accuracy": _class_accuracy,
    "precision": lambda hits, _, predicted: _ratio(hits, predicted),
    "recall": lambda hits, truth, _: _ratio(hits, truth),
    "f1": _dice,
    "iou": lambda hits, truth, predicted: _ratio(hits, truth + predicted - hits),
    "dice": _dice,
}


def _of_matrix(formula: _Formula, matrix: np.ndarray) -> np.ndarray:
    return formula(*_parts(matrix))


# each metric of each class, of counts … K K → … K
METRICS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    name: functools.partial(_of_matrix, formula) for name, formula in _FORMULAS.items()
}
iou, dice = METRICS["iou"], METRICS["dice"]


@dataclass(frozen=True)
class Summary:
    """The headline scores, those of each class, and the ways of averaging."""

    metrics: Scores
    per_class: dict[str, Scores]
    averages: dict[str, Scores]


@dataclass(frozen=True)
class Sums:
    """All that the scores of a set of images follow from: sums over the images, the last axis over the classes.

    hits, truth, predicted in pixels; overlap, union of boundary bands; near and edge of the prediction, of truth;
    the sum of distances and how many there are. They take less room than the matrix, so a thousand resamples are pooled
    at once.
    """

    hits: np.ndarray
    truth: np.ndarray
    predicted: np.ndarray
    overlap: np.ndarray
    union: np.ndarray
    near_predicted: np.ndarray
    near_truth: np.ndarray
    edge_predicted: np.ndarray
    edge_truth: np.ndarray
    distance: np.ndarray
    distances: np.ndarray

    @classmethod
    def of_images(cls, counts: Counts) -> Sums:
        """Those of each image by itself: N K each."""
        known = ~np.isnan(counts.hd95)
        near, edge = counts.boundary_near.astype(float), counts.boundary_edge.astype(float)
        return cls(
            *_parts(counts.matrix),
            counts.boundary_overlap.astype(float), counts.boundary_union.astype(float),
            near[..., 0], near[..., 1], edge[..., 0], edge[..., 1],
            np.where(known, counts.hd95, 0.0), known.astype(float),
        )  # fmt: skip

    @classmethod
    def of_split(cls, counts: Counts) -> Sums:
        """Those of all images together: K each."""
        return cls(*(part.sum(0) for part in cls.of_images(counts).parts()))

    def parts(self) -> list[np.ndarray]:
        """The arrays in their order."""
        return [getattr(self, part.name) for part in fields(self)]

    def pooled(self, draws: np.ndarray) -> Sums:
        """Sums of each of R draws. self N K, draws R N → R K each"""
        parts = self.parts()
        # one product of floats, so that BLAS multiplies; exact up to 2^53
        pooled = draws @ np.concatenate(parts, axis=1)
        return Sums(*np.split(pooled, len(parts), axis=1))


def class_scores(sums: Sums) -> dict[str, np.ndarray]:
    """Every score of every class. sums … K → each score … K"""
    found = {name: formula(sums.hits, sums.truth, sums.predicted) for name, formula in _FORMULAS.items()}
    found["boundary_iou"] = _ratio(sums.overlap, sums.union)
    found["boundary_precision"] = _ratio(sums.near_predicted, sums.edge_predicted)
    found["boundary_recall"] = _ratio(sums.near_truth, sums.edge_truth)
    found["boundary_f"] = _harmonic(found["boundary_precision"], found["boundary_recall"])
    found["hd95"] = _ratio(sums.distance, sums.distances)
    return found


def headline_scores(sums: Sums, in_truth: bool = False) -> dict[str, np.ndarray]:
    """The headline scores: of the foreground when binary, else the mean over classes; accuracy is over all pixels.

    sums … K → each score …, so that a thousand resamples are scored at once. With `in_truth` the mean is over the
    classes that the truth holds, which are the same whoever predicts: what runs are compared by.
    """
    binary = sums.hits.shape[-1] == 2
    kept = sums.truth > 0 if in_truth else np.True_
    columns = {
        name: column if binary else np.where(kept, column, np.nan) for name, column in class_scores(sums).items()
    }
    found = {name: column[..., 1] if binary else nanmeans(column) for name, column in columns.items()}
    return found | {"accuracy": _ratio(sums.hits.sum(-1), sums.truth.sum(-1))}


def per_class(counts: Counts, names: tuple[str, ...]) -> dict[str, Scores]:
    """Every metric of every class over the whole split."""
    columns = class_scores(Sums.of_split(counts))
    return {cls: {name: float(column[index]) for name, column in columns.items()} for index, cls in enumerate(names)}


def averages(counts: Counts) -> dict[str, Scores]:
    """The same metric averaged four ways, over the scored classes (foreground alone when binary).

    Over the whole split: micro pools the pixels of all classes, macro is the mean over classes of the split's scores.
    Over images: imagewise is the mean over images of each image's mean over classes, imagewise_micro of each image's
    micro. A distance isn't pooled over classes.
    """
    scored = slice(1, 2) if counts.num_classes == 2 else slice(None)
    images = Sums(*(part[:, scored] for part in Sums.of_images(counts).parts()))
    split = Sums(*(part.sum(0) for part in images.parts()))
    accuracies = accuracy(counts.matrix)
    found = {
        "micro": {name: float(score[0]) for name, score in class_scores(_over_classes(split)).items()},
        "macro": {name: nanmean(score) for name, score in class_scores(split).items()},
        "imagewise": {name: nanmean(nanmeans(score)) for name, score in class_scores(images).items()},
        "imagewise_micro": {name: nanmean(score[:, 0]) for name, score in class_scores(_over_classes(images)).items()},
    }
    by_class = METRICS["accuracy"]  # which counts the pixels of other classes too, so not those scored alone
    found["macro"]["accuracy"] = nanmean(by_class(counts.total())[scored])
    found["imagewise"]["accuracy"] = nanmean(nanmeans(by_class(counts.matrix)[:, scored]))
    found["micro"]["accuracy"] = float(accuracy(counts.total()))
    found["imagewise_micro"]["accuracy"] = nanmean(np.atleast_1d(accuracies))
    for way in ("micro", "imagewise_micro"):
        found[way]["hd95"] = float("nan")
    return found


def _over_classes(sums: Sums) -> Sums:
    return Sums(*(part.sum(-1, keepdims=True) for part in sums.parts()))


def _harmonic(precisions: np.ndarray, recalls: np.ndarray) -> np.ndarray:
    """F of the two; where only one of them is undefined nothing met anything, which is 0."""
    first, second = np.nan_to_num(precisions), np.nan_to_num(recalls)
    neither = np.isnan(precisions) & np.isnan(recalls)
    both = first + second
    return np.where(neither, np.nan, np.divide(2 * first * second, both, out=np.zeros_like(both), where=both > 0))


def summary(counts: Counts, names: tuple[str, ...]) -> Summary:
    """Headline scores, those of each class, and the ways of averaging."""
    scores = headline_scores(Sums.of_split(counts))
    return Summary({name: float(score) for name, score in scores.items()}, per_class(counts, names), averages(counts))


@dataclass(frozen=True)
class Unlooked:
    """The share of pixels that is right, and the larger one that always answering the commonest class would get."""

    answer: str
    reached: float
    accuracy: float


def beaten_unlooked(matrix: np.ndarray, names: Sequence[str]) -> Unlooked | None:
    """What beats a network that gets fewer pixels right than always answering one class would; None for a better
    network.

    matrix K K. Less than a tenth of a per cent is no difference a reader would see.

    >>> beaten_unlooked(np.array([[5, 3], [1, 1]]), ("background", "cat"))
    Unlooked(answer='background', reached=0.8, accuracy=0.6)
    """
    commonest, reached = commonest_class(matrix)
    found = float(accuracy(matrix))  # NaN where there is no truth
    return Unlooked(names[commonest], reached, found) if round(reached - found, 3) > 0 else None


def collapsed_class(matrix: np.ndarray) -> int | None:
    """The class nearly all pixels are predicted as though the truth holds others, too; None where classes are told
    apart.

    >>> collapsed_class(np.array([[80, 0], [20, 0]])), collapsed_class(np.array([[80, 0], [10, 10]]))
    (0, None)
    """
    pixels = max(1, matrix.sum())
    top = int(matrix.sum(0).argmax())
    others, truth = 1 - matrix[:, top].sum() / pixels, 1 - matrix[top].sum() / pixels
    return top if others < _COLLAPSED * truth else None


def commonest_class(matrix: np.ndarray) -> tuple[int, float]:
    """The class with most pixels of the truth, and its share of them: the accuracy of always answering it. matrix K K.

    >>> commonest_class(np.array([[5, 3], [1, 1]]))
    (0, 0.8)
    """
    truth = matrix.sum(1)
    return int(truth.argmax()), float(truth.max() / max(1, truth.sum()))


def only_predicted(matrix: np.ndarray, names: Sequence[str]) -> str:
    """That classes without a pixel in the truth are averaged in as 0, since they were predicted; "" without any. matrix
    K K.

    >>> only_predicted(np.array([[5, 3, 0], [0, 0, 0], [0, 0, 0]]), ("ground", "cat", "dog"))
    'cat counts as 0: predicted where there is none'
    """
    found = [name for index, name in enumerate(names) if matrix[:, index].sum() and not matrix[index].sum()]
    return (
        f"{listed(found)} {'counts' if len(found) == 1 else 'count'} as 0: predicted where there is none"
        if found
        else ""
    )


def headline_iou(matrix: np.ndarray) -> float:
    """The IoU a run is monitored by: foreground when binary, else the mean over classes. matrix K K."""
    return _headline(iou(matrix))


def headline_dice(matrix: np.ndarray) -> float:
    """Dice in the same way. matrix K K.

    >>> headline_dice(np.array([[4, 1], [1, 2]])).__round__(3)
    0.667
    """
    return _headline(dice(matrix))


def _headline(scores: np.ndarray) -> float:
    return float(scores[1]) if len(scores) == 2 else nanmean(scores)


def nanmean(values: np.ndarray) -> float:
    """Mean without NaN; NaN when nothing is left."""
    return float(nanmeans(values))


def nanmeans(values: np.ndarray, axis: int = -1) -> np.ndarray:
    """Means along an axis without NaN; NaN where nothing is left."""
    kept = np.isfinite(values)
    total, num = np.where(kept, values, 0).sum(axis), kept.sum(axis)
    return np.divide(total, num, out=np.full(total.shape, np.nan), where=num > 0)
