"""Write recipes/README.md's table anew from the recipes' own: python -m tests.recipes.requirements

Each recipe's README has a table of what its document asks for, what does it here, and the tests that hold it.
"""

from __future__ import annotations

import ast
import functools
import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
RECIPES = ROOT / "recipes"
NAMES = ("puzzle-lab", "satellite", "pets-smp", "pets-scratch")
_BEGIN, _END = "<!-- requirements -->\n", "<!-- end of requirements -->\n"


@dataclass(frozen=True)
class Requirement:
    """One row: what the document asks, what does it here, and the names of the tests."""

    asked: str
    here: str
    tests: tuple[str, ...]


def requirements(name: str) -> list[Requirement]:
    """The rows of a recipe's table; `same` repeats the tests of the row above, `as for …` those of the row whose text
    has it.
    """
    rows: list[Requirement] = []
    inside = False
    for line in (RECIPES / name / "README.md").read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split(" | ")] if line.startswith("|") else []
        if len(cells) == 3 and cells[2] == "test":
            inside = True
        elif not cells:
            inside = False
        elif inside and not line.startswith("|---"):
            rows.append(Requirement(cells[0], cells[1], _tests(cells[2] if len(cells) > 2 else "", rows)))
    return rows


def _tests(cell: str, rows: list[Requirement]) -> tuple[str, ...]:
    named = re.findall(r"test_\w+(?:\.py)?", cell)
    if cell.startswith("same"):
        named = [*rows[-1].tests, *named]
    elif cell.startswith("as for "):
        named = list(next(row.tests for row in rows if cell.removeprefix("as for ").split()[0] in row.asked))
    files = [test for test in named if test.endswith(".py")]
    return tuple(dict.fromkeys(files if files and not [test for test in named if not test.endswith(".py")] else
                               [test for test in named if not test.endswith(".py")]))  # fmt: skip


def places(name: str) -> dict[str, str]:
    """Where each test and each file of tests is, relative to recipes/; of equal names, those of the recipe's own
    file.
    """
    found: dict[str, str] = {}
    own = f"test_{name.replace('-', '_')}.py"
    for path in sorted((ROOT / "tests").rglob("test_*.py"), key=lambda path: (path.name != own, path)):
        where = f"../{path.relative_to(ROOT).as_posix()}"
        found.setdefault(path.name, where)
        for test in _tests_in(path):
            found.setdefault(test, where)
    return found


@functools.cache
def _tests_in(path: Path) -> tuple[str, ...]:
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    return tuple(node.name for node in nodes if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"))


def table() -> str:
    """The requirements of every recipe, each with links to its tests."""
    lines: list[str] = []
    for name in NAMES:
        where = places(name)
        lines += ["", f"### [{name}]({name}/README.md)", "", "| the document asks for | held by |", "|---|---|"]
        for row in requirements(name):
            tests = ", ".join(f"[`{test}`]({where[test]})" for test in row.tests)
            asked = re.sub(r"\]\((?!http)", f"]({name}/", row.asked)
            lines.append(f"| {asked} | {tests or row.here} |")
    return "\n".join(lines[1:]) + "\n"


def written(text: str) -> str:
    """recipes/README.md with the table as it should be."""
    head, _, rest = text.partition(_BEGIN)
    return head + _BEGIN + table() + _END + rest.partition(_END)[2]


if __name__ == "__main__":
    readme = RECIPES / "README.md"
    readme.write_text(written(readme.read_text(encoding="utf-8")), encoding="utf-8")
