"""CONFIG of `maskwright compare`: a base and what varies over it → cells, each a whole configuration.

    base:   {data: {root: my_data}, train: {epochs: 30}}
    matrix: {model: [unet, unet/resnet34], seed: [0, 1, 2]}
    runs:   [runs/first]

`cells:` is a list of settings that stand together, such as {model: unet, lr: 1e-3}; each is combined with all of the
matrix. `runs:` are finished runs that are compared with the cells as they are. What is wrong with any of it is told at once,
with file, line and nearest key.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from maskwright.comparison.matrix_file import PARTS, Rows, read_axes, read_joining, read_rows, told_apart
from maskwright.comparison.naming import SEED, folder_names, setting_name, unlike, value_name, with_seed
from maskwright.comparison.reading import Reading, Value, rooted, with_data_from_anywhere
from maskwright.config import Config
from maskwright.config.files import Override, lay_over, validated
from maskwright.config.models import model_shorthand
from maskwright.config.sentences import Sources
from maskwright.errors import ConfigError, listed
from maskwright.runs import COMPARISON
from maskwright.training.loggers.choice import without_addresses

_WHICH = ("name", "arch", "encoder", "size")  # the keys of a model that say which it is


@dataclass(frozen=True)
class Cell:
    """One run of a comparison: a setting, with one seed. `told` says where each of its keys stands."""

    name: str
    folder: str
    entry: str
    settings: Mapping[str, Any]
    config: Config = field(repr=False)
    told: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class Matrix:
    """What a comparison trains; `document` is what it follows from, flags laid in, to be written down.

    `joining` are finished runs that are compared with the cells.
    """

    base: Config
    cells: tuple[Cell, ...]
    notes: tuple[str, ...]
    document: dict[str, Any] = field(repr=False)
    joining: tuple[Path, ...] = ()


def read_matrix(path: str | Path, overrides: Iterable[Override] = ()) -> Matrix:
    """Read a comparison's CONFIG, flags laid over its base, and make every cell's configuration."""
    reading, overrides = Reading.of(path), list(overrides)
    reading.refuse_unknown_parts("comparison", PARTS)
    axes = read_axes(reading)
    rows, joining = read_rows(reading, axes), read_joining(reading)
    base, sources = reading.base(overrides)
    laid = _lay_flags(reading, base, sources, axes, rows, overrides)
    if not axes and not rows and not reading.problems:
        reading.problems.append(f"{path}: must say what varies. Give `matrix:`, such as {{model: [unet, unet/resnet34]}}.")
    _refuse_unequal_budget(reading, base, axes, rows)
    drafts = [_draft(base, sources, values, laid) for values in _combinations(axes, rows)]
    settled, made = _validated(reading, base, sources, drafts)
    cells = _cells(made, rows)
    document = {
        "base": base,
        **_written(axes, laid),
        **({"cells": [_row(name, values) for name, values in rows]} if rows else {}),
        **({"runs": [str(path) for path in joining]} if joining else {}),
    }
    notes = _notes(base, drafts)
    if Path(path).name == COMPARISON:  # a folder's own, which may come from anybody
        for config in (settled, *(cell.config for cell in cells)):
            config.refuse_unnamed_code()
        logs = [without_addresses(cell.config.log, {}) for cell in cells]
        cells = tuple(
            replace(cell, config=cell.config.model_copy(update={"log": log})) for cell, (log, _) in zip(cells, logs, strict=True)
        )
        notes += tuple(
            f"nothing goes to the places that {path} itself would log to; {told} before the command allows it"
            for told in dict.fromkeys(told for _, told in logs)
            if told
        )
    return Matrix(settled, cells, notes, document, joining)


def _lay_flags(
    reading: Reading, base: dict[str, Any], sources: Sources, axes: Mapping[str, Any],
    rows: Rows, overrides: Iterable[Override],
) -> list[Value]:  # fmt: skip
    """Flags into the base; those below a section that cells replace are returned, to be laid over each cell."""
    varied = {*axes, *(one.key for _, values in rows for one in values)}
    above: list[Value] = []
    for key, value, source in sorted(overrides, key=lambda override: override[0].count(".")):
        if key in varied:
            fix = "Leave the flag out, or take the key out of the file."
            reading.problems.append(f"{source}: `{key}` must vary or be given as a flag, not both; the matrix sets it. {fix}")
        elif any(key.startswith(f"{one}.") for one in varied):
            above.append(Value(key, value, source, {}))
        else:
            problem = lay_over(base, sources, key, rooted(key, value), source)
            reading.problems += [problem] if problem else []
    with_data_from_anywhere(base)
    return above


def _refuse_unequal_budget(reading: Reading, base: Mapping[str, Any], axes: Mapping[str, list[Value]], rows: Rows) -> None:
    """Repeats decide how many inputs an epoch has; they may vary only where time is the budget."""
    train = base.get("train")
    if isinstance(train, dict) and train.get("budget") is not None and train.get("epochs", "auto") == "auto":
        return
    for one in [*axes.get("train.repeats", [])[:1], *(one for _, values in rows for one in values if one.key == "train.repeats")]:
        what = "`train.repeats` must not vary: it changes how many inputs are trained on. Set train.budget."
        reading.problems.append(f"{one.source}: {what}")


def _combinations(axes: Mapping[str, list[Value]], rows: Rows) -> list[tuple[int, list[Value]]]:
    """Every row of `cells:` with every combination of the matrix; seeds outermost.

    So a comparison that was stopped has as many seeds of each setting as it came to.
    """
    seeds = [[one] for one in axes.get(SEED, [])] or [[]]
    others = list(itertools.product(*(values for key, values in axes.items() if key != SEED)))
    numbered = list(enumerate([values for _, values in rows] or [[]]))
    return [(number, [*row, *other, *seed]) for seed in seeds for number, row in numbered for other in others]


@dataclass(frozen=True)
class _Draft:
    """A cell before it is validated."""

    row: int
    values: list[Value]
    tree: dict[str, Any]
    sources: Sources
    problems: list[str]
    lost: tuple[str, ...]  # keys of the base's model that this cell's does not have


def _draft(base: dict[str, Any], sources: Sources, combination: tuple[int, list[Value]], above: list[Value]) -> _Draft:
    row, values = combination
    tree, told = copy.deepcopy(base), dict(sources)
    problems: list[str] = []
    lost: tuple[str, ...] = ()
    for one in sorted([*values, *above], key=lambda one: one.key.count(".")):
        value, inner = one.value, dict(one.inner)
        if one.key == "model" and isinstance(value, str):
            value, lost = _with_the_bases_keys(base.get("model"), value)
            inner |= {at[1:]: where for at, where in sources.items() if at[:1] == ("model",) and len(at) > 1 and at[1] in value}
        problem = lay_over(tree, told, one.key, copy.deepcopy(value), one.source)
        problems += [problem] if problem else []
        told |= {(*one.key.split("."), *at): where for at, where in inner.items()}
    return _Draft(row, values, tree, told, problems, lost)


def _with_the_bases_keys(base: Any, name: str) -> tuple[Any, tuple[str, ...]]:
    """A model named in a word keeps what the base says of its family; also the base's keys that another family lacks."""
    ours, theirs = model_shorthand(name), model_shorthand(base)
    if not isinstance(ours, dict) or not isinstance(theirs, dict):
        return ours, ()
    kept = {key: value for key, value in theirs.items() if key not in _WHICH}
    if ours.get("name") != theirs.get("name"):
        return ours, tuple(kept)
    return {**ours, **kept}, ()


