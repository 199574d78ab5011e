"""A tiny training, whole and interrupted, for networks larger than the lab's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from maskwright.prediction.predictor import Predictor
from maskwright.runs import Run
from maskwright.training.module import SegmentationTraining
from support import columns, data, maskwright

WORDS = ("--size", "64", "--train.repeats", "1", "--batch-size", "2", "--precision", "fp32", "--devices", "cpu", "--lr",
         "1e-3", "--train.grow", "0", "--augment", "light", "--log", "[csv]", "--epochs", "2")  # fmt: skip


def resumed_like_uninterrupted(folder: Path, monkeypatch: pytest.MonkeyPatch, *model: object) -> Run:
    """Train two epochs; again, interrupted before the second, and resumed: history and weights must be the same bits.

    The interrupt is Ctrl-C's, raised where the second epoch begins. Then the run is opened and predicts.
    """
    whole, broken = folder / "whole", folder / "broken"
    outcome = maskwright("train", "--data", data(), *model, *WORDS, "--out", whole)
    assert outcome.code == 0, outcome.err
    with monkeypatch.context() as patch:
        began: Any = SegmentationTraining.on_train_epoch_start

        def interrupting(self: SegmentationTraining) -> None:
            if self.current_epoch == 1:
                raise KeyboardInterrupt
            began(self)

        patch.setattr(SegmentationTraining, "on_train_epoch_start", interrupting)
        assert maskwright("train", "--data", data(), *model, *WORDS, "--out", broken).code == 130
    assert len(columns(broken)) == 1
    outcome = maskwright("train", "--resume", broken)
    assert outcome.code == 0, outcome.err
    assert columns(broken) == columns(whole)
    ours, theirs = load_file(whole / "model.safetensors"), load_file(broken / "model.safetensors")
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    run = Run.open(broken)
    found = Predictor.from_run(run).predict(np.zeros((40, 50, 3), np.uint8))
    assert found.labels.shape == (40, 50) and np.isfinite(found.probabilities).all()
    return run
