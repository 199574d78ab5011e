"""maskwright diagnose"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from maskwright.cli.types import Flag

if TYPE_CHECKING:
    from maskwright.runs import Run


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
    from maskwright.cli.output import say, say_json
    from maskwright.comparison.folder import is_comparison
    from maskwright.runs import Run

    if not is_comparison(run):
        opened = Run.open(run)
        say_json(_document(opened)) if json else _tell(opened)
        return
    cells = _cells(run)
    if json:
        say_json({"comparison": run, "runs": [{"name": name, **_document(cell)} for name, cell in cells]})
        return
    for number, (name, cell) in enumerate(cells):
        say(f"{'' if number == 0 else chr(10)}{name}")
        _tell(cell)


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
        raise RunError(f"`RUN` must hold a finished cell; none of {root} is. Go on with it: maskwright compare {as_typed(root)}")
    return done


def _document(run: Run) -> dict[str, Any]:
    from maskwright.training.diagnose import diagnose as read

    return {"run": str(run.root), "diagnosis": [one.to_json() for one in read(run)]}


def _tell(run: Run) -> None:
    from maskwright.cli.output import say
    from maskwright.errors import as_typed
    from maskwright.training.diagnose import diagnose as read

    for one in read(run):
        say(f"{one.severity:<8}{one.title}")
        say(f"        {one.evidence}")
        say(f"        Next: {one.advice}")
    if run.weights.is_file() and not (run.root / "evaluation" / "val-counts.npz").is_file():
        say(f"more can be told of classes, masks and images after: maskwright evaluate {as_typed(run.root)} --split val")
