"""CONFIG of `maskwright search`: a base, and for each key that is searched a range or a list of choices.

    base:   {data: {root: my_data}, train: {epochs: 20}}
    search: {lr: {low: 1e-4, high: 1e-1, log: true}, batch-size: [4, 8, 16], model: [unet, unet/resnet34]}
    trials: 30
    minutes: 60
    seed: 0

All that is wrong with any of it is said at once, with file, line and nearest key.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeGuard, get_args

from maskwright.comparison.naming import SEED, value_name
from maskwright.comparison.reading import Reading, Where, held, key_of, rooted
from maskwright.config import Config
from maskwright.config.files import Override, apply_override, validated
from maskwright.config.flags import TRUTHS
from maskwright.config.sentences import Sources
from maskwright.config.yaml_text import flag_value
from maskwright.errors import ConfigError, UsageError, closest, did_you_mean, listed, must
from maskwright.runs import plain_name

PARTS: Mapping[str, tuple[type, str] | None] = {
    "base": (dict, "a configuration"),
    "search": (dict, "keys with ranges or choices"),
    "trials": None,
    "minutes": None,
    "seed": None,
    "pruner": None,
}
Pruner = Literal["median", "hyperband", "none"]
TRIALS, MOST = 20, 1_000_000
_RANGE = ("low", "high", "log", "step")


@dataclass(frozen=True)
class Range:
    """Numbers from low to high, both included; `log` looks at them by their order of magnitude."""

    key: str
    low: float
    high: float
    log: bool = False
    step: float | None = None

    @property
    def is_whole(self) -> bool:
        return all(isinstance(one, int) for one in (self.low, self.high, self.step) if one is not None)

    def holds(self, value: Any) -> bool:
        """Whether a value could be proposed."""
        if not _is_number(value) or not self.low <= value <= self.high:
            return False
        return self.step is None or math.isclose((value - self.low) / self.step % 1, 0, abs_tol=1e-9)

    def __str__(self) -> str:
        step = f" in steps of {value_name(self.step)}" if self.step else ""
        log = " (by order of magnitude)" if self.log else ""
        return f"{value_name(self.low)} to {value_name(self.high)}{step}{log}"


@dataclass(frozen=True)
class Choices:
    """Values to choose from, by their names."""

    key: str
    values: Mapping[str, Any]

    def __str__(self) -> str:
        return listed(self.values, "or", 12)


Axis = Range | Choices


@dataclass(frozen=True)
class Space:
    """What is searched, over what base, and for how long; `tree` is the base as given, with the flags."""

    base: Config
    axes: tuple[Axis, ...]
    trials: int
    minutes: float | None
    seed: int
    pruner: Pruner
    tree: dict[str, Any] = field(repr=False)
    sources: Sources = field(repr=False)

    def config_of(self, proposed: Mapping[str, Any]) -> Config:
        """The configuration that one proposal, or a part of one, makes; choices are given by their names."""
        tree, sources = copy.deepcopy(self.tree), dict(self.sources)
        # whole sections first: a model, then its width
        for axis in sorted(self.axes, key=lambda axis: axis.key.count(".")):
            if axis.key in proposed:
                value = axis.values[proposed[axis.key]] if isinstance(axis, Choices) else proposed[axis.key]
                apply_override(tree, sources, axis.key, copy.deepcopy(value), "search")
        return validated(tree, sources)

    def base_proposal(self) -> dict[str, Any] | None:
        """The base's own values as a proposal, where all of them lie in the space."""
        found: dict[str, Any] = {}
        dumped = self.base.model_dump()
        for axis in self.axes:
            value = _at(dumped, axis.key)
            if isinstance(axis, Range):
                if not axis.holds(value):
                    return None
                found[axis.key] = value
            else:
                name = next((one for one in axis.values if self._value(axis, one) == value), None)
                if name is None:
                    return None
                found[axis.key] = name
        return found

    def _value(self, axis: Choices, name: str) -> Any:
        return _at(self.config_of({axis.key: name}).model_dump(), axis.key)

    def document(self) -> dict[str, Any]:
        """What the search follows from, to be written down; how long it goes on may change."""
        axes = {
            axis.key: dict(axis.values)
            if isinstance(axis, Choices)
            else {"low": axis.low, "high": axis.high, "log": axis.log, "step": axis.step}
            for axis in self.axes
        }
        return {"base": self.tree, "search": axes, "seed": self.seed, "pruner": self.pruner}


def search_out(config: str | Path) -> Path:
    """runs/CONFIG-search, the same every time, so that the same command goes on."""
    return Path("runs") / plain_name(f"{Path(config).stem}-search")


