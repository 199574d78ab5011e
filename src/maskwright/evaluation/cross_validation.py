"""Cross-validation: a run for each fold, so that every image is judged by a network that has not seen it.

    config = load_config(None, [("data.root", "my_data", "data"), ("data.split.folds", 5, "folds")])
    result = cross_validate(config, "runs/cv")
    result.metrics["iou"], result.intervals["iou"]

`folds.yaml` holds what was asked for, `fold-0`, `fold-1` … are runs like any other, `cross-validation.json` says what
they came to. The budget is that of all folds together, evaluating included.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from maskwright.config import Config
from maskwright.config.base import seconds_of
from maskwright.config.files import load_config, to_yaml
from maskwright.data.record import class_map, split_entries
from maskwright.errors import RunError, UsageError, as_typed, counted, listed
from maskwright.evaluation.intervals import intervals
from maskwright.evaluation.scoring import evaluate
from maskwright.files import plain, write_json, write_text
from maskwright.folders import lock_folder, new_folder
from maskwright.metrics.counts import Counts
from maskwright.metrics.scores import POLICY, Summary, collapsed_class, summary
from maskwright.models.devices import release_memory
from maskwright.runs import FOLDS, GOES_ON, Run, ShownInNotebook
from maskwright.terminal import Counter
from maskwright.training import fit
from maskwright.training.plan import Plan

_TOLD = ("iou", "dice")
_SEEN = ("view", "size", "scale", "tiles")
_USELESS = 0.05  # IoU of what has learned nothing


@dataclass(frozen=True)
class CrossValidation(ShownInNotebook):
    """The runs of all folds, and the scores of all images together, each by the network that was not shown it."""

    root: Path
    runs: tuple[Run, ...]
    classes: tuple[str, ...]
    summary: Summary
    intervals: dict[str, list[float]]
    folds: tuple[dict[str, float], ...]  # the scores of each fold's own val
    counts: Counts = field(repr=False)

    @property
    def metrics(self) -> dict[str, float]:
        """Headline scores over all folds' images: the foreground's when binary, else the mean over classes."""
        return self.summary.metrics

    @property
    def warning(self) -> str:
        """Which folds learned nothing, and what to do; "" where all learned something."""
        found = {
            run: why for run, fold in zip(self.runs, self.folds, strict=True) if (why := _why_useless(run, fold["iou"]))
        }
        if not found:
            return ""
        message = listed([f"{run.root.name} ({why})" for run, why in found.items()])
        first = as_typed("maskwright", "diagnose", next(iter(found)).root)
        return f"{message} learned nothing, so the scores tell little of the data: give more time, or see {first}"

    def to_json(self) -> dict[str, Any]:
        """cross-validation.json; undefined scores are null."""
        found = {
            "runs": [run.root.name for run in self.runs], "images": len(self.counts.images),
            "classes": list(self.classes), "policy": POLICY, "metrics": self.metrics,
            "per_class": self.summary.per_class, "intervals": self.intervals, "folds": list(self.folds),
            "warning": self.warning or None,
        }  # fmt: skip
        return plain(found)

    def __str__(self) -> str:
        lines = [
            f"{run.root.name}  val IoU {scores['iou']:.4f} on {counted(int(scores['images']), 'image')}"
            for run, scores in zip(self.runs, self.folds, strict=True)
        ]
        low, high = self.intervals["iou"]
        scored = self.classes[1] if len(self.classes) == 2 else "mean over classes"
        message = ", ".join(f"{name} {self.metrics[name]:.4f}" for name in _TOLD)
        images = counted(len(self.counts.images), "image")
        lines.append(f"all     {message} ({scored}), 95 % interval of iou {low:.4f} to {high:.4f}")
        lines.append(f"        over {images}, each judged by a network that has not seen it")
        return "\n".join([*lines, *([f"warning {self.warning}"] if self.warning else [])])

    __repr__ = __str__


def _why_useless(run: Run, score: float) -> str:
    """Why a fold's network is of no use: it finds nothing, or predicts one class alone; "" where it is of some."""
    collapsed = collapsed_class(Counts.load(_counts_file(run)).total())
    if collapsed is not None:
        return f"nearly all pixels are predicted as {class_map(run.data).names[collapsed]}"
    return f"IoU {score:.2f}" if score < _USELESS else ""


def _counts_file(run: Run) -> Path:
    return run.root / "evaluation" / "val-counts.npz"


