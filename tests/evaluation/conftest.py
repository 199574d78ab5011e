"""A run of discs of many sizes, and copies of it that a test may spoil."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import maskwright as mw
from support import TINY, copy_of, disc_data, maskwright

SIZES = [(32, 40)] * 3 + [(24, 24), (40, 31), (33, 47)] + [(32, 32), (20, 30), (25, 25)]
SPLITS = ["train"] * 3 + ["val"] * 3 + ["test"] * 3


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> Path:
    """A run and its data. Not to be changed."""
    root = tmp_path_factory.mktemp("settle")
    words = ("--data", disc_data(root / "data", SIZES, SPLITS), *TINY, "--epochs", 2, "--out", root / "run")
    outcome = maskwright("train", *words)
    assert outcome.code == 0, outcome.err
    return root


@pytest.fixture
def own(trained, tmp_path) -> mw.TrainedRun:
    """A copy of the run whose data may be spoilt."""
    shutil.copytree(trained / "data", tmp_path / "data")
    run = mw.load_run(copy_of(trained / "run", tmp_path / "run"))
    run.write_json("data.json", {**run.data, "root": str(tmp_path / "data")})
    return run
