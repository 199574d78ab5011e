"""Search for a good setting by validation alone: Optuna proposes, each trial is a run, bad ones are cut short.

    space = read_space("search.yaml")
    result = search(space, Path("runs/search"))
    result.best.score, result.best_config

The folder holds all a search knows: `trials.log` is Optuna's journal. Killed and called again it goes on, and proposes
what it would have proposed: each proposal's random numbers follow from the seed and the number of trials that count.
Test images are never predicted.
"""

from __future__ import annotations

import contextlib
import math
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from rich.console import Console

from maskwright.comparison.cells import budget_of, budgeted
from maskwright.comparison.search_result import (
    LEAST_FOR_IMPORTANCE,
    SearchResult,
    Trial,
    as_csv,
    document,
    format_trial,
)
from maskwright.comparison.search_space import Axis, Choices, Space
from maskwright.config.base import MONITORS, higher_is_better
from maskwright.config.files import read_yaml, to_yaml
from maskwright.data.record import validate_outside_data
from maskwright.errors import (
    ConfigError,
    ModelError,
    RunError,
    TrainingError,
    install_command,
    is_out_of_memory,
    listed,
)
from maskwright.files import plain, write_json, write_text
from maskwright.folders import lock_folder
from maskwright.models.devices import release_memory
from maskwright.runs import SEARCH, Run, refuse_used
from maskwright.training import fit
from maskwright.training.gate import OpenData, SharedData
from maskwright.training.plan import prepare

if TYPE_CHECKING:
    import optuna

GIVEN, RESULT = SEARCH, "search.json"
Say = Callable[[str], object]
JOURNAL = "trials.log"
RUNGS = 10  # looks at a trial, a tenth of its epochs apart, so that trials of unlike length can be compared
_STARTUP = 8  # proposals at random before the sampler follows what it has seen
_WARMUP_RUNGS, _WARMUP_TRIALS = 2, 4  # nothing is pruned before


def search(space: Space, root: Path, console: Console | None = None, say: Say | None = None) -> SearchResult:
    """Try settings until the trials or the minutes are used up; go on where an earlier call stopped in this folder."""
    started = time.monotonic()
    say = say or (partial(console.print, soft_wrap=True) if console else lambda line: None)
    optuna = load_optuna()
    _refuse_other(root, space)
    with lock_folder(root), quiet(optuna), SharedData() as data:
        _refuse_other(root, space)  # somebody may have used the time
        data.folder = root / "cache"
        shutil.rmtree(data.folder, ignore_errors=True)  # of a process that was killed
        # data that cannot be used stop it before anything is written
        plan = prepare(space.base, None, console, data.open)
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
            number, began = len(done) + 1, time.perf_counter()
            proposal, values = propose(optuna, study, space, len(done))
            outcome = _train(proposal, space, values, root / f"trials/{number:03d}", budget, console, data.open)
            state, score, epochs, reason = outcome
            trial = Trial(number, state, values, score, epochs, round(time.perf_counter() - began, 1), reason)
            record_trial(optuna, study, proposal, trial)
            release_memory()
            result = _result(optuna, study, space, root, num_val)
            say(format_trial(trial, space, result))
            _write(result, space)
        return _result(optuna, study, space, root, num_val)


def _refuse_other(root: Path, space: Space) -> None:
    """Stop when the folder holds something else, or a search that was begun with other settings."""
    given = root / GIVEN
    if not given.is_file():
        refuse_used(root)
        return
    then, now = read_yaml(given)[0], plain(space.document())
    parts = [part for part in now if then.get(part) != now[part]]
    if parts:
        fix = "Choose another --out to begin anew; trials and minutes alone may change."
        raise RunError(f"`CONFIG` must be what {root} was begun with; {listed(parts)} differs. {fix}")


def _train(
    proposal: optuna.Trial, space: Space, values: Mapping[str, Any], folder: Path, budget: Mapping[str, Any],
    console: Console | None, open_data: OpenData,
) -> tuple[str, float, int, str | None]:  # fmt: skip
    """State, score, epochs and the reason of a failure."""
    monitor = space.base.train.monitor
    watch = Watch(proposal, monitor)
    try:
        config = budgeted(space.config_of(values), budget)
        fit.train(config, folder, console, after_epoch=watch.after_epoch, every_epoch=False, open_data=open_data)
    except (TrainingError, ModelError, ConfigError) as error:
        return "failed", math.nan, watch.epochs, str(error)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        return "failed", math.nan, watch.epochs, "memory did not suffice"
    if math.isnan(watch.best):
        return "failed", math.nan, watch.epochs, f"{monitor} was undefined in every epoch"
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


def load_optuna() -> Any:
    """Optuna, or one sentence on how to get it."""
    try:
        import optuna
    except ImportError:
        raise ModelError(f"`search` must have Optuna; it is not installed. Run: {install_command('search')}") from None
    return optuna


@contextlib.contextmanager
def quiet(optuna: Any) -> Iterator[None]:
    """Optuna logs each trial; we tell them ourselves."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)


def open_study(optuna: Any, space: Space, root: Path) -> optuna.Study:
    """The study whose journal lies in a search's folder, begun where there is none."""
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

    path = str(root / JOURNAL)
    storage = optuna.storages.JournalStorage(JournalFileBackend(path, lock_obj=JournalFileOpenLock(path)))
    pruners = {
        "median": lambda: optuna.pruners.MedianPruner(n_startup_trials=_WARMUP_TRIALS, n_warmup_steps=_WARMUP_RUNGS),
        "hyperband": lambda: optuna.pruners.HyperbandPruner(min_resource=1, max_resource=RUNGS, reduction_factor=3),
        "none": optuna.pruners.NopPruner,
    }
    direction = "maximize" if higher_is_better(space.base.train.monitor) else "minimize"
    return optuna.create_study(
        storage=storage, study_name="search", direction=direction, load_if_exists=True, pruner=pruners[space.pruner]()
    )


