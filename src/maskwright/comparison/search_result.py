"""What a search has found: its trials as a table, as CSV, as a document and in words."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maskwright.comparison.naming import value_name
from maskwright.config.base import MONITORS, best_index, higher_is_better
from maskwright.errors import counted, listed
from maskwright.files import csv_text, plain
from maskwright.runs import ShownInNotebook

if TYPE_CHECKING:
    from maskwright.comparison.search_space import Space

BEST = "best.yaml"
LEAST_FOR_IMPORTANCE = 10  # trials that ran to their end; fewer say nothing of what mattered
NEAR = 0.01  # of IoU: trials so near the best are not told apart by a validation set of usual size


@dataclass(frozen=True)
class Trial:
    """One setting tried: `state` is done, pruned or failed; `score` the best on validation, NaN when failed."""

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
class SearchResult(ShownInNotebook):
    """What a search has found so far; `importance` is each key's share of what decided, empty while too few trials
    tell.

    >>> SearchResult(Path("runs/lr-search"), "val_iou", ()).best is None
    True
    """

    root: Path
    monitor: str
    trials: tuple[Trial, ...]
    importance: Mapping[str, float] = field(default_factory=dict)
    num_val: int = 0

    @property
    def best(self) -> Trial | None:
        """The best trial that ran to its end."""
        done = [trial for trial in self.trials if trial.state == "done" and not math.isnan(trial.score)]
        place = best_index([trial.score for trial in done], self.monitor)
        return None if place is None else done[place]

    @property
    def best_config(self) -> Path:
        """The best setting, ready for training."""
        return self.root / BEST

    @property
    def watched(self) -> str:
        """The monitored score in words."""
        return f"val {MONITORS[self.monitor]}"

    def __str__(self) -> str:
        states = Counter(trial.state for trial in self.trials)
        parts = ", ".join(f"{states[state]} {state}" for state in ("done", "pruned", "failed") if states[state])
        lines = [f"Search {self.root}: {counted(len(self.trials), 'trial')}{f' ({parts})' if parts else ''}"]
        if self.best:
            lines.append(
                f"best trial {self.best.number}: {self.watched} {self.best.score:.4f} with {settings(self.best)}"
            )
        lines += in_words(self)
        return "\n".join([*lines, *([f"best setting in {self.best_config}"] if self.best else [])])

    __repr__ = __str__


def settings(trial: Trial) -> str:
    """What a trial tried: lr 0.003, width 4."""
    return ", ".join(f"{key.split('.')[-1]} {_brief(value)}" for key, value in trial.values.items())


def _brief(value: Any) -> str:
    """A value with the digits that matter; trials.csv and best.yaml have them all."""
    return f"{value:.3g}" if isinstance(value, float) else value_name(value)


def format_trial(trial: Trial, space: Space, result: SearchResult) -> str:
    """One trial in a line."""
    came = {
        "done": f"{result.watched} {trial.score:.4f}",
        "pruned": f"pruned after {trial.epochs} epochs at {result.watched} {trial.score:.4f}",
        "failed": f"failed: {trial.reason}",
    }[trial.state]
    best = f" (best {result.best.score:.4f}, trial {result.best.number})" if result.best else ""
    return f"trial {trial.number} of {space.trials}: {settings(trial)} → {came}, {trial.seconds:.0f} s{best}"


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
    return plain({**vars(trial), "run": trial.folder})


def as_rows(result: SearchResult, space: Space) -> tuple[list[str], list[list[str]]]:
    """The table of trials, best first, as text."""
    sign = -1 if higher_is_better(result.monitor) else 1
    states = ("done", "pruned", "failed")
    rows = []
    for trial in sorted(result.trials, key=lambda one: (states.index(one.state), sign * one.score)):
        values = [_brief(trial.values[axis.key]) for axis in space.axes]
        score = "-" if math.isnan(trial.score) else f"{trial.score:.4f}"
        rows.append([str(trial.number), *values, score, trial.state, str(trial.epochs), f"{trial.seconds:.0f}"])
    return _columns(result, space), rows


def _columns(result: SearchResult, space: Space) -> list[str]:
    return ["trial", *(axis.key for axis in space.axes), result.monitor, "state", "epochs", "seconds"]


def as_csv(result: SearchResult, space: Space) -> str:
    """The trials in the order they were made, a row each."""
    rows: list[list[object]] = [[*_columns(result, space), "reason"]]
    for trial in result.trials:
        values = [trial.values[axis.key] for axis in space.axes]
        score = "" if math.isnan(trial.score) else trial.score
        rows.append([trial.number, *values, score, trial.state, trial.epochs, trial.seconds, trial.reason])
    return csv_text(rows)


def in_words(result: SearchResult) -> tuple[str, ...]:
    """What the trials say, and what they don't."""
    best, num = result.best, len(result.trials)
    lines: list[str] = []
    if best is None:
        return (f"None of {num} trials ran to its end with a score.",) if num else ()
    done = [trial for trial in result.trials if trial.state == "done"]
    near = [trial for trial in done if trial is not best and abs(trial.score - best.score) <= NEAR]
    if near:
        others = counted(len(near), "other trial lies", "other trials lie")
        images, name = counted(result.num_val, "validation image"), MONITORS[result.monitor]
        lines.append(f"{others} within {NEAR:g} of the best {name}: on {images} they can hardly be told apart.")
    seen = f"The best of {num} on the same validation images looks somewhat better than it is"
    lines.append(f"{seen}; only the test images can tell.")
    if result.importance:
        ranked = sorted(result.importance.items(), key=lambda item: -item[1])
        large = [f"{key} decided {100 * share:.0f} %" for key, share in ranked if share >= 0.05]
        small = [key for key, share in ranked if share < 0.05]
        rest = f"; {listed(small)} hardly mattered" if small else ""
        lines.append(f"Of what made trials good, {listed(large)}{rest} (over the ranges searched).")
    else:
        least = f"{LEAST_FOR_IMPORTANCE} trials that ran to their end"
        lines.append(f"What mattered can be told from {least}; there are {len(done)}.")
    return tuple(lines)
