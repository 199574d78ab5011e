"""Made-up runs the tests of the report share."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from report_making import Page, fake_run

from maskwright.reports import write_report
from maskwright.runs import Run


@pytest.fixture(scope="module")
def land(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Five classes, 3/2/8 images, reported. Not to be changed."""
    run = fake_run(tmp_path_factory.mktemp("land"))
    write_report(run)
    return run


@pytest.fixture(scope="module")
def page(land: Run) -> Page:
    return Page.read(land.root / "report.html")


@pytest.fixture(scope="module")
def cats(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data/ and run/: two classes, 2/1/4 images, not yet reported. Not to be changed."""
    return fake_run(tmp_path_factory.mktemp("cats"), ("background", "cat"), (2, 1, 4), 5).root.parent


@pytest.fixture
def pair(cats: Path, tmp_path: Path) -> Run:
    """A copy of cats that a test may spoil."""
    shutil.copytree(cats, tmp_path / "cats")
    run = Run(tmp_path / "cats" / "run")
    run.write_json("data.json", {**run.data, "root": str(tmp_path / "cats" / "data")})
    return run
