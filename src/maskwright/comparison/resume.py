"""Which comparison was begun already: the folder a CONFIG goes on in, and what differs where it may not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from maskwright.comparison.folder import GIVEN, PLAN, comparison_out, is_comparison, read_plan
from maskwright.comparison.spec import Matrix, read_matrix
from maskwright.config import Config
from maskwright.config.keys import flat_keys
from maskwright.errors import MaskwrightError, RunError, as_typed, listed
from maskwright.runs import Run
from maskwright.training.gate import OpenData

Settings = Sequence[tuple[str, Config]]
_MOST_KEYS = 3


def place_for(matrix: Matrix, open_data: OpenData) -> Path:
    """Without --out: the newest of the folders named for these data that was begun with the same, else a new one.

    Where images or masks have changed since, a new one too: what was said of the old ones would be said of these.
    """
    new = comparison_out(matrix.base)
    stem = new.name.rpartition("-")[0]
    numbered = [(path.name.rpartition("-"), path) for path in new.parent.glob("*")]
    numbers = {path: int(number) for (name, _, number), path in numbered if name == stem and number.isdigit()}
    newest_first = sorted(numbers, key=lambda path: numbers[path], reverse=True)
    same = next((path for path in newest_first if _is_same(path, matrix)), None)
    return same if same and _has_these_data(same, matrix, open_data) else new


def refuse_other(root: Path, matrix: Matrix) -> None:
    """Stop when a folder was begun with other cells or finished runs than those of now."""
    begun = read_matrix(root / GIVEN)
    _refuse_changed(root, _cells(begun), _cells(matrix))
    _refuse_changed(root, _joining(begun), _joining(matrix))
    planned = {place.name for place in read_plan(root).places}
    missing = [cell.name for cell in matrix.cells if cell.name not in planned]
    if missing:
        what = f"{listed(missing, 'and')} {'is' if len(missing) == 1 else 'are'} not there"
        raise RunError(f"`{root / PLAN}` must name the comparison's cells; {what}. Restore it, or begin anew.")


def _is_same(root: Path, matrix: Matrix) -> bool:
    if not is_comparison(root):
        return False
    try:
        begun = read_matrix(root / GIVEN)
    except MaskwrightError:  # of finished runs alone, or it names what is gone
        return False
    return _cells(begun) == _cells(matrix) and begun.joining == matrix.joining


def _has_these_data(root: Path, matrix: Matrix, open_data: OpenData) -> bool:
    """Whether the data are still those that the first cell was trained on; they are where none has begun."""
    for cell, place in zip(matrix.cells, read_plan(root).places, strict=False):  # runs that join come after
        run = Run(root / place.run)
        if (run.root / "data.json").is_file():
            opened, _ = open_data(cell.config, None, None)
            opened.store.close()
            return opened.dataset.fingerprint == run.data["fingerprint"]
    return True


def _cells(matrix: Matrix) -> Settings:
    return [(cell.name, cell.config) for cell in matrix.cells]


def _joining(matrix: Matrix) -> Settings:
    return [(str(path), Config()) for path in matrix.joining]


def _refuse_changed(root: Path, then: Settings, now: Settings) -> None:
    if list(then) == list(now):
        return
    before, after = dict(then), dict(now)
    names = [name for name in (*before, *after) if before.get(name) != after.get(name)]
    what = "their order differs"
    if names and (names[0] not in before or names[0] not in after):
        what = f"{names[0]} is {'new' if names[0] not in before else 'gone'}"
    elif names:
        what = f"{names[0]} differs: {_differing(before[names[0]], after[names[0]])}"
    fix = f"Choose another --out, or go on with what was begun: maskwright compare {as_typed(root)}"
    raise RunError(f"`CONFIG` must be what {root} was begun with; {what}. {fix}")


def _differing(before: Config, after: Config) -> str:
    """The first keys that differ, each with both values."""
    then, now = (flat_keys(config.model_dump(mode="json")) for config in (before, after))
    keys = [key for key in then | now if then.get(key) != now.get(key)]
    return listed([f"{key} was {_shown(then, key)} and is {_shown(now, key)}" for key in keys], "and", _MOST_KEYS)


def _shown(keys: Mapping[str, Any], key: str) -> str:
    if key not in keys:
        return "not set"
    return "null" if keys[key] is None else str(keys[key])
