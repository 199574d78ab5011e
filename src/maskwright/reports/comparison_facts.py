"""What a comparison's page knows: the entries in the order of the table, their runs' files, names short enough for plots."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from maskwright.comparison.entries import Comparison, Entry, Standing, Standings
from maskwright.comparison.naming import BETWEEN
from maskwright.comparison.pareto import Point, fronts
from maskwright.comparison.standings import standings
from maskwright.config import Config
from maskwright.config.base import higher_is_better
from maskwright.errors import MaskwrightError, RunError
from maskwright.files import read_json
from maskwright.metrics.scores import headline_iou
from maskwright.reports import wording
from maskwright.runs import Run
from maskwright.schemas import Environment

LABEL = 20  # characters of a name beside a line or a point
NUMBERED_FROM = 7  # so many names beside lines and points are easier to find by number
METRIC = "iou"


@dataclass(frozen=True)
class Contender:
    """An entry with its standing: `number` is its place in the table, `label` a short name, `seeds` the score of each run.

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
        low, high = self.standing.intervals[METRIC]
        return low, high


@dataclass(frozen=True)
class ComparisonFacts:
    """A comparison read once, so that all else is a pure function of it."""

    comparison: Comparison
    standings: Standings = field(repr=False)
    contenders: tuple[Contender, ...]
    subject: str
    fronts: Mapping[str, tuple[Point, ...]] = field(repr=False)
    is_numbered: bool
    configs: tuple[tuple[Config, ...], ...] = field(repr=False)
    histories: tuple[tuple[Sequence[Mapping[str, float]], ...], ...] = field(repr=False)
    environment: Mapping[str, Any] | None = field(repr=False)
    matrix: str | None = field(repr=False)
    overfitted: frozenset[str] = frozenset()  # models most of whose runs the diagnosis calls so

    @property
    def name(self) -> str:
        return self.comparison.root.resolve().name if self.comparison.root else "Comparison"

    @property
    def is_binary(self) -> bool:
        return len(self.comparison.classes) == 2

    @property
    def num_images(self) -> int:
        return len(self.comparison.images)

    @property
    def num_units(self) -> int:
        """Images or, where they belong together, groups: what is resampled."""
        groups = self.comparison.groups
        return len({index if group is None else group for index, group in enumerate(groups)})

    @property
    def best(self) -> Contender | None:
        return next((one for one in self.contenders if one.standing.verdict == "best"), None)

    @property
    def chosen(self) -> Contender | None:
        """The one validation chose."""
        return next((one for one in self.contenders if one.standing.chosen), None)


def gather_comparison(comparison: Comparison) -> ComparisonFacts:
    """Stand the entries and read their runs; the order is that of the standings."""
    by_name = {entry.name: entry for entry in comparison.entries}
    stood = standings(comparison, METRIC)
    entries = [by_name[row.name] for row in stood.rows]
    labels = short_labels([entry.name for entry in entries])
    contenders = tuple(
        Contender(number, label, entry, row, tuple(headline_iou(counts.total()) for counts in entry.counts),
                  _best_seed(entry, comparison.monitor))
        for number, (label, entry, row) in enumerate(zip(labels, entries, stood.rows, strict=True), 1)
    )  # fmt: skip
    is_shortened = any(one.label != one.name for one in contenders)
    return ComparisonFacts(
        comparison,
        stood,
        contenders,
        stood.subject if entries else "score",
        fronts(stood) if entries else {},
        is_shortened or len(contenders) >= NUMBERED_FROM,
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
    names = list(wording.short_names(names).values())
    if all(len(name) <= limit for name in names):
        return names
    shared = _shared_start(names)
    return [_middle_cut(f"…{name[shared:]}" if shared and len(name) > limit else name, limit) for name in names]


def _best_seed(entry: Entry, monitor: str) -> int:
    val = np.array(entry.val, float)
    if not np.isfinite(val).any():
        return 0
    return int(np.nanargmax(val) if higher_is_better(monitor) else np.nanargmin(val))


def _shared_start(names: Sequence[str]) -> int:
    """How many characters all names begin with, up to the end of a word; 0 where one name would vanish."""
    if len(names) < 2:
        return 0
    first, last = min(names), max(names)
    num = next((index for index, (a, b) in enumerate(zip(first, last)) if a != b), min(len(first), len(last)))
    ends = [match.end() for match in re.finditer(r"[^0-9A-Za-z]+", first[:num])]
    return ends[-1] if ends and all(len(name) > ends[-1] for name in names) else 0


def _middle_cut(name: str, limit: int) -> str:
    if len(name) <= limit:
        return name
    head = (limit - 1) // 2
    return f"{name[:head]}…{name[len(name) - (limit - 1 - head) :]}"


def _matrix(root: Path | None) -> str | None:
    """comparison.yaml as it was given, where the comparison has one."""
    path = root / "comparison.yaml" if root else None
    try:
        return path.read_text(encoding="utf-8").strip() if path else None
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


def image_scores(contender: Contender) -> np.ndarray:
    """The IoU of every image, the mean over the seeds; NaN where nothing is scored. → N"""
    scores = np.array([[headline_iou(matrix) for matrix in counts.matrix] for counts in contender.entry.counts])
    finite = np.isfinite(scores)
    total = np.where(finite, scores, 0).sum(0)
    return np.divide(total, finite.sum(0), out=np.full(scores.shape[1], math.nan), where=finite.any(0))
