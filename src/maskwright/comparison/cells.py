"""The cells of a comparison, one after the other: trained, scored, freed; what fails is written down and the rest goes on."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from maskwright.comparison.begun import refuse_other
from maskwright.comparison.finished import best_val, ensure_scored, is_scored, refuse_other_images
from maskwright.comparison.folder import (
    CELLS,
    Place,
    Plan,
    States,
    begin,
    is_comparison,
    new_comparison,
    read_plan,
    write_plan,
)
from maskwright.comparison.joining import joined, joining_places, scored_joining
from maskwright.comparison.matrix import Cell, Matrix
from maskwright.config import Config
from maskwright.data.augment import resolve as resolve_augment
from maskwright.data.dataset import SPLITS
from maskwright.data.record import data_document, validate_outside_data
from maskwright.errors import ConfigError, MaskwrightError, UsageError, counted, is_out_of_memory, must, unknown
from maskwright.folders import lock_folder
from maskwright.models.devices import release_memory
from maskwright.models.smp import refuse_unknown as refuse_unknown_smp
from maskwright.models.weights import own_weights, without_weights
from maskwright.runs import Run
from maskwright.terminal import duration
from maskwright.training import fit
from maskwright.training.loggers.choice import settle_log
from maskwright.training.optim import refuse_unfit as refuse_unfit_optim
from maskwright.training.plan import Plan as TrainingPlan
from maskwright.training.plan import prepare

Say = Callable[[str], None]
TellPlan = Callable[[TrainingPlan], None]


def compare_cells(
    matrix: Matrix, root: Path, split: str | None = None, say: Say = lambda line: None,
    console: Console | None = None, tell_plan: TellPlan | None = None,
) -> None:  # fmt: skip
    """Train and score every cell of a matrix in the folder `root`, or go on where an earlier call stopped there."""
    if split is not None and split not in SPLITS:
        raise UsageError(unknown("--split", split, SPLITS))
    refuse_unknown_names(matrix)
    begun = is_comparison(root)
    with lock_folder(root) if begun else new_comparison(root):
        if begun:
            plan, runs = _go_on(matrix, root, split)
        else:
            plan, runs = _begin(matrix, root, split or "test", console, tell_plan)
        _run_all(matrix, plan, runs, root, say, console)


def refuse_unknown_names(matrix: Matrix) -> None:
    """Names the configuration cannot know, of encoders, operations and optimisers: told before anything starts, all at once."""
    problems: list[str] = []
    for config, told in [(matrix.base, {}), *((cell.config, cell.told) for cell in matrix.cells)]:
        checks: tuple[tuple[str, Callable[[], object]], ...] = (
            ("augment", lambda config=config: resolve_augment(config.augment)),
            ("optim", lambda config=config: refuse_unfit_optim(config.optim)),
            ("model", lambda config=config: _refuse_unknown_model(config)),
        )
        for key, check in checks:
            try:
                check()
            except MaskwrightError as error:
                place = next((where for known, where in told.items() if known.partition(".")[0] == key), "base")
                problems += [f"{place}: {one}" for one in (error.problems if isinstance(error, ConfigError) else (str(error),))]
    if problems:
        raise ConfigError(list(dict.fromkeys(_once(problems))))


def _refuse_unknown_model(config: Config) -> None:
    model = config.model
    if model.name == "smp":
        refuse_unknown_smp(model if own_weights(model.weights) is None else without_weights(model))


def _once(problems: list[str]) -> list[str]:
    """A problem of the base that a cell has as well is the base's."""
    of_base = {problem for problem in problems if problem.startswith("base: ")}
    sentences = {problem.removeprefix("base: ") for problem in of_base}
    return [problem for problem in problems if problem in of_base or problem.partition(": ")[2] not in sentences]


def budget_of(plan: TrainingPlan) -> dict[str, Any]:
    """What every cell may spend: so many epochs of so many inputs, or so much time."""
    train = plan.config.train
    return {"budget": train.budget} if train.epochs == "auto" else {"epochs": train.epochs, "repeats": train.repeats}


def budgeted(config: Config, budget: Mapping[str, Any]) -> Config:
    """A cell's configuration with the epochs and repeats that were settled for all."""
    return config.replace({f"train.{key}": value for key, value in budget.items()})


def refuse_empty_split(plan: TrainingPlan, split: str) -> None:
    """Stop before training when there is nothing to score on."""
    sizes = plan.opened.dataset.sizes()
    if not sizes.get(split):
        have = ", ".join(name for name, size in sizes.items() if size)
        raise UsageError(must("--split", f"one that has images ({have})", repr(split), "Set data.split, or choose another."))


def _go_on(matrix: Matrix, root: Path, split: str | None) -> tuple[Plan, list[Run]]:
    """What the folder was begun with, perhaps for another split, and the finished runs that join, scored."""
    refuse_other(root, matrix)
    plan = read_plan(root)
    if split is not None and split != plan.split:
        plan = replace(plan, split=split)
        write_plan(root, plan)
    return plan, scored_joining(matrix, plan, root)


