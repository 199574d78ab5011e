"""CONFIG of `maskwright compare`: a base and what varies over it → cells, each a whole configuration.

    base:   {data: {root: my_data}, train: {epochs: 30}}
    matrix: {model: [unet, unet/resnet34], seed: [0, 1, 2]}
    runs:   [runs/first]

`cells:` is a list of settings that stand together, such as {model: unet, lr: 1e-3}; each is combined with all of the
matrix. `runs:` are finished runs that are compared with the cells as they are. All that is wrong with any of it is said
at once, with file, line and nearest key.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from maskwright.comparison.naming import BETWEEN, SEED, folder_names, setting_name, unlike, value_name, with_seed
from maskwright.comparison.reading import Reading, Value, Where, held
from maskwright.config import Config
from maskwright.config.files import Override, apply_override, validated
from maskwright.config.models import model_shorthand
from maskwright.config.sentences import Sources
from maskwright.errors import ConfigError, listed
from maskwright.runs import COMPARISON
from maskwright.training.loggers.choice import without_addresses

PARTS: Mapping[str, tuple[type, str]] = {
    "base": (dict, "a configuration"),
    "matrix": (dict, "keys with lists of values"),
    "cells": (list, "a list of settings"),
    "runs": (list, "a list of run folders"),
}
_WHICH = ("name", "arch", "encoder", "size")  # the keys of a model that say which it is


@dataclass(frozen=True)
class Cell:
    """One run of a comparison: a setting, with one seed. `sources` says where each of its keys stands."""

    name: str
    folder: str
    entry: str
    settings: Mapping[str, Any]
    config: Config = field(repr=False)
    sources: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class Matrix:
    """What a comparison trains; `document` is what it follows from, with the flags, to be written down.

    `joining` are finished runs that are compared with the cells.
    """

    base: Config
    cells: tuple[Cell, ...]
    notes: tuple[str, ...]
    document: dict[str, Any] = field(repr=False)
    joining: tuple[Path, ...] = ()


@dataclass(frozen=True)
class _Row:
    """One of `cells:`, with the name it was given."""

    name: str | None = None
    values: tuple[Value, ...] = ()


@dataclass(frozen=True)
class _Draft:
    """A cell before it is validated; `lost` are keys of the base's model that this cell's does not have."""

    row: _Row
    values: list[Value]
    tree: dict[str, Any]
    sources: Sources
    problems: list[str]
    lost: tuple[str, ...]

    @property
    def settings(self) -> dict[str, Any]:
        return {one.key: one.value for one in self.values if one.key != SEED}

    @property
    def entry(self) -> str:
        """Equal for the seeds of one setting."""
        return repr((self.row.name, self.settings))

    def __str__(self) -> str:
        model = self.settings.get("model")
        if isinstance(model, dict):
            model = "/".join(str(model[key]) for key in _WHICH[1:] if key in model) or model.get("name")
        if isinstance(model, str):
            return model
        return ", ".join(f"{key} {value_name(value)}" for key, value in self.settings.items()) or "every cell"


def read_matrix(path: str | Path, overrides: Iterable[Override] = ()) -> Matrix:
    """Read a comparison's CONFIG, flags over its base, and make every cell's configuration."""
    reading = Reading.of(path)
    reading.refuse_unknown_parts("comparison", PARTS)
    axes = _read_axes(reading)
    rows, joining = _read_rows(reading, axes), _read_joining(reading)
    in_rows = [one for row in rows for one in row.values]
    base, sources, below = reading.base(list(overrides), {*axes, *(one.key for one in in_rows)})
    if not axes and not rows and not reading.problems:
        example = "Give `matrix:`, such as {model: [unet, unet/resnet34]}."
        reading.problems.append(f"{path}: must say what varies. {example}")
    _refuse_unequal_budget(reading, base, [*axes.get("train.repeats", [])[:1], *in_rows])
    drafts = [_draft(base, sources, row, values, below) for row, values in _combinations(axes, rows or [_Row()])]
    config, configs = _validated(reading, base, sources, drafts)
    cells, notes = _cells(drafts, configs), _notes(base, drafts)
    varied = {key: [one.value for one in values] for key, values in axes.items()}
    varied |= {one.key: [one.value] for one in below}  # a flag below a section that varies is a key of one value
    named = [{"name": row.name} if row.name else {} for row in rows]
    parts = {
        "matrix": varied,
        "cells": [name | {one.key: one.value for one in row.values} for name, row in zip(named, rows, strict=True)],
        "runs": [str(run) for run in joining],
    }
    if Path(path).name == COMPARISON:  # a folder's own, which may come from anybody
        cells, withheld = _without_addresses(config, cells)
        notes += tuple(f"nothing goes to the places that {path} itself would log to; {one}" for one in withheld)
    return Matrix(config, cells, notes, {"base": base} | {key: one for key, one in parts.items() if one}, joining)


def _without_addresses(base: Config, cells: Sequence[Cell]) -> tuple[tuple[Cell, ...], list[str]]:
    for config in (base, *(cell.config for cell in cells)):
        config.refuse_unnamed_code()
    logs = [without_addresses(cell.config.log, {}) for cell in cells]
    kept = [cell.config.model_copy(update={"log": log}) for cell, (log, _) in zip(cells, logs, strict=True)]
    withheld = [f"{one} before the command allows it" for one in dict.fromkeys(one for _, one in logs) if one]
    return tuple(replace(cell, config=config) for cell, config in zip(cells, kept, strict=True)), withheld


def _read_axes(reading: Reading) -> dict[str, list[Value]]:
    """The matrix's keys, each with its values."""
    axes: dict[str, list[Value]] = {}
    for name, values in (reading.tree.get("matrix") or {}).items():
        at: Where = ("matrix", str(name))
        shown, key = f"`matrix.{name}`", _key(reading, at)
        if key is None:
            continue
        if key in axes:
            reading.complain(at, f"{shown} must stand once; it means {key}, which stands here already. Remove one.")
        elif values == []:
            reading.complain(at, f"{shown} must be a list of values; got an empty list. Name some.")
        elif not isinstance(values, list):
            fix = f"Write [{value_name(values)}]."
            reading.complain(at, f"{shown} must be a list of values; got {values!r}. {fix}")
        else:
            axes[key] = [reading.value(key, value, (*at, index)) for index, value in enumerate(values)]
            words = [repr(one.value) for one in axes[key]]
            for index, word in enumerate(words):
                if word in words[:index]:
                    reading.complain((*at, index), f"{shown} must hold each value once; got {word} twice. Remove one.")
    return axes