def read_space(
    path: str | Path, overrides: Iterable[Override] = (), trials: int | None = None, minutes: float | None = None
) -> Space:
    """Read a search's CONFIG, flags over its base; `trials` and `minutes` as flags come before the file's."""
    for name, limit in (("trials", trials), ("minutes", minutes)):
        if limit is not None and not 0 < limit <= MOST:
            raise UsageError(must(name, f"above 0 and at most {MOST}", limit))
    reading = Reading.of(path)
    reading.refuse_unknown_parts("search", PARTS)
    axes: dict[str, Axis] = {}
    for name, given in (reading.tree.get("search") or {}).items():
        axis = _axis(reading, str(name), given)
        if axis and axis.key in axes:
            reading.complain(
                ("search",), f"`search` must hold each key once; {axis.key} stands there twice. Remove one."
            )
        elif axis:
            axes[axis.key] = axis
    if not axes and not reading.problems:
        example = "Give `search:`, such as {lr: {low: 1e-4, high: 0.1, log: true}}."
        reading.problems.append(f"{path}: must say what is searched. {example}")
    tree, sources, below = reading.base(list(overrides), axes)
    for one in below:
        apply_override(tree, sources, one.key, one.value, one.source)
    base = reading.validated(tree, sources)
    given_trials, given_minutes = _number(reading, "trials", int), _number(reading, "minutes", float)
    seed = reading.tree.get("seed", 0)
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**32:
        reading.complain(("seed",), f"`seed` must be a whole number from 0 up to {2**32 - 1}; got {seed!r}.")
    pruner = reading.tree.get("pruner", "median")
    if pruner not in get_args(Pruner):
        reading.complain(("pruner",), f"`pruner` must be {listed(get_args(Pruner), 'or')}; got {pruner!r}.")
    num_trials, most = trials or given_trials or TRIALS, minutes or given_minutes
    space = Space(base, tuple(axes.values()), num_trials, most, seed, pruner, tree, sources)
    if not reading.problems:
        _validate_values(reading, space)
    if reading.problems:
        raise ConfigError(list(dict.fromkeys(reading.problems)))
    return space


def _axis(reading: Reading, name: str, given: Any) -> Axis | None:
    at: Where = ("search", name)
    key, shown = reading.key(at), f"`search.{name}`"
    if key is None:
        return None
    if why := _must_not_vary(key):
        reading.complain(at, f"{shown} must not be searched: {why}")
        return None
    if isinstance(given, dict) and given.keys() & {"low", "high"}:
        return _range(reading, key, name, given)
    values = given.get("choices") if isinstance(given, dict) and given.keys() == {"choices"} else given
    if not isinstance(values, list) or len(values) < 2:
        fix = f"Write {name}: [A, B] or {name}: {{low: …, high: …}}."
        reading.complain(at, f"{shown} must be a range or a list of two choices and more; got {given!r}. {fix}")
        return None
    read = [rooted(key, flag_value(value) if isinstance(value, str) else value) for value in values]
    names = [value_name(value) for value in read]
    if len(set(names)) < len(names):
        reading.complain(at, f"{shown} must hold each value once; got {listed(names, 'and', 12)}. Remove one.")
        return None
    return Choices(key, dict(zip(names, read, strict=True)))


def _must_not_vary(key: str) -> str | None:
    """Why a key must not be searched; None where it may."""
    why = held(key)
    if why == "budget" or key == "train.repeats":
        return "all trials are trained on one budget. Set it in base."
    if why == "images":
        return "all trials are scored on the same validation images. Set it in base."
    if key == SEED:
        return "the luckiest seed is no setting. maskwright compare averages seeds."
    if key in ("train.monitor", "train.allow", "log") or key.startswith("log."):
        return "it does not change what is learned. Set it in base."
    return None


def _range(reading: Reading, key: str, name: str, given: Mapping[str, Any]) -> Range | None:
    read = {one: flag_value(value) if isinstance(value, str) else value for one, value in given.items()}
    ends: list[Any] = [read.get(one) for one in ("low", "high", "step", "log")]
    low, high, step, log = ends
    log = TRUTHS.get(log.lower(), log) if isinstance(log, str) else log or False
    strange = next((one for one in read if one not in _RANGE), None)
    numbers = {"low": low, "high": high, **({} if step is None else {"step": step})}
    odd = next((one for one, value in numbers.items() if not _is_number(value) or not math.isfinite(value)), None)
    if strange is not None:
        problem = f"{listed(_RANGE)}; got {strange!r}. {did_you_mean(closest(str(strange), _RANGE, limit=1))}".rstrip()
    elif odd:
        problem = f"a number as {odd}; got {numbers[odd]!r}."
    elif not isinstance(log, bool):
        problem = f"true or false as log; got {log!r}."
    elif not low < high:
        problem = f"low below high; got {low} and {high}."
    elif log and low <= 0:
        reading.complain(("search", name), f"`search.{name}` must begin above 0 with log; got {low}.")
        return None
    elif step is not None and (log or not 0 < step <= high - low):
        problem = f"a step between 0 and high - low, and no log beside it; got {step}."
    else:
        return Range(key, low, high, log, step)
    reading.complain(("search", name, str(strange or "")), f"`search.{name}` must have {problem}")
    return None


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _number(reading: Reading, key: str, kind: type) -> Any:
    value = reading.tree.get(key)
    fits = _is_number(value) and (kind is float or isinstance(value, int))
    if value is None or (fits and 0 < value <= MOST):
        return value
    limit = f"at most {MOST}" if fits and value > MOST else "above 0"
    reading.complain((key,), f"`{key}` must be a {'whole ' if kind is int else ''}number {limit}; got {value!r}.")
    return None


def _validate_values(reading: Reading, space: Space) -> None:
    """Each end of a range and each choice, alone over the base: what never fits is said before anything starts."""
    if space.base.train.monitor == "val_loss" and any(axis.key.partition(".")[0] == "loss" for axis in space.axes):
        why = "values of two losses can't be compared. Set base.train.monitor to val_iou."
        reading.complain(("search",), f"`search.loss` must not be searched by val_loss: {why}")
    places = {key_of(str(at[1])): at for at in reading.sources if at[0] == "search" and len(at) == 2}
    for axis in space.axes:
        for end in (axis.low, axis.high) if isinstance(axis, Range) else axis.values:
            try:
                space.config_of({axis.key: end})
            except ConfigError as error:
                for problem in error.problems:
                    reading.complain(places.get(axis.key, ("search",)), problem.removeprefix("search: "))


def _at(tree: Any, key: str) -> Any:
    for part in key.split("."):
        tree = tree.get(part) if isinstance(tree, Mapping) else None
    return tree
