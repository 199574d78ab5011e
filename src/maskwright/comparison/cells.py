"""The cells of a comparison: each trained, scored and freed; what fails is written down and the rest goes on."""

from __future__ import annotations

import shutil
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from maskwright.comparison import folder as folders
from maskwright.comparison.collect import best_val, compare_runs, ensure_scored, gathered, is_scored
from maskwright.comparison.compatibility import refuse_other_data, refuse_other_images
from maskwright.comparison.entries import Comparison
from maskwright.comparison.folder import CELLS, GIVEN, Place, Plan, States, is_comparison, open_comparison
from maskwright.comparison.naming import unlike
from maskwright.comparison.resume import place_for, refuse_other
from maskwright.comparison.spec import Cell, Matrix, read_matrix
from maskwright.config import Config
from maskwright.config.files import Override
from maskwright.data.augment import resolve as resolve_augment
from maskwright.data.dataset import SPLITS
from maskwright.data.record import data_document, validate_outside_data
from maskwright.errors import ConfigError, MaskwrightError, UsageError, as_typed, counted, is_out_of_memory, unknown
from maskwright.folders import lock_folder, out_folder
from maskwright.models.devices import release_memory
from maskwright.models.smp import refuse_unknown as refuse_unknown_smp
from maskwright.models.weights import own_weights, without_weights
from maskwright.runs import Run, of_other_kind, refuse_unfinished
from maskwright.terminal import Counter, duration, goes_on_with
from maskwright.training import fit
from maskwright.training.gate import OpenData, SharedData, open_checked
from maskwright.training.loggers.choice import resolve_log
from maskwright.training.optim import validate_optimizer
from maskwright.training.plan import Plan as TrainingPlan
from maskwright.training.plan import prepare, reading
from maskwright.training.summary import print_plan

Say = Callable[[str], object]


def compare(
    what: Sequence[str | Path], overrides: Sequence[Override] = (), out: str | Path | None = None,
    split: str | None = None, console: Console | None = None,
) -> Comparison:  # fmt: skip
    """Compare the cells of a CONFIG, go on with a comparison (its folder), or compare finished runs."""
    if len(what) > 1:
        return _compare_runs(what, overrides, out, split or "test", console)
    if what and folders.is_of_runs(what[0]) and not overrides and not out:
        return open_comparison(what[0])
    with SharedData() as data:
        matrix, root = matrix_and_folder(what, overrides, out, data.open)
        begun = is_comparison(root)
        with out_folder(out or (root if begun else None), root) as place:
            compare_cells(matrix, place, split, console, begun and not out and Path(what[0]).is_file(), data=data)
            return open_comparison(place)


def matrix_and_folder(
    what: Sequence[str | Path], overrides: Sequence[Override] = (), out: str | Path | None = None,
    open_data: OpenData = open_checked,
) -> tuple[Matrix, Path]:  # fmt: skip
    """The matrix of a CONFIG or of a comparison's folder, and where its cells are."""
    wanted = "`compare` must be given a CONFIG, a comparison's folder or finished runs; got"
    if not what:
        raise UsageError(f"{wanted} none. Write maskwright compare CONFIG, or maskwright compare RUN RUN.")
    path = Path(what[0])
    if not path.is_dir():
        matrix = read_matrix(path, overrides)
        return matrix, Path(out) if out else place_for(matrix, open_data)
    if not is_comparison(path):
        is_run = (path / "config.yaml").is_file()
        kind = "a run, and one run alone compares with nothing" if is_run else f"without {GIVEN}"
        other = of_other_kind(path)
        what_it_is = f"which {other}" if other else f"{kind}. Name two runs or more, or a CONFIG."
        raise UsageError(f"{wanted} {path}, {what_it_is}")
    if overrides or out:
        got = overrides[0][2] if overrides else "--out"
        raise UsageError(f"{path} cannot be combined with {got}: a comparison goes on as it began. Leave it out.")
    return read_matrix(path / GIVEN), path


def _compare_runs(
    what: Sequence[str | Path],
    overrides: Sequence[Override],
    out: str | Path | None,
    split: str,
    console: Console | None,
) -> Comparison:
    moved = next((Path(value) for key, value, _ in overrides if key == "data.root"), None)
    if other := next((flag for key, _, flag in overrides if key != "data.root"), None):
        raise UsageError(f"{other} cannot be combined with finished runs, which stay as they are. Leave it out.")
    runs = [Run.open(name) for name in what]
    with out_folder(out, folders.comparison_out(runs[0].config)) as root:
        folders.refuse_taken(root)  # before they are evaluated
        counter = Counter(console, "evaluating") if console else None
        return folders.keep_runs(compare_runs(runs, split, moved, counter), root)


