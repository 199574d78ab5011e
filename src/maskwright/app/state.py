"""What the app's routes share: the folder of runs, the data set, models, trainings, and what was answered before."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from fastapi import HTTPException

from maskwright.app.answers import Cache
from maskwright.app.dataset import DataSet, Item
from maskwright.app.label import Labels
from maskwright.app.models import Models
from maskwright.app.predicting import Jobs
from maskwright.app.runs import Runs, stamp_of
from maskwright.app.sure import Unsure
from maskwright.app.training import Trainings


@dataclass
class App:
    """What the routes share; what no route has asked for yet is not there."""

    runs: Runs
    data: DataSet | None
    cache: Cache = field(default_factory=Cache)
    windows: Cache = field(default_factory=lambda: Cache(64 << 20))  # nobody who rests on a place waits for larger ones
    decoded: Cache = field(default_factory=lambda: Cache(320 << 20))  # the last images as arrays, for their parts
    closing: bool = False

    @cached_property
    def models(self) -> Models:
        return Models(self.runs)

    @cached_property
    def jobs(self) -> Jobs:
        return Jobs(self.models)

    @cached_property
    def trainings(self) -> Trainings:
        return Trainings(self.runs, self.datasets)

    @cached_property
    def labels(self) -> Labels:
        return Labels(self.dataset)

    @cached_property
    def unsure(self) -> Unsure:
        return Unsure(self.dataset, self.models)

    @property
    def dataset(self) -> DataSet:
        """The data set of --data."""
        if self.data is None:
            raise HTTPException(
                409, "this page must have a data set; the app has none. Start it anew: maskwright app --data DATA"
            )
        return self.data

    def image(self, one: Item) -> np.ndarray:
        """An image of the data set, decoded once for all that is asked of it in a row. H W C"""
        return self.decoded.get((str(one.image), stamp_of(one.image)), lambda: self.dataset.pixels(one))[0]

    def datasets(self) -> list[str]:
        """The app's own data set, and those that runs here were trained on and that are still there."""
        own = [str(self.data.path)] if self.data else []
        found = dict.fromkeys(row["data_root"] for row in self.runs.rows())
        return list(dict.fromkeys([*own, *(root for root in found if root and Path(root).exists())]))

    def close(self) -> None:
        self.closing = True
        for name in ("jobs", "models"):
            if name in self.__dict__:
                getattr(self, name).close()


def some(items: list[Any], offset: int, limit: int) -> dict[str, Any]:
    """A page of a list."""
    start = max(0, offset)
    return {"total": len(items), "items": items[start : start + min(max(0, limit), 500)]}


def wish_of(body: dict[str, Any]) -> dict[str, Any]:
    """What a page may ask of a training, and nothing else that it sends."""
    return {key: body.get(key) for key in ("data", "budget", "model", "name", "weights")}
