"""maskwright report"""

from __future__ import annotations

from maskwright.cli.types import Flag


def report(run: str, /, *, json: Flag = False) -> None:
    """Write a run's self-contained report.html.

    Parameters
    ----------
    run
        The run folder; it is evaluated on its test split first if it wasn't.
    json
        Print one JSON document on stdout.
    """
    from maskwright.cli.output import say, say_json
    from maskwright.reports import write_report
    from maskwright.runs import Run

    path = write_report(Run.open(run))
    if json:
        say_json({"report": str(path)})
    else:
        say(f"report in {path}")