def compare_cells(
    matrix: Matrix, root: Path, split: str | None = None, console: Console | None = None, found: bool = False,
    say: Say | None = None, data: SharedData | None = None,
) -> None:  # fmt: skip
    """Train and score every cell of a matrix in the folder `root`, or go on where an earlier call stopped there.

    `found` when the folder was not named but is that of an earlier call. All cells read the same `data`.
    """
    if split is not None and split not in SPLITS:
        raise UsageError(unknown("split", split, SPLITS))
    say = say or (partial(console.print, soft_wrap=True) if console else lambda line: None)
    for note in matrix.notes:
        say(f"note    {note}")
    joining = f" and {counted(len(matrix.joining), 'finished run')}" if matrix.joining else ""
    again = ", begun by an earlier call with the same cells; --out FOLDER begins anew" if found else ""
    say(f"comparing {counted(len(matrix.cells), 'cell')}{joining} in {root}{again}")
    validate_names(matrix)
    begun = is_comparison(root)
    with (
        goes_on_with(f"maskwright compare {as_typed(root)}", root / GIVEN),
        lock_folder(root) if begun else folders.new_comparison(root),
        data or SharedData() as data,
    ):
        data.folder = root / "cache"
        shutil.rmtree(data.folder, ignore_errors=True)  # of a process that was killed
        plan, runs = _go_on(matrix, root, split) if begun else _begin(matrix, root, split or "test", console, data)
        _run_all(matrix, plan, runs, root, say, console, data)


def validate_names(matrix: Matrix) -> None:
    """Stop before anything starts at names the configuration cannot know, of encoders, operations and optimisers."""
    problems: dict[str, str] = {}  # sentence → where; what is wrong with the base is wrong with its cells too
    for config, sources in [(matrix.base, {}), *((cell.config, cell.sources) for cell in matrix.cells)]:
        checks: dict[str, Callable[[], object]] = {
            "augment": partial(resolve_augment, config.augment),
            "optim": partial(validate_optimizer, config.optim),
            "model": partial(_validate_model, config),
        }
        for key, check in checks.items():
            try:
                check()
            except MaskwrightError as error:
                place = next((where for known, where in sources.items() if known.partition(".")[0] == key), "base")
                for one in error.problems if isinstance(error, ConfigError) else [str(error)]:
                    problems.setdefault(one, place)
    if problems:
        raise ConfigError([f"{place}: {one}" for one, place in problems.items()])


def _validate_model(config: Config) -> None:
    model = config.model
    if model.name == "smp":
        refuse_unknown_smp(model if own_weights(model.weights) is None else without_weights(model))


def budget_of(plan: TrainingPlan) -> dict[str, Any]:
    """What every cell may spend: so many epochs of so many inputs, or so much time."""
    train = plan.config.train
    return {"budget": train.budget} if train.epochs == "auto" else {"epochs": train.epochs, "repeats": train.repeats}


def budgeted(config: Config, budget: Mapping[str, Any]) -> Config:
    """A cell's configuration with the epochs and repeats that hold for all."""
    return config.replace({f"train.{key}": value for key, value in budget.items()})


def validate_split(plan: TrainingPlan, split: str) -> None:
    """Stop before training when there is nothing to score on."""
    sizes = plan.opened.dataset.sizes()
    if not sizes.get(split):
        have = ", ".join(name for name, size in sizes.items() if size)
        fix = "Set data.split, or choose another."
        raise UsageError(f"`--split` must be one that has images ({have}); got {split!r}. {fix}")


def _go_on(matrix: Matrix, root: Path, split: str | None) -> tuple[Plan, list[Run]]:
    """What the folder was begun with, perhaps for another split, and the finished runs that join, scored."""
    refuse_other(root, matrix)
    plan = folders.read_plan(root)
    if split is not None and split != plan.split:
        plan = replace(plan, split=split)
        folders.write_plan(root, plan)
    return plan, _scored_joining(matrix, plan, root)


def _begin(matrix: Matrix, root: Path, split: str, console: Console | None, data: SharedData) -> tuple[Plan, list[Run]]:
    """Open and audit the data once, before anything is written; what `auto` becomes in the base holds for all."""
    opened = prepare(matrix.base, None, console, data.open)
    try:
        validate_split(opened, split)
        validate_outside_data(root, opened.opened.dataset)
        if console:
            print_plan(console)(opened)
        cells = [Place(cell.name, cell.entry, f"{CELLS}/{cell.folder}", dict(cell.settings)) for cell in matrix.cells]
        joining = _joining_places(matrix, data_document(opened.opened.dataset), split)
        plan = Plan(split, (*cells, *joining), budget_of(opened))
    finally:
        opened.opened.store.close()
    runs = _scored_joining(matrix, plan, root)  # what cannot be scored stops it before hours of training
    folders.begin(root, matrix.document, plan, done=_joined(matrix, plan.places))
    return plan, runs


