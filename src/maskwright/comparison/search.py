"""Search for a good setting by validation alone: Optuna proposes, each trial is a run, bad ones are cut short.

    space = read_space("search.yaml")
    result = search(space, Path("runs/search"))
    result.best.score, result.best_config

The folder holds all a search knows: `trials.log` is Optuna's journal. Killed and called again it goes on, and proposes what it
would have proposed: each proposal's random numbers follow from the seed and the number of trials that count. Test images are
never predicted.
"""

from __future__ import annotations

import contextlib
import math
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from rich.console import Console

from maskwright.comparison.cells import budget_of, budgeted
from maskwright.comparison.folder import alone_in
from maskwright.comparison.measuring import is_out_of_memory
from maskwright.comparison.naming import value_name
from maskwright.comparison.search_space import Choices, Range, Space
from maskwright.config.files import to_yaml
from maskwright.errors import ConfigError, ModelError, RunError, TrainingError, listed
from maskwright.runs import Run, plain, write_json, write_text
from maskwright.training import fit

if TYPE_CHECKING:
    import optuna

GIVEN, JOURNAL, RESULT, BEST = "search.yaml", "trials.log", "search.json", "best.yaml"
RUNGS = 10  # looks at a trial, a tenth of its epochs apart, so that trials of unlike length can be compared
LEAST_FOR_IMPORTANCE = 10  # trials that ran to their end; fewer say nothing of what mattered
NEAR = 0.01  # of IoU: trials so near the best are not told apart by a validation set of usual size
_STARTUP = 8  # proposals at random before the sampler follows what it has seen
_WARMUP_RUNGS, _WARMUP_TRIALS = 2, 4  # nothing is pruned before
Say = Callable[[str], None]


@dataclass(frozen=True)
class Trial:
    """One setting tried: `state` is done, pruned or failed; `score` the best monitored score on validation, NaN when failed."""

    number: int
    state: str
    values: Mapping[str, Any]
    score: float
    epochs: int
    seconds: float
    reason: str | None = None

    @property
    def folder(self) -> str:
        return f"trials/{self.number:03d}"


@dataclass(frozen=True)
class SearchResult:
    """What a search has found so far; `importance` is each key's share of what decided, empty while too few trials tell."""

    root: Path
    monitor: str
    trials: tuple[Trial, ...]
    importance: Mapping[str, float] = field(default_factory=dict)
    num_val: int = 0

    @property
    def best(self) -> Trial | None:
        """The best trial that ran to its end."""
        done = [trial for trial in self.trials if trial.state == "done" and not math.isnan(trial.score)]
        pick = max if self.monitor == "val_iou" else min
        return pick(done, key=lambda trial: trial.score) if done else None

    @property
    def best_config(self) -> Path:
        return self.root / BEST


def search(space: Space, root: Path, say: Say = lambda line: None, console: Console | None = None) -> SearchResult:
    """Try settings until the trials or the minutes are used up; go on where an earlier call stopped in this folder."""
    started = time.monotonic()
    optuna = load_optuna()
    _refuse_other(root, space)
    plan = fit.prepare(space.base, None, console)  # data that cannot be used are told before anything is written
    budget, num_val = budget_of(plan), len(plan.opened.dataset.split("val"))
    plan.opened.store.close()
    with alone_in(root), _quiet(optuna):
        if not (root / GIVEN).is_file():
            write_text(root / GIVEN, yaml.safe_dump(plain(space.document()), sort_keys=False, allow_unicode=True))
        study = _open(optuna, space, root)
        _forget_cut_short(optuna, study, root)
        spent = sum(trial.seconds for trial in counted(study, space))
        while len(done := counted(study, space)) < space.trials:
            if space.minutes is not None and spent + time.monotonic() - started >= 60 * space.minutes:
                say(f"{space.minutes:g} minutes are used up after {len(done)} of {space.trials} trials")
                break
            trial = _try(optuna, study, space, root, budget, len(done))
            result = _result(optuna, study, space, root, num_val)
            say(told(trial, space, result))
            _write(result, space)
        return _result(optuna, study, space, root, num_val)


