"""`optim.lr: auto`: what the range test picks from curves drawn by hand, what it leaves alone, and what it leaves
behind.
"""

from __future__ import annotations

import csv
import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import maskwright.training.range_test as range_test_module
from maskwright.config import Config
from maskwright.errors import TrainingError
from maskwright.losses import build_loss
from maskwright.runs import Run
from maskwright.training.build import seeded_model, training_inputs
from maskwright.training.plan import prepare
from maskwright.training.range_test import HIGHEST, LOWEST, STEPS, choose, range_test, rising_rates, smoothed
from support import TINY, data, finished, leftovers, maskwright


def curve(lowest: float, noise: float = 0.0, seed: int = 0, steep: float = 0.25) -> list[float]:
    """A loss that stands at 2, falls to 1 at the rate `lowest` along a parabola, and rises along another after it."""
    rng = np.random.default_rng(seed)
    decades = [math.log10(rate / lowest) for rate in rising_rates()]
    clean = [1 + min(1.0, (place / 2) ** 2) if place < 0 else 1 + steep * place**2 for place in decades]
    return [loss + noise * rng.normal() for loss in clean]


def made(**keys: Any) -> tuple[Config, Any, Any, Any, Any]:
    tree = {"data": {"root": str(data()), "size": 32}, "model": {"width": 2, "depth": 2},
            "train": {"epochs": 1000, "devices": "cpu", "precision": "fp32", "batch_size": 4, **keys.pop("train", {})},
            "optim": {"lr": "auto", **keys}}  # fmt: skip
    plan = prepare(Config.model_validate(tree))
    samples, batches = training_inputs(plan.config, plan.opened)
    return plan.config, seeded_model(plan.config, plan.opened), build_loss(plan.config.loss), samples, batches


# ------------------------------------------------------------------ the choice


@pytest.mark.parametrize("lowest", [1e-3, 1e-2, 0.1])
def test_half_the_rate_of_four_fifths_of_the_fall_is_chosen(lowest: float) -> None:
    """By hand: (place / 2)² is a fifth where place is −2 √0.2, so many decades below the lowest."""
    expected = lowest * 10 ** (-2 * math.sqrt(0.2)) / 2
    rates = rising_rates()
    assert choose(rates, curve(lowest)).chosen == pytest.approx(expected, rel=0.25)  # smoothing, and steps of 18 %
    noisy = [choose(rates, curve(lowest, 0.05, seed)).chosen for seed in range(40)]
    assert all(expected / 2.5 < rate < expected * 2.5 for rate in noisy)


def test_an_explosion_or_a_lucky_batch_hardly_move_the_choice() -> None:
    plain, steep, lucky = curve(1e-2), curve(1e-2, steep=20), curve(1e-2)
    lucky[20] = 0.5  # lower than the true minimum, far before it
    chosen = [choose(rising_rates(), losses).chosen for losses in (plain, steep, lucky)]
    assert max(chosen) / min(chosen) < 1.5


def test_a_floor_the_loss_wanders_along_is_not_climbed() -> None:
    """With batch-norm the loss often neither rises nor explodes; its lowest may then lie anywhere, here at the very
    end.
    """
    losses = [loss if rate < 1e-2 else 1.0 for rate, loss in zip(rising_rates(), curve(1e-2), strict=True)]
    losses[-1] = 0.9
    assert choose(rising_rates(), losses).chosen == pytest.approx(choose(rising_rates(), curve(1e-2)).chosen, rel=0.6)


def test_a_loss_that_never_falls_keeps_the_default_and_says_so() -> None:
    found = choose(rising_rates(), [2.0 + 0.001 * step for step in range(STEPS)])
    assert found.chosen == 2e-3 and "the loss fell at no rate" in found.why and "default" in found.why


def test_a_loss_that_is_not_finite_from_the_start_is_one_sentence() -> None:
    with pytest.raises(
        TrainingError, match=r"must be finite at the lowest rates for optim.lr auto; .* or give --lr a number"
    ):
        choose(rising_rates()[:3], [1.0, 1.0, 1.0])


def test_the_smoothed_loss_does_not_lag() -> None:
    """A straight line stays itself, and a minimum stays where it is."""
    line = [float(step) for step in range(30)]
    assert smoothed(line) == pytest.approx(line)
    valley = [float(abs(step - 11)) for step in range(30)]
    assert min(range(30), key=smoothed(valley).__getitem__) == 11


def test_rates_rise_by_the_same_factor() -> None:
    rates = rising_rates()
    assert (len(rates), rates[0], rates[-1]) == (STEPS, LOWEST, pytest.approx(HIGHEST))
    assert [b / a for a, b in itertools.pairwise(rates)] == pytest.approx([rates[1] / rates[0]] * (STEPS - 1))


# ------------------------------------------------------------------ the test itself


