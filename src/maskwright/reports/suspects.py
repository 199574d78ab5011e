"""Labels to look at again: the crops of regions where the network surely disagrees with the label, and their words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from maskwright.data.dataset import IGNORE
from maskwright.data.decoding import open_picture
from maskwright.data.pictures import colourise, palette, shown
from maskwright.data.record import read_split, split_entries
from maskwright.errors import MaskwrightError
from maskwright.metrics.scores import beaten_unlooked
from maskwright.reports.audit_pictures import MARK
from maskwright.reports.facts import Facts
from maskwright.reports.gallery import Panel
from maskwright.reports.wording import counted, share
from maskwright.runs import Run

SHOWN, FIRST = 6, 3  # regions on the page, and those shown without unfolding
BUDGET = 900_000  # bytes of all crops as text; with the gallery's the page stays under 5 MB
LONGEST, LEAST = 320, 200  # pixels of a crop's longer side: larger ones are shrunk, the pixels of smaller ones enlarged
AROUND = 0.6  # of a region's longer side is shown on each side of it
FLATTEST = 0.75  # a crop's shorter side to its longer, where the image has room
CONTEXT = 0.12  # of the image's longer side is shown at least, half on each side


@dataclass(frozen=True)
class Suspect:
    """One region: image and words above, and crops of image, label and prediction below."""

    image: str
    told: str
    measure: str
    panels: tuple[Panel, ...]
    classes: frozenset[int]


@dataclass(frozen=True)
class Suspicion:
    """What the page says of suspected labels: how they were looked for, the regions, and what could not be looked at."""

    lead: str
    suspects: tuple[Suspect, ...]
    problems: tuple[str, ...]


def make_suspicion(run: Run, facts: Facts, data: Path | None = None) -> Suspicion:
    """Look for the regions and cut them out; where the data or the weights are gone, or the network knows nothing, say so."""
    beaten = beaten_unlooked(facts.counts.total(), facts.classes)
    if beaten:
        why = f"it gets fewer pixels right than always answering {beaten.answer} would"
        return Suspicion(f"Not looked for: this network can’t call a label into question, as {why}.", (), ())
    root = data or Path(facts.document["root"])
    if not root.exists():
        return Suspicion("", (), (f"Not looked for: the data folder {root} is not there any more.",))
    if not run.weights.is_file():
        return Suspicion("", (), (f"Not looked for: {run.root} has no {run.weights.name}.",))
    from maskwright.evaluation.suspects import find_suspects  # brings torch, which the rest of the page doesn't need

    temperature, threshold = _temperature(facts.evaluation), _threshold(facts)
    found = find_suspects(run, facts.split, facts.counts, root, limit=SHOWN, temperature=temperature, threshold=threshold)
    problems = list(found.problems)
    suspects: list[Suspect] = []
    for region in found.regions:
        try:
            suspects.append(_suspect(run, facts, region, root))
        except MaskwrightError as error:
            problems.append(str(error))
    return Suspicion(_lead(found.num_looked_at, found.num_wrong, len(suspects)), tuple(suspects), tuple(dict.fromkeys(problems)))


def _lead(num_looked_at: int, num_wrong: int, num_found: int) -> str:
    """How it was looked for, and with what result."""
    if not num_looked_at:
        return "" if num_wrong else "No pixel differs from its label, so there is nothing to suspect."
    where = "every image with a wrong pixel" if num_looked_at == num_wrong else (
        f"the {counted(num_looked_at, 'image')} with most wrong pixels")  # fmt: skip
    how = f"Looked for in {where}; thin strips along outlines are left out."
    if not num_found:
        return f"No region was found where the network is sure (80 % and more) of another class than the label. {how}"
    return (
        "Regions where the network is sure (80 % and more) of another class than the label, largest and surest first. "
        f"They are suspects and not verdicts: the label may be wrong, or the network may be sure and mistaken. {how}"
    )


def _temperature(evaluation: Mapping[str, Any]) -> float | None:
    calibration = evaluation.get("calibration") or {}
    value = calibration.get("temperature")
    return float(value) if value else None


def _threshold(facts: Facts) -> float | None:
    """The foreground's threshold as it was scored; None where it was the run's own."""
    told = facts.evaluation.get("threshold") or {}
    value = told.get("value")
    own = facts.config.train.mask_threshold
    return float(value) if facts.is_binary and value is not None and value != own and 0 < value < 1 else None


def _suspect(run: Run, facts: Facts, region: Any, root: Path) -> Suspect:
    document = dict(facts.document)
    entry = next(entry for entry in split_entries(document, facts.split) if entry["id"] == region.image)
    _, pixels, truth = next(read_split({**document, "splits": {facts.split: [entry]}}, facts.split, root))
    path = run.root / "evaluation" / "predictions" / facts.split / f"{region.image}.png"
    with open_picture(path, path, "label picture") as picture:
        labels = np.asarray(picture)
    colours, window = palette(len(facts.classes)), crop_of(region.box, truth.shape)
    outlined = np.zeros(truth.shape, np.uint8)
    top, left, high, wide = region.box
    outlined[top : top + high, left : left + wide] = region.inside
    given, predicted = facts.classes[region.given], facts.classes[region.predicted]
    pictures = (
        ("Image", "the image", shown(pixels)),
        ("Label", f"labelled {given}", colourise(truth, colours)),
        ("Prediction", f"predicted {predicted}", colourise(labels, colours)),
    )
    panels = tuple(
        Panel(title, f"{region.image}, {told}, the region outlined", outlined_crop(picture, outlined, window))
        for title, told, picture in pictures
    )
    present = np.union1d(np.unique(truth[window]), np.unique(labels[window]))
    return Suspect(
        facts.short(region.image),
        f"Predicted {predicted}, labelled {given}",
        f"{counted(region.pixels, 'pixel')}, {share(region.confidence)} sure on average",
        panels,
        frozenset(int(label) for label in present if label != IGNORE),
    )


def crop_of(box: tuple[int, int, int, int], size: tuple[int, ...]) -> tuple[slice, slice]:
    """A window about a region with some of its surroundings, within the image.

    >>> crop_of((0, 40, 10, 10), (100, 100))
    (slice(0, 16, None), slice(34, 56, None))
    """
    top, left, high, wide = box
    around = max(round(AROUND * max(high, wide)), round(CONTEXT * max(size) / 2))
    least = round(FLATTEST * (max(high, wide) + 2 * around))
    rows, columns = (
        _span(first - max(around, (least - length) // 2), max(length + 2 * around, least), side)
        for first, length, side in ((top, high, size[0]), (left, wide, size[1]))
    )
    return rows, columns


def _span(first: int, length: int, side: int) -> slice:
    return slice(max(0, first), min(side, first + length))


def outlined_crop(picture: np.ndarray, region: np.ndarray, window: tuple[slice, slice]) -> np.ndarray:
    """The window of a picture at a size to look at, the region's outline drawn in a colour no class has. H W 3, H W → h w 3"""
    crop, inside = np.ascontiguousarray(picture[window]), np.ascontiguousarray(region[window])
    height, width = crop.shape[:2]
    longest = max(height, width)
    factor = LONGEST / longest if longest > LONGEST else float(-(-LEAST // longest))  # whole, where pixels are enlarged
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    drawn = cv2.resize(crop, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_NEAREST)
    shape = cv2.resize(inside, size, interpolation=cv2.INTER_NEAREST)
    found, _ = cv2.findContours(shape, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(drawn, found, -1, (255, 255, 255), 4, cv2.LINE_AA)
    cv2.drawContours(drawn, found, -1, MARK, 2, cv2.LINE_AA)
    return drawn
