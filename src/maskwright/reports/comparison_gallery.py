"""The same images under every model, those they disagree about first: image, truth, and where each is wrong."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from maskwright.comparison.disagreement import disputed_share, least_disputed
from maskwright.data.dataset import IGNORE
from maskwright.data.pictures import colourise, error_picture, palette, shown
from maskwright.data.record import read_split, split_entries
from maskwright.errors import MaskwrightError
from maskwright.metrics.counts import confusion
from maskwright.metrics.scores import headline_iou
from maskwright.reports.comparison_facts import ComparisonFacts, Contender, image_scores
from maskwright.reports.facts import ImageScore
from maskwright.reports.gallery import Panel, Pick, choose, data_uri, mistakes, scored_labels, shrink
from maskwright.reports.wording import counted, score

ROWS = 6
LEADING_SHOTS = 4  # image, truth, and the errors of two models or of the first with how many are wrong
LOOKED_AT = 24  # of many images, those whose counts differ most are looked at pixel by pixel
BUDGET = 3_300_000  # bytes of all pictures as text, so that the page stays under 5 MB
_SIZES = ((480, 86), (480, 72), (400, 72), (320, 72), (320, 55), (260, 55), (200, 50), (160, 40))
_PALE = (244, 240, 236)
_DEEP = (123, 20, 60)


@dataclass(frozen=True)
class Shot:
    """One picture of a row, named by `title`, with `told` beneath; without a picture `panel` is None."""

    title: str
    told: str
    panel: Panel | None


@dataclass(frozen=True)
class ComparedImage:
    """An image and what every model made of it; `disagreement` is the share of scored pixels they do not agree on."""

    name: str
    disagreement: float
    shots: tuple[Shot, ...] = field(repr=False)
    classes: frozenset[int] = frozenset()
    has_ignored: bool = False


@dataclass(frozen=True)
class ComparedGallery:
    """The rows that could be made, a sentence for each thing that couldn't, and how many images were looked at.

    `leads` are the images that stand for all, each with what it is.
    """

    rows: tuple[ComparedImage, ...]
    problems: tuple[str, ...]
    num_looked_at: int
    leads: tuple[tuple[Pick, ComparedImage], ...] = ()


def compared_gallery(facts: ComparisonFacts, data: Path | None = None) -> ComparedGallery:
    """The images the models disagree about most, each file verified; what can't be shown is told."""
    if not facts.contenders:
        return ComparedGallery((), (), 0)
    document = facts.contenders[0].entry.runs[0].data
    root = data or Path(document["root"])
    if not root.is_dir():
        return ComparedGallery((), (f"The data folder {root} is not there any more, so there are no pictures.",), 0)
    problems: list[str] = []
    lacking: dict[str, str] = {}  # a sentence a model, not one an image
    names = candidates(facts)
    found: list[tuple[float, str]] = []
    for name in names:
        try:
            _, truth = _pair(document, facts.comparison.split, name, root)
        except MaskwrightError as error:
            problems.append(f"{name} is not shown. {error}")
            continue
        labels = []
        for one in facts.contenders:
            found_labels, problem = _try_labels(facts, one, name, truth)
            if found_labels is None:
                lacking.setdefault(one.name, f"{one.name} is missing in some pictures. {problem}")
            else:
                labels.append(found_labels)
        found.append((disputed_share(truth, labels) if len(labels) > 1 else 0.0, name))
    found.sort(key=lambda pair: -pair[0])  # stable: names come with the worst first
    rows = [_row(facts, name, share_of, document, root) for share_of, name in found[:ROWS]]
    return ComparedGallery(tuple(rows), (*_few(problems), *lacking.values()), len(names), leading_images(facts, data))


def leading_images(facts: ComparisonFacts, data: Path | None = None) -> tuple[tuple[Pick, ComparedImage], ...]:
    """The best, a typical and the worst image by mean score, with what each is; those that can't be read are left out."""
    document = facts.contenders[0].entry.runs[0].data
    leads: list[tuple[Pick, ComparedImage]] = []
    for pick in choose(mean_scores(facts)):
        with contextlib.suppress(MaskwrightError):
            if pick.leads:
                row = _row(facts, pick.name, 0.0, document, data or Path(document["root"]))
                leads.append((pick, replace(row, shots=row.shots[:LEADING_SHOTS])))
    return tuple(leads)


def candidates(facts: ComparisonFacts) -> list[str]:
    """The images to look at, worst mean score first: all of few, of many those whose counts differ most between models."""
    order = [image.name for image in mean_scores(facts)]
    if len(order) > LOOKED_AT:
        least = dict(zip(facts.comparison.images, least_disputed([one.entry for one in facts.contenders]), strict=True))
        kept = set(sorted(order, key=lambda name: -least[name])[:LOOKED_AT])
        order = [name for name in order if name in kept]
    return order