def _begin(matrix: Matrix, root: Path, split: str, console: Console | None, tell_plan: TellPlan | None) -> tuple[Plan, list[Run]]:
    """Open and audit the data once, before anything is written; what the base settles holds for all."""
    opened = prepare(matrix.base, None, console)
    try:
        refuse_empty_split(opened, split)
        validate_outside_data(root, opened.opened.dataset)
        if tell_plan:
            tell_plan(opened)
        cells = [Place(cell.name, cell.entry, f"{CELLS}/{cell.folder}", dict(cell.settings)) for cell in matrix.cells]
        plan = Plan(split, (*cells, *joining_places(matrix, data_document(opened.opened.dataset), split)), budget_of(opened))
    finally:
        opened.opened.store.close()
    runs = scored_joining(matrix, plan, root)  # what cannot be scored is told before hours of training
    begin(root, matrix.document, plan, done=joined(matrix, plan.places))
    return plan, runs


def _run_all(matrix: Matrix, plan: Plan, runs: list[Run], root: Path, say: Say, console: Console | None) -> None:
    states = States(root, [place.name for place in plan.places])
    left = [cell for cell in matrix.cells if not _is_done(root / CELLS / cell.folder, plan.split, states, cell)]
    if len(left) < len(matrix.cells):
        say(f"{len(matrix.cells) - len(left)} of {len(matrix.cells)} cells are finished already")
    finished = (Run(root / CELLS / cell.folder) for cell in matrix.cells if cell not in left)
    first = next(iter([*runs, *finished]), None)
    for number, cell in enumerate(left):
        folder = root / CELLS / cell.folder
        states.change(cell.name, state="running", reason=None, trace=None)
        if console and console.is_terminal:
            console.print(f"{_counted(matrix, cell)}  {cell.name}", soft_wrap=True)
        started = time.perf_counter()
        outcome = _attempt(cell, plan, folder, first, console)
        spent = states[cell.name].seconds + time.perf_counter() - started
        spent = max(spent, _trained_seconds(folder))  # what a killed process had done is in the history alone
        states.change(cell.name, **outcome, seconds=round(spent, 1))
        if outcome["state"] == "done" and first is None:
            first = Run(folder)
        release_memory()
        say(_line(matrix, cell, states, folder, left[number + 1 :]))


def _trained_seconds(folder: Path) -> float:
    return sum(row["seconds"] for row in Run(folder).history)


def _is_done(folder: Path, split: str, states: States, cell: Cell) -> bool:
    return states[cell.name].state == "done" and (folder / "model.safetensors").is_file() and is_scored(Run(folder), split)


def _attempt(cell: Cell, plan: Plan, folder: Path, first: Run | None, console: Console | None) -> dict[str, Any]:
    """Train and score a cell; its new state, with the reason if it failed."""
    try:
        _train(cell, plan, folder, console)
        if first is not None:
            refuse_other_images([first, Run(folder)], plan.split)
        ensure_scored(Run(folder), plan.split, log=settle_log(cell.config, {}).log)
    except MaskwrightError as error:
        return {"state": "failed", "reason": " ".join(str(error).split())}
    except Exception as error:  # noqa: BLE001 - a cell may fail in ways nobody foresaw, and the others must go on
        first_line = next(iter(str(error).splitlines()), "") or "no reason given"
        if is_out_of_memory(error):
            fix = "Lower train.batch_size or data.size, or leave it out."
            return {"state": "failed", "reason": f"there was not enough memory ({first_line[:160]}). {fix}"}
        told = f"{type(error).__name__}: {first_line[:300]}"
        return {"state": "failed", "reason": f"an error nobody foresaw, {told}", "trace": traceback.format_exc()}
    return {"state": "done"}


def _train(cell: Cell, plan: Plan, folder: Path, console: Console | None) -> None:
    if (folder / "model.safetensors").is_file():
        return
    if (folder / "config.yaml").is_file():
        fit.resume(folder, console, log=settle_log(cell.config, {}).log, every_epoch=False)
    else:
        fit.train(budgeted(cell.config, plan.budget), folder, console, every_epoch=False)


def _counted(matrix: Matrix, cell: Cell) -> str:
    return f"{matrix.cells.index(cell) + 1}/{len(matrix.cells)}"


def _line(matrix: Matrix, cell: Cell, states: States, folder: Path, left: list[Cell]) -> str:
    """A cell's outcome in a line; of validation, as nothing may be chosen by looking at the test."""
    state = states[cell.name]
    if state.state == "failed":
        told = f"failed: {state.reason}"
    else:
        run = Run(folder)
        told = f"val IoU {best_val(run, 'val_iou'):.4f}, {counted(len(run.history), 'epoch')}, {duration(state.seconds)}"
    rest = _seconds_left(matrix, states, left)
    line = f"{_counted(matrix, cell)}  {cell.name}  {told}"
    return f"{line.removesuffix('.')}; about {duration(rest)} left" if rest else line


def _seconds_left(matrix: Matrix, states: States, left: list[Cell]) -> float:
    """As long as another seed of the same setting took, else as long as the cells did that are done."""
    took = {one.name: states[one.name].seconds for one in matrix.cells if states[one.name].state == "done"}
    if not took:
        return 0.0
    mean = sum(took.values()) / len(took)
    total = 0.0
    for cell in left:
        alike = [took[one.name] for one in matrix.cells if one.entry == cell.entry and one.name in took]
        total += max(0.0, (sum(alike) / len(alike) if alike else mean) - states[cell.name].seconds)
    return total
