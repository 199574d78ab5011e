"""Finished runs → entries that share their images: scored where they were not, seeds of one setting as one entry."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from maskwright.comparison.compatibility import boundary_widths, have_same, judged_by, refuse_other_images, unlike_terms
from maskwright.comparison.entries import Comparison, Cost, Entry, Failure
from maskwright.comparison.naming import SEED, model_name, unlike
from maskwright.config.base import best_index
from maskwright.config.keys import flat_keys
from maskwright.config.log import LogEntry
from maskwright.data.record import class_map, split_entries
from maskwright.errors import UsageError, one_line
from maskwright.metrics.counts import Counts
from maskwright.metrics.scores import nanmean
from maskwright.runs import Run, refuse_unfinished

Progress = Callable[[int, int], None]
# where a run was made and what kept its pixels near: none of it changes what it learned
_ASIDE = ("data.root", "data.cache", "data.reader", "train.workers", "train.allow", "log", SEED)


def compare_runs(
    runs: Sequence[Run], split: str = "test", data: Path | None = None, progress: Progress | None = None
) -> Comparison:
    """A comparison of finished runs, whatever made them; those not yet scored on the split are scored now."""
    places = [run.root.resolve() for run in runs]
    twice = [run.root for index, run in enumerate(runs) if places[index] in places[:index]]
    if len(runs) < 2 or twice:
        got = f"{twice[0]} twice" if twice else f"{len(runs)}"
        raise UsageError(f"`RUN RUN …` must be at least two runs, each named once; got {got}. Name others.")
    for run in runs:
        refuse_unfinished(run)
    refuse_other_images(runs, split)
    for run in runs:
        ensure_scored(run, split, data, progress)
    return assemble(gathered(runs), split)


def gathered(runs: Sequence[Run]) -> list[tuple[str, dict[str, Any], list[Run]]]:
    """Runs as entries: the seeds of one setting together, each with a name and the settings it differs in."""
    grouped = _grouped(runs)
    names = _names(grouped, [run.name for run in runs])
    settings = _settings([group[0] for group in grouped])
    return list(zip(names, settings, grouped, strict=True))


def assemble(
    named: Sequence[tuple[str, Mapping[str, Any], Sequence[Run]]], split: str,
    failures: Iterable[Failure] = (), root: Path | None = None,
) -> Comparison:  # fmt: skip
    """Entries of scored runs, each (name, settings, runs), their counts in one order of images."""
    runs = [run for _, _, group in named for run in group]
    if not runs:
        return Comparison(split, (), (), (), (), tuple(failures), root)
    refuse_other_images(runs, split)
    document = runs[0].data
    files = split_entries(document, split)
    images = tuple(entry["id"] for entry in files)
    monitor, _ = judged_by(runs)
    counts = [tuple(counts_of(run, split, images) for run in group) for _, _, group in named]
    notes = unlike_terms([(name, group) for name, _, group in named], counts, split)
    if len(boundary_widths(counts)) > 1:
        counts = [tuple(map(_without_boundary_f, each)) for each in counts]
    entries = tuple(
        Entry(
            name, {**settings}, (*group,), each, tuple(best_val(run, monitor) for run in group), cost_of(group, split)
        )
        for (name, settings, group), each in zip(named, counts, strict=True)
    )
    groups = tuple(entry["group"] for entry in files)
    return Comparison(split, class_map(document).names, images, groups, entries, tuple(failures), root, monitor, notes,
                      have_same("val", runs))  # fmt: skip


def _without_boundary_f(counts: Counts) -> Counts:
    nothing = np.zeros(0)
    return replace(counts, boundary_near=nothing, boundary_edge=nothing)


def ensure_scored(
    run: Run,
    split: str,
    data: Path | None = None,
    progress: Progress | None = None,
    log: Sequence[LogEntry] | None = None,
) -> None:
    """Evaluate a run on a split unless it was."""
    if not is_scored(run, split):
        from maskwright.evaluation import evaluate  # brings torch, which scored runs do not need

        evaluate(run, split, data, progress=progress, log=log)


def is_scored(run: Run, split: str) -> bool:
    """Whether a run has scores of all the images it lists for a split."""
    scores, counted = (run.root / "evaluation" / f"{split}{end}" for end in (".json", "-counts.npz"))
    if not (scores.is_file() and counted.is_file()):
        return False
    return sorted(Counts.load(counted).images) == sorted(entry["id"] for entry in split_entries(run.data, split))


def counts_of(run: Run, split: str, images: Sequence[str]) -> Counts:
    """A run's counts, in the order of the images given."""
    counts = Counts.load(run.root / "evaluation" / f"{split}-counts.npz")
    if counts.images == tuple(images):
        return counts
    place = {name: index for index, name in enumerate(counts.images)}
    order = np.array([place[name] for name in images])
    arrays = {name: value[order] for name, value in vars(counts).items() if isinstance(value, np.ndarray)}
    return replace(counts, images=tuple(images), **arrays)


