"""A split's scores as the tables that loggers show: a row a class, a row an image."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from maskwright.metrics.counts import Counts
from maskwright.metrics.scores import Sums, headline_scores

Cell = str | float | None


@dataclass(frozen=True)
class Table:
    """Named columns and rows; None where a score is undefined."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]

    def as_csv(self) -> str:
        """The table as CSV text; an undefined score is an empty cell.

        >>> Table(("class", "iou"), (("a, b", 0.5), ("c", None))).as_csv()
        'class,iou\\n"a, b",0.5\\nc,\\n'
        """
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(self.columns)
        writer.writerows(["" if cell is None else cell for cell in row] for row in self.rows)
        return text.getvalue()


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