def mean_scores(facts: ComparisonFacts) -> list[ImageScore]:
    """Every image's mean IoU over the models, worst first, those without a score last."""
    scores = np.array([image_scores(one) for one in facts.contenders])
    finite = np.isfinite(scores)
    mean = np.where(finite, scores, 0).sum(0) / np.maximum(1, finite.sum(0))
    mean[~finite.any(0)] = np.nan
    return [ImageScore(facts.comparison.images[index], float(mean[index])) for index in np.argsort(mean, kind="stable")]


def encoded(rows: Sequence[ComparedImage], budget: int = BUDGET) -> list[list[tuple[str, int, int] | None]]:
    """Every picture as a JPEG data URI with its width and height, as large and as good as keeps all within the budget."""
    found: list[list[tuple[str, int, int] | None]] = []
    for longest, quality in _SIZES:
        found, room = [], budget
        for row in rows:
            small = [shrink(shot.panel.pixels, longest) if shot.panel else None for shot in row.shots]
            found.append([(data_uri(one, quality), one.shape[1], one.shape[0]) if one is not None else None for one in small])
            room -= sum(len(one[0]) for one in found[-1] if one)
            if room < 0 and (longest, quality) != _SIZES[-1]:
                break
        else:
            break
    return found


def columns(num_shots: int) -> int:
    """How many pictures stand side by side on a wide page, so that the last line is nearly full.

    >>> [columns(num) for num in (4, 5, 6, 7, 9, 15)]
    [4, 5, 3, 4, 5, 5]
    """
    return 3 if num_shots in (3, 6) else min((4, 5), key=lambda num: (-num_shots % num, num))


def _few(problems: Sequence[str]) -> list[str]:
    """A folder of changed files has as many sentences; some say it."""
    more = len(problems) - ROWS
    return [*problems[:ROWS], f"The same is so of {counted(more, 'more image')}."] if more > 0 else list(problems)


def _pair(document: dict[str, Any], split: str, name: str, root: Path) -> tuple[np.ndarray, np.ndarray]:
    """Image and truth, read and verified: H W C, H W."""
    entry = next(entry for entry in split_entries(document, split) if entry["id"] == name)
    _, image, truth = next(read_split({**document, "splits": {split: [entry]}}, split, root))
    return image, truth


def _row(facts: ComparisonFacts, name: str, share_of: float, document: dict[str, Any], root: Path) -> ComparedImage:
    pixels, truth = _pair(document, facts.comparison.split, name, root)
    image, num_classes = shown(pixels), len(facts.comparison.classes)
    scored = truth != IGNORE
    shots, wrong, present = [], [], set(np.unique(truth[scored]).tolist())
    for one in facts.contenders:
        labels, _ = _try_labels(facts, one, name, truth)
        title = f"{one.number} {one.shown}" if facts.is_numbered else one.shown
        if labels is None:
            shots.append(Shot(title, "no prediction to show", None))
            continue
        wrong.append(scored & (labels != truth))
        counts = confusion(truth, labels, num_classes)
        present |= set(np.unique(labels).tolist()) if num_classes > 2 else set()
        told = mistakes(counts, facts.comparison.classes)
        panel = Panel(title, f"Errors of {one.name} in {name}: {told}", shrink(error_picture(image, truth, labels, num_classes)))
        shots.append(Shot(title, f"IoU {score(headline_iou(counts))}", panel))
    first = [Shot("Image", "", Panel("Image", f"Image {name}", shrink(image))),
             Shot("Truth", "", Panel("Truth", f"Truth of {name}", shrink(colourise(truth, palette(num_classes)))))]  # fmt: skip
    if len(wrong) > 2:
        alt = f"How many of {len(wrong)} models are wrong at each pixel of {name}"
        first.append(Shot("Models wrong", f"pale none, dark all {len(wrong)}", Panel("", alt, shrink(how_many(image, wrong)))))
    return ComparedImage(name, share_of, tuple(first + shots), frozenset(present), bool((~scored).any()))


def how_many(image: np.ndarray, wrong: Sequence[np.ndarray]) -> np.ndarray:
    """How many models are wrong at each pixel, pale to dark, over a faint image. H W 3, H W each → H W 3"""
    part = np.mean(wrong, axis=0)[..., None]
    faint = cv2.addWeighted(image, 0.25, np.full_like(image, _PALE), 0.75, 0).astype(float)
    strength = np.where(part > 0, 0.25 + 0.75 * part, 0)
    return (faint * (1 - strength) + np.array(_DEEP) * strength).round().astype(np.uint8)


def _try_labels(facts: ComparisonFacts, one: Contender, name: str, truth: np.ndarray) -> tuple[np.ndarray | None, str]:
    try:
        run, counts = one.entry.runs[one.shown_run], one.entry.counts[one.shown_run]
        return scored_labels(run, counts, facts.comparison.split, name, truth), ""
    except MaskwrightError as error:
        return None, str(error)
