"""`--plan` of compare and search: what a cell or trial would take, from a step measured here; nothing is written."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from maskwright.comparison.cells import budget_of, budgeted, validate_names, validate_split
from maskwright.comparison.measuring import Measured, Task, measure_in_subprocess
from maskwright.comparison.search_space import Choices, Space
from maskwright.comparison.spec import Cell, Matrix
from maskwright.config.base import seconds_of
from maskwright.data.dataset import SPLITS
from maskwright.data.opening import Opened
from maskwright.data.store import PixelStore
from maskwright.errors import MaskwrightError, UsageError, listed, unknown
from maskwright.files import plain
from maskwright.runs import size_name
from maskwright.runtime import free_memory
from maskwright.terminal import duration, format_number
from maskwright.training.gate import SharedData
from maskwright.training.plan import prepare
from maskwright.training.range_test import STEPS as RANGE_STEPS
from maskwright.training.summary import print_plan

_START = 3.0  # seconds a cell spends on opening files and writing


@dataclass(frozen=True)
class CellPlan:
    """What a cell would take, or why it cannot be trained."""

    name: str
    measured: Measured | None
    problem: str | None = None


@dataclass(frozen=True)
class ComparisonPlan:
    """What a comparison would take: cells run one after the other, so memory is the largest cell's."""

    cells: tuple[CellPlan, ...]
    budget: dict[str, Any]
    free_memory: int
    free_disk: int

    @property
    def measured(self) -> list[Measured]:
        """What those cells take that can be trained."""
        return [cell.measured for cell in self.cells if cell.measured]

    @property
    def memory(self) -> int:
        return max((one.memory for one in self.measured), default=0)

    @property
    def disk(self) -> int:
        return sum(one.disk for one in self.measured)

    @property
    def seconds(self) -> float:
        return sum(one.seconds for one in self.measured)

    @property
    def problems(self) -> list[str]:
        """A sentence for each reason why cells cannot be trained."""
        found: dict[str, list[str]] = {}
        for cell in self.cells:
            if cell.problem:
                found.setdefault(cell.problem, []).append(cell.name)
        return [f"{listed(names)} cannot be trained: {problem}" for problem, names in found.items()]

    def warnings(self) -> list[str]:
        """What is too large for this machine."""
        found = []
        if self.disk > self.free_disk:
            found.append(f"the disk has {size_name(self.free_disk)} free, and {size_name(self.disk)} are needed")
        large = [cell.name for cell in self.cells if cell.measured and cell.measured.memory > self.free_memory > 0]
        found += [f"{name} needs more memory than the {size_name(self.free_memory)} that are free" for name in large]
        return found

    def rows(self) -> tuple[list[str], list[list[str]]]:
        """The table, as text."""
        columns = ["cell", "parameters", "multiply-adds", "a step", "epochs", "memory", "disk", "time"]
        rows = []
        for cell in self.cells:
            one = cell.measured
            if one is None:
                rows.append([cell.name, *["-"] * (len(columns) - 1)])
                continue
            adds = "-" if math.isnan(one.multiply_adds) else format_number(one.multiply_adds)
            memory = size_name(one.memory) if one.memory else "-"
            cells = [f"{one.parameters:,}", adds, f"{one.step:.3f} s", str(one.epochs), memory, size_name(one.disk)]
            rows.append([cell.name, *cells, duration(one.seconds)])
        return columns, rows

    def total(self) -> str:
        """The last line of the table."""
        memory = f", {size_name(self.memory)} of memory at the most" if self.memory else ""
        time = f"about {duration(self.seconds)}, {size_name(self.disk)} on disk{memory}"
        return f"{len(self.measured)} cells one after the other: {time}"

    def to_json(self) -> dict[str, Any]:
        """The document `--plan --json` prints."""
        cells = []
        for cell in self.cells:
            known = plain(asdict(cell.measured)) if cell.measured else {}
            cells.append({"name": cell.name, **known, **({"problem": cell.problem} if cell.problem else {})})
        total = {"cells": len(self.cells), "memory": self.memory, "disk": self.disk, "seconds": round(self.seconds, 1)}
        free = {"memory": self.free_memory, "disk": self.free_disk}
        return {"cells": cells, "total": total, "free": free, "budget": self.budget, "warnings": self.warnings()}


