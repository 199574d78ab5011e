"""Accumulated gradients: the same steps as with batches so many times as large, and everything counted in steps."""

from __future__ import annotations

from itertools import chain
from pathlib import Path

import pytest
import torch

from maskwright.data.loader import EpochKeys
from maskwright.runs import Run
from support import TINY, columns, data, maskwright


@pytest.mark.parametrize("batch_size", [1, 2, 3, 5])
@pytest.mark.parametrize("accumulate", [1, 2, 3, 4, 7])
def test_steps_are_dealt_as_large_batches_are(batch_size: int, accumulate: int) -> None:
    for count in range(1, 40):
        keys = EpochKeys(count, batch_size, 0, accumulate=accumulate)
        batches, size = list(keys), keys.batches_a_step
        assert len(batches) == len(keys) and max(map(len, batches)) <= batch_size and size <= accumulate
        steps = [list(chain.from_iterable(batches[at : at + size])) for at in range(0, len(batches), size)]
        assert len(steps) == keys.num_steps
        large = list(EpochKeys(count, batch_size * accumulate, 0))
        if batch_size > 1:  # single samples don't always come out even
            assert steps == large
        assert sorted(chain.from_iterable(steps)) == sorted(chain.from_iterable(large))
        for number, batch in enumerate(batches):
            assert keys.share_of(number) / size == pytest.approx(len(batch) / len(steps[number // size]))


def train(out: Path, *words: object) -> Run:
    """Without batch-norm, augmentation or clipping that differs; cross-entropy is a mean over pixels."""
    plain = ("--model.norm", "none", "--loss", "ce", "--data.ignore_index", "null", "--epochs", 3, "--log", "[csv]")
    outcome = maskwright("train", "--data", data(), *TINY, "--train.repeats", 5, *plain, *words, "--out", out)
    assert outcome.code == 0, outcome.err
    return Run.open(out)


@pytest.mark.parametrize(("batch", "accumulate", "large"), [(2, 3, 6), (5, 2, 10), (3, 4, 12)])
def test_accumulating_is_training_on_larger_batches(tmp_path: Path, batch: int, accumulate: int, large: int) -> None:
    """20 inputs: for 6 and 12 a step, steps and batches come out uneven, and each input must still weigh the same."""
    pieces = train(tmp_path / "pieces", "--batch-size", batch, "--train.accumulate", accumulate)
    whole = train(tmp_path / "whole", "--batch-size", large)
    one, two = (torch.load(run.checkpoints / "last.ckpt", weights_only=True) for run in (pieces, whole))
    assert one["global_step"] == two["global_step"] == 3 * -(-20 // large)
    assert one["average"]["steps"] == two["average"]["steps"] == one["global_step"]
    for name, value in two["state_dict"].items():
        torch.testing.assert_close(one["state_dict"][name], value, rtol=2e-3, atol=2e-5, msg=name)
    for mine, theirs in zip(one["average"]["weights"], two["average"]["weights"], strict=True):
        torch.testing.assert_close(mine, theirs, rtol=2e-3, atol=2e-5)
    assert [row["lr"] for row in columns(pieces.root)] == [row["lr"] for row in columns(whole.root)]
    for mine, theirs in zip(pieces.history, whole.history, strict=True):
        assert mine["val_loss"] == pytest.approx(theirs["val_loss"], rel=1e-3)


def test_smaller_batches_alone_are_another_training(tmp_path: Path) -> None:
    """Without this the test above could not tell equal steps from steps that hardly move."""
    small = train(tmp_path / "small", "--batch-size", 2)
    whole = train(tmp_path / "whole", "--batch-size", 6)
    one, two = (torch.load(run.checkpoints / "last.ckpt", weights_only=True)["state_dict"] for run in (small, whole))
    assert not all(torch.allclose(one[name], two[name], rtol=1e-2, atol=1e-3) for name in two)
