"""maskwright compare"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from maskwright.cli.types import Flag

if TYPE_CHECKING:
    from pathlib import Path

    from maskwright.comparison import Comparison
    from maskwright.comparison.matrix import Matrix


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
    Flags as for train are laid over the base.

    A comparison that was stopped goes on when it is named, and a cell that failed is tried again. Exit code 1: one failed.

    Parameters
    ----------
    config
        YAML file, the folder of a comparison to go on with, or finished runs.
    out
        The comparison's folder. Default: runs/DATA-compare-NUMBER, the one that was begun with the same cells, else a new one.
    split
        Which images decide: test (the default), val or train.
    plan
        Tell cells, memory, disk and time from a measured step; train and write nothing.
    json
        Print one JSON document on stdout.
    """
    from pathlib import Path

    from maskwright.cli.output import counting, say, say_json, stderr, table
    from maskwright.comparison.folder import is_comparison, is_of_runs, open_comparison
    from maskwright.errors import UsageError
    from maskwright.folders import out_folder

    words = [*([config] if config else []), *keys]
    named: list[str] = []
    while words and not words[0].startswith("-"):
        named.append(words.pop(0))
    if not named:
        fix = "Write maskwright compare CONFIG, or maskwright compare RUN RUN."
        raise UsageError(f"`compare` must be given a CONFIG, a comparison's folder or finished runs; got none. {fix}")
    if len(named) > 1:
        comparison = _of_runs(named, words, out, split, plan)
    elif is_of_runs(named[0]) and not words and not out and not plan:
        comparison = open_comparison(named[0])
    else:
        matrix, root = _of_cells(named[0], words, out)

        from maskwright.training.summary import tell_plan

        console = stderr()
        if plan:
            from maskwright.comparison.plan import make_plan

            planned = make_plan(matrix, root, split or "test", console, tell_plan(console), counting("measuring"))
            if json:
                say_json(planned.to_json())
            else:
                table(*planned.rows())
                for line in [planned.total(), *(f"warning: {told}" for told in planned.warnings()), *planned.problems]:
                    say(line)
            return 1 if planned.problems else 0
        begun = is_comparison(root)
        with out_folder(out or (root if begun else None), root) as place:
            comparison = _run(matrix, place, split, console, begun and not out and Path(named[0]).is_file())
    return _finish(comparison, json)


def _of_cells(named: str, words: Sequence[str], out: str | None) -> tuple[Matrix, Path]:
    """The matrix of a CONFIG or of a comparison's folder, and where its cells are."""
    from pathlib import Path

    from maskwright.comparison.begun import place_for
    from maskwright.comparison.folder import GIVEN, is_comparison
    from maskwright.comparison.matrix import read_matrix
    from maskwright.config.flags import parse_overrides
    from maskwright.errors import UsageError
    from maskwright.runs import of_other_kind

    path = Path(named)
    if not path.is_dir():
        matrix = read_matrix(path, parse_overrides(words))
        return matrix, Path(out) if out else place_for(matrix)
    if not is_comparison(path):
        kind = of_other_kind(path)
        what = "a run, and one run alone compares with nothing" if (path / "config.yaml").is_file() else f"without {GIVEN}"
        what = f"which {kind}" if kind else f"{what}. Name two runs or more, or a CONFIG."
        raise UsageError(f"`compare` must be given a CONFIG, a comparison's folder or finished runs; got {path}, {what}")
    if words or out:
        got = out if out and not words else words[0]
        raise UsageError(f"`{path}` must stand alone: a comparison goes on as it began; got {got} too. Leave it out.")
    return read_matrix(path / GIVEN), path


def _run(matrix: Matrix, root: Path, split: str | None, console: Any, found: bool) -> Comparison:
    """Train and score what is left; `found` when the folder was not named but is that of an earlier call."""
    from maskwright.cli.output import goes_on_with
    from maskwright.comparison.cells import compare_cells
    from maskwright.comparison.folder import GIVEN, open_comparison
    from maskwright.errors import as_typed
    from maskwright.training.summary import tell_plan

    def say(line: str) -> None:
        console.print(line, soft_wrap=True, markup=False)

    for note in matrix.notes:
        say(f"note    {note}")
    joining = f" and {len(matrix.joining)} finished run{'' if len(matrix.joining) == 1 else 's'}" if matrix.joining else ""
    again = ", begun by an earlier call with the same cells; --out FOLDER begins anew" if found else ""
    say(f"comparing {len(matrix.cells)} cell{'' if len(matrix.cells) == 1 else 's'}{joining} in {root}{again}")
    with goes_on_with(f"maskwright compare {as_typed(root)}", root / GIVEN):
        compare_cells(matrix, root, split, say, console, tell_plan(console))
    return open_comparison(root)


def _of_runs(named: Sequence[str], words: list[str], out: str | None, split: str | None, plan: bool) -> Comparison:
    from pathlib import Path

    from maskwright.cli.output import counting
    from maskwright.comparison.finished import compare_runs
    from maskwright.comparison.folder import default_out, keep_runs, refuse_taken
    from maskwright.errors import UsageError
    from maskwright.folders import out_folder
    from maskwright.runs import Run

    if plan:
        raise UsageError("`--plan` must be given with a CONFIG; finished runs need no plan. Leave it out.")
    data = None
    if len(words) == 2 and words[0] == "--data":
        data = Path(words[1])
    elif words:
        got = f"got {words[0]}"
        raise UsageError(f"finished runs must stand alone or with --data, --out, --split and --json; {got}. Leave it out.")
    runs = [Run.open(name) for name in named]
    with out_folder(out, default_out(runs[0].config)) as root:
        refuse_taken(root)  # before they are evaluated
        return keep_runs(compare_runs(runs, split or "test", data, counting("evaluating")), root)


def _finish(comparison: Comparison, json: bool) -> int:
    """Write tables and page, print the table; 1 when a cell failed."""
    from maskwright.cli.output import say, say_json
    from maskwright.comparison.outcome import write_outcome
    from maskwright.comparison.tables import as_text
    from maskwright.reports.comparison_page import write_comparison_report

    found = write_outcome(comparison)
    page = write_comparison_report(comparison)
    if json:
        say_json({"comparison": str(comparison.root), **found.to_json(), "report": str(page)})
    else:
        say(as_text(found).rstrip())
        say(f"\nwritten to {comparison.root}; the page: {page}")
    return 1 if comparison.failures else 0
