"""Pictures of pages: which images to look at, what is shown of each, and how all become text within a budget."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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
from maskwright.reports.pages import css_colour, share
from maskwright.runs import Run

SHOW_ALL = 6
EACH = 3
LONGEST = 480  # pixels of a picture's longer side
BUDGET = 4_000_000  # bytes of all pictures as text, so that a page stays under 5 MB
# longest side and quality, the best first
STEPS = (
    (480, 86), (480, 72), (480, 55), (400, 60), (400, 45), (360, 45), (320, 45), (280, 45), (240, 45), (200, 45),
    (160, 35), (96, 20),
)  # fmt: skip


@dataclass
class Picture:
    """A picture in words and in pixels (H W 3 uint8; None for a gap); `legend`: colours (CSS) and their meaning.

    `encode` fills in the rest: the picture as a JPEG for a page, and its size there.
    """

    title: str
    alt: str
    pixels: np.ndarray | None = field(default=None, repr=False)
    note: str = ""
    legend: tuple[tuple[str, str], ...] = ()
    uri: str = field(default="", repr=False)
    width: int = 0
    height: int = 0


@dataclass(frozen=True)
class Pick:
    """An image worth looking at, and why; `leads` are the three that stand for all."""

    role: str
    name: str
    iou: float = math.nan
    leads: bool = False


@dataclass(frozen=True)
class Row:
    """Pictures of one image side by side, and what is to be said of them."""

    pick: Pick
    text: str
    pictures: tuple[Picture, ...]
    classes: frozenset[int] = frozenset()
    has_ignored: bool = False


@dataclass(frozen=True)
class Gallery:
    """The rows that could be made, a sentence for each that couldn't; `lead` is what to know before looking."""

    rows: tuple[Row, ...] = ()
    problems: tuple[str, ...] = ()
    lead: str = ""
    num_looked_at: int = 0

    @property
    def leads(self) -> list[Row]:
        return [row for row in self.rows if row.pick.leads]

    @property
    def others(self) -> list[Row]:
        return [row for row in self.rows if not row.pick.leads]

    def leading(self, split: str) -> str:
        """The heading over the images that stand for all.

        >>> picks = Pick("Best", "a", 0.9, True), Pick("Worst", "b", 0.1, True)
        >>> Gallery(tuple(Row(pick, "", ()) for pick in picks)).leading("test")
        'Best and worst test image'
        """
        roles = [row.pick.role for row in self.leads if row.pick.role]
        return f"{listed(roles).capitalize()} {split} image" if roles else f"A {split} image"

    def class_legend(self, classes: Sequence[str]) -> list[tuple[str, str]]:
        """Colours and names of the classes in these pictures."""
        present = sorted(frozenset[int]().union(*(row.classes for row in self.rows)))
        return [(css_colour(index, len(classes)), classes[index]) for index in present]

    def error_legend(self, classes: Sequence[str]) -> list[tuple[str, str]]:
        """Colours of the error pictures and what they mean; what has no colour of its own is named without one."""
        errors = [("", "a wrong pixel has the colour of the class predicted there")]
        if len(classes) == 2:
            errors = [(css(MISSED_COLOUR), f"missed (predicted as {classes[0]})"),
                      (css(ADDED_COLOUR), f"added ({classes[0]} in truth)")]  # fmt: skip
        has_ignored = any(row.has_ignored for row in self.rows)
        return [*errors, (css(IGNORED_COLOUR), "ignored, not scored")] if has_ignored else errors


