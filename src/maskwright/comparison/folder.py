"""The folder of a comparison: what it holds, the state of each cell, and how it is opened again.

comparison.yaml   base, matrix and runs as given          plan.json    cells and runs, split and budget
cells.json        the state of each cell, a failure's reason  cells/NAME/  their run folders
environment.json  versions, machine and command              standings.json, table.md, table.csv, table.tex, report.html
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import yaml

from maskwright import schemas
from maskwright.comparison.collect import assemble
from maskwright.comparison.entries import Comparison, Failure
from maskwright.comparison.naming import with_seed
from maskwright.config import Config
from maskwright.config.files import read_yaml
from maskwright.errors import RunError, as_typed
from maskwright.files import plain, read_json, write_json, write_text
from maskwright.folders import new_folder
from maskwright.runs import COMPARISON, Run, first_free, provenance, refuse_used

GIVEN, PLAN, STATES, CELLS = COMPARISON, "plan.json", "cells.json", "cells"
ENVIRONMENT = "environment.json"
State = Literal["waiting", "running", "done", "failed"]


@dataclass(frozen=True)
class Place:
    """A cell as in plan.json: its name, its entry, and its run's folder, relative to the comparison's or whole."""

    name: str
    entry: str
    run: str
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class Plan:
    """What a comparison's folder was made for; `budget` is what each cell may spend."""

    split: str
    places: tuple[Place, ...]
    budget: Mapping[str, Any]


@dataclass(frozen=True)
class CellState:
    """How far a cell has come; `reason` is why it failed, `trace` where in the program if nobody foresaw it."""

    state: State = "waiting"
    reason: str | None = None
    seconds: float = 0.0
    trace: str | None = None


class States:
    """cells.json, written at every change."""

    def __init__(self, root: Path, names: Sequence[str]) -> None:
        self.root = root
        kept = _read(root / STATES, dict[str, schemas.CellState]) if (root / STATES).exists() else {}
        known = {field.name for field in fields(CellState)}
        states = {name: {key: value for key, value in kept.get(name, {}).items() if key in known} for name in names}
        self.known = {name: CellState(**state) for name, state in states.items()}

    def __getitem__(self, name: str) -> CellState:
        return self.known[name]

    def change(self, name: str, **to: Any) -> None:
        """Change what is known of a cell, and write it down."""
        self.known[name] = replace(self.known[name], **to)
        self.write()

    def write(self) -> None:
        """Write cells.json as of now."""
        rows = {
            name: {key: value for key, value in asdict(state).items() if value is not None}
            for name, state in self.known.items()
        }
        write_json(self.root / STATES, rows)


def is_comparison(root: str | Path) -> bool:
    """Whether a folder is a comparison's."""
    return (Path(root) / GIVEN).is_file()


def is_of_runs(root: str | Path) -> bool:
    """Whether a folder is that of a comparison of finished runs, which has no cells to go on with."""
    return is_comparison(root) and list(read_yaml(Path(root) / GIVEN)[0]) == ["runs"]


def open_comparison(root: str | Path) -> Comparison:
    """A comparison from its folder: the entries of the cells that are done, and the failures of those that are not."""
    root = Path(root)
    if not is_comparison(root):
        what = f"holds no {GIVEN}" if root.is_dir() else "is not there"
        fix = "Check the path."
        raise RunError(f"`COMPARISON` must be a folder made by `maskwright compare`; got {root}, which {what}. {fix}")
    plan = read_plan(root)
    states = States(root, [place.name for place in plan.places])
    entries: dict[str, tuple[Mapping[str, Any], list[Run]]] = {}
    for place in plan.places:
        if states[place.name].state == "done":
            entries.setdefault(place.entry, (place.settings, []))[1].append(Run.open(root / place.run))
    named = [(name, settings, runs) for name, (settings, runs) in entries.items()]
    failures = [
        Failure(place.name, states[place.name].reason or "no reason is known")
        for place in plan.places
        if states[place.name].state == "failed"
    ]
    return assemble(named, plan.split, failures, root)


def read_plan(root: Path) -> Plan:
    """plan.json."""
    tree = _read(root / PLAN, schemas.ComparisonPlan)
    places = (Place(place["name"], place["entry"], place["run"], place["settings"]) for place in tree["cells"])
    return Plan(tree["split"], tuple(places), tree["budget"])


def begin(root: Path, document: Mapping[str, Any], plan: Plan, done: Iterable[Place] = ()) -> None:
    """Make the folder of a new comparison, some of its places done; what makes it one is written last."""
    write_plan(root, plan)
    write_json(root / ENVIRONMENT, provenance({}))
    states = States(root, [place.name for place in plan.places])
    for place in done:
        states.known[place.name] = CellState("done")
    states.write()
    text = yaml.safe_dump(plain(document), sort_keys=False, allow_unicode=True, width=120)
    write_text(root / GIVEN, text)


def write_plan(root: Path, plan: Plan) -> None:
    """Write plan.json."""
    cells = [asdict(place) for place in plan.places]
    write_json(root / PLAN, {"split": plan.split, "budget": dict(plan.budget), "cells": plain(cells)})


def keep_runs(comparison: Comparison, root: Path) -> Comparison:
    """Write the folder of a comparison of finished runs, which stay where they are."""
    places = tuple(place for entry in comparison.entries for place in places_of(entry.name, entry.settings, entry.runs))
    with new_comparison(root):
        begin(root, {"runs": [place.run for place in places]}, Plan(comparison.split, places, {}), done=places)
    return replace(comparison, root=root)


def places_of(name: str, settings: Mapping[str, Any], runs: Sequence[Run]) -> list[Place]:
    """The places of an entry of finished runs, which stay where they are."""
    seeds = [run.config.train.seed if len(runs) > 1 else None for run in runs]
    return [
        Place(with_seed(name, seed), name, str(run.root.resolve()), settings)
        for seed, run in zip(seeds, runs, strict=True)
    ]


def comparison_out(config: Config, parent: Path = Path("runs")) -> Path:
    """runs/DATA-compare-NUMBER, the first number that is free."""
    return first_free(parent, config, "compare")


def refuse_taken(root: Path) -> None:
    """Stop when a folder cannot become a comparison's because it holds something."""
    goes_on = f"Go on with it: maskwright compare {as_typed(root)}"
    refuse_used(root, fix=goes_on if is_comparison(root) else "Choose another.")


def new_comparison(root: Path) -> AbstractContextManager[None]:
    """Lock the folder in which a comparison is to begin."""
    return new_folder(root, partial(refuse_taken, root), GIVEN, (PLAN, STATES, ENVIRONMENT))


def _read(path: Path, form: Any) -> Any:
    missing = f"`COMPARISON` must be whole; {path.parent} holds no {path.name}. Restore it, or begin anew."
    return read_json(path, missing, form)
