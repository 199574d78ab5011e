"""The demo: its folder is gone on with, never written over."""

from __future__ import annotations

from pathlib import Path

import pytest

from support import maskwright


def test_a_folder_that_holds_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    outcome = maskwright("demo", "--out", tmp_path)
    assert outcome.code == 2 and "must be a new or empty folder" in outcome.err
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.slow
def test_a_demo_made_before_is_gone_on_with(tmp_path: Path) -> None:
    first = maskwright("demo", "--out", tmp_path / "demo", "--budget", "15s")
    weights = (tmp_path / "demo" / "run" / "model.safetensors").read_bytes()
    again = maskwright("demo", "--out", tmp_path / "demo", "--budget", "15s")
    assert first.code == again.code == 0
    assert "was begun before; going on with it" in again.err
    assert (tmp_path / "demo" / "run" / "model.safetensors").read_bytes() == weights
