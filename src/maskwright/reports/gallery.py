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

from maskwright.data.dataset import IGNORE
from maskwright.data.decoding import open_picture
from maskwright.data.pictures import (
    ADDED_COLOUR,
    IGNORED_COLOUR,
    MISSED_COLOUR,
    colourise,
    css,
    error_picture,
    palette,
    shown,
)
from maskwright.data.record import read_split, split_entries
from maskwright.errors import DataError, MaskwrightError, as_typed, listed
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
    """An image worth looking at, and why; `leads` are the three that stand for all."""

    role: str
    name: str
    iou: float
    leads: bool = False


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


class HasClasses(Protocol):
    """Whatever shows classes in their colours."""

    @property
    def classes(self) -> frozenset[int]: ...

    @property
    def has_ignored(self) -> bool: ...


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
    """The best, a typical and the worst image; then the others of few, or of many some more of each kind, worst first.

    `images` come worst first, those without a score last.
    """
    num = sum(math.isfinite(row.iou) for row in images)
    middle = num // 2
    leads = {middle: "Typical", num - 1: "Best", 0: "Worst"} if num > 1 else {0: ""} if num else {}
    if len(images) <= SHOW_ALL:
        more = dict.fromkeys(range(len(images)), "")
    else:  # with few scores the middle yields
        around = {"Typical": range(middle - EACH // 2, middle + 2), "Best": range(num - EACH, num), "Worst": range(EACH)}
        more = {index: role for role, places in around.items() for index in places if 0 <= index < num}

    def pick(index: int, role: str) -> Pick:
        return Pick(role, images[index].name, images[index].iou, index in leads)

    return [*(pick(index, leads[index]) for index in sorted(leads, reverse=True)),
            *(pick(index, more[index]) for index in sorted(more.keys() - leads.keys()))]  # fmt: skip


def leading(leads: Sequence[Pick], split: str) -> str:
    """The heading over the images that stand for all.

    >>> leading([Pick("Best", "a", 0.9, True), Pick("Worst", "b", 0.1, True)], "test")
    'Best and worst test image'
    """
    roles = [pick.role for pick in leads if pick.role]
    return f"{listed(roles).capitalize()} {split} image" if roles else f"A {split} image"


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


def mistakes(matrix: np.ndarray, classes: Sequence[str]) -> str:
    """How much of an image is wrong, and the kind of mistake: of two classes by kind, of more the commonest. matrix K K

    >>> mistakes(np.array([[6, 1], [2, 1]]), ("background", "cat"))
    '20.0\xa0% missed, 10.0\xa0% added'
    """
    total = max(1, matrix.sum())
    wrong = matrix - np.diag(np.diag(matrix))
    if len(classes) == 2:
        return f"{share(wrong[1, 0] / total)} missed, {share(wrong[0, 1] / total)} added"
    if not wrong.any():
        return "no pixel wrong"
    truth, predicted = divmod(int(wrong.argmax()), len(classes))
    most = f"{classes[truth]} predicted as {classes[predicted]}"
    return f"{share(wrong.sum() / total)} wrong, most of all {most} ({share(wrong.max() / total)})"


def class_legend(classes: Sequence[str], rows: Sequence[HasClasses]) -> list[tuple[str, str]]:
    """Colours and names of the classes in these pictures."""
    present = sorted(frozenset[int]().union(*(row.classes for row in rows)))
    return [(css_colour(index, len(classes)), classes[index]) for index in present]


def error_legend(classes: Sequence[str], rows: Sequence[HasClasses]) -> list[tuple[str, str]]:
    """Colours of the error pictures and what they mean; what has no colour of its own is told without one."""
    if len(classes) == 2:
        kinds = (f"missed (predicted as {classes[0]})", f"added ({classes[0]} in truth)")
        errors = list(zip(map(css, (MISSED_COLOUR, ADDED_COLOUR)), kinds, strict=True))
    else:
        errors = [("", "a wrong pixel has the colour of the class predicted there")]
    return [*errors, (css(IGNORED_COLOUR), "ignored, not scored")] if any(row.has_ignored for row in rows) else errors


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
    told = mistakes(counts, facts.classes)
    colours = palette(num_classes)
    panels = (
        Panel("Image", f"Image {pick.name}", shrink(image)),
        Panel("Truth", f"Truth of {pick.name}: {_areas(facts, counts.sum(1))}", shrink(colourise(truth, colours))),
        Panel("Prediction", f"Prediction for {pick.name}: {_areas(facts, counts.sum(0))}", shrink(colourise(labels, colours))),
        Panel("Error", f"Errors in {pick.name}: {told}", shrink(error_picture(image, truth, labels, num_classes))),
    )
    present = frozenset(int(index) for index in np.flatnonzero(counts.sum(1) + counts.sum(0)))
    return Row(pick, told, panels, present, bool((truth == IGNORE).any()))


def scored_labels(run: Run, counts: Counts, split: str, name: str, truth: np.ndarray) -> np.ndarray:
    """The labels that were scored: the file must still give the counts of the evaluation. → H W uint8"""
    path = run.root / "evaluation" / "predictions" / split / f"{name}.png"
    fix = f"Score it again: maskwright evaluate {as_typed(run.root, '--split', split)}"
    try:
        with open_picture(path, path) as picture:
            labels = np.asarray(picture)
    except DataError:
        reason = "it can't be read" if path.exists() else "it is not there"
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
