"""maskwright diagnose"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from maskwright.cli.types import Flag

if TYPE_CHECKING:
    from maskwright.runs import Run
    from maskwright.training.diagnose import Diagnosis


def diagnose(run: str, /, *, json: Flag = False) -> None:
    """Say in plain words how training went, and what to try next.

    maskwright diagnose runs/first

    Reads the run's history, settings and data, and what `maskwright evaluate RUN --split val` (and `--split train`)
    found if it was run; scores of the test images are never read.

    Parameters
    ----------
    run
        The run folder, or the folder of a comparison: each of its runs then.
    json
        Print one JSON document on stdout.
    """
    from maskwright.cli.output import say_json
    from maskwright.comparison.folder import is_comparison
    from maskwright.runs import Run

    if not is_comparison(run):
        opened = Run.open(run)
        from maskwright.training.diagnose import diagnose as read  # late, as it brings torch

        say_json(_document(opened)) if json else _print(opened, read(opened))
        return
    cells = _cells(run)
    if json:
        say_json({"comparison": run, "runs": [{"name": name, **_document(cell)} for name, cell in cells]})
        return
    _print_all(cells)


def _cells(root: str) -> list[tuple[str, Run]]:
    """The finished cells of a comparison, each with its name."""
    from pathlib import Path

    from maskwright.comparison.folder import States, read_plan
    from maskwright.errors import RunError, as_typed
    from maskwright.runs import Run

    places = read_plan(Path(root)).places
    states = States(Path(root), [place.name for place in places])
    done = [(place.name, Run.open(Path(root) / place.run)) for place in places if states[place.name].state == "done"]
    if not done:
        fix = f"Go on with it: maskwright compare {as_typed(root)}"
        raise RunError(f"`RUN` must hold a finished cell; none of {root} is. {fix}")
    return done


def _document(run: Run) -> dict[str, Any]:
    from maskwright.training.diagnose import diagnose as read

    return {"run": str(run.root), "diagnosis": [one.to_json() for one in read(run)]}


def _print_all(cells: Sequence[tuple[str, Run]]) -> None:
    """What the cells share first, said once; then each cell's own."""
    from maskwright.cli.output import say
    from maskwright.errors import listed
    from maskwright.training.diagnose import diagnose as read
    from maskwright.training.diagnose import shared_findings

    shared, left = shared_findings({name: read(cell) for name, cell in cells})
    for one in shared:
        say(f"all {len(cells)} cells" if len(one.runs) == len(cells) else listed(list(one.runs)))
        evidence = [one.diagnosis.evidence, *(f"{name}: {own}" for name, own in one.own.items())]
        _say_one(one.diagnosis, [line for line in evidence if line])
        say("")
    for number, (name, cell) in enumerate(cells):
        say(f"{'' if number == 0 else chr(10)}{name}")
        _print(cell, left[name])


def _say_one(one: Diagnosis, evidence: Sequence[str]) -> None:
    from maskwright.cli.output import say

    say(f"{one.severity:<8}{one.title}")
    for line in evidence:
        say(f"        {line}")
    say(f"        Next: {one.advice}")


def _print(run: Run, found: Sequence[Diagnosis]) -> None:
    from maskwright.cli.output import say
    from maskwright.errors import as_typed

    for one in found:
        _say_one(one, [one.evidence])
    if run.weights.is_file() and not (run.root / "evaluation" / "val-counts.npz").is_file():
        command = f"maskwright evaluate {as_typed(run.root)} --split val"
        say(f"more can be said of classes, masks and images after: {command}")
