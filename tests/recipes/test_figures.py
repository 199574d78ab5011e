"""The figures in the recipes' READMEs are those of the tables kept beside them (recipes/keep_figures.py)."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import pytest
from tiny_lab import ROOT

RECIPES = ("pets-scratch", "pets-smp", "puzzle-lab", "satellite")
TABLE = re.compile(r"<!-- figures: ([\w/-]+) -->\n\n((?:\|.*\n)+)")
NUMBER = re.compile(r"\d+\.\d+")
SCALES = (1, 100, 1e-6)  # a share in percent, a count in millions


def rows_in(folder: Path) -> list[list[float]]:
    """The numbers of each row that a comparison's files hold, with its run's history; of a run all its numbers."""
    if not (folder / "table.csv").is_file():
        trees = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]
        return [[abs(value) for tree in trees for value in leaves(tree) if isinstance(value, int | float)]]
    lines = [line for path in folder.glob("*.md") for line in path.read_text(encoding="utf-8").splitlines()]
    found = [[float(one) for one in NUMBER.findall(line)] for line in lines]
    with (folder / "table.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            found.append([abs(number) for cell in row.values() for number in numbers(cell)])
            history = folder / f"{row['name'].replace(', ', '-').replace(' ', '-').replace('_', '-')}-history.csv"
            if history.is_file():
                with history.open(newline="", encoding="utf-8") as epochs:
                    for epoch in csv.DictReader(epochs):
                        found[-1] += [number for cell in epoch.values() for number in numbers(cell)]
                        found[-1].append(dice_of(float(epoch["train_iou"])))
    return found


def dice_of(iou: float) -> float:
    return 2 * iou / (1 + iou)


def numbers(cell: str | None) -> list[float]:
    try:
        return [float(cell)] if cell else []
    except ValueError:
        return []


def leaves(tree: Any) -> list[Any]:
    if isinstance(tree, dict):
        return [leaf for value in tree.values() for leaf in leaves(value)]
    if isinstance(tree, list):
        return [leaf for value in tree for leaf in leaves(value)]
    return [tree]


def shown_in(table: str) -> list[list[str]]:
    """The numbers of each row of a Markdown table, without what the document's own columns and rows hold."""
    header, _, *body = [line.strip().strip("|").split("|") for line in table.splitlines()]
    ours = [place for place, title in enumerate(header) if "document" not in title]
    return [NUMBER.findall(" | ".join(cells[place] for place in ours)) for cells in body if "document" not in cells[0]]


def is_shown(known: float, text: str) -> bool:
    return any(abs(known * scale - float(text)) <= 0.501 * 10 ** -len(text.partition(".")[2]) for scale in SCALES)


@pytest.mark.parametrize("name", RECIPES)
def test_every_row_of_a_table_is_a_row_of_the_kept_files(name: str) -> None:
    text = (ROOT / "recipes" / name / "README.md").read_text(encoding="utf-8")
    assert TABLE.findall(text), "no table is marked <!-- figures: COMPARISON -->"
    for comparison, table in TABLE.findall(text):
        rows = rows_in(ROOT / "recipes" / name / "figures" / comparison)
        for shown in shown_in(table):
            assert shown
            fits = any(all(any(is_shown(one, text) for one in row) for text in shown) for row in rows)
            assert fits, f"no row of figures/{comparison} holds {', '.join(shown)}"


@pytest.mark.parametrize("name", RECIPES)
def test_kept_files_hold_no_path_of_a_machine(name: str) -> None:
    files = sorted((ROOT / "recipes" / name / "figures").rglob("*.*"))
    assert any(path.name == "table.csv" for path in files)
    for path in files:
        assert not re.search(r'(?:"|,|^)/\w+/', path.read_text(encoding="utf-8")), path
