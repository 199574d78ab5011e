"""What a comparison's page knows: the entries in the order of the table, their runs' files, short names for plots."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from maskwright.comparison.entries import Comparison, Entry, Standing, Standings
from maskwright.comparison.naming import BETWEEN
from maskwright.comparison.pareto import Point, fronts
from maskwright.comparison.standings import standings
from maskwright.config import Config
from maskwright.config.base import best_index
from maskwright.errors import MaskwrightError, RunError
from maskwright.files import read_json
from maskwright.metrics.scores import headline_iou, nanmeans
from maskwright.reports.facts import ImageScore
from maskwright.reports.pages import short_names
from maskwright.reports.plots import NUMBERED_FROM, finite
from maskwright.runs import Run
from maskwright.schemas import Environment

LABEL = 20  # characters of a name beside a line or a point
METRIC = "iou"


@dataclass(frozen=True)
class Contender:
    """An entry with its standing: `number` is its place in the table, `label` a short name, `seeds` each run's score.

    `shown_run` is the seed that is looked at where one must do: the best on validation.
    """

    number: int
    label: str
    entry: Entry
    standing: Standing
    seeds: tuple[float, ...]
    shown_run: int = 0

    @property
    def name(self) -> str:
        return self.entry.name

    @property
    def shown(self) -> str:
        """The name for prose and cells: broken between its parts ("unet · lr 0.01"), not within one."""
        parts = self.entry.name.split(BETWEEN)
        return self.name if len(parts) == 1 else "\u00a0· ".join(part.replace(" ", "\u00a0") for part in parts)

    @property
    def score(self) -> float:
        return self.standing.metrics[METRIC]

    @property
    def interval(self) -> tuple[float, float]:
        return self.standing.intervals[METRIC]

    @property
    def has_difference(self) -> bool:
        """Whether there is a difference to the highest to speak of."""
        return self.standing.verdict != "best" and math.isfinite(self.standing.difference)

    def image_scores(self) -> np.ndarray:
        """The IoU of every image, the mean over the seeds; NaN where nothing is scored. → N"""
        scores = [[headline_iou(matrix) for matrix in counts.matrix] for counts in self.entry.counts]
        return nanmeans(np.array(scores), axis=0)


@dataclass(frozen=True)
class ComparisonFacts:
    """A comparison read once, so that all else is a pure function of it; `overfitted`: most runs of a model are."""

    comparison: Comparison
    standings: Standings = field(repr=False)
    contenders: tuple[Contender, ...]
    fronts: Mapping[str, tuple[Point, ...]] = field(repr=False)
    is_numbered: bool
    configs: tuple[tuple[Config, ...], ...] = field(repr=False)
    histories: tuple[tuple[Sequence[Mapping[str, float]], ...], ...] = field(repr=False)
    environment: Mapping[str, Any] | None = field(repr=False)
    matrix: str | None = field(repr=False)
    overfitted: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        return self.comparison.root.resolve().name if self.comparison.root else "Comparison"

    @property
    def subject(self) -> str:
        return self.standings.subject if self.contenders else "score"

    @property
    def is_binary(self) -> bool:
        return len(self.comparison.classes) == 2

    @property
    def num_images(self) -> int:
        return len(self.comparison.images)

    @property
    def num_units(self) -> int:
        """Images or, where they belong together, groups: what is resampled."""
        return self.standings.num_units

    @property
    def num_seeds(self) -> int:
        return max((one.entry.num_seeds for one in self.contenders), default=0)

    @property
    def best(self) -> Contender | None:
        return next((one for one in self.contenders if one.standing.verdict == "best"), None)

    @property
    def scales(self) -> tuple[Scale | None, Scale | None]:
        """The scales of the scores and of the differences, which all strips of the table share."""
        scored = [one for one in self.contenders if math.isfinite(one.score)]
        rest = [one.standing for one in scored if one.standing.verdict != "best"]
        scores = [value for one in scored for value in (one.score, *one.interval, *one.seeds)]
        gaps = [0.0, *(value for one in rest for value in (one.difference, *one.difference_interval))]
        return scale_of(scores, (0.0, 1.0)), scale_of(gaps) if rest else None

    def image_scores(self) -> list[ImageScore]:
        """Every image's mean IoU over the models, worst first, those without a score last."""
        mean = nanmeans(np.array([one.image_scores() for one in self.contenders]), axis=0)
        return [
            ImageScore(self.comparison.images[place], float(mean[place])) for place in np.argsort(mean, kind="stable")
        ]

    def runs(self) -> list[Run]:
        return [run for one in self.contenders for run in one.entry.runs]