def load_optuna() -> Any:
    """Optuna, or one sentence on how to get it."""
    try:
        import optuna
    except ImportError:
        raise ModelError("`search` must have Optuna; it is not installed. Install it: pip install 'maskwright[search]'") from None
    return optuna


def told(trial: Trial, space: Space, result: SearchResult) -> str:
    """One trial in a line."""
    values = ", ".join(f"{key.split('.')[-1]} {value_name(value)}" for key, value in trial.values.items())
    name = "val IoU" if result.monitor == "val_iou" else "val loss"
    came = {
        "done": f"{name} {trial.score:.4f}",
        "pruned": f"pruned after {trial.epochs} epochs at {name} {trial.score:.4f}",
        "failed": f"failed: {trial.reason}",
    }[trial.state]
    best = f" (best {result.best.score:.4f}, trial {result.best.number})" if result.best else ""
    return f"trial {trial.number} of {space.trials}: {values} → {came}, {trial.seconds:.0f} s{best}"


def _refuse_other(root: Path, space: Space) -> None:
    """Stop when the folder holds something else, or a search that was begun with other settings."""
    if root.is_file():
        raise RunError(f"`--out` must be a new or empty folder; got {root}, a file. Choose another with --out.")
    given = root / GIVEN
    if given.is_file():
        then, now = yaml.safe_load(given.read_text(encoding="utf-8")), plain(space.document())
        if then != now:
            parts = [part for part in now if (then or {}).get(part) != now[part]]
            fix = "Choose another --out to begin anew; trials and minutes alone may change."
            raise RunError(f"`CONFIG` must be what {root} was begun with; {listed(parts)} differs. {fix}")
    elif root.is_dir() and any(path.name[0] != "." and path.name != JOURNAL for path in root.iterdir()):
        raise RunError(
            f"`--out` must be a new or empty folder; got {root}, which holds something else. Choose another with --out."
        )


def _open(optuna: Any, space: Space, root: Path) -> optuna.Study:
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

    path = str(root / JOURNAL)
    storage = optuna.storages.JournalStorage(JournalFileBackend(path, lock_obj=JournalFileOpenLock(path)))
    pruners = {
        "median": lambda: optuna.pruners.MedianPruner(n_startup_trials=_WARMUP_TRIALS, n_warmup_steps=_WARMUP_RUNGS),
        "hyperband": lambda: optuna.pruners.HyperbandPruner(min_resource=1, max_resource=RUNGS, reduction_factor=3),
        "none": optuna.pruners.NopPruner,
    }
    direction = "maximize" if space.base.train.monitor == "val_iou" else "minimize"
    return optuna.create_study(
        storage=storage, study_name="search", direction=direction, load_if_exists=True, pruner=pruners[space.pruner]()
    )


def _forget_cut_short(optuna: Any, study: optuna.Study, root: Path) -> None:
    """A trial that was running when the search was killed counts not; its folder makes room for the one tried instead."""
    running = study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,))
    for trial in running:
        study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
    kept = {trial.user_attrs["number"] for trial in study.get_trials(deepcopy=False) if _counts(trial)}
    for folder in sorted((root / "trials").glob("[0-9]*")):
        if folder.is_dir() and folder.name.isdigit() and int(folder.name) not in kept:
            shutil.rmtree(folder)


def _counts(trial: Any) -> bool:
    return trial.state.name in ("COMPLETE", "PRUNED")


def counted(study: optuna.Study, space: Space) -> list[Trial]:
    """The trials that count, in order."""
    found = []
    for trial in study.get_trials(deepcopy=False):
        if not _counts(trial):
            continue
        told_ = trial.user_attrs
        values = {axis.key: trial.params[axis.key] for axis in space.axes}
        score = math.nan if told_["score"] is None else told_["score"]
        found.append(Trial(told_["number"], told_["state"], values, score, told_["epochs"], told_["seconds"], told_["reason"]))
    return sorted(found, key=lambda trial: trial.number)