def choose(images: Sequence[ImageScore]) -> list[Pick]:
    """The best, a typical and the worst image; then the others of few, or of many some more of each kind, worst first.

    `images` come worst first, those without a score last.
    """
    num = sum(math.isfinite(row.iou) for row in images)
    middle = num // 2
    leads = {middle: "Typical", num - 1: "Best", 0: "Worst"} if num > 1 else {0: ""} if num else {}
    more = dict.fromkeys(range(len(images)), "")
    if len(images) > SHOW_ALL:  # with few scores the middle yields
        around = {
            "Typical": range(middle - EACH // 2, middle + 2),
            "Best": range(num - EACH, num),
            "Worst": range(EACH),
        }
        more = {index: role for role, places in around.items() for index in places if 0 <= index < num}

    def pick(index: int, role: str) -> Pick:
        return Pick(role, images[index].name, images[index].iou, index in leads)

    first = [pick(index, leads[index]) for index in sorted(leads, reverse=True)]
    return [*first, *(pick(index, more[index]) for index in sorted(more.keys() - leads.keys()))]


def make_gallery(run: Run, facts: Facts, picks: Sequence[Pick], data: Path | None = None) -> Gallery:
    """Read the picked images, verified, and make their pictures; why one can't be shown is said."""
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


def make_row(run: Run, facts: Facts, pick: Pick, root: Path) -> Row:
    """One image: itself, its truth, the labels that were scored and where they are wrong."""
    image, truth = read_verified(facts.document, facts.split, pick.name, root)
    num_classes = len(facts.classes)
    labels = scored_labels(run, facts.counts, facts.split, pick.name, truth)
    counts = confusion(truth, labels, num_classes)
    text = mistakes(counts, facts.classes)
    colours = palette(num_classes)
    pictures = (
        Picture("Image", f"Image {pick.name}", image),
        Picture("Truth", f"Truth of {pick.name}: {_areas(facts, counts.sum(1))}", colourise(truth, colours)),
        Picture(
            "Prediction", f"Prediction for {pick.name}: {_areas(facts, counts.sum(0))}", colourise(labels, colours)
        ),
        Picture("Error", f"Errors in {pick.name}: {text}", error_picture(image, truth, labels, num_classes)),
    )
    for picture in pictures:  # whole scenes are not kept
        assert picture.pixels is not None
        picture.pixels = shrink(picture.pixels)
    present = frozenset(np.flatnonzero(counts.sum(1) + counts.sum(0)).tolist())
    return Row(pick, text, pictures, present, bool((truth == IGNORE).any()))


def read_verified(document: Mapping[str, Any], split: str, name: str, root: Path) -> tuple[np.ndarray, np.ndarray]:
    """One image for people to look at, and its truth; the rest of the split needn't be read. → H W 3, H W"""
    entry = next(entry for entry in split_entries(dict(document), split) if entry["id"] == name)
    _, image, truth = next(read_split({**document, "splits": {split: [entry]}}, split, root))
    return shown(image), truth


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


def _areas(facts: Facts, pixels: np.ndarray) -> str:
    """The largest classes and their shares, in words."""
    order = [index for index in np.argsort(-pixels, kind="stable").tolist() if pixels[index]]
    parts = [f"{facts.classes[index]} {share(pixels[index] / pixels.sum())}" for index in order]
    return listed(parts) if parts else "nothing scored"


def encode(pictures: Iterable[Picture], budget: int = BUDGET) -> None:
    """Give every picture its JPEG text, as large and as good as keeps all of them within the budget."""
    drawn = [picture for picture in pictures if picture.pixels is not None]
    for longest, quality in STEPS:
        room = budget
        for picture in drawn:
            assert picture.pixels is not None
            small = shrink(picture.pixels, longest)
            picture.height, picture.width = small.shape[:2]
            picture.uri = data_uri(small, quality)
            room -= len(picture.uri)
            if room < 0 and (longest, quality) != STEPS[-1]:
                break
        else:
            return


def shrink(pixels: np.ndarray, longest: int = LONGEST) -> np.ndarray:
    """At most `longest` pixels on the longer side; never enlarged. H W 3 → h w 3"""
    factor = longest / max(pixels.shape[:2])
    if factor >= 1:
        return pixels
    height, width = (max(1, round(side * factor)) for side in pixels.shape[:2])
    return cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)


def data_uri(pixels: np.ndarray, quality: int) -> str:
    """A picture as a JPEG inside the page's own text."""
    # full colour resolution: masks are all edges between strong colours. Not by Pillow, whose optimised
    # JPEG fails on noise: https://github.com/python-pillow/Pillow/issues/148
    options = (cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_OPTIMIZE, 1,
               cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444)  # fmt: skip
    written, data = cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), options)
    assert written, "an 8-bit picture always fits a JPEG"
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode()
