"""maskwright search"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from maskwright.cli.types import Flag

if TYPE_CHECKING:
    from pathlib import Path

    from maskwright.comparison.search_space import Space


def search(
    config: str,
    /,
    *keys: Annotated[str, Parameter(show=False)],
    out: str | None = None,
    trials: int | None = None,
    minutes: float | None = None,
    plan: Flag = False,
    json: Flag = False,
) -> int:
    """Search for a good setting by validation alone.

    maskwright search CONFIG --plan
    maskwright search CONFIG --data my_data --out runs/search

    CONFIG is YAML with `base:`, a configuration as for train, and `search:`, keys with a range such as
    {low: 1e-4, high: 0.1, log: true} or a list of choices; also `trials:` (20), `minutes:`, `seed:` (0) and
    `pruner:` (median, hyperband or none). Flags as for train override the base. Test images are never predicted.

    Called again with the same CONFIG and --out it goes on; with more --trials or --minutes, for longer.
    The best setting is written to best.yaml, ready for maskwright train. Exit code 1: no trial came to a score.

    Parameters
    ----------
    config
        YAML file.
    out
        The search's folder. Default: runs/CONFIG-search.
    trials
        How many settings are tried, those of earlier calls included.
    minutes
        No trial is begun after so many minutes of trials, those of earlier calls included.
    plan
        Tell what is searched and what it would take; train and write nothing.
    json
        Print one JSON document on stdout.
    """
    from pathlib import Path

    from maskwright.cli.output import say, say_json, stderr, table
    from maskwright.comparison.search_space import read_space, search_out
    from maskwright.config.flags import parse_overrides
    from maskwright.errors import as_typed
    from maskwright.terminal import goes_on_with

    space = read_space(config, parse_overrides(keys), trials, minutes)
    root = Path(out) if out else search_out(config)
    if plan:
        return _print_plan(space, root, json)

    from maskwright.comparison.search import GIVEN
    from maskwright.comparison.search import search as run
    from maskwright.comparison.search_result import as_rows, document, in_words
    from maskwright.reports.search_plots import write_plots

    with goes_on_with(f"the same command (trials that are done in {root} are kept)", root / GIVEN):
        result = run(space, root, stderr())
    write_plots(result, space)
    if json:
        say_json(document(result, space))
    else:
        table(*as_rows(result, space))
        for line in in_words(result):
            say(line)
        if result.best:
            say(f"best setting in {result.best_config}; next: maskwright train {as_typed(result.best_config)}")
    return 0 if result.best else 1


def _print_plan(space: Space, root: Path, json: bool) -> int:
    from maskwright.cli.output import say, say_json
    from maskwright.comparison.plan import plan_search
    from maskwright.errors import counted
    from maskwright.runs import size_name
    from maskwright.terminal import duration

    planned = plan_search(space, root)
    problems = planned.measured.problems
    if json:
        say_json(planned.to_json())
        return 1 if problems else 0
    for key, values in planned.space.items():
        say(f"{key}: {values}")
    limit = f", at most {space.minutes:g} {'minute' if space.minutes == 1 else 'minutes'}" if space.minutes else ""
    say(f"{counted(space.trials, 'trial')}{limit}, seed {space.seed}, pruner {space.pruner}; in {root}")
    if planned.seconds:
        say(
            f"about {duration(planned.seconds)} a trial, {duration(planned.seconds * space.trials)} in all, "
            f"less by what is pruned; {size_name(planned.disk)} on disk"
        )
    for problem in problems:
        say(problem)
    return 1 if problems else 0