def _read_rows(reading: Reading, axes: Mapping[str, Any]) -> list[_Row]:
    """The settings of `cells:`."""
    rows: list[_Row] = []
    for index, row in enumerate(reading.tree.get("cells") or []):
        if not isinstance(row, dict) or not row.keys() - {"name"}:
            what = "must be keys with values, such as {model: unet}"
            reading.complain(("cells", index), f"`cells.{index}` {what}; got {row!r}.")
            continue
        values: dict[str, Value] = {}
        for name in [name for name in row if name != "name"]:
            at: Where = ("cells", index, str(name))
            key = _key(reading, at)
            if key in axes:
                reading.complain(at, f"`{name}` must stand in the matrix or in cells; it stands in both. Remove one.")
            elif key in values:
                reading.complain(at, f"`{name}` must stand once in a cell; {key} stands here already. Remove one.")
            elif key is not None:
                values[key] = reading.value(key, row[name], at)
        rows.append(_Row(str(row["name"]) if "name" in row else None, tuple(values.values())))
    return rows


def _read_joining(reading: Reading) -> tuple[Path, ...]:
    """The folders of `runs:`, finished runs that are compared with the cells."""
    found: list[Path] = []
    for index, given in enumerate(reading.tree.get("runs") or []):
        path, at = Path(str(given)).absolute(), ("runs", index)
        if not isinstance(given, str) or not (path / "config.yaml").is_file():
            fix = "Check the path; it is looked for from where the command is called."
            reading.complain(at, f"`runs.{index}` must be a run folder made by `maskwright train`; got {given}. {fix}")
        elif path in found:
            reading.complain(at, f"`runs` must hold each run once; got {given} twice. Remove one.")
        else:
            found.append(path)
    return tuple(found)


def _key(reading: Reading, at: Where) -> str | None:
    """The dotted key that a name stands for; None, and a complaint, where there is none or it must not vary."""
    key = reading.key(at)
    why = {
        "budget": "all cells are trained on one budget. Set it in base, or train runs and give them all: "
        f"maskwright compare RUN RUN; {at[-1]} differs there as you like.",
        "images": "all cells are scored on the same images and split. Set it in base, and make a comparison for each.",
    }.get(held(key) or "" if key else "")
    if why:
        reading.complain(at, f"`{'.'.join(map(str, at))}` must not vary: {why}")
    return None if why else key


def _refuse_unequal_budget(reading: Reading, base: Mapping[str, Any], values: Iterable[Value]) -> None:
    """Repeats decide how many inputs an epoch has; they may vary only where time is the budget."""
    train = base.get("train")
    if isinstance(train, dict) and train.get("budget") is not None and train.get("epochs", "auto") == "auto":
        return
    what = "`train.repeats` must not vary: it changes how many inputs are trained on. Set train.budget."
    reading.problems += [f"{one.source}: {what}" for one in values if one.key == "train.repeats"]


def _combinations(axes: Mapping[str, list[Value]], rows: Sequence[_Row]) -> list[tuple[_Row, list[Value]]]:
    """Every row of `cells:` with every combination of the matrix; seeds outermost.

    So a comparison that was stopped has as many seeds of each setting as it came to.
    """
    seeds = [[one] for one in axes.get(SEED, [])] or [[]]
    others = list(itertools.product(*(values for key, values in axes.items() if key != SEED)))
    return [(row, [*row.values, *other, *seed]) for seed in seeds for row in rows for other in others]


