"""Labels to look at again: crops of regions where the network surely disagrees with the label."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from maskwright.data.dataset import IGNORE
from maskwright.data.pictures import colourise, palette
from maskwright.errors import MaskwrightError, counted
from maskwright.metrics.scores import beaten_unlooked
from maskwright.reports.audit_pictures import MARK
from maskwright.reports.facts import Facts
from maskwright.reports.gallery import Gallery, Pick, Picture, Row, read_verified, scored_labels
from maskwright.reports.pages import share
from maskwright.runs import Run

SHOWN, FIRST = 6, 3  # regions on the page, and those shown without unfolding
LONGEST, LEAST = 320, 200  # pixels of a crop's longer side: larger ones are shrunk, the pixels of smaller ones enlarged
AROUND = 0.6  # of a region's longer side is shown on each side of it
FLATTEST = 0.75  # a crop's shorter side to its longer, where the image has room
CONTEXT = 0.12  # of the image's longer side is shown at least, half on each side


def suspected_labels(run: Run, facts: Facts, data: Path | None = None) -> Gallery:
    """Look for the regions and cut them out; where data or weights are gone, or the network knows nothing, say so."""
    beaten = beaten_unlooked(facts.counts.total(), facts.classes)
    if beaten:
        why = f"it gets fewer pixels right than always answering {beaten.answer} would"
        return Gallery(lead=f"Not looked for: this network can’t call a label into question, as {why}.")
    root = data or Path(facts.document["root"])
    if not root.exists():
        return Gallery(problems=(f"Not looked for: the data folder {root} is not there any more.",))
    if not run.weights.is_file():
        return Gallery(problems=(f"Not looked for: {run.root} has no {run.weights.name}.",))
    from maskwright.evaluation.suspects import find_suspects  # brings torch, which the rest of the page doesn't need

    temperature = (facts.evaluation.get("calibration") or {}).get("temperature") or None
    found = find_suspects(
        run, facts.split, facts.counts, root, limit=SHOWN, temperature=temperature, threshold=scored_threshold(facts)
    )
    problems = list(found.problems)
    rows: list[Row] = []
    for region in found.regions:
        try:
            rows.append(_row(run, facts, region, root))
        except MaskwrightError as error:
            problems.append(str(error))
    lead = _lead(found.num_looked_at, found.num_wrong, len(rows))
    return Gallery(tuple(rows), tuple(dict.fromkeys(problems)), lead)


def _lead(num_looked_at: int, num_wrong: int, num_found: int) -> str:
    """How it was looked for, and with what result."""
    if not num_looked_at:
        return "" if num_wrong else "No pixel differs from its label, so there is nothing to suspect."
    most = f"the {counted(num_looked_at, 'image')} with most wrong pixels"
    where = "every image with a wrong pixel" if num_looked_at == num_wrong else most
    how = f"Looked for in {where}; thin strips along outlines are left out."
    if not num_found:
        return f"No region was found where the network is sure (80 % and more) of another class than the label. {how}"
    return (
        "Regions where the network is sure (80 % and more) of another class than the label, largest and surest first. "
        f"They are suspects and not verdicts: the label may be wrong, or the network may be sure and mistaken. {how}"
    )


def scored_threshold(facts: Facts) -> float | None:
    """The foreground's threshold as it was scored; None where it was the run's own."""
    value = (facts.evaluation.get("threshold") or {}).get("value")
    own = facts.config.train.mask_threshold
    return float(value) if facts.is_binary and value is not None and value != own and 0 < value < 1 else None


def _row(run: Run, facts: Facts, region: Any, root: Path) -> Row:
    image, truth = read_verified(facts.document, facts.split, region.image, root)
    labels = scored_labels(run, facts.counts, facts.split, region.image, truth)
    colours, window = palette(len(facts.classes)), crop_of(region.box, truth.shape)
    outlined = np.zeros(truth.shape, np.uint8)
    top, left, high, wide = region.box
    outlined[top : top + high, left : left + wide] = region.inside
    given, predicted = facts.classes[region.given], facts.classes[region.predicted]
    panels = (
        ("Image", "the image", image),
        ("Label", f"labelled {given}", colourise(truth, colours)),
        ("Prediction", f"predicted {predicted}", colourise(labels, colours)),
    )
    pictures = tuple(
        Picture(title, f"{region.image}, {what}, the region outlined", outlined_crop(pixels, outlined, window))
        for title, what, pixels in panels
    )
    measure = f"{counted(region.pixels, 'pixel')}, {share(region.confidence)} sure on average"
    present = np.union1d(truth[window], labels[window])
    pick = Pick(f"Predicted {predicted}, labelled {given}", region.image)
    return Row(pick, measure, pictures, frozenset(present[present != IGNORE].tolist()))


def crop_of(box: tuple[int, int, int, int], size: tuple[int, ...]) -> tuple[slice, slice]:
    """A window about a region with some of its surroundings, within the image.

    >>> crop_of((0, 40, 10, 10), (100, 100))
    (slice(0, 16, None), slice(34, 56, None))
    """
    top, left, high, wide = box
    around = max(round(AROUND * max(high, wide)), round(CONTEXT * max(size) / 2))
    least = round(FLATTEST * (max(high, wide) + 2 * around))

    def window(first: int, length: int, side: int) -> slice:
        start = first - max(around, (least - length) // 2)
        return slice(max(0, start), min(side, start + max(length + 2 * around, least)))

    return window(top, high, size[0]), window(left, wide, size[1])


def outlined_crop(picture: np.ndarray, region: np.ndarray, window: tuple[slice, slice]) -> np.ndarray:
    """The window of a picture at a size to look at, the region outlined in a colour no class has. H W 3, H W → h w 3"""
    crop, inside = np.ascontiguousarray(picture[window]), np.ascontiguousarray(region[window])
    longest = max(crop.shape[:2])
    factor = LONGEST / longest if longest > LONGEST else -(-LEAST // longest)  # whole, where pixels are enlarged
    height, width = (max(1, round(side * factor)) for side in crop.shape[:2])
    interpolation = cv2.INTER_AREA if factor < 1 else cv2.INTER_NEAREST
    drawn = cv2.resize(crop, (width, height), interpolation=interpolation)
    shape = cv2.resize(inside, (width, height), interpolation=cv2.INTER_NEAREST)
    found, _ = cv2.findContours(shape, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    for colour, thickness in (((255, 255, 255), 4), (MARK, 2)):
        cv2.drawContours(drawn, found, -1, colour, thickness, cv2.LINE_AA)
    return drawn