def forget_cut_short(optuna: Any, study: optuna.Study, root: Path) -> None:
    """A trial that ran when the search was killed does not count; its folder makes room for the one tried instead."""
    trials = study.get_trials(deepcopy=False)
    kept = {trial.user_attrs["number"] for trial in trials if _counts(trial)}
    cut_short = {len(kept) + 1} if len(kept) < len(trials) else set()
    folders = {
        int(path.name): path for path in (root / "trials").glob("[0-9]*") if path.is_dir() and path.name.isdigit()
    }
    if unknown := sorted(folders.keys() - kept - cut_short):
        if not trials:  # made a moment ago, and not to be taken for the one that is missing
            (root / JOURNAL).unlink()
        fix = "Restore it, or choose another --out to begin anew."
        raise RunError(f"`{root / JOURNAL}` must tell of every trial; it tells nothing of {folders[unknown[0]]}. {fix}")
    for trial in trials:
        if trial.state == optuna.trial.TrialState.RUNNING:
            study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
    for number in folders.keys() & (cut_short - kept):
        shutil.rmtree(folders[number])


def counted(study: optuna.Study, space: Space) -> list[Trial]:
    """The trials that count, in order."""
    found = []
    for trial in study.get_trials(deepcopy=False):
        if not _counts(trial):
            continue
        attributes = trial.user_attrs
        values = {axis.key: trial.params[axis.key] for axis in space.axes}
        score = math.nan if attributes["score"] is None else attributes["score"]
        found.append(
            Trial(
                attributes["number"],
                attributes["state"],
                values,
                score,
                attributes["epochs"],
                attributes["seconds"],
                attributes["reason"],
            )
        )
    return sorted(found, key=lambda trial: trial.number)


def _counts(trial: Any) -> bool:
    return trial.state.name in ("COMPLETE", "PRUNED")


def propose(optuna: Any, study: optuna.Study, space: Space, num_done: int) -> tuple[optuna.Trial, dict[str, Any]]:
    """The next setting, the base's own first where it lies in the space: what the search finds should beat it."""
    study.sampler = optuna.samplers.TPESampler(
        seed=(space.seed * 1_000_003 + num_done) % 2**32, n_startup_trials=_STARTUP
    )
    own = space.base_proposal() if num_done == 0 else None
    if own is not None and not study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.WAITING,)):
        study.enqueue_trial(own)
    proposal = study.ask()
    return proposal, {axis.key: suggest(proposal, axis) for axis in space.axes}


def suggest(proposal: optuna.Trial, axis: Axis) -> Any:
    """A value of one axis."""
    if isinstance(axis, Choices):
        return proposal.suggest_categorical(axis.key, list(axis.values))
    if axis.is_whole:
        return proposal.suggest_int(axis.key, int(axis.low), int(axis.high), step=int(axis.step or 1), log=axis.log)
    return proposal.suggest_float(axis.key, axis.low, axis.high, step=axis.step, log=axis.log)


def record_trial(optuna: Any, study: optuna.Study, proposal: optuna.Trial, trial: Trial) -> None:
    """Write a trial into the journal."""
    for key in ("number", "state", "epochs", "seconds", "reason"):
        proposal.set_user_attr(key, getattr(trial, key))
    proposal.set_user_attr("score", None if math.isnan(trial.score) else trial.score)
    if trial.state == "done":
        study.tell(proposal, trial.score)
    else:
        # a failure counts as pruned: the sampler learns from these to look elsewhere, and nothing from failed ones
        study.tell(proposal, state=optuna.trial.TrialState.PRUNED)


def importance(optuna: Any, study: optuna.Study, trials: tuple[Trial, ...]) -> Mapping[str, float]:
    """Each key's share of what decided; empty while too few trials tell."""
    scores = [trial.score for trial in trials if trial.state == "done"]
    if len(scores) < LEAST_FOR_IMPORTANCE or len(set(scores)) < 2:
        return {}
    return {key: float(share) for key, share in optuna.importance.get_param_importances(study).items()}


class Watch:
    """Reports a trial's best score so far at each tenth of its epochs, and ends it where the pruner says so."""

    def __init__(self, proposal: optuna.Trial, monitor: str) -> None:
        self.proposal, self.monitor = proposal, monitor
        self.best, self.epochs, self.rung, self.pruned = math.nan, 0, 0, False

    def after_epoch(self, done: int, planned: int, scores: dict[str, float]) -> bool:
        """Take an epoch's scores; whether the trial is to end here."""
        score, before, self.epochs = scores[self.monitor], self.best, done
        better = (score > self.best) if higher_is_better(self.monitor) else (score < self.best)
        if better or math.isnan(self.best):
            self.best = score
        reached = done * RUNGS // planned
        for rung in range(self.rung + 1, reached + 1):
            value = self._at(rung * planned / RUNGS - (done - 1), before)
            if not math.isnan(value):
                self.proposal.report(value, rung)
        # never after the first epoch, which says nothing of the next
        self.pruned = self.rung < reached < RUNGS and not math.isnan(before) and self.proposal.should_prune()
        self.rung = max(self.rung, reached)
        return self.pruned

    def _at(self, share: float, before: float) -> float:
        """The score at a rung within the last epoch: trials of more and fewer epochs are compared at one place."""
        value = self.best if share > 1 - 1e-9 else before + share * (self.best - before)
        return round(value, 9)  # so that equal courses are equal
