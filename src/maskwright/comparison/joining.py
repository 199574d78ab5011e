"""Finished runs of CONFIG's `runs:`, which join the cells of a comparison as they are: checked, named, scored."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from maskwright.comparison.finished import ensure_scored, gathered, refuse_other_data, refuse_unfinished
from maskwright.comparison.folder import Place, Plan, places_of
from maskwright.comparison.matrix import Matrix
from maskwright.comparison.naming import unlike
from maskwright.runs import Run


def joining_places(matrix: Matrix, document: dict[str, Any], split: str) -> tuple[Place, ...]:
    """Places of the finished runs, refused where they are not of the base's images; `document` is what data.json will hold."""
    runs = [Run.open(path) for path in matrix.joining]
    for run in runs:
        refuse_unfinished(run)
    refuse_other_data([("base", document), *((str(run.root), run.data) for run in runs)], split)
    found = gathered(runs) if runs else []
    cells = list(dict.fromkeys(name for cell in matrix.cells for name in (cell.entry, cell.name)))
    names = unlike([*cells, *(name for name, _, _ in found)])[len(cells) :]
    # what varies is the matrix's; how a finished run differs from its cells is told by the settings of both
    return tuple(place for name, (_, _, group) in zip(names, found, strict=True) for place in places_of(name, {}, group))


def scored_joining(matrix: Matrix, plan: Plan, root: Path) -> list[Run]:
    """The finished runs that joined, scored on the comparison's split."""
    runs = [Run.open(root / place.run) for place in joined(matrix, plan.places)]
    for run in runs:
        is_there = Path(run.data["root"]).exists()
        ensure_scored(run, plan.split, None if is_there else Path(matrix.base.data.root or ""))
    return runs


def joined(matrix: Matrix, places: Sequence[Place]) -> list[Place]:
    """The places that are no cells of the matrix."""
    cells = {cell.name for cell in matrix.cells}
    return [place for place in places if place.name not in cells]
