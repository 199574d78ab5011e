"""The rows of a report's tables, as data; the template only lays them out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from maskwright.data.pictures import css, palette
from maskwright.errors import listed
from maskwright.metrics.scores import commonest_class
from maskwright.reports.facts import Facts, ImageScore, number
from maskwright.reports.wording import DASH, counted, score, share

METRICS = {
    "iou": ("IoU", "overlap of truth and prediction, divided by their union"),
    "f1": ("F1 (Dice)", "twice the overlap, divided by the sum of the two areas"),
    "precision": ("Precision", "of what was predicted, the share that is right"),
    "recall": ("Recall", "of what is there, the share that was found"),
    "boundary_iou": ("Boundary IoU", "IoU of narrow bands along the outlines"),
    "boundary_f": ("Boundary F", "of both outlines, the share that lies {width} the other"),
    "hd95": ("HD95", "95th percentile of the distance between outlines; mean over images, lower is better"),
    "accuracy": ("Accuracy", "share of all pixels that are right"),
}
AVERAGES = {
    "micro": "pixels of all scored classes pooled",
    "macro": "mean over the classes",
    "imagewise": "mean over the images of each one’s mean over classes",
    "imagewise_micro": "mean over the images of each one’s pooled pixels",
}
IN_PIXELS = frozenset({"hd95"})
OF_BOUNDARIES = frozenset({"boundary_iou", "boundary_f", "hd95"})  # counted by class alone, so they have one average
MANY_CLASSES = 16  # of more, the weakest are shown and the rest folded away
WEAKEST = 8
MATRIX_CLASSES = 12  # a larger confusion matrix is a wallpaper; the largest confusions are listed instead
BAR_IMAGES = 24  # more images are told as a histogram
BINS = 10


@dataclass(frozen=True)
class ScoreRow:
    """One headline score with its interval; `drawn` is whether it can be placed between 0 and 1, `told` the value in words."""

    label: str
    hint: str
    value: float
    low: float
    high: float
    drawn: bool
    told: str
    interval: str


@dataclass(frozen=True)
class ClassRow:
    """One class: its colour, its share of the split's labelled pixels, its IoU, its scores in the order of `class_metrics`."""

    name: str
    colour: str
    share: float
    iou: float
    scores: tuple[str, ...]


@dataclass(frozen=True)
class SizeRow:
    """One class: of its objects of each size, the share of pixels found and how many objects were found, in words."""

    name: str
    colour: str
    cells: tuple[tuple[str, str], ...]


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
    """The headline scores the evaluation holds, then the loss, which has no interval."""
    rows = []
    for name, (label, hint) in METRICS.items():
        if not facts.holds(name):
            continue
        value, (low, high) = facts.metric(name), facts.interval(name)
        if name == "accuracy":
            hint = f"{hint}; {_guess(facts)}"
        interval = f"{told(name, low, unit=False)} to {told(name, high)}" if math.isfinite(low + high) else DASH
        drawn = name not in IN_PIXELS and math.isfinite(value + low + high)
        rows.append(ScoreRow(label, hint.format(width=_width(facts)), value, low, high, drawn, told(name, value), interval))
    loss, nan = number(facts.evaluation["loss"]), float("nan")
    return [*rows, ScoreRow("Loss", "what training made small; lower is better", loss, nan, nan, False, score(loss), DASH)]


def told(name: str, value: float, unit: bool = True) -> str:
    """A score as it is read: between 0 and 1, or in pixels.

    >>> told("iou", 0.5), told("hd95", 12.345)
    ('0.500', '12.3\xa0px')
    """
    if name not in IN_PIXELS:
        return score(value)
    return score(value, 1) + ("\u00a0px" if unit and math.isfinite(value) else "")


def class_rows(facts: Facts) -> list[ClassRow]:
    """Every class, in the order of the class map."""
    pixels = facts.counts.total().sum(1)
    shares = pixels / max(1, pixels.sum())
    names = class_metrics(facts)
    rows = []
    for index, cls in enumerate(facts.classes):
        found = facts.evaluation["per_class"][cls]
        scores = tuple(told(name, number(found.get(name)), unit=False) for name in names)
        colour = css_colour(index, len(facts.classes))
        rows.append(ClassRow(cls, colour, float(shares[index]), number(found["iou"]), scores))
    return rows


