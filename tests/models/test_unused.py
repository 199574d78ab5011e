"""What no answer depends on is taken out of a network, and nothing else is touched."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from maskwright.models.unused import Passing, Unused, find_unused, prune_unused


class Half(nn.Module):
    """Uses `first`, and of `both` one parameter; asks `thrown` and throws its answer away; never asks `deeper`."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.drop = nn.Dropout(0.5)
        self.deeper = nn.Sequential(nn.Conv2d(4, 8, 3), nn.BatchNorm2d(8))
        self.thrown = nn.Conv2d(4, 4, 1)
        self.both = nn.ParameterDict({"used": nn.Parameter(torch.ones(1)), "idle": nn.Parameter(torch.ones(1))})

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.drop(self.norm(self.first(x)))
        self.thrown(x)
        return x * self.both["used"]


class Reading(Half):
    """Reads what a module holds without asking it, so that a stand-in will not do."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x) * float(self.deeper[0].weight.detach().sum())


def image() -> torch.Tensor:
    return torch.linspace(-1, 1, 3 * 64).view(1, 3, 8, 8)


def take_out_idle(net: nn.Module) -> tuple[str, ...]:
    return prune_unused(net, find_unused(net, image()))


def made(kind: type[Half]) -> Half:
    torch.manual_seed(0)
    return kind().train()


@torch.no_grad()
def test_what_is_never_used_goes_and_the_answer_stays() -> None:
    """Also where the caller asks for no gradients, as whoever only predicts does."""
    net, whole = made(Half), made(Half)
    gone = take_out_idle(net)
    norm = ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"]
    assert gone == (
        "deeper.0.weight",
        "deeper.0.bias",
        *(f"deeper.1.{name}" for name in norm),
        "thrown.weight",
        "thrown.bias",
    )
    assert set(whole.state_dict()) - set(net.state_dict()) == set(gone)
    assert isinstance(net.deeper, Passing) and isinstance(net.thrown, Passing)
    assert torch.equal(net.eval()(image()), whole.eval()(image()))


def test_finding_changes_nothing() -> None:
    net, whole = made(Half), made(Half)
    assert find_unused(net, image()) == Unused(modules=("deeper", "thrown"), parameters=("both.idle",))
    assert list(net.state_dict()) == list(whole.state_dict()) and all(
        parameter.requires_grad for parameter in net.parameters()
    )


def test_a_single_idle_parameter_is_held_still() -> None:
    net = made(Half)
    take_out_idle(net)
    assert {name for name, p in net.named_parameters() if not p.requires_grad} == {"both.idle"}
    net(image()).sum().backward()
    assert all((p.grad is not None) == p.requires_grad for p in net.parameters())


def test_the_mode_the_statistics_and_random_numbers_are_left_as_they_were() -> None:
    net = made(Half)
    state = torch.random.get_rng_state()
    take_out_idle(net)
    assert net.training and net.drop.training and torch.equal(torch.random.get_rng_state(), state)
    assert net.norm.num_batches_tracked == 0 and torch.equal(net.norm.running_mean, torch.zeros(4))


def test_where_the_answer_would_be_another_all_stays_but_is_held_still() -> None:
    net, whole = made(Reading), made(Reading)
    assert take_out_idle(net) == ()
    assert list(net.state_dict()) == list(whole.state_dict())
    assert torch.equal(net.eval()(image()), whole.eval()(image()))
    assert not net.deeper[0].weight.requires_grad and net.first.weight.requires_grad


def test_a_network_that_uses_all_it_has_keeps_it() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1))
    before = list(net.state_dict())
    assert take_out_idle(net) == () and list(net.state_dict()) == before
    assert all(parameter.requires_grad for parameter in net.parameters())


@pytest.mark.parametrize("frozen", [True, False])
def test_what_a_library_holds_still_is_not_taken_for_idle(frozen: bool) -> None:
    """As fixed position embeddings are: used, and without a gradient."""
    net = made(Half)
    net.first.requires_grad_(not frozen)
    take_out_idle(net)
    assert isinstance(net.first, nn.Conv2d) and net.first.weight.requires_grad is not frozen
