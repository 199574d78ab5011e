"""Inputs of half the size first, the full size at the end."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import maskwright as mw
from maskwright.config import Config
from maskwright.data.geometry import View
from maskwright.training.build import training_inputs
from maskwright.training.plan import prepare
from support import TINY, data, maskwright


def test_half_the_size_shows_the_same_part() -> None:
    whole, crop = View("whole", 64), View("crop", 64, 0.5)
    for view in (whole, crop):
        full = view.base_matrix(300, 400, np.random.default_rng(3))
        half = view.halved().base_matrix(300, 400, np.random.default_rng(3))
        corners = np.array([[0, 64], [0, 64], [1, 1]])
        assert half @ (corners * [[0.5], [0.5], [1]]) == pytest.approx(full @ corners)


@pytest.mark.parametrize(
    ("grow", "sizes"), [(0.0, [32, 32, 32, 32]), (0.5, [16, 16, 32, 32]), (0.75, [16, 16, 16, 32])]
)
def test_the_first_epochs_are_small(grow: float, sizes: list[int]) -> None:
    config = Config.model_validate({"data": {"root": str(data()), "size": 32}, "train": {"epochs": 4, "grow": grow}})
    plan = prepare(config)
    samples, keys = training_inputs(plan.config, plan.opened)
    seen = []
    for epoch in range(4):
        keys.set_epoch(epoch)
        batch = samples.batch(next(iter(keys)))
        assert batch.images.shape[2:] == batch.masks.shape[1:]
        seen.append(batch.images.shape[-1])
    assert seen == sizes


def test_what_is_trained_at_both_sizes_is_predicted_at_both(tmp_path: Path) -> None:
    words = ("train", "--data", data(), *TINY, "--epochs", 2, "--train.grow", 0.5, "--out")
    assert maskwright(*words, tmp_path / "run").code == 0
    run = mw.load_run(tmp_path / "run")
    assert run.config.data.multiscale is True
    assert "multiscale: true" in (run.root / "config.yaml").read_text()
    image = next((data() / "images").iterdir())
    both = run.predict(image).probabilities
    text = (run.root / "config.yaml").read_text()
    (run.root / "config.yaml").write_text(text.replace("multiscale: true", "multiscale: false"))
    assert abs(both - mw.load_run(run.root).predict(image).probabilities).max() > 1e-3
    assert maskwright(*words[:-2], 0, "--out", tmp_path / "one").code == 0
    assert mw.load_run(tmp_path / "one").config.data.multiscale is False


def test_one_epoch_has_no_part_at_half_the_size_and_is_predicted_at_one() -> None:
    for epochs, both in ((1, False), (2, True)):
        keys = {"data": {"root": str(data()), "size": 32}, "train": {"epochs": epochs, "grow": 0.5}}
        assert prepare(Config.model_validate(keys)).config.data.multiscale is both


def test_auto_grows_where_half_the_size_still_shows_something() -> None:
    def settled(size: int, **train: object) -> object:
        config = Config.model_validate(
            {"data": {"root": str(data()), "size": size}, "train": {"devices": "cpu", **train}}
        )
        return prepare(config).config.train.grow

    assert settled(512) == 0.75
    assert settled(128) == 0.0
    assert settled(512, grow=0.5) == 0.5
