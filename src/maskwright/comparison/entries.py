"""What a comparison is made of, entries that share their test images, and how they stand: data alone."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from maskwright.evaluation.intervals import MOST
from maskwright.files import plain
from maskwright.metrics.counts import Counts
from maskwright.runs import Run, ShownInNotebook

# score → in words, in the order of the tables
SCORES = {
    "accuracy": "accuracy",
    "precision": "precision",
    "recall": "recall",
    "f1": "F1",
    "iou": "IoU",
    "boundary_iou": "boundary IoU",
    "boundary_f": "boundary F",
    "hd95": "HD95",
}
OUTLINES = ("boundary_iou", "boundary_f", "hd95")  # scores of outlines, shown beside those of areas
DISTANCES = frozenset(name for name in SCORES if math.isinf(MOST.get(name, 1.0)))  # in pixels: lower is better
Verdict = Literal["best", "tie", "worse", "undefined"]


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

    `root` is the comparison's folder where it has one; `monitor` the validation score that chooses, `same_val` whether
    all runs have the same validation images, without which none can. `notes` say what else the runs do not have in
    common.
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
        from maskwright.comparison.standings import standings  # late: it knows entries

        return standings(self)

    def __str__(self) -> str:
        from maskwright.comparison.tables import as_text

        return as_text(self.standings).rstrip()


@dataclass(frozen=True)
class Standing:
    """One entry among the others.

    Scores are means over its seeds; `intervals` are 95 % intervals of each score by itself. `difference` is to the best
    in the metric of the standings; `difference_interval` holds for all pairs of entries at once, and where it holds 0
    the verdict is "tie". `val` is the mean of its validation scores; `chosen` marks the best by that, the only honest
    choice.
    """

    name: str
    num_seeds: int
    metrics: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    difference: float
    difference_interval: tuple[float, float]
    verdict: Verdict
    val: float
    cost: Cost
    chosen: bool
    on_front: bool


@dataclass(frozen=True)
class Standings:
    """All entries, the best first, those without a score last.

    `num_units` is how many images (groups, when there are any) the intervals rest on, `pair_rate` the rate at which the
    interval of one difference may err so that all together err at 5 %, `front_cost` the cost that `on_front` is about.
    `verdict` says in at most three sentences who is best, who can be told apart, whom validation chose; `remarks` what
    to keep in mind; `sentences` is all that the numbers allow to be said, the verdict first.
    """

    split: str
    metric: str
    monitor: str
    subject: str
    num_images: int
    num_units: int
    resamples: int
    pair_rate: float
    front_cost: str
    rows: tuple[Standing, ...]
    failures: tuple[Failure, ...]
    absent: tuple[str, ...] = ()  # classes that no image's truth holds
    notes: tuple[str, ...] = ()  # what the runs do not have in common
    same_val: bool = True
    verdict: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    sentences: tuple[str, ...] = ()

    @property
    def is_lower_better(self) -> bool:
        """Whether the ranking score is a distance."""
        return self.metric in DISTANCES

    @property
    def top(self) -> str:
        """What the best is."""
        return "lowest" if self.is_lower_better else "highest"

    @property
    def best(self) -> Standing | None:
        """The best on these images, which does not make it the one to choose."""
        return next((row for row in self.rows if row.verdict == "best"), None)

    @property
    def chosen(self) -> Standing | None:
        """The one validation chose."""
        return next((row for row in self.rows if row.chosen), None)

    @property
    def known_scores(self) -> tuple[str, ...]:
        """The scores that some entry has."""
        return tuple(name for name in SCORES if any(math.isfinite(row.metrics[name]) for row in self.rows))

    def to_json(self) -> dict[str, Any]:
        """The document standings.json; what is undefined is null."""
        return plain({key: value for key, value in asdict(self).items() if key not in ("verdict", "remarks")})