def _try(optuna: Any, study: optuna.Study, space: Space, root: Path, budget: Mapping[str, Any], num_done: int) -> Trial:
    """Propose a setting, train it, and tell the study."""
    # from the seed and the number: a search that was killed proposes what an uninterrupted one does
    study.sampler = optuna.samplers.TPESampler(seed=(space.seed * 1_000_003 + num_done) % 2**32, n_startup_trials=_STARTUP)
    own = space.base_proposal() if num_done == 0 else None
    if own is not None and not study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.WAITING,)):
        study.enqueue_trial(own)  # the base itself first: what the search finds should beat it
    proposal = study.ask()
    values = {axis.key: _suggest(proposal, axis) for axis in space.axes}
    started = time.perf_counter()
    state, score, epochs, reason = _train(proposal, space, values, root / f"trials/{num_done + 1:03d}", budget)
    trial = Trial(num_done + 1, state, values, score, epochs, round(time.perf_counter() - started, 1), reason)
    for key in ("number", "state", "epochs", "seconds", "reason"):
        proposal.set_user_attr(key, getattr(trial, key))
    proposal.set_user_attr("score", None if math.isnan(score) else score)
    states = optuna.trial.TrialState
    if state == "done":
        study.tell(proposal, score)
    else:
        # a failure is told as pruned: the sampler learns from pruned trials to look elsewhere, and nothing from failed ones
        study.tell(proposal, state=states.PRUNED)
    return trial


def _suggest(proposal: optuna.Trial, axis: Range | Choices) -> Any:
    if isinstance(axis, Choices):
        return proposal.suggest_categorical(axis.key, list(axis.values))
    if axis.is_whole:
        return proposal.suggest_int(axis.key, int(axis.low), int(axis.high), step=int(axis.step or 1), log=axis.log)
    return proposal.suggest_float(axis.key, axis.low, axis.high, step=axis.step, log=axis.log)


def _train(
    proposal: optuna.Trial, space: Space, values: Mapping[str, Any], folder: Path, budget: Mapping[str, Any]
) -> tuple[str, float, int, str | None]:
    """State, score, epochs and the reason of a failure."""
    watch = _Watch(proposal, space.base.train.monitor)
    try:
        config = budgeted(space.config_of(values), budget)
        fit.train(config, folder, after_epoch=watch.after_epoch)
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


class _Watch:
    """Reports a trial's best score so far at each tenth of its epochs, and ends it where the pruner says so."""

    def __init__(self, proposal: optuna.Trial, monitor: str) -> None:
        self.proposal, self.monitor = proposal, monitor
        self.best, self.epochs, self.rung, self.pruned = math.nan, 0, 0, False

    def after_epoch(self, done: int, planned: int, scores: dict[str, float]) -> bool:
        score, before, self.epochs = scores[self.monitor], self.best, done
        better = (score > self.best) if self.monitor == "val_iou" else (score < self.best)
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


def _result(optuna: Any, study: optuna.Study, space: Space, root: Path, num_val: int) -> SearchResult:
    trials = tuple(counted(study, space))
    complete = [trial for trial in trials if trial.state == "done"]
    importance: dict[str, float] = {}
    if len(complete) >= LEAST_FOR_IMPORTANCE and len({trial.score for trial in complete}) > 1:
        importance = {key: float(share) for key, share in optuna.importance.get_param_importances(study).items()}
    return SearchResult(root, space.base.train.monitor, trials, importance, num_val)


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
        name = "validation IoU" if result.monitor == "val_iou" else "validation loss"
        head = f"# trial {best.number} of {len(result.trials)}, the best by {name}: {best.score:.4f}\n"
        write_text(result.best_config, head + to_yaml(run.config))


