"""What stands in CONFIG of `maskwright compare`: the keys that vary, their values, and the place of each."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from maskwright.comparison.naming import value_name
from maskwright.config import Config
from maskwright.config.files import Sources, known_keys, yaml_value
from maskwright.config.flags import SHORT
from maskwright.errors import closest, listed

PARTS = ("base", "matrix", "cells")
# one test for all, and one budget: only then does a difference come from what is compared
SHARED = ("data.root", "data.images", "data.masks", "data.reader", "data.target", "data.boundary", "data.window", "data.classes",
          "data.ignore_index", "data.foreground_from", "data.split")  # fmt: skip
BUDGET = ("train.epochs", "train.minutes")
_FREE = ("optim.options", "optim.freeze", "model.pixels")  # mappings whose keys the sections do not list
_SHORT = {flag[2:]: key for flag, key in SHORT.items()}
Where = tuple[str | int, ...]


@dataclass(frozen=True)
class Value:
    """One value of one key, and where it stands in the file."""

    key: str
    value: Any
    source: str
    inner: Sources


Rows = list[tuple[str | None, list[Value]]]  # of `cells:`, each with the name it was given


@dataclass
class Reading:
    """A CONFIG while it is read: its tree, where its keys stand, and what is wrong with it."""

    path: Path
    tree: dict[str, Any]
    sources: Sources
    problems: list[str]

    def complain(self, at: Where, what: str) -> None:
        place = next((self.sources[at[:end]] for end in range(len(at), 0, -1) if at[:end] in self.sources), str(self.path))
        self.problems.append(f"{place}: {what}")

    def value(self, key: str, value: Any, at: Where) -> Value:
        """A value with the places of what is in it; text is read as YAML, which makes 1e-3 a number."""
        depth = len(at)
        inner = {where[depth:]: told for where, told in self.sources.items() if where[:depth] == at and len(where) > depth}
        if isinstance(value, str):
            with contextlib.suppress(yaml.YAMLError):  # lay_over tells of it
                value = yaml_value(value)
        return Value(key, rooted(key, value), self.sources[at], inner)


def refuse_unknown_parts(reading: Reading) -> None:
    for key in [key for key in reading.tree if key not in PARTS]:
        near = closest(str(key), PARTS, limit=1)
        hint = f"Did you mean `{near[0]}`?" if near else f"A comparison has {listed(PARTS)}."
        if key in Config.model_fields:
            hint = f"Write it below `base:`, as `base.{key}`."
        reading.complain((str(key),), f"`{key}` must be a known key. {hint}")
    for key, kind, told in (("base", dict, "a configuration"), ("matrix", dict, "keys with lists of values"),
                            ("cells", list, "a list of settings")):  # fmt: skip
        if key in reading.tree and not isinstance(reading.tree[key], kind):
            reading.complain((key,), f"`{key}` must be {told}; got {reading.tree[key]!r}.")
            del reading.tree[key]


def read_axes(reading: Reading) -> dict[str, list[Value]]:
    """The matrix's keys, each with its values."""
    axes: dict[str, list[Value]] = {}
    for name, values in (reading.tree.get("matrix") or {}).items():
        at: Where = ("matrix", str(name))
        key = _key(reading, at, str(name))
        if key is None:
            continue
        if key in axes:
            reading.complain(at, f"`matrix.{name}` must stand once; it means {key}, which stands here already. Remove one.")
        elif not isinstance(values, list) or not values:
            got, fix = ("an empty list", "Name some.") if values == [] else (repr(values), f"Write [{value_name(values)}].")
            reading.complain(at, f"`matrix.{name}` must be a list of values; got {got}. {fix}")
        else:
            axes[key] = [reading.value(key, value, (*at, index)) for index, value in enumerate(values)]
            told = [told_apart(one.value) for one in axes[key]]
            for index, one in enumerate(told):
                if one in told[:index]:
                    reading.complain((*at, index), f"`matrix.{name}` must hold each value once; got {one} twice. Remove one.")
    return axes


def read_rows(reading: Reading, axes: Mapping[str, Any]) -> Rows:
    """The settings of `cells:`, each with the name it was given."""
    rows: Rows = []
    for index, row in enumerate(reading.tree.get("cells") or []):
        if not isinstance(row, dict) or not row.keys() - {"name"}:
            reading.complain(("cells", index), f"`cells.{index}` must be keys with values, such as {{model: unet}}; got {row!r}.")
            continue
        values: dict[str, Value] = {}
        for name in [name for name in row if name != "name"]:
            at: Where = ("cells", index, str(name))
            key = _key(reading, at, str(name))
            if key in axes:
                reading.complain(at, f"`{name}` must stand in the matrix or in cells; it stands in both. Remove one.")
            elif key in values:
                reading.complain(at, f"`{name}` must stand once in a cell; {key} stands here already. Remove one.")
            elif key is not None:
                values[key] = reading.value(key, row[name], at)
        rows.append((str(row["name"]) if "name" in row else None, list(values.values())))
    return rows


def _key(reading: Reading, at: Where, name: str) -> str | None:
    """The dotted key a name of the matrix stands for; None, and a complaint, where there is none or it must not vary."""
    flags, known = {flag.replace("-", "_"): key for flag, key in _SHORT.items()}, known_keys()
    key = flags.get(name.replace("-", "_"), name)
    shown = ".".join(map(str, at))
    if key not in known and not key.startswith(tuple(f"{free}." for free in _FREE)):
        near = closest(name, [*flags, *known], limit=1)
        same = [one for one in known if one.split(".")[-1] == name]
        hint = f"Did you mean `{(near or same)[0]}`?" if near or same else "maskwright config show lists all keys."
        reading.complain(at, f"`{shown}` must be a known key. {hint}")
        return None
    if key in BUDGET:
        fix = f"Set it in base, or train runs and give them all: maskwright compare RUN RUN; {name} differs there as you like."
        reading.complain(at, f"`{shown}` must not vary: all cells are trained on one budget. {fix}")
        return None
    if any(key == one or key.startswith(f"{one}.") for one in SHARED) or key == "data":
        fix = "Set it in base, and make a comparison for each."
        reading.complain(at, f"`{shown}` must not vary: all cells are scored on the same images and split. {fix}")
        return None
    return key


def rooted(key: str, value: Any) -> Any:
    """A path of weights that is there, made to hold from any folder; all else as it is."""
    if key == "model" and isinstance(value, dict) and "weights" in value:
        return {**value, "weights": rooted("model.weights", value["weights"])}
    if key != "model.weights" or not isinstance(value, str):
        return value
    path = Path(value)
    return str(path.absolute()) if path.is_file() or (path / "config.yaml").is_file() else value


def told_apart(value: Any) -> str:
    """A value as text that is equal for equal values; 1 and True are not."""
    return repr(value)
