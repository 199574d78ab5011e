"""What the tests of settling share: which files were opened, a run's files, and settled.json after tuning."""

from __future__ import annotations

from pathlib import Path

import maskwright as mw
from maskwright.evaluation.tuning import tuned_on_val
from maskwright.prediction import Predictor
from maskwright.prediction.threshold import SETTLED
from support import opened

__all__ = ["files", "opened", "tuned", "without"]


def files(run: mw.TrainedRun, split: str) -> list[Path]:
    """Images and masks of a split."""
    return [Path(run.data["root"]) / entry[kind] for entry in run.data["splits"][split] for kind in ("image", "mask")]


def tuned(run: mw.TrainedRun) -> dict:
    """settled.json after tuning."""
    tuned_on_val(run, Predictor.from_run(run), tune=True)
    return run.read_json(SETTLED)


def without(document: dict, *keys: str) -> dict:
    return {key: value for key, value in document.items() if key not in keys}