def _joining_places(matrix: Matrix, document: dict[str, Any], split: str) -> tuple[Place, ...]:
    """Places of the finished runs, which must be of the base's images; `document` is what data.json will hold."""
    runs = [Run.open(path) for path in matrix.joining]
    for run in runs:
        refuse_unfinished(run)
    refuse_other_data([("base", document), *((str(run.root), run.data) for run in runs)], split)
    found = gathered(runs) if runs else []
    cells = list(dict.fromkeys(name for cell in matrix.cells for name in (cell.entry, cell.name)))
    names = unlike([*cells, *(name for name, _, _ in found)])[len(cells) :]
    # what varies is the matrix's; how a finished run differs from its cells stands in the settings of both
    groups = [group for _, _, group in found]
    return tuple(one for name, group in zip(names, groups, strict=True) for one in folders.places_of(name, {}, group))


def _scored_joining(matrix: Matrix, plan: Plan, root: Path) -> list[Run]:
    """The finished runs that joined, scored on the comparison's split."""
    runs = [Run.open(root / place.run) for place in _joined(matrix, plan.places)]
    for run in runs:
        is_there = Path(run.data["root"]).exists()
        ensure_scored(run, plan.split, None if is_there else Path(matrix.base.data.root or ""))
    return runs


def _joined(matrix: Matrix, places: Sequence[Place]) -> list[Place]:
    """The places that are no cells of the matrix."""
    cells = {cell.name for cell in matrix.cells}
    return [place for place in places if place.name not in cells]


def _run_all(
    matrix: Matrix, plan: Plan, runs: list[Run], root: Path, say: Say, console: Console | None, data: SharedData
) -> None:
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
        outcome = _attempt(cell, plan, folder, first, console, data)
        spent = states[cell.name].seconds + time.perf_counter() - started
        # what a killed process had done is in the history alone
        spent = max(spent, sum(row["seconds"] for row in Run(folder).history))
        states.change(cell.name, **outcome, seconds=round(spent, 1))
        if outcome["state"] == "done" and first is None:
            first = Run(folder)
        release_memory()
        say(_line(matrix, cell, states, folder, left[number + 1 :]))


def _is_done(folder: Path, split: str, states: States, cell: Cell) -> bool:
    run = Run(folder)
    return states[cell.name].state == "done" and run.weights.is_file() and is_scored(run, split)


def _attempt(
    cell: Cell, plan: Plan, folder: Path, first: Run | None, console: Console | None, data: SharedData
) -> dict[str, Any]:
    """Train and score a cell; its new state, with the reason if it failed."""
    try:
        _train(cell, plan, folder, console, data)
        if first is not None:
            refuse_other_images([first, Run(folder)], plan.split)
        ensure_scored(Run(folder), plan.split, log=resolve_log(cell.config, {}).log)
    except MaskwrightError as error:
        return {"state": "failed", "reason": " ".join(str(error).split())}
    except Exception as error:  # noqa: BLE001 - a cell may fail in ways nobody foresaw, and the others must go on
        first_line = next(iter(str(error).splitlines()), "") or "no reason given"
        if is_out_of_memory(error):
            fix = "Lower train.batch_size or data.size, or leave it out."
            return {"state": "failed", "reason": f"there was not enough memory ({first_line[:160]}). {fix}"}
        what = f"{type(error).__name__}: {first_line[:300]}"
        return {"state": "failed", "reason": f"an error nobody foresaw, {what}", "trace": traceback.format_exc()}
    return {"state": "done"}


def _train(cell: Cell, plan: Plan, folder: Path, console: Console | None, data: SharedData) -> None:
    if (folder / "model.safetensors").is_file():
        return
    if (folder / "config.yaml").is_file():
        with reading(console) as progress:
            opened, _ = data.open(cell.config, None, progress)
        fit.resume(folder, console, log=resolve_log(cell.config, {}).log, every_epoch=False, opened=opened)
    else:
        fit.train(budgeted(cell.config, plan.budget), folder, console, every_epoch=False, open_data=data.open)


def _counted(matrix: Matrix, cell: Cell) -> str:
    return f"{matrix.cells.index(cell) + 1}/{len(matrix.cells)}"


def _line(matrix: Matrix, cell: Cell, states: States, folder: Path, left: list[Cell]) -> str:
    """A cell's outcome in a line; of validation, as nothing may be chosen by looking at the test."""
    state = states[cell.name]
    if state.state == "failed":
        label = f"failed: {state.reason}"
    else:
        run = Run(folder)
        score, epochs = best_val(run, "val_iou"), counted(len(run.history), "epoch")
        label = f"val IoU {score:.4f}, {epochs}, {duration(state.seconds)}"
    rest = _seconds_left(matrix, states, left)
    line = f"{_counted(matrix, cell)}  {cell.name}  {label}"
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
