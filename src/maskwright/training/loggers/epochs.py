"""What a logger is given: an epoch's row of the history, and panels, drawn once for all loggers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Protocol

import cv2
import numpy as np

from maskwright.data.geometry import shrink_to
from maskwright.data.pictures import colourise, palette, shown
from maskwright.runs import Run
from maskwright.training.loggers.tables import Scored

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
        masks = [cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST) for mask in (self.truth, self.labels)]
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


class Logger(Protocol):
    """What takes epochs to another program; `recorded` is the last epoch it holds already, -1 for none."""

    place: str
    astray: bool  # whether that is another place than was asked for
    recorded: int

    def epoch(self, epoch: Epoch) -> None:
        """Take an epoch in."""
        ...

    def best(self, scores: Mapping[str, float], run: Run) -> None:
        """Take the scores of the best epoch in, once the run is finished."""
        ...

    def evaluation(self, scored: Scored) -> None:
        """Take the scores of a split in."""
        ...

    def file(self, path: Path) -> None:
        """Take one of the run's files in."""
        ...

    def close(self, ending: Ending) -> None:
        """Write what is left, and leave no thread and no process behind."""
        ...


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