@pytest.mark.parametrize(
    "optim", [{}, {"name": "sgd"}, {"freeze": ["encoder"]}, {"encoder_scale": 0.1, "clip": None}], ids=str
)
def test_everything_is_afterwards_as_before(optim: dict[str, Any]) -> None:
    config, model, loss, samples, keys = made(**optim)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    flags = [(parameter.requires_grad, parameter.grad) for parameter in model.parameters()]
    modes = [module.training for module in model.modules()]
    torch.manual_seed(7)
    state, epoch, numbers = torch.get_rng_state(), keys.epoch, np.random.get_state()[1].copy()
    found = range_test(config, model, loss, samples, keys)
    assert torch.equal(torch.get_rng_state(), state) and keys.epoch == epoch
    assert (np.random.get_state()[1] == numbers).all()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert [(parameter.requires_grad, parameter.grad) for parameter in model.parameters()] == flags
    assert [module.training for module in model.modules()] == modes
    assert LOWEST / 10 <= found.chosen <= HIGHEST and len(found.rates) == len(found.losses) == len(found.smooth) > 10
    assert all(math.isfinite(value) for value in found.losses)


def test_the_same_seed_gives_the_same_curve_and_another_seed_another() -> None:
    first, again, other = (range_test(*made(train={"seed": seed})) for seed in (0, 0, 1))
    assert first == again
    assert first.losses != other.losses


def test_it_stops_when_the_loss_explodes() -> None:
    """Plain steps at rates up to 10 without clipping: a network without norms is soon destroyed."""
    config, model, loss, samples, keys = made(name="sgd", clip=None)
    config = config.replace({"model.norm": "none"})
    model = torch.nn.Module.train(model)
    found = range_test(config, model, lambda logits, masks: loss(logits * 50, masks), samples, keys)
    assert len(found.rates) < STEPS
    last, first = np.mean(found.losses[-5:]), np.mean(found.losses[:5])
    assert last > 2 * first


def test_accumulated_batches_make_a_step_of_the_test_too() -> None:
    """Without norms, a step of two batches has the loss of one that is twice as large."""
    losses = []
    for train in ({"batch_size": 2, "accumulate": 2}, {"batch_size": 4}):
        config, _, _, samples, keys = made(train={**train, "repeats": 2})
        plan = prepare(config.replace({"model.norm": "none", "optim.lr": "auto"}))
        model = seeded_model(plan.config, plan.opened)
        losses.append(range_test(plan.config, model, build_loss("ce"), samples, keys).losses[:40])
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


# ------------------------------------------------------------------ in a run


def test_a_run_records_the_rate_its_reason_and_its_curve(tmp_path: Path) -> None:
    words = [word for word in TINY if word not in ("--lr", "0.01")]
    command = ("train", "--data", data(), *words, "--epochs", 2, "--lr", "auto", "--log", "[csv]")
    outcome = maskwright(*command, "--out", tmp_path / "run")
    assert outcome.code == 0, outcome.err
    run = Run.open(tmp_path / "run")
    why = run.environment["auto"]["optim.lr"]
    assert f"# optim.lr was auto: {why}" in (run.root / "config.yaml").read_text()
    assert "half of" in why and run.config.optim.lr > 0
    with (run.root / "lr-range.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["lr", "loss", "smoothed"] and 10 < len(rows) <= STEPS
    losses, smooth = ([float(row[key]) for row in rows] for key in ("loss", "smoothed"))
    level = np.mean(losses[:5]) - 0.8 * (np.mean(losses[:5]) - min(smooth[6:-6]))
    done = next(float(row["lr"]) for row in rows if float(row["smoothed"]) <= level)
    assert run.config.optim.lr == pytest.approx(done / 2, rel=0.06)
    with Image.open(run.root / "lr-range.png") as picture:
        assert picture.width > 600 and len(np.unique(np.asarray(picture.convert("L")))) > 10
    assert leftovers(run.root) == []
    assert max(row["lr"] for row in run.history) <= run.config.optim.lr

    given = ("--lr", run.config.optim.lr, *words, "--epochs", 2, "--log", "[csv]")
    assert maskwright("train", "--data", data(), *given, "--out", tmp_path / "given").code == 0
    assert (tmp_path / "given" / "model.safetensors").read_bytes() == (run.root / "model.safetensors").read_bytes()


def test_a_start_killed_after_its_curve_was_written_can_be_begun_again(tmp_path: Path) -> None:
    for name in ("lr-range.csv", "lr-range.png"):
        (tmp_path / name).write_text("left over")
    assert Run.create(tmp_path).checkpoints.is_dir()


def test_a_budget_may_begin_with_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    finished()  # everything is imported
    monkeypatch.setattr(range_test_module, "STEPS", 30)  # on a busy machine all hundred take longer than the budget
    words = [word for word in TINY if word not in ("--lr", "0.01")]
    outcome = maskwright("train", "--data", data(), *words, "--lr", "auto", "--budget", "6s", "--out", tmp_path / "run")
    assert outcome.code == 0, outcome.err
    assert (tmp_path / "run" / "lr-range.csv").is_file()
