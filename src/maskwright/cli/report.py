"""maskwright report"""

from __future__ import annotations

from maskwright.cli.types import Flag


def report(run: str, /, *, split: str = "test", data: str | None = None, json: Flag = False) -> None:
    """Write a run's self-contained report.html.

    Parameters
    ----------
    run
        The run folder; it is evaluated first if it wasn't.
    split
        Which images the report is about.
    data
        Where the data set's folder is now, when it has moved.
    json
        Print one JSON document on stdout.
    """
    from pathlib import Path

    from maskwright.cli.output import say, say_json
    from maskwright.reports import write_report
    from maskwright.runs import Run

    path = write_report(Run.open(run), split, Path(data) if data else None)
    if json:
        say_json({"report": str(path)})
    else:
        say(f"report in {path}")
