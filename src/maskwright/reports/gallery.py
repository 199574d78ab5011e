"""Which images to look at, and their pictures: image, truth, prediction, error."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from PIL import Image

from maskwright.data.dataset import IGNORE
from maskwright.data.pictures import IGNORED_COLOUR, colourise, error_picture, palette, shown
from maskwright.data.record import read_split, split_entries
from maskwright.errors import DataError, MaskwrightError, listed
from maskwright.metrics.counts import Counts, confusion
from maskwright.reports.facts import Facts, ImageScore
from maskwright.reports.tables import css_colour
from maskwright.reports.wording import share
from maskwright.runs import Run

SHOW_ALL = 6
EACH = 3
LONGEST = 480  # pixels of a picture's longer side
BUDGET = 3_200_000  # bytes of all pictures as text, so that the page stays under 5 MB
_QUALITIES = (86, 72, 55, 35, 20)


@dataclass(frozen=True)
class Pick:
    """An image worth looking at, and why."""

    role: str
    name: str
    iou: float


@dataclass(frozen=True)
class Panel:
    """One picture of a row, in words and in pixels (H W 3 uint8)."""

    title: str
    alt: str
    pixels: np.ndarray = field(repr=False)


class HasPanels(Protocol):
    """Whatever is shown as pictures side by side."""

    @property
    def panels(self) -> tuple[Panel, ...]: ...


@dataclass(frozen=True)
class Row:
    """One image's four panels; `mistakes` tells the error panel in words."""

    pick: Pick
    mistakes: str
    panels: tuple[Panel, ...]
    classes: frozenset[int]
    has_ignored: bool


@dataclass(frozen=True)
class Gallery:
    """The rows that could be made, and a sentence for each that couldn't."""

    rows: tuple[Row, ...]
    problems: tuple[str, ...]


