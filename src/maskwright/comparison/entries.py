"""What a comparison is made of: entries that share their test images, each one setting with a run a seed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maskwright.metrics.counts import Counts
from maskwright.runs import Run, ShownInNotebook

if TYPE_CHECKING:
    from maskwright.comparison.standings import Standings


@dataclass(frozen=True)
class Cost:
    """What an entry costs; NaN where it could not be measured. Multiply-adds are of one image as the network sees it.

    Milliseconds are the median of a few passes over one image, with the fastest and the slowest of them.
    """

    parameters: int
    multiply_adds: float
    train_seconds: float
    milliseconds_an_image: float
    milliseconds_low: float = math.nan
    milliseconds_high: float = math.nan


@dataclass(frozen=True)
class Entry:
    """One setting: its runs, one a seed, and the counts of each on the shared images, in the same order.

    `settings` are the matrix's keys with their values here, the seed aside; `val` is each run's best monitored
    score on validation, which is all that may choose a model.
    """

    name: str
    settings: Mapping[str, Any]
    runs: tuple[Run, ...] = field(repr=False)
    counts: tuple[Counts, ...] = field(repr=False)
    val: tuple[float, ...]
    cost: Cost

    @property
    def num_seeds(self) -> int:
        return len(self.runs)


@dataclass(frozen=True)
class Failure:
    """A cell that could not be trained or scored, and why, in one sentence."""

    name: str
    reason: str


@dataclass(frozen=True)
class Comparison(ShownInNotebook):
    """Entries on the same images of one split; `groups` holds the group of each image, None for one of its own.

    `root` is the comparison's folder where it has one; `monitor` the validation score that chooses, `same_val` whether all runs
    have the same validation images, without which none can. `notes` say what else the runs do not have in common.
    """

    split: str
    classes: tuple[str, ...]
    images: tuple[str, ...] = field(repr=False)
    groups: tuple[str | None, ...] = field(repr=False)
    entries: tuple[Entry, ...]
    failures: tuple[Failure, ...] = ()
    root: Path | None = None
    monitor: str = "val_iou"
    notes: tuple[str, ...] = ()
    same_val: bool = True

    @property
    def standings(self) -> Standings:
        """The entries by test score, the best first, with intervals, verdicts and the one validation chose."""
        from maskwright.comparison.standings import standings  # which knows entries

        return standings(self)

    def __str__(self) -> str:
        from maskwright.comparison.tables import as_text

        return as_text(self.standings).rstrip()