def cross_validate(
    config: Config, out: str | Path, console: Console | None = None, on_plan: Callable[[Plan], None] | None = None,
    began: float | None = None,
) -> CrossValidation:  # fmt: skip
    """Train and evaluate a run for each of `data.split.folds`; `tell` is called with the plan of the first."""
    _num_folds(config)
    if config.data.root is not None:
        config = config.replace({"data.root": str(Path(config.data.root).absolute())})
    out, began = Path(out), time.perf_counter() if began is None else began

    def begin(plan: Plan) -> None:
        """Once the first fold is a run there is something to go on with."""
        write_text(out / FOLDS, to_yaml(config), GOES_ON)
        if on_plan:
            on_plan(plan)

    with new_folder(out, partial(Run.refuse_taken, out), FOLDS, ("fold-0",)):
        return _train_folds(config, out, console, begin, began, None)


def resume(root: str | Path, console: Console | None = None, data: Path | None = None) -> CrossValidation:
    """Go on with folds that were stopped; `data` says where the data set is now, when it has moved."""
    root = Path(root)
    config = load_config(root / FOLDS)
    config.refuse_unnamed_code()
    if data is not None:
        config = config.replace({"data.root": str(data.absolute())})
    with lock_folder(root, "--resume"):
        return _train_folds(config, root, console, None, time.perf_counter(), data)


def of_fold(config: Config, fold: int, first: Config | None = None) -> Config:
    """What one fold's run is asked for: its part of the budget, its images as val, and images seen as by the first
    one's.

    Networks that see images alike can predict together.
    """
    changes: dict[str, Any] = {"data.split.fold": fold}
    if first is not None:
        seen = first.data.model_dump(include=set(_SEEN))
        changes |= {f"data.{key}": seen[key] for key in _SEEN}
    if config.train.budget is not None:
        changes["train.budget"] = f"{seconds_of(config.train.budget) / _num_folds(config):g}s"
    return config.replace(changes)


def _share(config: Config, num: int) -> str:
    return f", {seconds_of(config.train.budget) / num:.0f} s each" if config.train.budget else ""


def _num_folds(config: Config) -> int:
    if config.data.split.folds is None:
        raise UsageError(
            "`data.split.folds` must say into how many folds the images are dealt; got null. Set it, to 5 say."
        )
    return config.data.split.folds


def _train_folds(
    config: Config,
    root: Path,
    console: Console | None,
    on_plan: Callable[[Plan], None] | None,
    began: float,
    moved: Path | None,
) -> CrossValidation:
    """Train and evaluate each fold that is not yet; the time to evaluate one is taken from the next one's."""
    num = _num_folds(config)
    runs: list[Run] = []
    for fold in range(num):
        if console:
            console.print(f"fold {fold} of {num}{_share(config, num)}", highlight=False)
        run = _train_fold(
            of_fold(config, fold, runs[0].config if runs else None),
            root / f"fold-{fold}",
            console,
            on_plan if fold == 0 else None,
            began,
            moved,
        )
        began = time.perf_counter()
        release_memory()
        if not (run.root / "evaluation" / "val.json").is_file():
            evaluate(run, "val", moved, progress=Counter(console, "evaluating") if console else None)
        if fold == num - 2:
            began -= time.perf_counter() - began  # for the last fold's own, which no other pays
        runs.append(run)
    result = gather(root, runs)
    write_json(root / "cross-validation.json", result.to_json(), GOES_ON)
    return result


def _train_fold(
    config: Config,
    place: Path,
    console: Console | None,
    on_plan: Callable[[Plan], None] | None,
    began: float,
    moved: Path | None,
) -> Run:
    """One fold's run: trained, gone on with, or as it is where it is finished."""
    if not (place / "config.yaml").is_file():
        return fit.train(config, place, console, on_plan, every_epoch=False, began=began).run
    run = Run.open(place)
    if not run.weights.is_file():
        fit.resume(place, console, moved, every_epoch=False)
    return run


def finished_folds(root: str | Path) -> CrossValidation:
    """A cross-validation as it was when it ended; one that has not is refused."""
    root = Path(root)
    num = _num_folds(load_config(root / FOLDS))
    places = [root / f"fold-{fold}" for fold in range(num)]
    done = [place for place in places if (place / "evaluation" / "val.json").is_file()]
    if len(done) < num:
        fix = f"Go on with it: {as_typed('maskwright', 'train', '--resume', root)}"
        raise RunError(
            f"`{root}` must be a finished cross-validation; {len(done)} of its {num} folds are evaluated. {fix}"
        )
    return gather(root, [Run.open(place) for place in places])


def gather(root: Path, runs: list[Run]) -> CrossValidation:
    """The scores of evaluated folds, together."""
    parts = [Counts.load(_counts_file(run)) for run in runs]
    groups = tuple(entry["group"] for run in runs for entry in split_entries(run.data, "val"))
    counts, names = Counts.join(parts), class_map(runs[0].data).names
    folds = tuple({"images": float(len(part.images)), **summary(part, names).metrics} for part in parts)
    return CrossValidation(root, tuple(runs), names, summary(counts, names), intervals(counts, groups), folds, counts)
