"""recipes/README.md lists every requirement of the documents with the tests that hold it, and those tests are there."""

from __future__ import annotations

import pytest
from requirements import NAMES, RECIPES, places, requirements, written

# discussed by a document as out of its reach, and out of ours
NOT_HERE = {"research topics (3D Gaussian splatting)"}


@pytest.mark.parametrize("name", NAMES)
def test_every_requirement_names_tests_that_are_there(name: str) -> None:
    rows, known = requirements(name), places(name)
    assert len(rows) >= 20
    assert {row.asked for row in rows if not row.tests} <= NOT_HERE
    assert [test for row in rows for test in row.tests if test not in known] == []


def test_the_table_is_in_step_with_the_recipes_own() -> None:
    text = (RECIPES / "README.md").read_text(encoding="utf-8")
    assert written(text) == text, "run python -m tests.recipes.requirements"
