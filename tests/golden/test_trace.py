"""Twenty steps give the losses they always gave."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from make_trace import STEPS, TRACE, losses


def test_twenty_steps_give_the_losses_written_down(tmp_path: Path) -> None:
    """Processors round a little differently, and steps add that up; anything beyond 1e-5 is a change of what is
    computed.
    """
    written = json.loads(TRACE.read_text(encoding="utf-8"))
    assert len(written) == STEPS
    assert losses(tmp_path / "data") == pytest.approx(written, rel=1e-5)


def test_the_trace_shows_learning() -> None:
    """A trace of a network that doesn't learn would guard nothing."""
    written = json.loads(TRACE.read_text(encoding="utf-8"))
    assert len(set(written)) == STEPS
    assert sum(written[-5:]) < 0.9 * sum(written[:5])
