"""What a report knows: a run's files read once, so that all else is a pure function of `Facts`."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maskwright.config import Config
from maskwright.config.base import best_index
from maskwright.data.record import split_entries
from maskwright.errors import RunError, as_typed, counted
from maskwright.metrics.counts import Counts
from maskwright.metrics.scores import headline_iou
from maskwright.reports.pages import number, short_names
from maskwright.runs import Run

if TYPE_CHECKING:
    from maskwright.training.diagnose import Diagnosis


@dataclass(frozen=True)
class ImageScore:
    """The IoU of one image; NaN where no scored class is in truth or prediction."""

    name: str
    iou: float


@dataclass(frozen=True)
class Facts:
    """A run and its scores on one split; `asked` differs from `split` when that one has no images."""

    run: str
    split: str
    asked: str
    config: Config
    document: Mapping[str, Any] = field(repr=False)
    environment: Mapping[str, Any] = field(repr=False)
    history: Sequence[Mapping[str, float]] = field(repr=False)
    evaluation: Mapping[str, Any] = field(repr=False)
    counts: Counts = field(repr=False)
    diagnosis: Sequence[Diagnosis] = field(default=(), repr=False)

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(self.evaluation["classes"])

    @property
    def is_binary(self) -> bool:
        return len(self.classes) == 2

    @property
    def num_images(self) -> int:
        return len(self.counts.images)

    @property
    def best(self) -> int | None:
        """The row of the history the weights are from; None where nobody knows."""
        return best_index([row[self.config.train.monitor] for row in self.history], self.config.train.monitor)

    def metric(self, name: str) -> float:
        """A headline score of the split; NaN where the evaluation doesn't hold it."""
        return number(self.evaluation["metrics"].get(name))

    def interval(self, name: str) -> tuple[float, float]:
        """The 95 % interval of a headline score."""
        low, high = self.evaluation["intervals"].get(name) or (None, None)
        return number(low), number(high)

    @property
    def num_units(self) -> int:
        """How many units of resampling, images or groups of them, the intervals rest on."""
        return int(self.evaluation.get("units") or self.num_images)

    @property
    def units(self) -> str:
        """Those units in words: 1 image, 7 groups."""
        return counted(self.num_units, "image" if self.num_units == self.num_images else "group")

    def short(self, name: str) -> str:
        """An image's name as a page shows it."""
        return self._short_names.get(name, name)

    @functools.cached_property
    def _short_names(self) -> dict[str, str]:
        return short_names(self.counts.images)

    def images(self) -> list[ImageScore]:
        """Every image of the split, worst first, those without a score last."""
        rows = [
            ImageScore(name, headline_iou(one))
            for name, one in zip(self.counts.images, self.counts.matrix, strict=True)
        ]
        return sorted(rows, key=lambda row: (math.isnan(row.iou), row.iou, row.name))


def gather(run: Run, split: str = "test", data: Path | None = None) -> Facts:
    """Read a run's files, evaluating the split first if it wasn't; validation stands in for an empty test split."""
    document = run.data
    splits = document["splits"]
    chosen = "val" if split == "test" and not splits["test"] and splits["val"] else split
    entries = split_entries(document, chosen)
    files = [run.root / "evaluation" / f"{chosen}{end}" for end in (".json", "-counts.npz")]
    if not all(file.is_file() for file in files):
        from maskwright.evaluation import evaluate  # brings torch, which a run that is evaluated doesn't need

        evaluate(run, chosen, data)
    counts = Counts.load(files[1])
    if sorted(counts.images) != sorted(entry["id"] for entry in entries):
        fix = f"Score it again: maskwright evaluate {as_typed(run.root)} --split {chosen}"
        raise RunError(f"`{files[1]}` must count the images data.json lists for {chosen}; got others. {fix}")
    from maskwright.training.diagnose import diagnose  # late: its package brings torch

    history, evaluation = run.history, run.evaluation(chosen)
    diagnosis = diagnose(run) if history else ()
    return Facts(run.name, chosen, split, run.config, document, run.environment, history, evaluation, counts, diagnosis)
