"""Inputs of half the size first, the full size at the end."""

from __future__ import annotations

import numpy as np
import pytest

from maskwright.config import Config
from maskwright.data.geometry import View
from maskwright.training.build import training_inputs
from maskwright.training.plan import prepare
from support import data


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


def test_auto_grows_where_half_the_size_still_shows_something() -> None:
    def settled(size: int, **train: object) -> object:
        config = Config.model_validate(
            {"data": {"root": str(data()), "size": size}, "train": {"devices": "cpu", **train}}
        )
        return prepare(config).config.train.grow

    assert settled(512) == 0.75
    assert settled(128) == 0.0
    assert settled(512, grow=0.5) == 0.5
