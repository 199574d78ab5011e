"""Optuna's part of a search: its journal, what it proposes, and when it ends a trial.

Each proposal's random numbers follow from the seed and the number of trials that count, so a search that was killed proposes
what an uninterrupted one does.
"""

from __future__ import annotations

import contextlib
import math
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maskwright.comparison.search_result import LEAST_FOR_IMPORTANCE, Trial
from maskwright.comparison.search_space import Axis, Choices, Space
from maskwright.config.base import higher_is_better
from maskwright.errors import ModelError, RunError, install_command

if TYPE_CHECKING:
    import optuna

JOURNAL = "trials.log"
RUNGS = 10  # looks at a trial, a tenth of its epochs apart, so that trials of unlike length can be compared
_STARTUP = 8  # proposals at random before the sampler follows what it has seen
_WARMUP_RUNGS, _WARMUP_TRIALS = 2, 4  # nothing is pruned before


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
    """A trial that was running when the search was killed counts not; its folder makes room for the one tried instead."""
    trials = study.get_trials(deepcopy=False)
    kept = {trial.user_attrs["number"] for trial in trials if _counts(trial)}
    cut_short = {len(kept) + 1} if len(kept) < len(trials) else set()
    folders = {int(path.name): path for path in (root / "trials").glob("[0-9]*") if path.is_dir() and path.name.isdigit()}
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
        told = trial.user_attrs
        values = {axis.key: trial.params[axis.key] for axis in space.axes}
        score = math.nan if told["score"] is None else told["score"]
        found.append(Trial(told["number"], told["state"], values, score, told["epochs"], told["seconds"], told["reason"]))
    return sorted(found, key=lambda trial: trial.number)


def _counts(trial: Any) -> bool:
    return trial.state.name in ("COMPLETE", "PRUNED")


def propose(optuna: Any, study: optuna.Study, space: Space, num_done: int) -> tuple[optuna.Trial, dict[str, Any]]:
    """The next setting, the base's own first where it lies in the space: what the search finds should beat it."""
    study.sampler = optuna.samplers.TPESampler(seed=(space.seed * 1_000_003 + num_done) % 2**32, n_startup_trials=_STARTUP)
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


def tell(optuna: Any, study: optuna.Study, proposal: optuna.Trial, trial: Trial) -> None:
    """Write a trial into the journal."""
    for key in ("number", "state", "epochs", "seconds", "reason"):
        proposal.set_user_attr(key, getattr(trial, key))
    proposal.set_user_attr("score", None if math.isnan(trial.score) else trial.score)
    if trial.state == "done":
        study.tell(proposal, trial.score)
    else:
        # a failure is told as pruned: the sampler learns from pruned trials to look elsewhere, and nothing from failed ones
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
        """The score at a rung within the last epoch, so that trials of more and of fewer epochs are compared at one place."""
        value = self.best if share > 1 - 1e-9 else before + share * (self.best - before)
        return round(value, 9)  # so that equal courses are equal
