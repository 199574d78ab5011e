"""What stands in CONFIG of `maskwright compare`: the keys that vary, their values, the place of each, and finished runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from maskwright.comparison.naming import value_name
from maskwright.comparison.reading import Reading, Value, Where, held

PARTS: Mapping[str, tuple[type, str]] = {
    "base": (dict, "a configuration"),
    "matrix": (dict, "keys with lists of values"),
    "cells": (list, "a list of settings"),
    "runs": (list, "a list of run folders"),
}
Rows = list[tuple[str | None, list[Value]]]  # of `cells:`, each with the name it was given


def read_axes(reading: Reading) -> dict[str, list[Value]]:
    """The matrix's keys, each with its values."""
    axes: dict[str, list[Value]] = {}
    for name, values in (reading.tree.get("matrix") or {}).items():
        at: Where = ("matrix", str(name))
        key = _key(reading, at)
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
            key = _key(reading, at)
            if key in axes:
                reading.complain(at, f"`{name}` must stand in the matrix or in cells; it stands in both. Remove one.")
            elif key in values:
                reading.complain(at, f"`{name}` must stand once in a cell; {key} stands here already. Remove one.")
            elif key is not None:
                values[key] = reading.value(key, row[name], at)
        rows.append((str(row["name"]) if "name" in row else None, list(values.values())))
    return rows


def read_joining(reading: Reading) -> tuple[Path, ...]:
    """The folders of `runs:`, finished runs that are compared with the cells."""
    found: list[Path] = []
    for index, given in enumerate(reading.tree.get("runs") or []):
        path = Path(str(given)).absolute()
        if not isinstance(given, str) or not (path / "config.yaml").is_file():
            fix = "Check the path; it is looked for from where the command is called."
            reading.complain(
                ("runs", index), f"`runs.{index}` must be a run folder made by `maskwright train`; got {given}. {fix}"
            )
        elif path in found:
            reading.complain(("runs", index), f"`runs` must hold each run once; got {given} twice. Remove one.")
        else:
            found.append(path)
    return tuple(found)


def _key(reading: Reading, at: Where) -> str | None:
    """The dotted key a name of the matrix stands for; None, and a complaint, where there is none or it must not vary."""
    key, shown = reading.key(at), ".".join(map(str, at))
    why = held(key) if key else None
    if why == "budget":
        fix = f"Set it in base, or train runs and give them all: maskwright compare RUN RUN; {at[-1]} differs there as you like."
        reading.complain(at, f"`{shown}` must not vary: all cells are trained on one budget. {fix}")
    elif why == "images":
        fix = "Set it in base, and make a comparison for each."
        reading.complain(at, f"`{shown}` must not vary: all cells are scored on the same images and split. {fix}")
    return None if why else key


def told_apart(value: Any) -> str:
    """A value as text that is equal for equal values; 1 and True are not."""
    return repr(value)
