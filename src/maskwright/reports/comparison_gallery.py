"""The same images under every model, those they disagree about first: image, truth, and where each is wrong."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from maskwright.comparison.disagreement import disputed_share, least_disputed
from maskwright.data.dataset import IGNORE
from maskwright.data.pictures import colourise, error_picture, palette
from maskwright.errors import MaskwrightError, counted
from maskwright.metrics.counts import confusion
from maskwright.metrics.scores import headline_iou
from maskwright.reports.comparison_facts import ComparisonFacts, Contender
from maskwright.reports.gallery import (
    Gallery,
    Pick,
    Picture,
    Row,
    choose,
    mistakes,
    read_verified,
    scored_labels,
    shrink,
)
from maskwright.reports.pages import share
from maskwright.terminal import score

ROWS = 6
LEADING = 4  # pictures of a leading image: itself, truth, and the errors of two models (of one, and how many are wrong)
LOOKED_AT = 24  # of many images, those whose counts differ most are looked at pixel by pixel
_PALE = (244, 240, 236)
_DEEP = (123, 20, 60)


def compared_gallery(facts: ComparisonFacts, data: Path | None = None) -> Gallery:
    """Leading images, then those the models disagree about most, each file verified; why one can't be shown is said."""
    if not facts.contenders:
        return Gallery()
    document = facts.contenders[0].entry.runs[0].data
    root = data or Path(document["root"])
    if not root.is_dir():
        return Gallery(problems=(f"The data folder {root} is not there any more, so there are no pictures.",))
    problems: list[str] = []
    lacking: dict[str, str] = {}  # a sentence a model, not one an image
    names = candidates(facts)
    found: list[tuple[float, str]] = []
    for name in names:
        try:
            _, truth = read_verified(document, facts.comparison.split, name, root)
        except MaskwrightError as error:
            problems.append(f"{name} is not shown. {error}")
            continue
        labels = []
        for one in facts.contenders:
            try:
                labels.append(_labels(facts, one, name, truth))
            except MaskwrightError as error:
                lacking.setdefault(one.name, f"{one.name} is missing in some pictures. {error}")
        found.append((disputed_share(truth, labels) if len(labels) > 1 else 0.0, name))
    found.sort(key=lambda pair: -pair[0])  # stable: names come with the worst first
    if len(problems) > ROWS:  # a folder of changed files has as many sentences; some say it
        problems[ROWS:] = [f"The same is so of {counted(len(problems) - ROWS, 'more image')}."]
    rows = [_row(facts, Pick("", name), disputed, document, root) for disputed, name in found[:ROWS]]
    return Gallery((*leading_images(facts, data), *rows), (*problems, *lacking.values()), num_looked_at=len(names))


def leading_images(facts: ComparisonFacts, data: Path | None = None) -> list[Row]:
    """The best, a typical and the worst image by mean score; those that can't be read are left out."""
    document = facts.contenders[0].entry.runs[0].data
    leads: list[Row] = []
    for pick in choose(facts.image_scores()):
        with contextlib.suppress(MaskwrightError):
            if pick.leads:
                row = _row(facts, pick, 0.0, document, data or Path(document["root"]))
                leads.append(replace(row, pictures=row.pictures[:LEADING]))
    return leads


def candidates(facts: ComparisonFacts) -> list[str]:
    """The images to look at, worst mean score first: all of few, of many those whose counts differ most."""
    order = [image.name for image in facts.image_scores()]
    if len(order) > LOOKED_AT:
        least = dict(zip(facts.comparison.images, least_disputed([one.entry for one in facts.contenders]), strict=True))
        kept = set(sorted(order, key=lambda name: -least[name])[:LOOKED_AT])
        order = [name for name in order if name in kept]
    return order


def columns(num_pictures: int) -> int:
    """How many pictures stand side by side on a wide page, so that the last line is nearly full.

    >>> [columns(num) for num in (4, 5, 6, 7, 9, 15)]
    [4, 5, 3, 4, 5, 5]
    """
    return 3 if num_pictures in (3, 6) else min((4, 5), key=lambda num: (-num_pictures % num, num))


def _labels(facts: ComparisonFacts, one: Contender, name: str, truth: np.ndarray) -> np.ndarray:
    run, counts = one.entry.runs[one.shown_run], one.entry.counts[one.shown_run]
    return scored_labels(run, counts, facts.comparison.split, name, truth)


def _row(facts: ComparisonFacts, pick: Pick, disputed: float, document: Mapping[str, Any], root: Path) -> Row:
    name, num_classes = pick.name, len(facts.comparison.classes)
    image, truth = read_verified(document, facts.comparison.split, name, root)
    scored = truth != IGNORE
    pictures, wrong, present = [], [], set(np.unique(truth[scored]).tolist())
    for one in facts.contenders:
        title = f"{one.number} {one.shown}" if facts.is_numbered else one.shown
        try:
            labels = _labels(facts, one, name, truth)
        except MaskwrightError:
            pictures.append(Picture(title, "", note="no prediction to show"))
            continue
        wrong.append(scored & (labels != truth))
        counts = confusion(truth, labels, num_classes)
        present |= set(np.unique(labels).tolist()) if num_classes > 2 else set()
        alt = f"Errors of {one.name} in {name}: {mistakes(counts, facts.comparison.classes)}"
        drawn = shrink(error_picture(image, truth, labels, num_classes))
        pictures.append(Picture(title, alt, drawn, f"IoU {score(headline_iou(counts))}"))
    first = [Picture("Image", f"Image {name}", shrink(image)),
             Picture("Truth", f"Truth of {name}", shrink(colourise(truth, palette(num_classes))))]  # fmt: skip
    if len(wrong) > 2:
        alt = f"How many of {len(wrong)} models are wrong at each pixel of {name}"
        first.append(Picture("Models wrong", alt, shrink(how_many(image, wrong)), f"pale none, dark all {len(wrong)}"))
    text = f"The models disagree on {share(disputed)} of it" if len(first + pictures) > 3 else ""
    return Row(pick, text, (*first, *pictures), frozenset(present), bool((~scored).any()))


def how_many(image: np.ndarray, wrong: Sequence[np.ndarray]) -> np.ndarray:
    """How many models are wrong at each pixel, pale to dark, over a faint image. H W 3, H W each → H W 3"""
    part = np.mean(wrong, axis=0)[..., None]
    faint = cv2.addWeighted(image, 0.25, np.full_like(image, _PALE), 0.75, 0).astype(float)
    strength = np.where(part > 0, 0.25 + 0.75 * part, 0)
    return (faint * (1 - strength) + np.array(_DEEP) * strength).round().astype(np.uint8)