def _validated(
    reading: Reading, base: dict[str, Any], sources: Sources, drafts: list[_Draft]
) -> tuple[Config, list[tuple[Config, _Draft]]]:
    """The base's configuration and each cell's; everything that is wrong is told together."""
    problems = [*reading.problems]
    settled, made = Config(), []
    wrong: dict[str, list[str]] = {}
    try:
        settled = validated(copy.deepcopy(base), sources)
    except ConfigError as error:
        problems += error.problems
    for draft in drafts:
        try:
            made.append((validated(draft.tree, draft.sources, draft.problems), draft))
        except ConfigError as error:
            for problem in error.problems:
                wrong.setdefault(problem, []).append(_said(draft.values))
    theirs = {told for draft in drafts for one in draft.values for told in (one.source, *one.inner.values())}
    for problem, where in wrong.items():
        only_some = len(where) < len(drafts) and not any(problem.startswith(f"{told}:") for told in theirs)
        problems.append(f"{problem} (With {listed(dict.fromkeys(where), 'or', 3)}.)" if only_some else problem)
    if problems:
        raise ConfigError(list(dict.fromkeys(problems)))
    return settled, made


def _cells(made: Sequence[tuple[Config, _Draft]], rows: Rows) -> tuple[Cell, ...]:
    """Cells with their names; the seeds of one setting are of one entry."""
    settings = [{one.key: one.value for one in draft.values if one.key != SEED} for _, draft in made]
    keys = list(dict.fromkeys(key for each in settings for key in each))
    varying = [key for key in keys if len({told_apart(each.get(key, "not set")) for each in settings}) > 1]
    if len({config.train.seed for config, _ in made}) > 1:
        seeds: list[int | None] = [config.train.seed for config, _ in made]
    else:
        seeds = [None] * len(made)
    entries: dict[str, str] = {}
    for (config, draft), each in zip(made, settings, strict=True):
        entries.setdefault(told_apart(each) + str(rows and rows[draft.row][0]), _entry_name(config, draft, each, varying, rows))
    names = dict(zip(entries, unlike(entries.values()), strict=True))
    ours = [names[told_apart(each) + str(rows and rows[draft.row][0])] for (_, draft), each in zip(made, settings, strict=True)]
    _refuse_twice(ours, [config for config, _ in made])
    full = [with_seed(name, seed) for name, seed in zip(ours, seeds, strict=True)]
    cells = zip(full, folder_names(full), ours, settings, made, strict=True)
    return tuple(
        Cell(name, folder, entry, each, config, {one.key: one.source for one in draft.values})
        for name, folder, entry, each, (config, draft) in cells
    )