def _draft(base: dict[str, Any], sources: Sources, row: _Row, values: list[Value], below: list[Value]) -> _Draft:
    tree, theirs = copy.deepcopy(base), dict(sources)
    problems: list[str] = []
    lost: tuple[str, ...] = ()
    for one in sorted([*values, *below], key=lambda one: one.key.count(".")):
        value, inner = one.value, dict(one.inner)
        if one.key == "model" and isinstance(value, str):
            value, lost = _with_the_bases_keys(base.get("model"), value)
            of_model = {at[1:]: source for at, source in sources.items() if at[0] == "model" and len(at) > 1}
            inner |= {at: source for at, source in of_model.items() if at[0] in value}
        problem = apply_override(tree, theirs, one.key, copy.deepcopy(value), one.source)
        problems += [problem] if problem else []
        theirs |= {(*one.key.split("."), *at): source for at, source in inner.items()}
    return _Draft(row, values, tree, theirs, problems, lost)


def _with_the_bases_keys(base: Any, name: str) -> tuple[Any, tuple[str, ...]]:
    """A model named in a word keeps what the base says of its family; also the base's keys that it lacks."""
    ours, theirs = model_shorthand(name), model_shorthand(base)
    if not isinstance(ours, dict) or not isinstance(theirs, dict):
        return ours, ()
    kept = {key: value for key, value in theirs.items() if key not in _WHICH}
    return ({**ours, **kept}, ()) if ours.get("name") == theirs.get("name") else (ours, tuple(kept))


def _validated(
    reading: Reading, base: dict[str, Any], sources: Sources, drafts: Sequence[_Draft]
) -> tuple[Config, list[Config]]:
    """The base's configuration and each cell's; everything that is wrong is said together."""
    config, configs = reading.validated(base, sources), []
    problems = [*reading.problems]
    wrong: dict[str, list[str]] = {}
    for draft in drafts:
        try:
            configs.append(validated(draft.tree, draft.sources, draft.problems))
        except ConfigError as error:
            for problem in error.problems:
                wrong.setdefault(problem, []).append(str(draft))
    theirs = [one for draft in drafts for value in draft.values for one in (value.source, *value.inner.values())]
    for problem, where in wrong.items():
        only_some = len(where) < len(drafts) and not problem.startswith(tuple(f"{one}:" for one in theirs))
        problems.append(f"{problem} (With {listed(dict.fromkeys(where), 'or', 3)}.)" if only_some else problem)
    if problems:
        raise ConfigError(list(dict.fromkeys(problems)))
    return config, configs


def _cells(drafts: Sequence[_Draft], configs: Sequence[Config]) -> tuple[Cell, ...]:
    """Cells with their names; the seeds of one setting are of one entry."""
    settings = [draft.settings for draft in drafts]
    keys = list(dict.fromkeys(key for each in settings for key in each))
    varying = [key for key in keys if len({repr(each.get(key, "not set")) for each in settings}) > 1]
    entries: dict[str, str] = {}
    for draft, config in zip(drafts, configs, strict=True):
        entries.setdefault(draft.entry, _entry_name(config, draft, varying))
    names = dict(zip(entries, unlike(entries.values()), strict=True))
    ours = [names[draft.entry] for draft in drafts]
    for index, config in enumerate(configs):
        if config in configs[:index]:
            twice = f"got {ours[index]} and {ours[configs.index(config)]}, which are the same"
            raise ConfigError([f"`cells` must all differ; {twice}. Remove one."])
    seeds = [config.train.seed for config in configs]
    several = len(set(seeds)) > 1
    full = [with_seed(name, seed if several else None) for name, seed in zip(ours, seeds, strict=True)]
    return tuple(
        Cell(name, folder, entry, draft.settings, config, {one.key: one.source for one in draft.values})
        for name, folder, entry, draft, config in zip(full, folder_names(full), ours, drafts, configs, strict=True)
    )


def _entry_name(config: Config, draft: _Draft, varying: Sequence[str]) -> str:
    if draft.row.name is None:
        return setting_name(draft.settings, varying, config.model)
    of_row = {one.key for one in draft.row.values}
    others = [key for key in varying if key not in of_row and key in draft.settings]
    more = f"{BETWEEN}{setting_name(draft.settings, others, config.model)}" if others else ""
    return f"{draft.row.name}{more}"


def _notes(base: Mapping[str, Any], drafts: Sequence[_Draft]) -> tuple[str, ...]:
    """What the base says of its model and some cells cannot take up."""
    lost: dict[tuple[str, ...], list[str]] = {}
    for draft in drafts:
        if draft.lost:
            lost.setdefault(draft.lost, []).append(str(draft.settings["model"]))
    family = model_shorthand(base.get("model"))
    name = family.get("name") if isinstance(family, dict) else family
    return tuple(
        f"base's {listed([f'model.{key}' for key in keys])} hold{'s' if len(keys) == 1 else ''} for {name}; "
        f"{listed(dict.fromkeys(models))} {'has its' if len(set(models)) == 1 else 'have their'} own defaults"
        for keys, models in lost.items()
    )
