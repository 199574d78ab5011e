"""CONFIG of `maskwright search`: a base, and for each key that is searched a range or a list of choices.

    base:   {data: {root: my_data}, train: {epochs: 20}}
    search: {lr: {low: 1e-4, high: 1e-1, log: true}, batch-size: [4, 8, 16], model: [unet, unet/resnet34]}
    trials: 30
    minutes: 60
    seed: 0

What is wrong with any of it is told at once, with file, line and nearest key.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from maskwright.comparison.naming import SEED, value_name
from maskwright.comparison.reading import Reading, Where, held, key_of, rooted, with_data_from_anywhere
from maskwright.config import Config
from maskwright.config.files import Override, lay_over, validated
from maskwright.config.flags import TRUTHS
from maskwright.config.sentences import Sources
from maskwright.config.yaml_text import flag_value
from maskwright.errors import ConfigError, UsageError, closest, listed, must
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
        if isinstance(value, bool) or not isinstance(value, int | float) or not self.low <= value <= self.high:
            return False
        return self.step is None or math.isclose((value - self.low) / self.step % 1, 0, abs_tol=1e-9)

    def __str__(self) -> str:
        step = f" in steps of {value_name(self.step)}" if self.step else ""
        return f"{value_name(self.low)} to {value_name(self.high)}{step}{' (by order of magnitude)' if self.log else ''}"


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
    """What is searched, over what base, and for how long; `tree` is the base as given, flags laid in."""

    base: Config
    axes: tuple[Axis, ...]
    trials: int
    minutes: float | None
    seed: int
    pruner: Pruner
    tree: dict[str, Any] = field(repr=False)
    sources: Sources = field(repr=False)

    def config_of(self, proposed: Mapping[str, Any]) -> Config:
        """The configuration that one proposal makes; choices are given by their names."""
        tree, sources = copy.deepcopy(self.tree), dict(self.sources)
        # whole sections first: a model, then its width
        for axis in sorted(self.axes, key=lambda axis: axis.key.count(".")):
            value = axis.values[proposed[axis.key]] if isinstance(axis, Choices) else proposed[axis.key]
            lay_over(tree, sources, axis.key, copy.deepcopy(value), "search")
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
                name = next((name for name in axis.values if _at(_alone(self, axis, name), axis.key) == value), None)
                if name is None:
                    return None
                found[axis.key] = name
        return found

    def document(self) -> dict[str, Any]:
        """What the search follows from, to be written down; how long it goes on may change."""
        axes = {
            axis.key: dict(axis.values)
            if isinstance(axis, Choices)
            else {"low": axis.low, "high": axis.high, "log": axis.log, "step": axis.step}
            for axis in self.axes
        }
        return {"base": self.tree, "search": axes, "seed": self.seed, "pruner": self.pruner}


def default_out(config: str | Path) -> Path:
    """runs/CONFIG-search, the same every time, so that the same command goes on."""
    return Path("runs") / plain_name(f"{Path(config).stem}-search")


def read_space(
    path: str | Path, overrides: Iterable[Override] = (), trials: int | None = None, minutes: float | None = None
) -> Space:
    """Read a search's CONFIG, flags laid over its base; `trials` and `minutes` as flags come before the file's."""
    for name, limit in (("trials", trials), ("minutes", minutes)):
        if limit is not None and not 0 < limit <= MOST:
            raise UsageError(must(name, f"above 0 and at most {MOST}", limit))
    reading, overrides = Reading.of(path), list(overrides)
    reading.refuse_unknown_parts("search", PARTS)
    axes = [axis for name, given in (reading.tree.get("search") or {}).items() if (axis := _axis(reading, str(name), given))]
    _refuse_twice(reading, axes)
    if not axes and not reading.problems:
        reading.problems.append(
            f"{path}: must say what is searched. Give `search:`, such as {{lr: {{low: 1e-4, high: 0.1, log: true}}}}."
        )
    tree, sources = reading.base(overrides)
    _lay_flags(reading, tree, sources, axes, overrides)
    base = _validated(reading, tree, sources)
    given_trials, given_minutes = _number(reading, "trials", int), _number(reading, "minutes", float)
    seed = reading.tree.get("seed", 0)
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**32:
        reading.complain(("seed",), f"`seed` must be a whole number from 0 up to {2**32 - 1}; got {seed!r}.")
    pruner = reading.tree.get("pruner", "median")
    if pruner not in get_args(Pruner):
        reading.complain(("pruner",), f"`pruner` must be {listed(get_args(Pruner), 'or')}; got {pruner!r}.")
    space = Space(base, tuple(axes), trials or given_trials or TRIALS, minutes or given_minutes, seed, pruner, tree, sources)
    if not reading.problems:
        _refuse_unfit_values(reading, space)
    if reading.problems:
        raise ConfigError(list(dict.fromkeys(reading.problems)))
    return space


def _axis(reading: Reading, name: str, given: Any) -> Axis | None:
    at: Where = ("search", name)
    key = reading.key(at)
    if key is None or not _may_vary(reading, key, at):
        return None
    if isinstance(given, dict) and given.keys() & {"low", "high"}:
        return _range(reading, key, name, given)
    values = given.get("choices") if isinstance(given, dict) and given.keys() == {"choices"} else given
    if not isinstance(values, list) or len(values) < 2:
        fix = f"Write {name}: [A, B] or {name}: {{low: …, high: …}}."
        reading.complain(at, f"`search.{name}` must be a range or a list of two choices and more; got {given!r}. {fix}")
        return None
    read = [rooted(key, flag_value(value) if isinstance(value, str) else value) for value in values]
    names = [value_name(value) for value in read]
    if len(set(names)) < len(names):
        reading.complain(at, f"`search.{name}` must hold each value once; got {listed(names, 'and', 12)}. Remove one.")
        return None
    return Choices(key, dict(zip(names, read, strict=True)))


def _may_vary(reading: Reading, key: str, at: Where) -> bool:
    told, why = f"`search.{at[-1]}`", held(key)
    if why == "budget" or key == "train.repeats":
        reading.complain(at, f"{told} must not be searched: all trials are trained on one budget. Set it in base.")
    elif why == "images":
        reading.complain(at, f"{told} must not be searched: all trials are scored on the same validation images. Set it in base.")
    elif key == SEED:
        reading.complain(at, f"{told} must not be searched: the luckiest seed is no setting. maskwright compare averages seeds.")
    elif key in ("train.monitor", "train.allow", "log") or key.startswith("log."):
        reading.complain(at, f"{told} must not be searched: it does not change what is learned. Set it in base.")
    else:
        return True
    return False


def _range(reading: Reading, key: str, name: str, given: Mapping[str, Any]) -> Range | None:
    at, told = ("search", name), f"`search.{name}`"
    strange = [one for one in given if one not in _RANGE]
    if strange:
        near = closest(str(strange[0]), _RANGE, limit=1)
        reading.complain(
            (*at, strange[0]),
            f"{told} must have {listed(_RANGE)}; got {strange[0]!r}.{f' Did you mean {near[0]}?' if near else ''}",
        )
        return None
    numbers: dict[str, Any] = {}
    for one in ("low", "high", "step"):
        numbers[one] = flag_value(given[one]) if isinstance(given.get(one), str) else given.get(one)
    for one, value in numbers.items():
        fits = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        if not fits and not (one == "step" and value is None):
            reading.complain(at, f"{told} must have a number as {one}; got {value!r}.")
            return None
    low, high, step = numbers["low"], numbers["high"], numbers["step"]
    log: Any = given.get("log", False)
    log = TRUTHS.get(log.lower(), log) if isinstance(log, str) else log
    problem = None
    if not isinstance(log, bool):
        problem = f"{told} must have true or false as log; got {log!r}."
    elif not low < high:
        problem = f"{told} must have low below high; got {low} and {high}."
    elif log and low <= 0:
        problem = f"{told} must begin above 0 with log; got {low}."
    elif step is not None and (log or not 0 < step <= high - low):
        problem = f"{told} must have a step between 0 and high - low, and no log beside it; got {step}."
    if problem:
        reading.complain(at, problem)
        return None
    return Range(key, low, high, log, step)


def _refuse_twice(reading: Reading, axes: Iterable[Axis]) -> None:
    seen: set[str] = set()
    for axis in axes:
        if axis.key in seen:
            reading.complain(("search",), f"`search` must hold each key once; {axis.key} stands there twice. Remove one.")
        seen.add(axis.key)


def _lay_flags(
    reading: Reading, tree: dict[str, Any], sources: Sources, axes: Iterable[Axis], overrides: Iterable[Override]
) -> None:
    searched = {axis.key for axis in axes}
    for key, value, source in sorted(overrides, key=lambda override: override[0].count(".")):
        if key in searched:
            fix = "Leave the flag out, or take the key out of the file."
            reading.problems.append(
                f"{source}: `{key}` must be searched or given as a flag, not both; the file searches it. {fix}"
            )
            continue
        problem = lay_over(tree, sources, key, rooted(key, value), source)
        reading.problems += [problem] if problem else []
    with_data_from_anywhere(tree)


def _validated(reading: Reading, tree: dict[str, Any], sources: Sources) -> Config:
    try:
        return validated(copy.deepcopy(tree), dict(sources))
    except ConfigError as error:
        reading.problems += error.problems
        return Config()


def _number(reading: Reading, key: str, kind: type) -> Any:
    value = reading.tree.get(key)
    fits = isinstance(value, int if kind is int else int | float) and not isinstance(value, bool)
    if value is not None and not (fits and 0 < value <= MOST):
        limit = f"at most {MOST}" if fits and value > MOST else "above 0"
        reading.complain((key,), f"`{key}` must be a {'whole ' if kind is int else ''}number {limit}; got {value!r}.")
        return None
    return value


def _refuse_unfit_values(reading: Reading, space: Space) -> None:
    """Each end of a range and each choice, alone over the base: what never fits is told before anything starts."""
    loss_moves = [axis.key for axis in space.axes if axis.key == "loss" or axis.key.startswith("loss.")]
    if loss_moves and space.base.train.monitor == "val_loss":
        fix = "Set base.train.monitor to val_iou."
        reading.complain(
            ("search",), f"`search.loss` must not be searched by val_loss: values of two losses can't be compared. {fix}"
        )
    for axis in space.axes:
        for end in (axis.low, axis.high) if isinstance(axis, Range) else axis.values:
            try:
                _alone(space, axis, end)
            except ConfigError as error:
                at = next((at for at in reading.sources if at[0] == "search" and len(at) == 2 and key_of(str(at[1])) == axis.key),
                          ("search",))  # fmt: skip
                for problem in error.problems:
                    reading.complain(at, problem.removeprefix("search: "))


def _alone(space: Space, axis: Axis, end: Any) -> dict[str, Any]:
    """The base with one value of one axis, as a tree."""
    tree, sources = copy.deepcopy(space.tree), dict(space.sources)
    value = axis.values[end] if isinstance(axis, Choices) else end
    lay_over(tree, sources, axis.key, copy.deepcopy(value), "search")
    return validated(tree, sources).model_dump()


def _at(tree: Any, key: str) -> Any:
    for part in key.split("."):
        tree = tree.get(part) if isinstance(tree, Mapping) else None
    return tree
