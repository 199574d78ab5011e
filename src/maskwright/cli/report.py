"""maskwright report"""

from __future__ import annotations

from typing import TYPE_CHECKING

from maskwright.cli.types import Flag

if TYPE_CHECKING:
    from pathlib import Path


def report(run: str, /, *, split: str | None = None, data: str | None = None, json: Flag = False) -> None:
    """Write a run's or a comparison's self-contained report.html.

    maskwright report runs/first
    maskwright report runs/models

    Parameters
    ----------
    run
        The run folder; it is evaluated first if it wasn't. Or the folder of a comparison.
    split
        Which images the report is about; a comparison's are those it was made on.
    data
        Where the data set's folder is now, when it has moved.
    json
        Print one JSON document on stdout.
    """
    from pathlib import Path

    from maskwright.cli.output import say, say_json
    from maskwright.comparison.folder import is_comparison
    from maskwright.data.record import moved_data
    from maskwright.reports import write_report
    from maskwright.runs import Run

    moved = moved_data(data)
    path = (
        _of_comparison(Path(run), split, moved)
        if is_comparison(run)
        else write_report(Run.open(run), split or "test", moved)
    )
    if json:
        say_json({"report": str(path)})
    else:
        say(f"report in {path}")


def _of_comparison(root: Path, split: str | None, data: Path | None) -> Path:
    from maskwright.comparison.folder import open_comparison
    from maskwright.errors import UsageError, as_typed
    from maskwright.reports.comparison_page import write_comparison_report

    comparison = open_comparison(root)
    if split not in (None, comparison.split):
        fix = f"Compare them on the other one first: maskwright compare {as_typed(root)} --split {split}"
        raise UsageError(f"`--split` must be {comparison.split}, which {root} compares; got {split}. {fix}")
    return write_comparison_report(comparison, data)
