"""maskwright compare"""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from maskwright.cli.types import Flag


def compare(
    config: str | None = None,
    /,
    *keys: Annotated[str, Parameter(show=False)],
    out: str | None = None,
    split: str | None = None,
    plan: Flag = False,
    json: Flag = False,
) -> int:
    """Train a matrix of models and seeds on one split, or compare finished runs.

    maskwright compare CONFIG --plan
    maskwright compare CONFIG --data my_data --out runs/models
    maskwright compare runs/models
    maskwright compare RUN RUN …

    CONFIG is YAML with `base:`, a configuration as for train, and `matrix:`, keys with the values to compare, such as
    {model: [unet, unet/resnet34], seed: [0, 1, 2], optim.lr: [0.001, 0.01]}; a value may be a whole section. `cells:`
    is a list of settings that stand together, such as {model: unet, lr: 0.01}. `runs:` is a list of
    finished runs that are compared with the cells. All cells have the same split and the same epochs (or train.budget).
    Flags as for train override the base.

    A comparison that was stopped goes on when it is named, and a cell that failed is tried again. Exit code 1: one
    failed.

    Parameters
    ----------
    config
        YAML file, the folder of a comparison to go on with, or finished runs.
    out
        The comparison's folder. Default: runs/DATA-compare-NUMBER, the one that was begun with the same cells, else a
        new one.
    split
        Which images decide: test (the default), val or train.
    plan
        Tell cells, memory, disk and time from a measured step; train and write nothing.
    json
        Print one JSON document on stdout.
    """
    from maskwright.config.flags import parse_overrides
    from maskwright.errors import UsageError

    words = [*([config] if config else []), *keys]
    named: list[str] = []
    while words and not words[0].startswith("-"):
        named.append(words.pop(0))
    overrides = parse_overrides(words)
    if plan and len(named) > 1:
        fix = "Leave it out, or name a CONFIG."
        raise UsageError(f"--plan cannot be combined with finished runs, which need no plan. {fix}")

    from maskwright.cli.output import counting, say, say_json, stderr, table
    from maskwright.comparison.cells import compare as run
    from maskwright.comparison.cells import matrix_and_folder

    if plan:
        from maskwright.comparison.plan import make_plan
        from maskwright.training.gate import SharedData

        with SharedData() as data:
            matrix, root = matrix_and_folder(named, overrides, out, data.open)
            planned = make_plan(matrix, root, split or "test", stderr(), counting("measuring"), data)
        if json:
            say_json(planned.to_json())
        else:
            table(*planned.rows())
            for line in [planned.total(), *(f"warning: {text}" for text in planned.warnings()), *planned.problems]:
                say(line)
        return 1 if planned.problems else 0

    from maskwright.comparison.tables import as_text, write_outcome
    from maskwright.reports.comparison_page import write_comparison_report

    comparison = run(named, overrides, out, split, stderr())
    found = write_outcome(comparison)
    page = write_comparison_report(comparison)
    if json:
        say_json({"comparison": str(comparison.root), **found.to_json(), "report": str(page)})
    else:
        say(as_text(found).rstrip())
        say(f"\nwritten to {comparison.root}; the page: {page}")
    return 1 if comparison.failures else 0
