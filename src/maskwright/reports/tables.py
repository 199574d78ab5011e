"""The rows of a report's tables, as data; the template only lays them out."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from maskwright.data.pictures import palette
from maskwright.reports.facts import Facts, ImageScore, number
from maskwright.reports.wording import score, share

METRICS = {
    "iou": ("IoU", "overlap of truth and prediction, divided by their union"),
    "f1": ("F1 (Dice)", "twice the overlap, divided by the sum of the two areas"),
    "precision": ("Precision", "of what was predicted, the share that is right"),
    "recall": ("Recall", "of what is there, the share that was found"),
    "boundary_iou": ("Boundary IoU", "IoU of narrow bands along the outlines"),
    "accuracy": ("Accuracy", "share of all pixels that are right"),
}
MATRIX_CLASSES = 12  # a larger confusion matrix is a wallpaper; the largest confusions are listed instead
BAR_IMAGES = 24  # more images are told as a histogram
BINS = 10


@dataclass(frozen=True)
class ScoreRow:
    """One headline score with its interval; `drawn` is whether it can be placed between 0 and 1."""

    label: str
    hint: str
    value: float
    low: float
    high: float
    drawn: bool


@dataclass(frozen=True)
class ClassRow:
    """One class: its colour, its share of the split's labelled pixels, its scores in the order of METRICS less accuracy."""

    name: str
    colour: str
    share: float
    scores: tuple[float, ...]


@dataclass(frozen=True)
class Confusion:
    """Share of the pixels of one class that were predicted as another."""

    truth: str
    predicted: str
    share: float
    pixels: int


@dataclass(frozen=True)
class Bar:
    """A labelled length between 0 and 1."""

    label: str
    length: float
    told: str


def score_rows(facts: Facts) -> list[ScoreRow]:
    """The headline scores, then the loss, which has no interval."""
    rows = []
    for name, (label, hint) in METRICS.items():
        value, (low, high) = facts.metric(name), facts.interval(name)
        if name == "accuracy":
            hint = f"{hint}; {_guess(facts)}"
        rows.append(ScoreRow(label, hint, value, low, high, math.isfinite(value + low + high)))
    loss, nan = number(facts.evaluation["loss"]), float("nan")
    return [*rows, ScoreRow("Loss", "what training made small; lower is better", loss, nan, nan, False)]


def class_rows(facts: Facts) -> list[ClassRow]:
    """Every class, in the order of the class map."""
    pixels = facts.counts.total().sum(1)
    shares = pixels / max(1, pixels.sum())
    names = [name for name in METRICS if name != "accuracy"]
    rows = []
    for index, cls in enumerate(facts.classes):
        scores = tuple(number(facts.evaluation["per_class"][cls][name]) for name in names)
        rows.append(ClassRow(cls, css_colour(index, len(facts.classes)), float(shares[index]), scores))
    return rows


def class_columns() -> list[str]:
    """The headings above a class row's scores."""
    return [label for name, (label, _) in METRICS.items() if name != "accuracy"]


def average_rows(facts: Facts) -> list[tuple[str, list[float]]]:
    """Each way of averaging and its scores."""
    return [(way, [number(row[name]) for name in average_metrics()]) for way, row in facts.evaluation["averages"].items()]


def average_metrics() -> list[str]:
    """The metrics that are averaged; boundaries are only counted by class."""
    return [name for name in METRICS if name != "boundary_iou"]


def confusion_shares(facts: Facts) -> np.ndarray:
    """The confusion matrix with rows that sum to 1; NaN for a class without truth. K K"""
    total = facts.counts.total().astype(float)
    truth = total.sum(1, keepdims=True)
    return np.divide(total, truth, out=np.full_like(total, np.nan), where=truth > 0)


def largest_confusions(facts: Facts, limit: int = 10) -> list[Confusion]:
    """The pairs of classes most often taken for one another, by pixels."""
    total, shares, names = facts.counts.total(), confusion_shares(facts), facts.classes
    pairs = [(int(total[t, p]), t, p) for t in range(len(names)) for p in range(len(names)) if t != p and total[t, p]]
    pairs.sort(key=lambda pair: (-pair[0], pair[1:]))
    return [Confusion(names[t], names[p], float(shares[t, p]), pixels) for pixels, t, p in pairs[:limit]]


def image_bars(images: list[ImageScore]) -> list[Bar]:
    """A bar for each image, worst first; of many images, how many lie in each tenth."""
    scored = [row for row in images if math.isfinite(row.iou)]
    if len(images) <= BAR_IMAGES:
        return [Bar(row.name, row.iou if math.isfinite(row.iou) else 0.0, score(row.iou)) for row in images]
    nums, edges = np.histogram([row.iou for row in scored], BINS, (0, 1))
    first = int(np.flatnonzero(nums)[0]) if nums.any() else BINS
    largest = max(1, int(nums.max()))
    return [
        Bar(f"{edges[index]:.1f} to {edges[index + 1]:.1f}", float(nums[index] / largest), f"{nums[index]:,}")
        for index in range(first, BINS)
    ]


def css_colour(index: int, num_classes: int) -> str:
    """The colour a class has in every picture."""
    return "#" + "".join(f"{part:02x}" for part in palette(num_classes)[index])


def _guess(facts: Facts) -> str:
    """What an answer without looking would reach: accuracy means little beside it."""
    pixels = facts.counts.total().sum(1)
    commonest = int(pixels.argmax())
    return f"always answering {facts.classes[commonest]} would reach {share(pixels[commonest] / max(1, pixels.sum()))}"
