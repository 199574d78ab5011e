"""`maskwright search --plan`: what is searched, and what a trial would take by a step measured here; nothing is trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maskwright.comparison.matrix import Cell, Matrix
from maskwright.comparison.plan import ComparisonPlan, make_plan
from maskwright.comparison.search_space import Choices, Space


@dataclass(frozen=True)
class SearchPlan:
    """The space in words, and what a trial takes: the mean over models where models are searched."""

    space: Mapping[str, str]
    trials: int
    minutes: float | None
    measured: ComparisonPlan

    @property
    def seconds(self) -> float:
        """Of one trial that is not pruned."""
        known = [cell.measured.seconds for cell in self.measured.cells if cell.measured]
        return sum(known) / len(known) if known else 0.0

    @property
    def disk(self) -> int:
        """The best trial keeps its weights, and the one that runs has its own."""
        return 2 * max((cell.measured.disk for cell in self.measured.cells if cell.measured), default=0)

    @property
    def problems(self) -> list[str]:
        return self.measured.problems

    def to_json(self) -> dict[str, Any]:
        """The document `--plan --json` prints."""
        return {
            "space": dict(self.space),
            "trials": self.trials,
            "minutes": self.minutes,
            "seconds_a_trial": round(self.seconds, 1),
            "seconds": round(self.seconds * self.trials, 1),
            "memory": self.measured.memory,
            "disk": self.disk,
            "problems": self.problems,
        }


def plan_search(space: Space, root: Path) -> SearchPlan:
    """Measure a step of the base, or of each model that is searched."""
    models = next((axis for axis in space.axes if isinstance(axis, Choices) and axis.key == "model"), None)
    proposals = {name: {"model": name} for name in models.values} if models else {"base": {}}
    cells = []
    for name, values in proposals.items():
        rest = {axis.key: _middle(axis) for axis in space.axes if axis.key not in values}
        cells.append(Cell(name, name, name, values, space.config_of({**rest, **values})))
    matrix = Matrix(space.base, tuple(cells), (), {})
    axes = {axis.key: str(axis) for axis in space.axes}
    return SearchPlan(axes, space.trials, space.minutes, make_plan(matrix, root, "val"))


def _middle(axis: Any) -> Any:
    """A value of an axis to measure with: the first choice, or the lower end of a range."""
    return next(iter(axis.values)) if isinstance(axis, Choices) else axis.low