def make_plan(
    matrix: Matrix, root: Path, split: str = "test", console: Console | None = None,
    progress: Callable[[int, int], None] | None = None, data: SharedData | None = None,
) -> ComparisonPlan:  # fmt: skip
    """Open the data, then build and try each setting once; seeds of one setting take the same."""
    if split not in SPLITS:
        raise UsageError(unknown("split", split, SPLITS))
    validate_names(matrix)
    with data or SharedData() as data:
        base = prepare(matrix.base, None, console, data.open)
        base.opened.store.close()  # what is tried decodes its few images anew
        validate_split(base, split)
        if console:
            print_plan(console)(base)
        known: dict[str, CellPlan] = {}
        budget, num_test = budget_of(base), len(base.opened.dataset.split(split))
        for number, cell in enumerate(matrix.cells):
            if cell.entry not in known:
                known[cell.entry] = _planned(cell, data, budget, num_test)
            if progress:
                progress(number + 1, len(matrix.cells))
    cells = tuple(replace(known[cell.entry], name=cell.name) for cell in matrix.cells)
    place = next(folder for folder in (root.absolute(), *root.absolute().parents) if folder.exists())
    return ComparisonPlan(cells, budget, free_memory(), shutil.disk_usage(place).free)


def _planned(cell: Cell, data: SharedData, budget: dict[str, Any], num_test: int) -> CellPlan:
    try:
        plan = prepare(budgeted(cell.config, budget), None, None, data.open)
        plan.opened.store.close()
    except MaskwrightError as error:
        return CellPlan(cell.name, None, " ".join(str(error).split()))
    config = plan.config
    found = measure_in_subprocess(Task(replace(plan, opened=_light(plan.opened)), num_test))
    if isinstance(found, str):
        return CellPlan(cell.name, None, found)
    if config.train.budget is not None:  # which holds the search for a rate as well
        seconds = seconds_of(config.train.budget)
    else:
        seconds = found.seconds + (RANGE_STEPS * found.step if config.optim.lr == "auto" else 0)
    return CellPlan(cell.name, replace(found, seconds=seconds + _START))


def _light(opened: Opened) -> Opened:
    """The data without their pixels, which are decoded anew: small enough for another process."""
    store = PixelStore(opened.store.records, opened.store.sizes, opened.store.bands, "none", None)
    store.classes = opened.store.classes
    return replace(opened, store=store, inspected=())


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
        return self.measured.seconds / max(1, len(self.measured.measured))

    @property
    def disk(self) -> int:
        """The best trial keeps its weights, and the one that runs has its own."""
        return 2 * max((one.disk for one in self.measured.measured), default=0)

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
            "problems": self.measured.problems,
        }


def plan_search(space: Space, root: Path) -> SearchPlan:
    """Measure a step of the base, or of each model that is searched."""
    models = next((axis for axis in space.axes if isinstance(axis, Choices) and axis.key == "model"), None)
    proposals = {name: {"model": name} for name in models.values} if models else {"base": {}}
    # of every other key the first choice, or the lower end of a range
    first = {axis.key: next(iter(axis.values)) if isinstance(axis, Choices) else axis.low for axis in space.axes}
    configs = {name: space.config_of({**first, **values}) for name, values in proposals.items()}
    cells = tuple(Cell(name, name, name, proposals[name], config) for name, config in configs.items())
    axes = {axis.key: str(axis) for axis in space.axes}
    measured = make_plan(Matrix(space.base, cells, (), {}), root, "val")
    return SearchPlan(axes, space.trials, space.minutes, measured)