def document(result: SearchResult, space: Space) -> dict[str, Any]:
    """What `--json` prints and search.json holds."""
    best = result.best
    return {
        "search": str(result.root),
        "monitor": result.monitor,
        "space": {axis.key: str(axis) for axis in space.axes},
        "planned": space.trials,
        "trials": [_trial_json(trial) for trial in result.trials],
        "best": _trial_json(best) if best else None,
        "best_config": str(result.best_config) if best else None,
        "importance": dict(result.importance),
        "in_words": list(in_words(result)),
    }


def _trial_json(trial: Trial) -> dict[str, Any]:
    score = None if math.isnan(trial.score) else trial.score
    return {"number": trial.number, "state": trial.state, "values": dict(trial.values), "score": score, "epochs": trial.epochs,
            "seconds": trial.seconds, "reason": trial.reason, "run": trial.folder}  # fmt: skip


def as_rows(result: SearchResult, space: Space) -> tuple[list[str], list[list[str]]]:
    """The table of trials, best first, as text."""
    sign = -1 if result.monitor == "val_iou" else 1
    order = {"done": 0, "pruned": 1, "failed": 2}
    ranked = sorted(
        result.trials, key=lambda trial: (order[trial.state], sign * trial.score if trial.score == trial.score else 0)
    )
    columns = ["trial", *(axis.key for axis in space.axes), result.monitor, "state", "epochs", "seconds"]
    rows = [
        [str(trial.number), *(value_name(trial.values[axis.key]) for axis in space.axes),
         "-" if math.isnan(trial.score) else f"{trial.score:.4f}", trial.state, str(trial.epochs), f"{trial.seconds:.0f}"]
        for trial in ranked
    ]  # fmt: skip
    return columns, rows


def as_csv(result: SearchResult, space: Space) -> str:
    """The trials in the order they were made, a row each."""
    import csv
    import io

    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["trial", *(axis.key for axis in space.axes), result.monitor, "state", "epochs", "seconds", "reason"])
    for trial in result.trials:
        score = "" if math.isnan(trial.score) else trial.score
        writer.writerow([trial.number, *(trial.values[axis.key] for axis in space.axes), score, trial.state, trial.epochs,
                         trial.seconds, trial.reason or ""])  # fmt: skip
    return buffer.getvalue()


def in_words(result: SearchResult) -> tuple[str, ...]:
    """What the trials say, and what they don't."""
    best = result.best
    states = [trial.state for trial in result.trials]
    lines: list[str] = []
    if best is None:
        return (f"None of {len(states)} trials ran to its end with a score.",) if states else ()
    done = [trial for trial in result.trials if trial.state == "done"]
    near = [trial for trial in done if trial is not best and abs(trial.score - best.score) <= NEAR]
    name = "IoU" if result.monitor == "val_iou" else "loss"
    if near:
        others = "1 other trial lies" if len(near) == 1 else f"{len(near)} other trials lie"
        images = f"{result.num_val} validation image{'' if result.num_val == 1 else 's'}"
        lines.append(f"{others} within {NEAR:g} of the best {name}: on {images} they can hardly be told apart.")
    seen = f"The best of {len(states)} on the same validation images looks somewhat better than it is"
    lines.append(f"{seen}; only the test images can tell.")
    if result.importance:
        ranked = sorted(result.importance.items(), key=lambda item: -item[1])
        told_ = [f"{key} decided {100 * share:.0f} %" for key, share in ranked if share >= 0.05]
        small = [key for key, share in ranked if share < 0.05]
        rest = f"; {listed(small)} hardly mattered" if small else ""
        lines.append(f"Of what made trials good, {listed(told_)}{rest} (over the ranges searched).")
    else:
        lines.append(
            f"What mattered can be told from {LEAST_FOR_IMPORTANCE} trials that ran to their end; there are {len(done)}."
        )
    return tuple(lines)


@contextlib.contextmanager
def _quiet(optuna: Any) -> Iterator[None]:
    """Optuna logs each trial; we tell them ourselves."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)
