"""Search for a good setting by validation alone: Optuna proposes, each trial is a run, bad ones are cut short.

    space = read_space("search.yaml")
    result = search(space, Path("runs/search"))
    result.best.score, result.best_config

The folder holds all a search knows: `trials.log` is Optuna's journal. Killed and called again it goes on, and proposes what it
would have proposed. Test images are never predicted.
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from rich.console import Console

from maskwright.comparison.cells import budget_of, budgeted
from maskwright.comparison.search_result import SearchResult, Trial, as_csv, document, told
from maskwright.comparison.search_space import Space
from maskwright.comparison.search_study import (
    Watch,
    counted,
    forget_cut_short,
    importance,
    load_optuna,
    open_study,
    propose,
    quiet,
    tell,
)
from maskwright.config.base import MONITORS
from maskwright.config.files import read_yaml, to_yaml
from maskwright.data.record import validate_outside_data
from maskwright.errors import ConfigError, ModelError, RunError, TrainingError, is_out_of_memory, listed
from maskwright.files import plain, write_json, write_text
from maskwright.folders import lock_folder
from maskwright.models.devices import release_memory
from maskwright.runs import SEARCH, Run, refuse_used
from maskwright.training import fit
from maskwright.training.plan import prepare

if TYPE_CHECKING:
    import optuna

GIVEN, RESULT = SEARCH, "search.json"
Say = Callable[[str], None]


def search(space: Space, root: Path, say: Say = lambda line: None, console: Console | None = None) -> SearchResult:
    """Try settings until the trials or the minutes are used up; go on where an earlier call stopped in this folder."""
    started = time.monotonic()
    optuna = load_optuna()
    _refuse_other(root, space)
    with lock_folder(root), quiet(optuna):
        _refuse_other(root, space)  # somebody may have used the time
        plan = prepare(space.base, None, console)  # data that cannot be used are told before anything is written
        budget, num_val = budget_of(plan), len(plan.opened.dataset.split("val"))
        plan.opened.store.close()
        validate_outside_data(root, plan.opened.dataset)
        del plan
        if not (root / GIVEN).is_file():
            write_text(root / GIVEN, yaml.safe_dump(plain(space.document()), sort_keys=False, allow_unicode=True))
        study = open_study(optuna, space, root)
        forget_cut_short(optuna, study, root)
        spent = sum(trial.seconds for trial in counted(study, space))
        while len(done := counted(study, space)) < space.trials:
            if space.minutes is not None and spent + time.monotonic() - started >= 60 * space.minutes:
                say(f"{space.minutes:g} minutes are used up after {len(done)} of {space.trials} trials")
                break
            trial = _try(optuna, study, space, root, budget, len(done), console)
            release_memory()
            result = _result(optuna, study, space, root, num_val)
            say(told(trial, space, result))
            _write(result, space)
        return _result(optuna, study, space, root, num_val)


def _refuse_other(root: Path, space: Space) -> None:
    """Stop when the folder holds something else, or a search that was begun with other settings."""
    given = root / GIVEN
    if given.is_file():
        then, now = read_yaml(given)[0], {key: value for key, value in plain(space.document()).items() if value is not None}
        if then != now:
            parts = [part for part in now if then.get(part) != now[part]]
            fix = "Choose another --out to begin anew; trials and minutes alone may change."
            raise RunError(f"`CONFIG` must be what {root} was begun with; {listed(parts)} differs. {fix}")
    else:
        refuse_used(root)


def _try(
    optuna: Any, study: optuna.Study, space: Space, root: Path, budget: Mapping[str, Any], num_done: int, console: Console | None
) -> Trial:
    """Propose a setting, train it, and tell the study."""
    proposal, values = propose(optuna, study, space, num_done)
    started = time.perf_counter()
    state, score, epochs, reason = _train(proposal, space, values, root / f"trials/{num_done + 1:03d}", budget, console)
    trial = Trial(num_done + 1, state, values, score, epochs, round(time.perf_counter() - started, 1), reason)
    tell(optuna, study, proposal, trial)
    return trial


def _train(
    proposal: optuna.Trial, space: Space, values: Mapping[str, Any], folder: Path, budget: Mapping[str, Any],
    console: Console | None,
) -> tuple[str, float, int, str | None]:  # fmt: skip
    """State, score, epochs and the reason of a failure."""
    watch = Watch(proposal, space.base.train.monitor)
    try:
        config = budgeted(space.config_of(values), budget)
        fit.train(config, folder, console, after_epoch=watch.after_epoch, every_epoch=False)
    except (TrainingError, ModelError, ConfigError) as error:
        return "failed", math.nan, watch.epochs, str(error)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        return "failed", math.nan, watch.epochs, "memory did not suffice"
    finally:
        shutil.rmtree(folder / "cache", ignore_errors=True)
    if math.isnan(watch.best):
        return "failed", math.nan, watch.epochs, f"{space.base.train.monitor} was undefined in every epoch"
    return "pruned" if watch.pruned else "done", watch.best, watch.epochs, None


def _result(optuna: Any, study: optuna.Study, space: Space, root: Path, num_val: int) -> SearchResult:
    trials = tuple(counted(study, space))
    return SearchResult(root, space.base.train.monitor, trials, importance(optuna, study, trials), num_val)


def _write(result: SearchResult, space: Space) -> None:
    """The table, the best setting ready for training, and the weights of the best alone."""
    write_json(result.root / RESULT, document(result, space))
    write_text(result.root / "trials.csv", as_csv(result, space))
    best = result.best
    for trial in result.trials:
        folder = result.root / trial.folder
        if trial is not best and folder.is_dir():  # a search of many trials would fill the disk
            shutil.rmtree(folder / "checkpoints", ignore_errors=True)
            (folder / "model.safetensors").unlink(missing_ok=True)
    if best:
        run = Run.open(result.root / best.folder)
        name = f"validation {MONITORS[result.monitor]}"
        head = f"# trial {best.number} of {len(result.trials)}, the best by {name}: {best.score:.4f}\n"
        write_text(result.best_config, head + to_yaml(run.config))