def choose(images: Sequence[ImageScore]) -> list[Pick]:
    """All of few images, worst first; of many the three worst, the three around the median, the three best."""
    if len(images) <= SHOW_ALL:
        scored = sum(math.isfinite(row.iou) for row in images)
        roles = {0: "Worst", scored - 1: "Best"} if scored > 1 else {}
        return [Pick(roles.get(index, ""), row.name, row.iou) for index, row in enumerate(images)]
    scores = [row for row in images if math.isfinite(row.iou)]
    middle = max(0, len(scores) // 2 - EACH // 2)
    wanted = {"Worst": range(EACH), "Median": range(middle, middle + EACH), "Best": range(len(scores) - EACH, len(scores))}
    picks: dict[int, Pick] = {}
    for role in ("Worst", "Best", "Median"):  # with few scores the middle yields
        for index in wanted[role]:
            if 0 <= index < len(scores):
                picks.setdefault(index, Pick(role, scores[index].name, scores[index].iou))
    return [picks[index] for index in sorted(picks)]


def make_gallery(run: Run, facts: Facts, picks: Sequence[Pick], data: Path | None = None) -> Gallery:
    """Read the picked images, verified, and make their panels; what can't be shown is told."""
    root = data or Path(facts.document["root"])
    if not root.is_dir():
        return Gallery((), (f"The data folder {root} is not there any more, so there are no pictures.",))
    rows: list[Row] = []
    problems: list[str] = []
    for pick in picks:
        try:
            rows.append(make_row(run, facts, pick, root))
        except MaskwrightError as error:
            problems.append(f"{pick.name} is not shown. {error}")
    return Gallery(tuple(rows), tuple(problems))


def mistakes(matrix: np.ndarray) -> dict[str, float]:
    """Shares of an image's counted pixels by the kind of mistake, as the error picture colours them. matrix K K

    >>> mistakes(np.array([[6, 1], [2, 1]]))
    {'missed': 0.2, 'added': 0.1, 'confused': 0.0}
    """
    wrong = matrix - np.diag(np.diag(matrix))
    missed, added = wrong[:, 0].sum(), wrong[0].sum()
    kinds = {"missed": missed, "added": added, "confused": wrong.sum() - missed - added}
    return {kind: float(pixels / max(1, matrix.sum())) for kind, pixels in kinds.items()}


def legend(facts: Facts, rows: Sequence[Row]) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Colours and names: of the classes in these pictures, and of the kinds of error."""
    present = sorted(frozenset().union(*(row.classes for row in rows)))
    classes = [(css_colour(index, len(facts.classes)), facts.classes[index]) for index in present]
    background = facts.classes[0]
    errors = [("#0072b2", f"missed (predicted as {background})"), ("#d55e00", f"added ({background} in truth)")]
    if not facts.is_binary:
        errors.append(("#9450aa", "taken for another class"))
    if any(row.has_ignored for row in rows):
        errors.append(("#" + "".join(f"{part:02x}" for part in IGNORED_COLOUR), "ignored, not scored"))
    return classes, errors


def encode(rows: Sequence[HasPanels], budget: int = BUDGET) -> list[list[str]]:
    """Every panel as a JPEG data URI, at the best quality that keeps all of them within the budget."""
    found: list[list[str]] = []
    for quality in _QUALITIES:
        found = [[data_uri(panel.pixels, quality) for panel in row.panels] for row in rows]
        if sum(len(uri) for uris in found for uri in uris) <= budget:
            break
    return found


def shrink(pixels: np.ndarray, longest: int = LONGEST) -> np.ndarray:
    """At most `longest` pixels on the longer side; never enlarged. H W 3 → h w 3"""
    height, width = pixels.shape[:2]
    factor = longest / max(height, width)
    if factor >= 1:
        return pixels
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)


def make_row(run: Run, facts: Facts, pick: Pick, root: Path) -> Row:
    """Read one image, verified, with the labels that were scored, and make its panels."""
    entry = next(entry for entry in split_entries(dict(facts.document), facts.split) if entry["id"] == pick.name)
    only = {**facts.document, "splits": {facts.split: [entry]}}  # the rest of the split needn't be read
    _, pixels, truth = next(read_split(only, facts.split, root))
    image = shown(pixels)
    num_classes = len(facts.classes)
    labels = scored_labels(run, facts.counts, facts.split, pick.name, truth)
    counts = confusion(truth, labels, num_classes)
    kinds = mistakes(counts)
    told = ", ".join(f"{share(part)} {kind}" for kind, part in kinds.items() if kind != "confused" or not facts.is_binary)
    colours = palette(num_classes)
    panels = (
        Panel("Image", f"Image {pick.name}", shrink(image)),
        Panel("Truth", f"Truth of {pick.name}: {_areas(facts, counts.sum(1))}", shrink(colourise(truth, colours))),
        Panel("Prediction", f"Prediction for {pick.name}: {_areas(facts, counts.sum(0))}", shrink(colourise(labels, colours))),
        Panel("Error", f"Errors in {pick.name}: {told}", shrink(error_picture(image, truth, labels))),
    )
    present = frozenset(int(index) for index in np.flatnonzero(counts.sum(1) + counts.sum(0)))
    return Row(pick, told, panels, present, bool((truth == IGNORE).any()))


def scored_labels(run: Run, counts: Counts, split: str, name: str, truth: np.ndarray) -> np.ndarray:
    """The labels that were scored: the file must still give the counts of the evaluation. → H W uint8"""
    path = run.root / "evaluation" / "predictions" / split / f"{name}.png"
    fix = f"Score it again: maskwright evaluate {run.root} --split {split}"
    try:
        with Image.open(path) as picture:
            labels = np.asarray(picture)
    except OSError as error:
        reason = "it is not there" if isinstance(error, FileNotFoundError) else "it can't be read"
        raise DataError(f"`{path}` must be a label picture; {reason}. {fix}") from None
    expected = counts.matrix[counts.images.index(name)]
    same = labels.shape == truth.shape and labels.dtype == np.uint8
    if not same or not np.array_equal(confusion(truth, labels, counts.num_classes), expected):
        raise DataError(f"`{path}` must be the prediction that was scored; it gives other counts. {fix}")
    return labels


def _areas(facts: Facts, pixels: np.ndarray) -> str:
    """The largest classes and their shares, in words."""
    order = [int(index) for index in np.argsort(-pixels, kind="stable") if pixels[index]]
    parts = [f"{facts.classes[index]} {share(pixels[index] / pixels.sum())}" for index in order]
    return listed(parts) if parts else "nothing scored"


def data_uri(pixels: np.ndarray, quality: int) -> str:
    """A picture as a JPEG inside the page's own text."""
    # full colour resolution: masks are all edges between strong colours. Not by Pillow, whose optimised
    # JPEG fails on noise: https://github.com/python-pillow/Pillow/issues/148
    options = (cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_OPTIMIZE, 1,
               cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444)  # fmt: skip
    written, data = cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), options)
    assert written, "an 8-bit picture always fits a JPEG"
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode()