def _entry_name(config: Config, draft: _Draft, each: Mapping[str, Any], varying: Sequence[str], rows: Rows) -> str:
    given = rows[draft.row][0] if rows else None
    if given is None:
        return setting_name(each, varying, config.model)
    of_row = {one.key for one in rows[draft.row][1]}
    others = [key for key in varying if key not in of_row]
    return f"{given} · {setting_name(each, others, config.model)}" if any(key in each for key in others) else given


def _refuse_twice(names: Sequence[str], configs: Sequence[Config]) -> None:
    for index, config in enumerate(configs):
        if config in configs[:index]:
            other = names[configs.index(config)]
            raise ConfigError([f"`cells` must all differ; got {names[index]} and {other}, which are the same. Remove one."])


def _notes(base: Mapping[str, Any], drafts: Sequence[_Draft]) -> tuple[str, ...]:
    """What the base says of its model and some cells cannot take up."""
    lost: dict[tuple[str, ...], list[str]] = {}
    for draft in drafts:
        if draft.lost:
            lost.setdefault(draft.lost, []).append(str(next(one.value for one in draft.values if one.key == "model")))
    family = model_shorthand(base.get("model"))
    name = family.get("name") if isinstance(family, dict) else family
    return tuple(
        f"base's {listed([f'model.{key}' for key in keys])} hold{'s' if len(keys) == 1 else ''} for {name}; "
        f"{listed(dict.fromkeys(models))} {'has its' if len(set(models)) == 1 else 'have their'} own defaults"
        for keys, models in lost.items()
    )


def _written(axes: Mapping[str, list[Value]], above: Sequence[Value]) -> dict[str, Any]:
    """`matrix:` as it is kept; a flag below a section that varies is a key of one value."""
    kept = {key: [one.value for one in values] for key, values in axes.items()}
    kept |= {one.key: [one.value] for one in above}
    return {"matrix": kept} if kept else {}


def _row(name: str | None, values: Sequence[Value]) -> dict[str, Any]:
    return {**({"name": name} if name else {}), **{one.key: one.value for one in values}}


def _said(values: Sequence[Value]) -> str:
    model = next((one.value for one in values if one.key == "model"), None)
    if isinstance(model, dict):
        model = "/".join(str(model[key]) for key in _WHICH[1:] if key in model) or model.get("name")
    if isinstance(model, str):
        return model
    return ", ".join(f"{one.key} {value_name(one.value)}" for one in values if one.key != SEED) or "every cell"
