"""Keep the tables that the figures in a recipe's README come from beside it.

    python recipes/run.py puzzle-lab --laptop --out runs/lab
    python recipes/keep_figures.py puzzle-lab runs/lab

Of each comparison `table.csv`, `standings.json` and each run's history, of each search `trials.csv`, of each run's
evaluations the JSON go to `recipes/NAME/figures/`. `tests/recipes/test_figures.py` holds the README's tables to them.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

RECIPES = Path(__file__).resolve().parent
KEPT = ("*/table.csv", "*/standings.json", "*/trials.csv", "*/cells/*/history.csv", "*/what-freezing-does.md",
        "*/evaluation/val.json", "*/evaluation/test.json")  # fmt: skip


def keep(recipe: Path, runs: Path) -> list[Path]:
    """Copy them anew; the paths they have now."""
    figures = recipe / "figures"
    sources = sorted(path for pattern in KEPT for path in runs.glob(pattern))
    if not sources:
        fix = "Name the folder that recipes/run.py wrote."
        raise SystemExit(f"{runs} holds no finished comparison or evaluation. {fix}")
    shutil.rmtree(figures, ignore_errors=True)
    kept = []
    for source in sources:
        name, *inner = source.relative_to(runs).parts
        target = figures / name / (f"{inner[1]}-{source.name}" if inner[0] == "cells" else source.name)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
        kept.append(target)
    return kept


if __name__ == "__main__":
    if len(sys.argv) != 3 or not (RECIPES / sys.argv[1] / "recipe.yaml").is_file():
        raise SystemExit(f"usage: python recipes/keep_figures.py RECIPE RUNS\n\n{__doc__}")
    for path in keep(RECIPES / sys.argv[1], Path(sys.argv[2])):
        print(path.relative_to(RECIPES))