def weakest_classes(rows: list[ClassRow]) -> list[ClassRow]:
    """Of many classes the few with the lowest IoU; of few classes none, since all are shown."""
    scored = [row for row in rows if math.isfinite(row.iou)]
    return sorted(scored, key=lambda row: row.iou)[:WEAKEST] if len(rows) > MANY_CLASSES else []


def class_metrics(facts: Facts) -> list[str]:
    """The scores every class has."""
    return [name for name in METRICS if name != "accuracy" and facts.holds(name)]


def class_columns(facts: Facts) -> list[str]:
    """The headings above a class row's scores."""
    return [METRICS[name][0] + (" (px)" if name in IN_PIXELS else "") for name in class_metrics(facts)]


def average_rows(facts: Facts) -> list[tuple[str, str, tuple[str, ...]]]:
    """Each way of averaging, what it is, and its scores; ways that come to the same, as those of two classes do, once."""
    alike: dict[tuple[str, ...], list[str]] = {}
    for way, row in facts.evaluation["averages"].items():
        alike.setdefault(tuple(score(number(row.get(name))) for name in average_metrics()), []).append(way)
    return [
        (listed(way.replace("_", " ") for way in ways), "; ".join(filter(None, map(AVERAGES.get, ways))), scores)
        for scores, ways in alike.items()
    ]


def average_metrics() -> list[str]:
    """The metrics that are averaged in several ways: a class's accuracy counts the pixels of all others, so not accuracy."""
    return [name for name in METRICS if name not in OF_BOUNDARIES and name != "accuracy"]


def size_columns(facts: Facts) -> list[tuple[str, str]]:
    """The sizes of objects and, where they are the same for all classes, from how many pixels to how many."""
    ranges: dict[str, set[str]] = {}
    for row in _sized(facts):
        for cell in row[1]:
            ranges.setdefault(cell["size"], set()).add(_range(cell))
    return [(size, next(iter(found)) if len(found) == 1 else "") for size, found in ranges.items()]


def size_rows(facts: Facts) -> list[SizeRow]:
    """Every class that has objects, in the order of the class map."""
    columns, rows = size_columns(facts), []
    for cls, cells in _sized(facts):
        by = {cell["size"]: cell for cell in cells}
        colour = css_colour(facts.classes.index(cls), len(facts.classes))
        rows.append(SizeRow(cls, colour, tuple(_size_cell(by.get(size), not where) for size, where in columns)))
    return rows


def _sized(facts: Facts) -> list[tuple[str, list[dict[str, Any]]]]:
    """Classes that have objects, and what is known of each size."""
    found = facts.evaluation.get("objects") or {}
    return [(cls, found[cls]) for cls in facts.classes if any(cell.get("objects") for cell in found.get(cls) or [])]


def _size_cell(cell: Mapping[str, Any] | None, with_range: bool) -> tuple[str, str]:
    """The share of pixels found, and of how many objects."""
    if not cell or not cell.get("objects"):
        return DASH, ""
    many = f"{cell['found']:,} of {cell['objects']:,}" if cell.get("found") is not None else counted(cell["objects"], "object")
    return score(number(cell.get("recall"))), many + (f", {_range(cell)}" if with_range else "")


def _range(cell: Mapping[str, Any]) -> str:
    """
    >>> _range({"from": 0, "to": 1024}), _range({"from": 1024, "to": 9216}), _range({"from": 9216, "to": None})
    ('under 1,024 px', '1,024 to 9,215 px', 'from 9,216 px')
    """
    first, last = cell.get("from"), cell.get("to")
    if last is None:
        return f"from {first:,.0f} px" if first else ""
    return f"{first:,.0f} to {last - 1:,.0f} px" if first else f"under {last:,.0f} px"


def _width(facts: Facts) -> str:
    """How near two outlines must lie to count as the same."""
    width = (facts.evaluation.get("boundary") or {}).get("f_width")
    return "near" if width is None else f"within {width:g} px of"


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
    return css(palette(num_classes)[index])


def _guess(facts: Facts) -> str:
    """What an answer without looking would reach: accuracy means little beside it."""
    commonest, reached = commonest_class(facts.counts.total())
    return f"always answering {facts.classes[commonest]} would reach {share(reached)}"