def best_val(run: Run, monitor: str) -> float:
    """The score of the epoch whose weights the run keeps, which its own monitor picked; NaN where it has none."""
    watched = run.config.train.monitor
    best = best_index([row[watched] for row in run.history], watched)
    return math.nan if best is None else run.history[best][monitor]


def cost_of(runs: Sequence[Run], split: str) -> Cost:
    """What an entry costs: its network, and the mean of training and predicting over its runs, with the extremes."""
    costs = [run.evaluation(split).get("cost") or {} for run in runs]
    known = next((cost for cost in costs if cost.get("parameters")), {})
    median, low, high = ([cost.get(f"milliseconds_{end}") for cost in costs] for end in ("an_image", "low", "high"))
    seconds = [sum(row["seconds"] for row in run.history) if run.history else None for run in runs]
    ends = (min(_known(low)), max(_known(high))) if _known(low) and _known(high) else (math.nan, math.nan)
    parameters, adds = known.get("parameters", math.nan), _mean([known.get("multiply_adds")])
    return Cost(parameters, adds, _mean(seconds), _mean(median), *ends)


def _known(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None and not math.isnan(value)]


def _mean(values: Iterable[float | None]) -> float:
    return nanmean(np.array(_known(values)))


def _grouped(runs: Sequence[Run]) -> list[list[Run]]:
    """Runs that differ in their seed alone, together."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(repr(_decisive(run)), []).append(run)
    found: list[list[Run]] = []
    for group in groups.values():
        seeds = [run.config.train.seed for run in group]
        # the same setting with the same seed twice is no second seed: such runs stay apart
        together = len(set(seeds)) == len(seeds)
        found += [sorted(group, key=lambda run: run.config.train.seed)] if together else [[run] for run in group]
    return found


def _decisive(run: Run) -> dict[str, Any]:
    """Dotted keys as they were asked for: what was auto is auto again, as its value may follow from the seed."""
    flat = flat_keys(run.config.model_dump(mode="json"))
    auto = tuple(run.environment.get("auto", {}))
    return {
        key: "auto" if key in auto or key.startswith(tuple(f"{one}." for one in auto)) else value
        for key, value in flat.items()
        if not any(key == one or key.startswith(f"{one}.") for one in _ASIDE)
    }


def _settings(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """The keys in which settings differ, with their values; those of models whose names differ are in the name."""
    trees, models = [_decisive(run) for run in runs], [model_name(run.config.model) for run in runs]
    keys = list(dict.fromkeys(key for tree in trees for key in tree))
    keys = [key for key in keys if len({repr(tree.get(key)) for tree in trees}) > 1]
    if len(set(models)) < 2:
        return [{key: tree[key] for key in keys if key in tree} for tree in trees]
    keys = [key for key in keys if not key.startswith("model.")]
    settings = [{key: tree[key] for key in keys if key in tree} for tree in trees]
    return [{"model": model, **each} for model, each in zip(models, settings, strict=True)]


def _names(groups: Sequence[Sequence[Run]], all_names: Sequence[str]) -> list[str]:
    """The run's own name; for several seeds what their names begin with, else their model."""
    found: list[str] = []
    for group in groups:
        if len(group) == 1:
            alone = list(all_names).count(group[0].name) == 1
            found.append(group[0].name if alone else one_line(str(group[0].root)))
            continue
        common = os.path.commonprefix([run.name for run in group])  # noqa: RUF071 - letter by letter is meant
        plain = common.rstrip("0123456789").rstrip("-_. ").removesuffix("seed").rstrip("-_. ")
        found.append(plain if len(plain) > 2 else model_name(group[0].config.model))
    return unlike(found)
