"""A folder of runs with one that was scored, and the app over it; made once."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from app_pages import client_of

from support import data, evaluated, finished


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one run, scored on test and val. Not to be changed."""
    assert evaluated().code == 0, evaluated().err
    folder = tmp_path_factory.mktemp("app") / "runs"
    shutil.copytree(finished(), folder / "first")
    return folder


@pytest.fixture(scope="session")
def page(runs: Path):
    """The app over `runs` and the data they were trained on."""
    with client_of(runs, data()) as client:
        yield client
