"""Averaged weights and the batch-norm statistics measured for them."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from maskwright.training.average import Average, num_bn_batches, update_bn_stats
from support import TINY, data, maskwright


def network() -> nn.Sequential:
    """A convolution, batch-norm and dropout, seeded."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Conv2d(4, 2, 1), nn.BatchNorm2d(2, affine=False)
    )


def bits(model: nn.Module) -> dict[str, bytes]:
    return {name: value.numpy().tobytes() for name, value in model.state_dict().items()}


def step(model: nn.Module, seed: int) -> None:
    """Move every weight."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator))


def test_the_average_follows_the_recurrence():
    model, expected = network(), []
    average = Average(model, total_steps=1000)  # reaches back over 40 steps
    expected = [p.detach().clone().double() for p in model.parameters()]
    for number in range(1, 60):
        step(model, number)
        average.update()
        decay = min(1 - 1 / 40, number / (number + 4))
        expected = [
            decay * mean + (1 - decay) * p.detach().double()
            for mean, p in zip(expected, model.parameters(), strict=True)
        ]
    for mean, want in zip(average.weights, expected, strict=True):
        torch.testing.assert_close(mean.double(), want, rtol=1e-4, atol=1e-4)


def test_the_average_of_constant_weights_is_constant():
    model = network()
    average = Average(model, total_steps=50)
    for _ in range(30):
        average.update()
    for mean, parameter in zip(average.weights, model.parameters(), strict=True):
        assert torch.equal(mean, parameter)


def test_in_place_holds_the_average_and_puts_everything_back():
    model = network()
    average = Average(model, total_steps=10)
    step(model, 1)
    average.update()
    before = bits(model)
    settled = []

    def settle() -> None:
        settled.append(True)
        model[1].running_mean.add_(1)
        model[1].num_batches_tracked.add_(3)

    with average.in_place(settle):
        for parameter, mean in zip(model.parameters(), average.weights, strict=True):
            assert torch.equal(parameter, mean)
        assert bits(model) != before
    assert settled == [True] and bits(model) == before


@pytest.mark.parametrize("where", ["settling", "body"])
def test_in_place_puts_everything_back_when_something_raises(where):
    model = network()
    average = Average(model, total_steps=10)
    step(model, 1)
    before, mean_before = bits(model), [mean.clone() for mean in average.weights]

    def settle() -> None:
        model[1].running_var.mul_(7)
        if where == "settling":
            raise RuntimeError("stop")

    def use() -> None:
        with average.in_place(settle):
            model[4].running_mean.add_(1)
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        use()
    assert bits(model) == before
    assert all(torch.equal(now, then) for now, then in zip(average.weights, mean_before, strict=True))


def test_the_average_goes_where_the_model_is_taken():
    """Lightning moves a model to its GPU after the average of it was made; to another kind of number is a CPU's only
    move.
    """
    model = network()
    average = Average(model, total_steps=10)
    model.double()
    step(model, 1)
    average.update()
    with average.in_place(lambda: None):
        assert {parameter.dtype for parameter in model.parameters()} == {torch.float64}
        model(torch.ones(2, 3, 8, 8, dtype=torch.float64))
    moved = Average(network(), total_steps=10)
    moved.model.double()
    with moved.in_place(lambda: None):  # also before the first step
        moved.model(torch.ones(2, 3, 8, 8, dtype=torch.float64))


def test_training_goes_on_in_the_same_tensors_after_the_swap():
    """The optimiser holds the parameters; a step after the swap must move them, not a copy."""
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    average = Average(model, total_steps=10)
    with average.in_place(lambda: None):
        pass
    kept = [mean.clone() for mean in average.weights]
    model(torch.ones(2, 3, 8, 8)).square().sum().backward()
    before = bits(model)
    optimizer.step()
    assert bits(model) != before
    assert all(torch.equal(now, then) for now, then in zip(average.weights, kept, strict=True))


def test_a_loaded_average_goes_on_as_the_saved_one():
    model = network()
    average = Average(model, total_steps=100)
    for number in range(3):
        step(model, number)
        average.update()
    state = copy.deepcopy(average.state_dict())
    other = Average(copy.deepcopy(model), total_steps=100)
    other.load_state_dict(state)
    for moving in (average, other):
        step(moving.model, 9)
        moving.update()
    assert other.steps == average.steps == 4
    assert all(torch.equal(one, two) for one, two in zip(average.weights, other.weights, strict=True))


def test_settled_statistics_are_the_plain_mean_over_batches():
    model = network()
    batches = [torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(seed)) * (seed + 1) for seed in range(3)]
    convolved = [model[0](images).detach().double() for images in batches]
    means = torch.stack([x.mean((0, 2, 3)) for x in convolved]).mean(0)
    variances = torch.stack([x.var((0, 2, 3), unbiased=True) for x in convolved]).mean(0)
    model[1].running_mean.fill_(99)
    model.train()
    update_bn_stats(model, batches)
    torch.testing.assert_close(model[1].running_mean.double(), means, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(model[1].running_var.double(), variances, rtol=1e-5, atol=1e-6)
    assert model[1].num_batches_tracked == 3
    assert [module.momentum for module in (model[1], model[4])] == [0.1, 0.1]
    assert all(module.training for module in model.modules())


def test_dropout_stays_out_of_the_statistics():
    """The second norm lies behind the dropout: measured twice, it must come out the same."""
    model, batches = network(), [torch.randn(4, 3, 8, 8)]
    found = []
    for _ in range(2):
        update_bn_stats(model, batches)
        found.append(model[4].running_var.clone())
    assert torch.equal(*found)


def test_frozen_norms_and_networks_without_norms_are_left_alone():
    model = network()
    model[1].requires_grad_(False)
    model[1].running_mean.fill_(5)
    update_bn_stats(model.eval(), [torch.randn(2, 3, 8, 8)])
    assert (model[1].running_mean == 5).all() and not model.training
    assert (model[4].running_mean != 0).all()

    def untouched():
        raise AssertionError("no batch is asked for")
        yield

    update_bn_stats(nn.Conv2d(3, 2, 1), untouched())


@pytest.mark.parametrize(("an_epoch", "batches"), [(1, 1), (4, 1), (8, 2), (32, 8), (1000, 8)])
def test_how_many_batches_settle(an_epoch, batches):
    assert num_bn_batches(an_epoch) == batches


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_trains_and_resumes_with_averaged_weights(tmp_path):
    run = tmp_path / "run"
    words = ("--data", data(), *TINY, "--devices", "gpu", "--train.average", "ema", "--epochs", 2, "--log", "csv")
    assert maskwright("train", *words, "--out", run).code == 0
    (run / "model.safetensors").unlink()
    assert maskwright("train", "--resume", run).code == 0
