"""Muon: orthogonal updates for kernels, AdamW's for the rest, the same state after a resume."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from maskwright.training.muon import Muon, orthogonal


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 24, 3), nn.ConvTranspose2d(24, 8, 2, 2)
    )


def step(model: nn.Module, optimizer: torch.optim.Optimizer, seed: int) -> float:
    torch.manual_seed(seed)
    loss = (model(torch.randn(2, 3, 10, 10)) - 1).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


@pytest.mark.parametrize("shape", [(16, 40), (40, 16), (12, 12)])
def test_singular_values_come_near_one(shape):
    torch.manual_seed(1)
    matrix = torch.randn(shape) * 1e-3
    found = orthogonal(matrix)
    values = torch.linalg.svdvals(found)
    assert found.shape == matrix.shape
    assert values.min() > 0.5 and values.max() < 1.3
    # the same directions: what was U S Vᵀ is about U Vᵀ
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    assert torch.nn.functional.cosine_similarity(found.flatten(), (left @ right).flatten(), dim=0) > 0.98


def test_small_and_flat_parameters_are_adamw_s():
    model, other = net(), net()
    mine = Muon(model.parameters(), lr=1e-2, weight_decay=0.1)
    adamw = torch.optim.AdamW(other.parameters(), lr=1e-2, weight_decay=0.1)
    step(model, mine, 3)
    step(other, adamw, 3)
    # biases and norms: equal; kernels of 16 and more: not
    pairs = dict(
        zip(
            [name for name, _ in model.named_parameters()],
            zip(model.parameters(), other.parameters(), strict=True),
            strict=True,
        )
    )
    flat = [name for name, (one, _) in pairs.items() if one.ndim == 1]
    assert flat and all(torch.allclose(*pairs[name], atol=1e-6) for name in flat)
    assert not torch.allclose(*pairs["3.weight"], atol=1e-4)


def test_the_layout_in_memory_changes_nothing():
    plain, last = net(), net().to(memory_format=torch.channels_last)
    for model in (plain, last):
        optimizer = Muon(model.parameters(), lr=1e-2)
        step(model, optimizer, 0)
    # biases before a norm have a gradient of noise alone
    kernels = zip(plain.parameters(), last.parameters(), strict=True)
    assert all(torch.allclose(one, other, atol=1e-4) for one, other in kernels if one.ndim == 4)


def test_it_goes_on_to_the_same_bits_from_its_state():
    whole, part = net(), net()
    optimizer = Muon(whole.parameters(), lr=1e-2)
    for seed in range(4):
        step(whole, optimizer, seed)
    begun = Muon(part.parameters(), lr=1e-2)
    for seed in range(2):
        step(part, begun, seed)
    state = copy.deepcopy(begun.state_dict())
    resumed = Muon(part.parameters(), lr=1e-2)
    resumed.load_state_dict(state)
    for seed in range(2, 4):
        step(part, resumed, seed)
    assert all(torch.equal(one, other) for one, other in zip(whole.parameters(), part.parameters(), strict=True))