@dataclass(frozen=True)
class Scale:
    """The ends of a strip, round numbers."""

    low: float
    high: float

    def at(self, value: float) -> float:
        """Where a value lies between the ends, 0 to 1."""
        return (value - self.low) / (self.high - self.low)

    @property
    def ends(self) -> list[str]:
        digits = max(0, min(3, 1 - math.floor(math.log10(self.high - self.low))))
        return [f"{end:.{digits}f}".replace("-", "−") if round(end, digits) else "0" for end in (self.low, self.high)]


def scale_of(values: Iterable[float], bounds: tuple[float, float] = (-1.0, 1.0)) -> Scale | None:
    """The narrowest scale with round ends, within bounds, that holds all values.

    >>> scale_of([0.713, 0.842], (0.0, 1.0))
    Scale(low=0.7, high=0.86)
    """
    known = finite(values)
    if not known:
        return None
    width = max(max(known) - min(known), 0.01)
    size = 10 ** math.floor(math.log10(width))
    step = size / 5 if width < 3 * size else size / 2
    low, high = math.floor(min(known) / step + 1e-9) * step, math.ceil(max(known) / step - 1e-9) * step
    if high - low < step / 2:
        low, high = low - step, high + step
    return Scale(round(max(bounds[0], low), 6), round(min(bounds[1], high), 6))


def gather_comparison(comparison: Comparison) -> ComparisonFacts:
    """Stand the entries and read their runs; the order is that of the standings."""
    by_name = {entry.name: entry for entry in comparison.entries}
    stood = standings(comparison, METRIC)
    entries = [by_name[row.name] for row in stood.rows]
    labels = short_labels([entry.name for entry in entries])
    contenders = tuple(
        Contender(number, label, entry, row, tuple(headline_iou(counts.total()) for counts in entry.counts),
                  best_index(entry.val, comparison.monitor) or 0)
        for number, (label, entry, row) in enumerate(zip(labels, entries, stood.rows, strict=True), 1)
    )  # fmt: skip
    return ComparisonFacts(
        comparison,
        stood,
        contenders,
        fronts(stood) if entries else {},
        any(one.label != one.name for one in contenders) or len(contenders) >= NUMBERED_FROM,
        tuple(tuple(run.config for run in entry.runs) for entry in entries),
        tuple(tuple(run.history for run in entry.runs) for entry in entries),
        _environment(comparison, entries),
        _matrix(comparison.root),
        frozenset(entry.name for entry in entries if _is_overfitted(entry)),
    )


def _is_overfitted(entry: Entry) -> bool:
    """Whether most of its runs are diagnosed so."""
    from maskwright.training.diagnose import diagnose  # late: its package brings torch

    read = [of_run(diagnose, run) or () for run in entry.runs]
    return 2 * sum(any(one.code == "overfitting" for one in found) for found in read) > len(read)


def short_labels(names: Sequence[str], limit: int = LABEL) -> list[str]:
    """Names of at most `limit` characters: what all begin with goes first, then the middle.

    >>> short_labels(["unet", "unet/resnet34"])
    ['unet', 'unet/resnet34']
    >>> short_labels(["a-very-long-base-name-unet", "a-very-long-base-name-fpn"])
    ['…unet', '…fpn']
    """
    names = list(short_names(names).values())
    if all(len(name) <= limit for name in names):
        return names
    shared = _shared_start(names)
    return [_middle_cut(f"…{name[shared:]}" if shared and len(name) > limit else name, limit) for name in names]


def _shared_start(names: Sequence[str]) -> int:
    """How many characters all names begin with, up to the end of a word; 0 where one name would vanish."""
    if len(names) < 2:
        return 0
    shared = os.path.commonprefix(names)  # noqa: RUF071 - of letters, not of folders
    ends = [match.end() for match in re.finditer(r"[^0-9A-Za-z]+", shared)]
    return ends[-1] if ends and all(len(name) > ends[-1] for name in names) else 0


def _middle_cut(name: str, limit: int) -> str:
    head = (limit - 1) // 2
    return name if len(name) <= limit else f"{name[:head]}…{name[len(name) - (limit - 1 - head) :]}"


def _matrix(root: Path | None) -> str | None:
    """comparison.yaml as it was given, where the comparison has one."""
    try:
        return (root / "comparison.yaml").read_text(encoding="utf-8").strip() if root else None
    except (OSError, UnicodeDecodeError):
        return None


def _environment(comparison: Comparison, entries: Sequence[Entry]) -> Mapping[str, Any] | None:
    """environment.json of the comparison, else of its first run."""
    path = comparison.root / "environment.json" if comparison.root else None
    if path and path.is_file():
        try:
            return read_json(path, "", Environment)
        except RunError:
            return None
    return of_run(lambda run: run.environment, entries[0].runs[0]) if entries else None


def of_run(read: Callable[[Run], Any], run: Run) -> Any:
    """What a run's file says, None where it is not there: a page is written all the same."""
    try:
        return read(run)
    except MaskwrightError:
        return None
