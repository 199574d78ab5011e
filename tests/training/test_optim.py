"""The optimiser's groups and the learning rate over time."""

from __future__ import annotations

import math

import pytest
import torch

from maskwright.config import OptimConfig, UnetConfig
from maskwright.models.unet import build_unet
from maskwright.training.optim import build_optimizer, learning_rate_factor

KINDS = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam, "sgd": torch.optim.SGD}


@pytest.mark.parametrize("name", KINDS)
def test_weight_decay_goes_to_matrices_alone(name):
    model = build_unet(UnetConfig(width=2, depth=1), 3, 2)
    optimizer = build_optimizer(model, OptimConfig(name=name, lr=0.25, weight_decay=0.125))
    assert isinstance(optimizer, KINDS[name])
    decay = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    assert {group["lr"] for group in optimizer.param_groups} == {0.25}
    assert len(decay) == len(list(model.parameters()))
    for key, parameter in model.named_parameters():
        assert decay[id(parameter)] == (0.125 if parameter.ndim >= 2 else 0.0), key


def test_frozen_parameters_are_not_in_the_optimiser():
    model = build_unet(UnetConfig(width=2, depth=1), 3, 2)
    model.encoder.requires_grad_(False)
    held = {id(p) for group in build_optimizer(model, OptimConfig()).param_groups for p in group["params"]}
    assert held == {id(p) for p in model.parameters() if p.requires_grad}


def test_warm_up_then_cosine_to_nothing():
    """Twenty steps, a tenth of them warm-up: computed by hand."""
    config = OptimConfig(warmup=0.1)
    factors = [learning_rate_factor(step, 20, config) for step in range(21)]
    assert factors[:3] == pytest.approx([1 / 3, 2 / 3, 1.0])
    for step in range(2, 21):
        assert factors[step] == pytest.approx(0.5 * (1 + math.cos(math.pi * (step - 2) / 18)))
    assert factors[20] == 0.0
    assert factors[2:] == sorted(factors[2:], reverse=True)
    assert factors[11] == pytest.approx(0.5)


def test_constant_holds_after_the_warm_up():
    config = OptimConfig(schedule="constant", warmup=0.5)
    assert [learning_rate_factor(step, 4, config) for step in range(5)] == pytest.approx([1 / 3, 2 / 3, 1, 1, 1])
    flat = OptimConfig(schedule="constant", warmup=0)
    assert [learning_rate_factor(step, 4, flat) for step in range(4)] == [1.0] * 4


@pytest.mark.parametrize("total", [1, 2, 3])
@pytest.mark.parametrize("warmup", [0.0, 0.1, 0.9])
def test_the_shortest_trainings_learn_at_a_rate_above_nothing(total, warmup):
    factors = [learning_rate_factor(step, total, OptimConfig(warmup=warmup)) for step in range(total)]
    assert all(0 < factor <= 1 for factor in factors)
