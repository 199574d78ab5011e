"""Regions where a network is sure of something else than the label says: labels a person should look at.

    found = find_suspects(run, "test")
    found.regions[0].image, found.regions[0].pixels, found.regions[0].confidence

They are suspects and not verdicts: a network can be sure and wrong. Largest × surest come first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from maskwright.data.dataset import IGNORE
from maskwright.data.record import read_split, split_entries
from maskwright.errors import MaskwrightError
from maskwright.metrics.counts import Counts
from maskwright.prediction.predictor import Predictor
from maskwright.runs import Run

SURE = 0.8  # the probability from which the network counts as sure of a pixel
STRIP = 0.003  # of the diagonal: half the width of what is a strip along an outline and no region
LEAST = 0.0005  # of the image: smaller regions are left aside
LOOKED_AT = 24  # images are predicted again, those with most wrong pixels first


@dataclass(frozen=True)
class Region:
    """Connected pixels surely predicted as one class where the label mostly says another.

    box: first row, first column, height, width
    """

    image: str
    box: tuple[int, int, int, int]
    pixels: int
    confidence: float
    given: int
    predicted: int
    inside: np.ndarray = field(repr=False, compare=False)  # of the box. height width bool

    @property
    def weight(self) -> float:
        """Size × confidence, by which regions are ranked."""
        return self.pixels * self.confidence


@dataclass(frozen=True)
class Suspects:
    """The regions, worst first, and how they were looked for; `problems` says in a sentence each what could not be."""

    regions: tuple[Region, ...]
    num_looked_at: int
    num_wrong: int
    problems: tuple[str, ...] = ()


def find_suspects(
    run: Run, split: str, counts: Counts, data: Path | None = None, *, limit: int = 6, temperature: float | None = None,
    threshold: float | None = None,
) -> Suspects:  # fmt: skip
    """Predict the images with most wrong pixels again and rank the regions where network and label surely disagree, one
    an image.

    A region weighs at most its pixels, so once `limit` of them outweigh all the wrong pixels of the next image, the
    rest needn't be looked at. `temperature` makes the probabilities honest where evaluation has fitted one.
    """
    wrong = counts.matrix.sum((1, 2)) - np.trace(counts.matrix, axis1=1, axis2=2)
    order = sorted(np.flatnonzero(wrong).tolist(), key=lambda index: (-wrong[index], counts.images[index]))
    try:
        predictor = Predictor.from_run(run)
    except MaskwrightError as error:
        return Suspects((), 0, len(order), (str(error),))
    document = run.data
    entries = {entry["id"]: entry for entry in split_entries(document, split)}
    found: list[Region] = []
    problems: list[str] = []
    num_looked_at = 0
    for index in order[:LOOKED_AT]:
        if len(found) >= limit and found[limit - 1].weight >= wrong[index]:
            break
        num_looked_at += 1
        only = {**document, "splits": {split: [entries[counts.images[index]]]}}  # the rest of the split needn't be read
        try:
            found = ranked([*found, *_regions(predictor, only, split, data, temperature, threshold)[:1]])[:limit]
        except MaskwrightError as error:
            problems.append(str(error))
    return Suspects(tuple(found), num_looked_at, len(order), tuple(problems))


def _regions(
    predictor: Predictor, document: Mapping[str, Any], split: str, data: Path | None, temperature: float | None,
    threshold: float | None,
) -> list[Region]:  # fmt: skip
    """The regions of the one image a document lists."""
    name, image, truth = next(read_split(dict(document), split, data))
    logits = predictor.logits(image)
    labels = predictor.labels(logits, threshold)
    with torch.inference_mode():
        probabilities = (logits / (temperature or 1.0)).softmax(dim=1)[0]
        chosen = torch.from_numpy(labels.astype(np.int64)).to(probabilities.device).unsqueeze(0)
        confidence = probabilities.gather(0, chosen)[0].float().cpu().numpy()
    return regions_of(name, truth, labels, confidence)


def regions_of(name: str, truth: np.ndarray, labels: np.ndarray, confidence: np.ndarray) -> list[Region]:
    """Every region of one image. truth, labels H W uint8; confidence H W, the probability of what was predicted."""
    height, width = truth.shape
    radius = max(1, round(STRIP * float(np.hypot(height, width))))
    kernel = np.ones((2 * radius + 1, 2 * radius + 1), np.uint8)
    suspect = (truth != IGNORE) & (truth != labels) & (confidence >= SURE)
    found: list[Region] = []
    for predicted in np.unique(labels[suspect]).tolist():
        mine = (suspect & (labels == predicted)).astype(np.uint8)
        mine = cv2.morphologyEx(mine, cv2.MORPH_OPEN, kernel)  # the image's border counts as no outline
        num, places, stats, _ = cv2.connectedComponentsWithStats(mine, connectivity=8)
        sums = np.bincount(places.ravel(), confidence.ravel(), minlength=num)
        for index in range(1, num):
            left, top, wide, high, pixels = (int(value) for value in stats[index])
            if pixels < max(4, LEAST * height * width):
                continue
            window = np.s_[top : top + high, left : left + wide]
            inside = places[window] == index
            given = int(np.bincount(truth[window][inside]).argmax())
            box = (top, left, high, wide)
            found.append(Region(name, box, pixels, float(sums[index] / pixels), given, int(predicted), inside))
    return ranked(found)


def ranked(regions: Sequence[Region]) -> list[Region]:
    """Size × confidence, largest first; the order doesn't depend on how they were found."""
    return sorted(regions, key=lambda region: (-region.weight, region.image, region.box))
