"""What a logger is given: an epoch's row of the history, panels drawn once, and a split's scores as tables."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np

from maskwright.data.geometry import shrink_to
from maskwright.data.pictures import colourise, palette, shown
from maskwright.files import csv_text
from maskwright.metrics.counts import Counts
from maskwright.metrics.scores import Sums, headline_scores
from maskwright.runs import Run

Cell = str | float | None


@dataclass(frozen=True)
class Table:
    """Named columns and rows; None where a score is undefined."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]

    def as_csv(self) -> str:
        """The table as CSV text; an undefined score is an empty cell."""
        return csv_text([self.columns, *self.rows])


@dataclass(frozen=True)
class Scored:
    """An evaluation as loggers take it in."""

    split: str
    document: Mapping[str, Any]  # what `evaluate --json` prints
    scores: dict[str, float]  # test/iou, …; defined ones alone
    per_class: Table
    per_image: Table


def scored(document: Mapping[str, Any], counts: Counts) -> Scored:
    """The tables of an evaluation, from its document and the counts of its images."""
    split = str(document["split"])
    values = {f"{split}/{name}": float(value) for name, value in document["metrics"].items() if value is not None}
    if document.get("loss") is not None:
        values[f"{split}/loss"] = float(document["loss"])
    return Scored(split, document, values, _per_class(document["per_class"]), _per_image(counts))


def _per_class(classes: Mapping[str, Mapping[str, float | None]]) -> Table:
    names = tuple(dict.fromkeys(name for scores in classes.values() for name in scores))
    rows = ((title, *(_cell(scores.get(name)) for name in names)) for title, scores in classes.items())
    return Table(("class", *names), tuple(rows))


def _per_image(counts: Counts) -> Table:
    """Each image's headline scores, the worst IoU first."""
    columns = headline_scores(Sums.of_images(counts))
    rows = [(name, *(_cell(column[index]) for column in columns.values())) for index, name in enumerate(counts.images)]
    at = 1 + list(columns).index("iou")
    rows.sort(key=lambda row: (row[at] is None, row[at]))
    return Table(("image", *columns), tuple(rows))


def _cell(value: Any) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)


Ending = Literal["finished", "failed", "interrupted"]
_PANEL_HEIGHT = 256
KINDS = {"loss": "Loss", "iou": "IoU", "dice": "Dice", "accuracy": "Accuracy"}  # of scores, each of train and val
_TAGS = {f"{split}_{kind}": f"{kind}/{split}" for kind in KINDS for split in ("train", "val")}


@dataclass(frozen=True)
class Panel:
    """One validation image with its truth and what is predicted. image H W C, truth and labels H W"""

    name: str
    key: str  # the name in letters that every logger takes, different for each panel
    image: np.ndarray
    truth: np.ndarray
    labels: np.ndarray
    num_classes: int

    @cached_property
    def strip(self) -> np.ndarray:
        """Image, truth and prediction side by side. h 3w+8 3"""
        colours = palette(self.num_classes)
        pictures = [shown(self.image), colourise(self.truth, colours), colourise(self.labels, colours)]
        small = [shrink_to(picture, *self.size) for picture in pictures]
        gap = np.full((self.size[0], 4, 3), 255, np.uint8)
        return np.concatenate([small[0], gap, small[1], gap, small[2]], axis=1)

    @cached_property
    def small(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Image, truth and labels at the size panels are shown; labels stay labels."""
        height, width = self.size
        masks = [
            cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST) for mask in (self.truth, self.labels)
        ]
        return shrink_to(shown(self.image), height, width), masks[0], masks[1]

    @property
    def size(self) -> tuple[int, int]:
        height, width = self.truth.shape
        return min(_PANEL_HEIGHT, height), max(1, round(width * min(_PANEL_HEIGHT, height) / height))


@dataclass(frozen=True)
class Epoch:
    """A finished epoch: its number from 0, its row of history.csv, and its panels where they were drawn."""

    row: Mapping[str, Any]
    panels: tuple[Panel, ...] = ()

    @property
    def number(self) -> int:
        return int(self.row["epoch"])

    @property
    def scalars(self) -> dict[str, float]:
        """Losses, scores and rates under the names all loggers give them.

        >>> Epoch({"epoch": 0, "val_iou": 0.5, "lr": 0.1, "seconds": 3}).scalars
        {'iou/val': 0.5, 'lr': 0.1}
        """
        rates = {name: float(value) for name, value in self.row.items() if name == "lr" or name.endswith("_lr")}
        return {tag: float(self.row[name]) for name, tag in _TAGS.items() if name in self.row} | rates


class Logger:
    """What takes epochs to another program; `recorded` is the last epoch it holds already, -1 for none."""

    place: str
    astray = False  # whether that is another place than was asked for
    recorded: int

    def epoch(self, epoch: Epoch) -> None:
        """Take an epoch in."""
        raise NotImplementedError

    def best(self, scores: Mapping[str, float], run: Run) -> None:
        """Take the scores of the best epoch in, once the run is finished."""

    def evaluation(self, scored: Scored) -> None:
        """Take the scores of a split in."""

    def file(self, path: Path) -> None:
        """Take one of the run's files in."""

    def close(self, ending: Ending) -> None:
        """Write what is left, and leave no thread and no process behind."""
        raise NotImplementedError


def panel_keys(names: Sequence[str]) -> list[str]:
    """Names in letters, digits, dots, dashes and underscores, no two alike.

    >>> panel_keys(["field (1)", "field [1]", "b"])
    ['field_1', 'field_1-2', 'b']
    """
    found: list[str] = []
    for name in names:
        plain = re.sub(r"[^A-Za-z0-9._-]+", "_", name).strip("_.") or "image"
        number, key = 1, plain
        while key in found:
            number += 1
            key = f"{plain}-{number}"
        found.append(key)
    return found
